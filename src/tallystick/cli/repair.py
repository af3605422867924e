"""``tallystick repair``."""

from __future__ import annotations

import click

from tallystick.cli.credentials import password_for
from tallystick.cli.options import as_json
from tallystick.cli.output import print_json, report


@click.command("repair")
@click.argument("a")
@click.argument("b")
@click.option("--password-file", type=click.Path(), help="File with the password for a served end.")
@as_json
def command(a: str, b: str, password_file: str | None, as_json: bool) -> int:
    """Heal what verify found: rows changed behind the ledger's back become edits, then everything is compared.

    \b
    Example:
      tallystick repair clinic.db https://hub.example.org/
    """
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
