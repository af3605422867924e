"""``tallystick parked``."""

from __future__ import annotations

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import brief, moment, print_json, table


@click.group("parked")
def command() -> None:
    """List, retry and drop parked changes: held and passed on, but not applicable here now."""


@command.command("list")
@click.argument("site")
@click.option("--declined", is_flag=True, help="Those that a policy does not want here.")
@as_json
def list_(site: str, declined: bool, as_json: bool) -> int:
    """List parked changes and why they wait, and deliveries that a program's importer refused.

    \b
    Examples:
      tallystick parked list clinic.db
      tallystick parked list clinic.db --declined --json
    """
    from tallystick.api import open as open_site

    with open_site(site, tracked=True) as opened:
        found = opened.parked("declined" if declined else "parked")
        refused = [] if declined else opened.refused()
    if as_json:
        kept = [{**one._asdict(), "kind": "refused"} for one in refused]
        print_json([*(one._asdict() for one in found), *kept])
        return 0
    if found:
        rows = [
            (one.resource, one.row, brief(one.content), moment(one.since), one.attempts, one.reason, one.key)
            for one in found
        ]
        table(("resource", "row", "change", "since", "tried", "why", "key"), rows)
    if refused:
        click.echo("refused by the importers of programs, which are told again when they deliver the next time:")
        table(
            ("consumer", "resource", "key", "since", "why"),
            [(one.consumer, one.resource, one.key, moment(one.at), one.reason) for one in refused],
        )
    if not found and not refused:
        click.echo("nothing is waiting")
    return 0


@command.command("retry")
@click.argument("site")
def retry(site: str) -> int:
    """Try all parked changes again; exit 1 if some still wait.

    \b
    Example:
      tallystick parked retry clinic.db
    """
    from tallystick.api import open as open_site

    with open_site(site, tracked=True) as opened:
        done = sum(tally.written for tally in opened.retry().values())
        left = len(opened.parked())
    click.echo(f"{done} applied, {left} still parked")
    return 1 if left else 0


@command.command("drop")
@click.argument("site")
@click.argument("resource")
@click.argument("key")
def drop(site: str, resource: str, key: str) -> int:
    """Stop trying one change: it stays held and travels on, but is not shown here.

    KEY is the record's key as listed, or the primary key of its row.

    \b
    Example:
      tallystick parked drop clinic.db patients 17
    """
    from tallystick.api import open as open_site

    with open_site(site, tracked=True) as opened:
        opened.drop(resource, key)
    click.echo("dropped")
    return 0
