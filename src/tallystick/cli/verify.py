"""``tallystick verify``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tallystick.cli.credentials import password_for
from tallystick.cli.options import as_json
from tallystick.cli.output import print_json
from tallystick.cli.tree_options import are_trees, refuse

if TYPE_CHECKING:
    from tallystick.sync.replica import Replica
    from tallystick.sync.verification import Difference


LISTED = 10
"""Keys of a kind that are printed for people."""


@click.command("verify")
@click.argument("a")
@click.argument("b")
@click.option("--deep", is_flag=True, help="Databases: recompute from the data first; contexts: fetch all.")
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

    Of a directory every file is read, .tallyignore rules hold. Of a context or bucket the manifest is compared;
    --deep fetches and checks all that it holds.

    \b
    Examples:
      tallystick verify clinic.db https://hub.example.org/
      tallystick verify a.db b.db --deep --json
      tallystick verify ./work https://hub.example.org/contexts/work
    """
    if are_trees(a, b):
        refuse(("only",), "trees")
        from tallystick.cli.tree_sync import verify as verify_trees

        given = {"exclude": exclude, "deep": deep, "password_file": password_file, "as_json": as_json}
        return verify_trees(a, b, given)
    refuse(("exclude",), "databases and sites")
    from tallystick.api import replicas
    from tallystick.core.values import fold
    from tallystick.sync.verification import verify

    secret = password_for(password_file, a, b)
    with replicas(a, b, password=secret) as (first, second):
        verdict = verify(first, second, deep=deep, only=tuple(fold(name) for name in only))
        rows = {item.resource: _rows(item, first, second) for item in verdict.differences}
    if as_json:
        print_json({**asdict(verdict), "agree": verdict.agree})
        return 0 if verdict.agree else 1
    for name, found in verdict.corrupt.items():
        for wire, problems in found.items():
            for key, problem in problems[:20]:
                click.echo(f"{name}: {wire} {key}: {_said(name, problem)}")
    for item in verdict.differences:
        kind = "differ" if item.knowledge else "know the same but show it differently (policies, or parked changes)"
        click.echo(f"{item.resource}: {kind}; {item.counts[0]} records at A, {item.counts[1]} at B")
        for label, keys in (("only at A", item.only_a), ("only at B", item.only_b), ("different", item.both)):
            if keys:
                named = (rows[item.resource].get(key, key) for key in keys[:LISTED])
                click.echo(f"  {label}: {', '.join(named)}{' ...' if len(keys) > LISTED else ''}")
    for wire, name in verdict.missing.items():
        click.echo(f"{wire}: not tracked at {name}")
    if not verdict.resources:
        click.echo("nothing was compared: A and B have no resource in common")
    if verdict.agree:
        click.echo(f"agree: {verdict.records:,} records in {len(verdict.resources)} resources")
    return 0 if verdict.agree else 1


def _rows(found: Difference, *ends: Replica) -> dict[str, str]:
    """How the rows are called at the first end of this machine that has them, beside the keys of their records."""
    from tallystick.site.row_names import row_names
    from tallystick.sync.local import LocalReplica

    listed = [key for keys in (found.only_a, found.only_b, found.both) for key in keys[:LISTED]]
    names: dict[str, str] = {}
    for one in ends:
        if isinstance(one, LocalReplica) and one.ledger.has(found.resource):
            names = row_names(one.ledger.resource(found.resource), listed) | names
    return {key: f"{row} ({key})" for key, row in names.items() if row != key}


def _said(name: str, problem: str) -> str:
    if problem == "unnamed":
        return f"left out, no key names the row (see: tallystick parked list {name})"
    return f"{problem} behind the ledger's back"
