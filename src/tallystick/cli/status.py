"""``tallystick status``."""

from __future__ import annotations

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import print_json, table


@click.command("status")
@click.argument("site")
@as_json
def command(site: str, as_json: bool) -> int:
    """Show what SITE tracks, how much, and what waits for somebody.

    \b
    Example:
      tallystick status clinic.db --json
    """
    from tallystick.api import open as open_site

    with open_site(site, tracked=True) as opened:
        resources = [
            {
                "resource": item.wire,
                "table": item.name,
                "identity": item.tracked.definition.identity.value,
                "records": item.count,
                "tick": item.tracked.tick,
            }
            for item in opened.resources()
        ]
        described = opened.replica.describe()
        status = {
            "site": opened.id,
            "origin": opened.ledger.origin,
            "untracked": described.untracked,
            "unkeyed": described.unkeyed,
            "barred": described.barred,
            "resources": resources,
            "conflicts": len(opened.conflicts()),
            "parked": len(opened.parked()),
            "declined": len(opened.parked("declined")),
        }
    if as_json:
        print_json(status)
        return 0
    click.echo(f"site {status['site']}")
    table(("resource", "table", "identity", "records"), [tuple(item.values())[:4] for item in resources])
    if described.untracked:
        click.echo(f"not tracked: {', '.join(described.untracked)}")
    if described.unkeyed:
        click.echo(f"cannot be tracked, no primary key: {', '.join(described.unkeyed)}")
    for name, why in described.barred.items():
        click.echo(f"cannot be tracked: {name}: {why}")
    click.echo(
        f"{status['conflicts']} conflicts wait, {status['parked']} changes parked, {status['declined']} declined"
    )
    return 0
