"""``tallystick untrack``."""

from __future__ import annotations

import click


@click.command("untrack")
@click.argument("site")
@click.argument("tables", nargs=-1)
def command(site: str, tables: tuple[str, ...]) -> int:
    """Stop tracking TABLES of SITE; without names remove every trace of tallystick from the database.

    \b
    Examples:
      tallystick untrack clinic.db notes
      tallystick untrack clinic.db
    """
    from tallystick.api import open as open_site

    with open_site(site) as opened:
        opened.untrack(*tables)
    click.echo(f"no longer tracked: {', '.join(tables)}" if tables else f"{site} is as it was before tracking")
    return 0
