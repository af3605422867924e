"""``tallystick track``."""

from __future__ import annotations

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import print_json, table


@click.command("track")
@click.argument("site")
@click.argument("tables", nargs=-1)
@as_json
def command(site: str, tables: tuple[str, ...], as_json: bool) -> int:
    """Track tables of SITE (all with a primary key when none is named), and those they refer to.

    \b
    Examples:
      tallystick track clinic.db
      tallystick track postgresql://localhost/hub orders customers
    """
    from tallystick.api import open as open_site

    with open_site(site) as opened:
        added = opened.track(*tables)
        rows = [(item.name, item.wire, item.tracked.definition.identity.value, item.count) for item in added]
        if as_json:
            print_json([dict(zip(("table", "resource", "identity", "records"), row, strict=True)) for row in rows])
        elif rows:
            table(("table", "resource", "identity", "records"), rows)
        else:
            click.echo("nothing new to track")
    return 0
