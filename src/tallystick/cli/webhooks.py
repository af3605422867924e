"""``tallystick webhooks``."""

from __future__ import annotations

import datetime

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import print_json, table


@click.group("webhooks")
def command() -> None:
    """Add, list and remove addresses that are sent what changes.

    Deliveries are made by whatever serves the site (tallystick serve) or runs its tasks (tallystick run).
    """


@command.command("add")
@click.argument("site")
@click.argument("url")
@click.option("--resource", "resources", multiple=True, help="Tell of this resource only; may be repeated.")
@click.option("--no-content", is_flag=True, help="Send keys and events only.")
@click.option("--from-beginning", is_flag=True, help="Send what is there now, too.")
@as_json
def add(site: str, url: str, resources: tuple[str, ...], no_content: bool, from_beginning: bool, as_json: bool) -> int:
    """Add an address. The secret that signs its deliveries is shown once.

    \b
    Example:
      tallystick webhooks add clinic.db https://app.example.org/hook --resource patients
    """
    from tallystick.api import open as open_site
    from tallystick.jobs.credentials import Credentials
    from tallystick.streams import webhooks

    with open_site(site) as opened:
        made, secret = webhooks.add(
            opened.ledger,
            Credentials(opened.ledger),
            url,
            resources,
            content=not no_content,
            all_=from_beginning,
        )
    if as_json:
        print_json({"id": made.id, "url": made.url, "secret": secret})
    else:
        click.echo(f"webhook {made.id} sends to {made.url}\nsecret {secret}")
    return 0


@command.command("list")
@click.argument("site")
@as_json
def list_(site: str, as_json: bool) -> int:
    """List addresses and how they do.

    \b
    Example:
      tallystick webhooks list clinic.db
    """
    from tallystick.api import open as open_site
    from tallystick.streams import webhooks

    with open_site(site, tracked=True) as opened:
        found = webhooks.webhooks(opened.ledger)
    if as_json:
        print_json(
            [
                {
                    "id": item.id,
                    "url": item.url,
                    "resources": item.resources,
                    "content": item.content,
                    "failures": item.failures,
                    "enabled": item.enabled,
                    "state": item.state,
                }
                for item in found
            ]
        )
    else:
        rows = [
            (
                str(item.id),
                item.url,
                ", ".join(item.resources) or "all",
                "well" if not item.failures else f"failed {item.failures} times" if item.enabled else "gone",
            )
            for item in found
        ]
        table(("id", "url", "resources", "how"), rows)
    return 0


@command.command("remove")
@click.argument("site")
@click.argument("number", type=int)
def remove(site: str, number: int) -> int:
    """Remove an address.

    \b
    Example:
      tallystick webhooks remove clinic.db 1
    """
    from tallystick.api import open as open_site
    from tallystick.jobs.credentials import Credentials
    from tallystick.streams import webhooks

    with open_site(site, tracked=True) as opened:
        webhooks.remove(opened.ledger, Credentials(opened.ledger), number)
    click.echo(f"webhook {number} is removed")
    return 0


@command.command("retry")
@click.argument("site")
@click.argument("number", type=int)
def retry(site: str, number: int) -> int:
    """Try the next delivery to an address now.

    \b
    Example:
      tallystick webhooks retry clinic.db 1
    """
    from tallystick.api import open as open_site
    from tallystick.streams import webhooks

    with open_site(site, tracked=True) as opened:
        webhooks.retry(opened.ledger, number)
    click.echo(f"webhook {number} is tried again")
    return 0


@command.command("log")
@click.argument("site")
@click.argument("number", type=int)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The newest so many.")
@as_json
def log(site: str, number: int, limit: int, as_json: bool) -> int:
    """Show deliveries to an address, newest first.

    \b
    Example:
      tallystick webhooks log clinic.db 1
    """
    from tallystick.api import open as open_site
    from tallystick.streams import webhooks

    with open_site(site, tracked=True) as opened:
        webhooks.find(opened.ledger, number)
        found = webhooks.attempts(opened.ledger, number, limit)
    if as_json:
        print_json([item._asdict() for item in found])
    else:
        rows = [
            (_time(item.at), str(item.status or "-"), str(item.changes), f"{item.took} ms", item.note) for item in found
        ]
        table(("at", "status", "changes", "took", "note"), rows)
    return 0


def _time(milliseconds: int) -> str:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
