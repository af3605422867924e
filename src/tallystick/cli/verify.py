"""``tallystick verify``."""

from __future__ import annotations

from dataclasses import asdict

import click

from tallystick.cli.credentials import password
from tallystick.cli.options import as_json
from tallystick.cli.output import print_json
from tallystick.cli.tree_options import are_trees, refuse
from tallystick.errors import UsageError


@click.command("verify")
@click.argument("a")
@click.argument("b")
@click.option("--deep", is_flag=True, help="Recompute everything from the data first.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this resource.")
@click.option("--password-file", type=click.Path(), help="File with the password for a served end.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Directories: not these paths (as in gitignore).")
@as_json
def command(
    a: str,
    b: str,
    deep: bool,
    only: tuple[str, ...],
    password_file: str | None,
    exclude: tuple[str, ...],
    as_json: bool,
) -> int:
    """Prove that A and B agree: exit 0 only if they do; otherwise print what differs and exit 1.

    Two ends without a resource in common do not agree: nothing was compared.

    Of two directories every file is read, .tallyignore rules hold.

    \b
    Examples:
      tallystick verify clinic.db https://hub.example.org/
      tallystick verify a.db b.db --deep --json
    """
    if are_trees(a, b):
        refuse(("only", "password_file"), "directories")
        for end in (a, b):
            if "://" in end:
                raise UsageError(
                    f"verify reads directories of this machine, and {end} is none",
                    hint="tallystick sync --dry-run A B tells what differs",
                )
        from tallystick.cli.tree_sync import verify as verify_trees

        return verify_trees(a, b, {"exclude": exclude, "as_json": as_json})
    refuse(("exclude",), "databases and sites")
    from tallystick.api import replica
    from tallystick.core.values import fold
    from tallystick.sync.verification import verify

    secret = password(password_file)
    first, second = replica(a, password=secret), replica(b, password=secret)
    try:
        verdict = verify(first, second, deep=deep, only=tuple(fold(name) for name in only))
    finally:
        first.close()
        second.close()
    if as_json:
        print_json({**asdict(verdict), "agree": verdict.agree})
        return 0 if verdict.agree else 1
    for name, found in verdict.corrupt.items():
        for wire, problems in found.items():
            for key, problem in problems[:20]:
                click.echo(f"{name}: {wire} {key}: {problem} behind the ledger's back")
    for item in verdict.differences:
        kind = "differ" if item.knowledge else "know the same but show it differently (policies)"
        click.echo(f"{item.resource}: {kind}; {item.counts[0]} records at A, {item.counts[1]} at B")
        for label, keys in (("only at A", item.only_a), ("only at B", item.only_b), ("different", item.both)):
            if keys:
                click.echo(f"  {label}: {', '.join(keys[:10])}{' ...' if len(keys) > 10 else ''}")
    for wire, name in verdict.missing.items():
        click.echo(f"{wire}: not tracked at {name}")
    if not verdict.resources:
        click.echo("nothing was compared: A and B have no resource in common")
    if verdict.agree:
        click.echo(f"agree: {verdict.records:,} records in {len(verdict.resources)} resources")
    return 0 if verdict.agree else 1
