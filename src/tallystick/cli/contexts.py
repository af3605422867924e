"""``tallystick contexts``: named trees of files at a site."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import moment, print_json, shown, table
from tallystick.cli.terminal import on_terminal
from tallystick.errors import ConfigurationError, GuardStopped, StorageError

if TYPE_CHECKING:
    from tallystick.contexts.host import ContextHost, Kept, Listed

PIECE = 1 << 20
PAGE = 1000


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


def site_options(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """The argument and options that every subcommand takes."""
    for option in (
        as_json,
        click.option(
            "--password-file", type=click.Path(), help="File with the password for a served site ('-': stdin)."
        ),
        click.argument("site"),
    ):
        wrapped = option(wrapped)
    return wrapped


@contextmanager
def hosted(site: str, password_file: str | None, create: bool = False) -> Iterator[ContextHost]:
    """Where the contexts of a site are; ``create`` makes a database that is not there."""
    from tallystick.api import context_host
    from tallystick.cli.credentials import password

    host = context_host(site, password=password(password_file), create=create)
    try:
        yield host
    finally:
        host.close()


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
      tallystick contexts clear clinic.db work
    """
    _confirmed(yes, f"remove every file of {context}")
    with hosted(site, password_file) as host:
        host.clear(host.find(context).id)
    _say({"cleared": context}, as_json)


@command.command("delete")
@site_options
@click.argument("context")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(site: str, context: str, yes: bool, password_file: str | None, as_json: bool) -> None:
    """Remove a context with its files and history.

    \b
    Example:
      tallystick contexts delete clinic.db work
    """
    _confirmed(yes, f"remove {context} with its files and history")
    with hosted(site, password_file) as host:
        host.delete(host.find(context).id)
    _say({"deleted": context}, as_json)


def _confirmed(yes: bool, what: str) -> None:
    if yes:
        return
    if not on_terminal(sys.stdin):
        raise GuardStopped(f"this would {what}", hint="say --yes to let it through")
    click.confirm(f"This will {what}. Go on?", abort=True, err=True)


