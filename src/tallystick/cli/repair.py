"""``tallystick repair``."""

from __future__ import annotations

import click

from tallystick.cli.credentials import password_for
from tallystick.cli.options import as_json
from tallystick.cli.output import print_json, report
from tallystick.cli.tree_options import are_trees


@click.command("repair")
@click.argument("a")
@click.argument("b")
@click.option("--password-file", type=click.Path(), help="File with the password for a served end.")
@as_json
def command(a: str, b: str, password_file: str | None, as_json: bool) -> int:
    """Heal what verify found.

    Databases: rows changed behind the ledger's back become edits, then everything is compared. A directory and a
    context or bucket: content that is damaged where it is stored is sent again from the directory; exit 0 when all
    can be read then.

    \b
    Examples:
      tallystick repair clinic.db https://hub.example.org/
      tallystick repair ./work https://hub.example.org/contexts/work
    """
    if are_trees(a, b):
        from tallystick.cli.tree_sync import repair as repair_trees

        return repair_trees(a, b, {"password_file": password_file, "as_json": as_json})
    from tallystick.api import as_plain, replicas
    from tallystick.sync.verification import repair

    secret = password_for(password_file, a, b)
    with replicas(a, b, password=secret) as (first, second):
        done = repair(first, second)
    if as_json:
        print_json(as_plain(done))
    else:
        report(done)
    return 1 if done.waiting else 0
