"""Single files of a context: listed, taken out, put in, removed, brought back."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.context_site import hosted, key_of, say, site_options
from tallystick.cli.output import moment, print_json, shown, table
from tallystick.errors import ConfigurationError, StorageError, UsageError

if TYPE_CHECKING:
    from tallystick.contexts.host import ContextHost, Kept, Listed

PIECE = 1 << 20
PAGE = 1000


@click.command("files")
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
        identifier, key = host.find(context).id, key_of(folder)
        listed: list[Listed] = []
        while level := host.folder(identifier, key, len(listed), PAGE).entries:
            listed += level
        if key and not listed:
            _check_folder(host, identifier, key, folder)
    rows = [(unpacked(item.key) + "/" * (item.kind == DIRECTORY), item.size, item.modified_at) for item in listed]
    if as_json:
        print_json([{"path": path, "size": size, "modified_at": at} for path, size, at in rows])
        return
    table(("path", "bytes", "changed"), [(shown(path), size, moment(at)) for path, size, at in rows])


def _check_folder(host: ContextHost, identifier: str, key: str, folder: str) -> None:
    """Raise FileNotHeld for what is no folder. A context of which nothing is left of a folder may still show it."""
    from tallystick.contexts.entries import DIRECTORY
    from tallystick.contexts.problems import FileNotHeld

    entry = host.entries(identifier, [key]).get(key)
    if entry is None:
        raise FileNotHeld(f"[FileNotFound] the context holds no folder {folder!r}")
    if entry.kind != DIRECTORY:
        raise FileNotHeld(f"[FileNotFound] {folder!r} is no folder", hint="list the folder that it stands in")


@click.command("get")
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
        stored = stored_file(host, identifier, key_of(path))
        pieces = stored.pieces(host, Span(0, stored.size, False))
        if file == "-":
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            return
        target = Path(file, Path(path).name) if Path(file).is_dir() else Path(file)
        _write(target, pieces)
    say({"written": str(target), "bytes": stored.size}, as_json)


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


@click.command("put")
@site_options
@click.argument("context")
@click.argument("file", type=click.Path())
@click.argument("path")
def put(site: str, context: str, file: str, path: str, password_file: str | None, as_json: bool) -> None:
    """Store FILE ('-': standard input) at PATH of a context. In a folder it keeps its name.

    \b
    Examples:
      tallystick contexts put clinic.db work today.txt notes/today.txt
      tallystick contexts put clinic.db work today.txt notes/
    """
    from tallystick.contexts.files import put_file

    with hosted(site, password_file) as host:
        identifier = host.find(context).id
        path = _stored_as(host, identifier, path, file)
        if file == "-":
            put_file(host, identifier, key_of(path), _pieces(sys.stdin.buffer), time.time_ns())
        else:
            try:
                with open(file, "rb") as source:
                    found = Path(file).stat()
                    put_file(host, identifier, key_of(path), _pieces(source), found.st_mtime_ns, found.st_mode & 0o777)
            except OSError as problem:
                raise ConfigurationError(f"cannot read {file}: {problem.strerror}", hint="check the path") from problem
    say({"stored": path}, as_json)


def _stored_as(host: ContextHost, identifier: str, path: str, file: str) -> str:
    """The path of a file that is stored at ``path``; below it when a folder stands there or it ends with a slash."""
    from tallystick.contexts.entries import DIRECTORY

    bare = path.rstrip("/")
    key = key_of(bare)
    entry = host.entries(identifier, [key]).get(key) if bare else None
    if bare and path == bare and (entry is None or entry.kind != DIRECTORY):
        return path
    if file == "-":
        raise UsageError(f"{path!r} is a folder, and standard input has no name", hint="name the file, too")
    return f"{bare}/{Path(file).name}"


def _pieces(source: Any) -> Iterator[bytes]:
    while piece := source.read(PIECE):
        yield piece


@click.command("rm")
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
        identifier, key = host.find(context).id, key_of(path)
        file_entry(host, identifier, key)
        host.publish(identifier, ANY, [(key, None)])
    say({"removed": path}, as_json)


@click.command("history")
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
        found = host.history(host.find(context).id, key_of(path), most)
    rows = [(version_of(item), unpacked(item.key), item.entry.size, item.at) for item in found]
    if as_json:
        print_json([{"version": name, "path": path, "size": size, "until": at} for name, path, size, at in rows])
        return
    table(
        ("version", "path", "bytes", "until"), [(name, shown(path), size, moment(at)) for name, path, size, at in rows]
    )


@click.command("restore")
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
        identifier, key = host.find(context).id, key_of(path)
        kept = [item for item in host.history(identifier, key, 10_000) if item.key == key]
        found = next((item for item in kept if wanted in (None, version_of(item))), None)
        if found is None:
            raise FileNotHeld(
                f"the history of {context} holds no {path}" + (f" of version {wanted}" if wanted else ""),
                hint="see: tallystick contexts history SITE CONTEXT",
            )
        loose = structs.replace(found.entry, archived=0)  # the next upload that packs decides anew
        host.publish(identifier, ANY, [(key_of(target or path), loose)])
    say({"restored": target or path, "version": version_of(found)}, as_json)


def version_of(kept: Kept) -> str:
    """How people name one version of a file: by its content."""
    return kept.entry.digest.hex()[:12]
