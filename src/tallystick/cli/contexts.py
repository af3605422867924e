"""``tallystick contexts``: named trees of files at a site."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.context_files import files, get, history, put, remove, restore
from tallystick.cli.context_site import hosted, key_of, say, site_options
from tallystick.cli.output import moment, print_json, shown, table
from tallystick.cli.terminal import on_terminal
from tallystick.errors import ConfigurationError, GuardStopped

if TYPE_CHECKING:
    from tallystick.contexts.host import ContextHost


@click.group("contexts")
def command() -> None:
    """Keep named trees of files at a site.

    SITE is a database (SQLite file, postgresql://), a served site (http://, https://) or a bucket (s3://).
    Directories are synchronized with a context of a served site by: tallystick sync DIR https://host/contexts/NAME

    \b
    Examples:
      tallystick contexts create hub.db work --quota 10GiB
      tallystick contexts files https://hub.example.org/ work /src
      tallystick contexts put hub.db work ./report.pdf /docs/report.pdf
      tallystick contexts recycle hub.db work /tmp --lifecycle Lifecycle_3Days
    """


# Contexts -------------------------------------------------------------------------------------------------------------


@command.command("create")
@site_options
@click.argument("name")
@click.option("--quota", metavar="BYTES", help="Most bytes it may hold, as 500000, 10MiB, 2GiB.")
@click.option("--quota-files", type=int, metavar="N", help="Most files, links and directories it may hold.")
@click.option("--store", metavar="URL", help="Keep the content of all contexts of SITE here (before the first file).")
def create(site: str, name: str, quota: str | None, quota_files: int | None, store: str | None, **given: Any) -> None:
    """Make a context, or change the quotas of one that is there. An SQLite database is made, too.

    \b
    Example:
      tallystick contexts create clinic.db work --quota 2GiB
    """
    with hosted(site, given["password_file"], create=True) as host:
        if store is not None:
            _choose_store(host, store)
        info = host.create(name, _size(quota), quota_files)
    _show(info, given["as_json"])


def _choose_store(host: ContextHost, store: str) -> None:
    from tallystick.contexts.local import LocalHost
    from tallystick.contexts.storing import choose_location

    if not isinstance(host, LocalHost):
        raise ConfigurationError("--store concerns a database", hint="run it where the site's database is")
    choose_location(host.ledger, store)


def _size(text: str | None) -> int | None:
    """Bytes that a text means. Raises a usage error."""
    if text is None:
        return None
    units = {"": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
    digits = text.rstrip("KkMmGgTtIiBb ")
    unit = text[len(digits) :].strip().upper()
    if not digits.isdigit() or unit not in units:
        raise click.BadParameter(f"{text!r} is no size: write it like 500000, 10MiB or 2GiB", param_hint="--quota")
    return int(digits) * units[unit]


@command.command("list")
@site_options
def list_contexts(site: str, password_file: str | None, as_json: bool) -> None:
    """List all contexts of a site.

    \b
    Example:
      tallystick contexts list https://anna@hub.example.org/
    """
    with hosted(site, password_file) as host:
        infos = host.contexts()
    if as_json:
        print_json([_plain(info) for info in infos])
        return
    rows = [(info.name, info.files, info.bytes, moment(info.last_used_at), info.id) for info in infos]
    table(("name", "files", "bytes", "last changed", "id"), rows)


@command.command("show")
@site_options
@click.argument("context")
def show(site: str, context: str, password_file: str | None, as_json: bool) -> None:
    """Show one context.

    \b
    Example:
      tallystick contexts show clinic.db work
    """
    with hosted(site, password_file) as host:
        info = host.find(context)
    _show(info, as_json)


def _show(info: Any, as_json: bool) -> None:
    if as_json:
        print_json(_plain(info))
        return
    for name, value in _plain(info).items():
        text = moment(value) if name.endswith("_at") else "-" if value is None else str(value)
        click.echo(f"{name.replace('_', ' '):<13} {shown(text)}")


def _plain(info: Any) -> dict[str, Any]:
    return {name: getattr(info, name) for name in info.__struct_fields__}


@command.command("clear")
@site_options
@click.argument("context")
@click.option("--yes", is_flag=True, help="Do not ask.")
def clear(site: str, context: str, yes: bool, password_file: str | None, as_json: bool) -> None:
    """Remove every file of a context; it stays, and so does its history until retention ends.

    \b
    Example:
      tallystick contexts clear clinic.db work --yes
    """
    _confirmed(yes, f"remove every file of {context}")
    with hosted(site, password_file) as host:
        host.clear(host.find(context).id)
    say({"cleared": context}, as_json)


@command.command("delete")
@site_options
@click.argument("context")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(site: str, context: str, yes: bool, password_file: str | None, as_json: bool) -> None:
    """Remove a context with its files and history.

    \b
    Example:
      tallystick contexts delete clinic.db work --yes
    """
    _confirmed(yes, f"remove {context} with its files and history")
    with hosted(site, password_file) as host:
        host.delete(host.find(context).id)
    say({"deleted": context}, as_json)


def _confirmed(yes: bool, what: str) -> None:
    if yes:
        return
    if not on_terminal(sys.stdin):
        raise GuardStopped(f"this would {what}", hint="say --yes to let it through")
    click.confirm(f"This will {what}. Go on?", abort=True, err=True)


# Forgetting -----------------------------------------------------------------------------------------------------------


@command.command("recycle")
@site_options
@click.argument("context")
@click.argument("paths", nargs=-1)
@click.option("--lifecycle", metavar="NAME", help="Lifecycle_1Day ... Lifecycle_360Days, Lifecycle_Forever.")
@click.option("--prefix", default="", metavar="PATH", help="The mount whose rules these are; all keys without it.")
def recycle(
    site: str,
    context: str,
    paths: tuple[str, ...],
    lifecycle: str | None,
    prefix: str,
    password_file: str | None,
    as_json: bool,
) -> None:
    """Show the recycle rules of a context, or replace those of a prefix.

    Files at or below PATHS are forgotten that long after their content last changed. Without PATHS and with
    --lifecycle the rule covers everything below the prefix; --lifecycle none removes the rules of the prefix.

    \b
    Example:
      tallystick contexts recycle clinic.db work
    """
    from tallystick.contexts.host import Rule

    with hosted(site, password_file) as host:
        identifier = host.find(context).id
        if lifecycle is not None:
            key = key_of(prefix)
            chosen = [] if lifecycle == "none" else [Rule(key_of(path), lifecycle) for path in paths or (prefix,)]
            host.set_rules(identifier, key, chosen)
        found = host.rules(identifier)
    if as_json:
        print_json(
            {
                name: [{"path": rule.path, "lifecycle": rule.lifecycle} for rule in rules]
                for name, rules in found.items()
            }
        )
        return
    rows = [(name or "/", rule.path or "/", rule.lifecycle) for name, rules in found.items() for rule in rules]
    table(("prefix", "path", "lifecycle"), rows)


@command.command("sweep")
@site_options
@click.option("--history-days", type=float, default=30.0, show_default=True, help="Keep replaced files that long.")
def sweep(site: str, history_days: float, password_file: str | None, as_json: bool) -> None:
    """Forget what has expired, old history and content that nothing refers to. Safe at any time; run it daily.

    \b
    Example:
      tallystick contexts sweep clinic.db
    """
    from tallystick.contexts.opening import is_bucket

    if is_bucket(site):
        from tallystick.contexts.bucket import BucketHost

        bucket = BucketHost(site)
        try:
            collected = bucket.sweep(history_days)
        finally:
            bucket.close()
        return say({"packs_removed": collected.removed, "bytes_freed": collected.freed}, as_json)
    from tallystick.contexts.local import LocalHost
    from tallystick.contexts.sweeping import sweep as swept

    with hosted(site, password_file) as host:
        if not isinstance(host, LocalHost):
            raise ConfigurationError("sweep concerns a database or bucket", hint="run it where the database is")
        done = swept(host.ledger, host.store, history_days)
    say(
        {
            "expired": done.expired,
            "history_forgotten": done.forgotten,
            "chunks_forgotten": done.chunks,
            "packs_removed": done.collected.removed,
            "bytes_freed": done.collected.freed,
        },
        as_json,
    )


for _one in (files, get, put, remove, history, restore):
    command.add_command(_one)
