"""``tallystick changes``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import click

from tallystick.cli.credentials import password_for
from tallystick.cli.options import as_json
from tallystick.errors import TallystickError, UsageError


@click.command("changes")
@click.argument("site")
@click.argument("resource", required=False)
@click.option("--since", metavar="STATE", help="A state printed earlier; without it everything is shown.")
@click.option("--follow", is_flag=True, help="Stay and show changes as they come.")
@click.option("--hints", metavar="URL", help="With --follow: be woken through nats://HOST or redis://HOST.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many changes.")
@click.option(
    "--where", metavar="FILTER", default="", help="Records of RESOURCE that match; those that leave are deleted."
)
@click.option("--resync", is_flag=True, help="Where STATE cannot be continued from, show the difference.")
@click.option(
    "--password-file", type=click.Path(), help="File with the password for a served site; '-' is standard input."
)
@as_json
def command(
    site: str,
    resource: str | None,
    since: str | None,
    follow: bool,
    hints: str | None,
    limit: int | None,
    where: str,
    resync: bool,
    password_file: str | None,
    as_json: bool,
) -> int:
    """Show changes of SITE beyond a state, each with the state after it (--json). SITE may be a served one.

    \b
    Examples:
      tallystick changes clinic.db patients --since t1.abc...
      tallystick changes clinic.db --follow --json
      tallystick changes https://anna@hub.example.org/ patients --follow
      tallystick changes postgresql://hub/clinic --follow --hints nats://hub:4222
    """
    if hints and not follow:
        raise UsageError("hints wake those who follow", hint="add --follow, or leave --hints out")
    names = (resource,) if resource else ()
    options: dict[str, Any] = {"follow": follow, "where": where, "resync": "diff" if resync else ""}
    if site.startswith(("http://", "https://")):
        if hints:
            raise UsageError("a served site wakes its followers itself", hint="leave --hints out")
        from tallystick.protocols.native.events import RemoteChanges

        remote = RemoteChanges(site, names, since, password=password_for(password_file, site), **options)
        with closing(remote), _saying_state(lambda: remote.state, as_json):
            _show((({**event.data, "state": event.state}) for event in remote), limit, as_json)
    else:
        _local(site, names, since, hints, limit, as_json, options)
    return 0


@contextmanager
def _saying_state(reached: Callable[[], str], as_json: bool) -> Iterator[None]:
    """At the end say where the reader stands, also where it was interrupted: lines as JSON say it themselves."""
    try:
        yield
    except (TallystickError, KeyboardInterrupt):
        if reached() and not as_json:
            click.echo(f"state {reached()}", err=True)
        raise
    if not as_json:
        click.echo(f"state {reached()}", err=True)


def _local(
    site: str,
    names: tuple[str, ...],
    since: str | None,
    hints: str | None,
    limit: int | None,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    from tallystick.api import open as open_site
    from tallystick.streams.plain import plain

    with ExitStack() as stack:
        opened = stack.enter_context(open_site(site, tracked=True))
        if hints:
            from tallystick.streams.carriers import carrier

            options["hints"] = stack.enter_context(closing(carrier(hints, opened.id)))
        changes = stack.enter_context(opened.changes(since, *names, max_changes=limit, **options))
        stack.enter_context(_saying_state(lambda: changes.state, as_json))
        _show(({**plain(change), "state": change.state} for change in changes), limit, as_json)


def _show(found: Iterator[dict[str, Any]], limit: int | None, as_json: bool) -> None:
    for shown, change in enumerate(found, 1):
        if as_json:
            from tallystick.streams.plain import as_json as written

            click.echo(written(change))
        else:
            content = (
                "deleted" if change["deleted"] else json.dumps(change.get("content"), default=_hex, ensure_ascii=False)
            )
            click.echo(f"{change['resource']} {change['key']} {content}")
        if shown == limit:
            return


def _hex(value: Any) -> str:
    return bytes(value).hex() if isinstance(value, bytes) else str(value)
