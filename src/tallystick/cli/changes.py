"""``tallystick changes``."""

from __future__ import annotations

import json
import time

import click

from tallystick.cli.options import as_json


@click.command("changes")
@click.argument("site")
@click.argument("resource", required=False)
@click.option("--since", metavar="STATE", help="A state printed earlier; without it everything is shown.")
@click.option("--follow", is_flag=True, help="Stay and show changes as they come.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many changes.")
@as_json
def command(site: str, resource: str | None, since: str | None, follow: bool, limit: int | None, as_json: bool) -> int:
    """Show changes of SITE beyond a state, each with the state after it.

    \b
    Examples:
      tallystick changes clinic.db patients --since t1.abc...
      tallystick changes clinic.db --follow --json
    """
    from tallystick.api import open as open_site

    with open_site(site) as opened:
        state = since
        names = (resource,) if resource else ()
        shown = 0
        while True:
            for change in opened.changes(state, *names, max_changes=None if limit is None else limit - shown):
                _show(change, as_json)
                state, shown = change.state, shown + 1
            if not follow or (limit is not None and shown >= limit):
                break
            state = state or opened.state(*names)
            time.sleep(0.2)
        if not as_json:
            click.echo(f"state {state or opened.state(*names)}", err=True)
    return 0


def _show(change: object, as_json: bool) -> None:
    from tallystick.api import Change

    assert isinstance(change, Change)
    if as_json:
        plain = {
            "resource": change.resource,
            "key": change.key,
            "deleted": change.deleted,
            "content": change.content,
            "origin": change.origin,
            "tick": change.tick,
            "state": change.state,
        }
        click.echo(json.dumps(plain, default=lambda value: value.hex(), ensure_ascii=False))
    else:
        what = (
            "deleted"
            if change.deleted
            else json.dumps(change.content, default=lambda value: value.hex(), ensure_ascii=False)
        )
        click.echo(f"{change.resource} {change.key} {what}")
