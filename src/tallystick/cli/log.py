"""``tallystick log``."""

from __future__ import annotations

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import moment, print_json, table


@click.command("log")
@click.argument("site")
@click.option("--run", default="", metavar="NAME", help="Only runs of this name.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@as_json
def command(site: str, run: str, limit: int, as_json: bool) -> int:
    """Show the run log of SITE, newest first.

    \b
    Example:
      tallystick log clinic.db --limit 5
    """
    from tallystick.api import open as open_site

    with open_site(site) as opened:
        found = opened.log(run, limit)
    if as_json:
        print_json([one._asdict() for one in found])
        return 0
    rows = [
        (
            one.id,
            one.name,
            moment(one.started),
            one.action,
            one.peer,
            one.outcome,
            one.report.get("error", one.report.get("records", "")),
        )
        for one in found
    ]
    table(("id", "run", "started", "action", "peer", "outcome", "records"), rows)
    return 0