def _say(done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    for name, value in done.items():
        click.echo(f"{name.replace('_', ' ')}: {shown(str(value))}")


# Files ----------------------------------------------------------------------------------------------------------------


@command.command("files")
@site_options
@click.argument("context")
@click.argument("folder", default="/")
def files(site: str, context: str, folder: str, password_file: str | None, as_json: bool) -> None:
    """List one folder of a context.

    \b
    Example:
      tallystick contexts files clinic.db work notes
    """
    from tallystick.contexts.entries import DIRECTORY, unpacked

    with hosted(site, password_file) as host:
        identifier, key = host.find(context).id, _key(folder)
        listed: list[Listed] = []
        while level := host.folder(identifier, key, len(listed), PAGE).entries:
            listed += level
    rows = [(unpacked(item.key) + "/" * (item.kind == DIRECTORY), item.size, item.modified_at) for item in listed]
    if as_json:
        print_json([{"path": path, "size": size, "modified_at": at} for path, size, at in rows])
        return
    table(("path", "bytes", "changed"), [(shown(path), size, moment(at)) for path, size, at in rows])


@command.command("get")
@site_options
@click.argument("context")
@click.argument("path")
@click.argument("file", type=click.Path(), default="-")
def get(site: str, context: str, path: str, file: str, password_file: str | None, as_json: bool) -> None:
    """Write one file of a context to FILE (in a directory: under its own name), or to standard output.

    \b
    Example:
      tallystick contexts get clinic.db work notes/today.txt today.txt
    """
    from tallystick.contexts.files import Span, stored_file

    with hosted(site, password_file) as host:
        identifier = host.find(context).id
        stored = stored_file(host, identifier, _key(path))
        pieces = stored.pieces(host, Span(0, stored.size, False))
        if file == "-":
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            return
        target = Path(file, Path(path).name) if Path(file).is_dir() else Path(file)
        _write(target, pieces)
    _say({"written": str(target), "bytes": stored.size}, as_json)


def _write(target: Path, pieces: Iterator[bytes]) -> None:
    """A whole file, or none."""
    temporary = target.with_name(f".{target.name}.part")
    try:
        with open(temporary, "wb") as out:
            for piece in pieces:
                out.write(piece)
        temporary.replace(target)
    except OSError as problem:
        raise StorageError(f"cannot write {target}: {problem.strerror}", hint="check the path") from problem
    finally:
        temporary.unlink(missing_ok=True)


@command.command("put")
@site_options
@click.argument("context")
@click.argument("file", type=click.Path())
@click.argument("path")
def put(site: str, context: str, file: str, path: str, password_file: str | None, as_json: bool) -> None:
    """Store FILE ('-': standard input) at PATH of a context.

    \b
    Example:
      tallystick contexts put clinic.db work today.txt notes/today.txt
    """
    from tallystick.contexts.files import put_file

    with hosted(site, password_file) as host:
        identifier = host.find(context).id
        if file == "-":
            put_file(host, identifier, _key(path), _pieces(sys.stdin.buffer), time.time_ns())
        else:
            try:
                with open(file, "rb") as source:
                    found = Path(file).stat()
                    put_file(host, identifier, _key(path), _pieces(source), found.st_mtime_ns, found.st_mode & 0o777)
            except OSError as problem:
                raise ConfigurationError(f"cannot read {file}: {problem.strerror}", hint="check the path") from problem
    _say({"stored": path}, as_json)


def _pieces(source: Any) -> Iterator[bytes]:
    while piece := source.read(PIECE):
        yield piece


@command.command("rm")
@site_options
@click.argument("context")
@click.argument("path")
def remove(site: str, context: str, path: str, password_file: str | None, as_json: bool) -> None:
    """Remove one file of a context.

    \b
    Example:
      tallystick contexts rm clinic.db work notes/today.txt
    """
    from tallystick.contexts.files import file_entry
    from tallystick.contexts.publishing import ANY

    with hosted(site, password_file) as host:
        identifier, key = host.find(context).id, _key(path)
        file_entry(host, identifier, key)
        host.publish(identifier, ANY, [(key, None)])
    _say({"removed": path}, as_json)


@command.command("history")
@site_options
@click.argument("context")
@click.argument("path", default="/")
@click.option("--most", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Show so many.")
def history(site: str, context: str, path: str, most: int, password_file: str | None, as_json: bool) -> None:
    """List what was replaced or removed at or below PATH, the latest first; restore brings it back.

    \b
    Example:
      tallystick contexts history clinic.db work notes
    """
    from tallystick.contexts.entries import unpacked

    with hosted(site, password_file) as host:
        found = host.history(host.find(context).id, _key(path), most)
    rows = [(version_of(item), unpacked(item.key), item.entry.size, item.at) for item in found]
    if as_json:
        print_json([{"version": name, "path": path, "size": size, "until": at} for name, path, size, at in rows])
        return
    table(
        ("version", "path", "bytes", "until"), [(name, shown(path), size, moment(at)) for name, path, size, at in rows]
    )


@command.command("restore")
@site_options
@click.argument("context")
@click.argument("path")
@click.option("--version", "wanted", metavar="VERSION", help="Which one, as history names it; the latest without.")
@click.option("--as", "target", metavar="PATH", help="Bring it back under another path.")
def restore(
    site: str, context: str, path: str, wanted: str | None, target: str | None, password_file: str | None, as_json: bool
) -> None:
    """Bring back a file that was replaced or removed. What stands there now goes to the history.

    \b
    Example:
      tallystick contexts restore clinic.db work notes/today.txt --as notes/yesterday.txt
    """
    from msgspec import structs

    from tallystick.contexts.problems import FileNotHeld
    from tallystick.contexts.publishing import ANY

    with hosted(site, password_file) as host:
        identifier, key = host.find(context).id, _key(path)
        kept = [item for item in host.history(identifier, key, 10_000) if item.key == key]
        found = next((item for item in kept if wanted in (None, version_of(item))), None)
        if found is None:
            raise FileNotHeld(
                f"the history of {context} holds no {path}" + (f" of version {wanted}" if wanted else ""),
                hint="see: tallystick contexts history SITE CONTEXT",
            )
        loose = structs.replace(found.entry, archived=0)  # the next upload that packs decides anew
        host.publish(identifier, ANY, [(_key(target or path), loose)])
    _say({"restored": target or path, "version": version_of(found)}, as_json)


def version_of(kept: Kept) -> str:
    """How people name one version of a file: by its content."""
    return kept.entry.digest.hex()[:12]


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
            key = _key(prefix)
            chosen = [] if lifecycle == "none" else [Rule(_key(path), lifecycle) for path in paths or (prefix,)]
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
        return _say({"packs_removed": collected.removed, "bytes_freed": collected.freed}, as_json)
    from tallystick.contexts.local import LocalHost
    from tallystick.contexts.sweeping import sweep as swept

    with hosted(site, password_file) as host:
        if not isinstance(host, LocalHost):
            raise ConfigurationError("sweep concerns a database or bucket", hint="run it where the database is")
        done = swept(host.ledger, host.store, history_days)
    _say(
        {
            "expired": done.expired,
            "history_forgotten": done.forgotten,
            "chunks_forgotten": done.chunks,
            "packs_removed": done.collected.removed,
            "bytes_freed": done.collected.freed,
        },
        as_json,
    )


def _key(path: str) -> str:
    """The packed key of a path as it is typed; "" for the root."""
    from tallystick.contexts.entries import packed
    from tallystick.contexts.keys import normal

    return packed(normal(path if path.startswith("/") else f"/{path}")) if path else ""
