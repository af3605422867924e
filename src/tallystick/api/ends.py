"""URLs become ends: what can be named in ``sync A B`` (DESIGN.md 3 *api*)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import unquote, urlsplit

from tallystick.errors import ConfigurationError, SchemaError, TallystickError, UsageError
from tallystick.site.engines.engine import Engine
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.sync.local import LocalReplica

if TYPE_CHECKING:
    from tallystick.protocols.bundle.exchange import Ask, BundleExchange
    from tallystick.sync.replica import Replica

SERVED = ("http://", "https://")
DIRECTORY = "files+dir:"


def end(
    url: str | os.PathLike[str],
    *,
    create: bool = False,
    password: str | None = None,
    trust: Sequence[str] = (),
    ask: Ask | None = None,
) -> Replica | BundleExchange:
    """Open anything that can be named in ``sync A B``.

    SQLite paths and URLs, ``postgresql://``, and served sites by ``http(s)://`` are replicas; ``files+dir:PATH`` is a
    directory of bundles. ``password`` is for the user named in a served site's URL; ``trust`` are fingerprints of
    sites whose bundles are taken, ``ask`` is asked about others. Raises ConfigurationError for what cannot be an end.
    """
    text = os.fspath(url)
    if text.startswith(DIRECTORY):
        from tallystick.jobs.bundles import exchange

        return exchange(text, trust, ask)
    if text.startswith(SERVED):
        return _served(text, password)
    return LocalReplica.open(engine_of(text, create), shown(text))


@contextmanager
def both_ends(
    a: str, b: str, *, trial: bool = False, **opening: Any
) -> Iterator[tuple[Replica | BundleExchange, Replica | BundleExchange]]:
    """Open what is to be synchronized, and close it; a missing ``b`` is created. Options as for ``end``.

    Where that is refused, or a mere ``trial``, an end that was untracked before and still is has no ledger afterwards,
    and a file that was not there is not there. Raises what ``end`` raises, and SchemaError for one database twice.
    """
    opened: list[Replica | BundleExchange] = []
    came_about = False
    try:
        opened.append(end(a, **opening))
        opened.append(end(b, create=True, **opening))
        _check_two(*opened)
        yield opened[0], opened[1]
        came_about = not trial
    finally:
        for one in reversed(opened):
            leave(one, came_about)


def _check_two(a: Replica | BundleExchange, b: Replica | BundleExchange) -> None:
    if isinstance(a, LocalReplica) and isinstance(b, LocalReplica):
        here, there = a.ledger.engine.identity(), b.ledger.engine.identity()
        if here and here == there:
            raise SchemaError(f"{a.name} and {b.name} are the same site", hint="name two different ends")


def leave(one: Replica | BundleExchange, came_about: bool) -> None:
    """Close an end; a database in which nothing came about is left as it was. Raises no error of its own."""
    if came_about or not isinstance(one, LocalReplica):
        one.close()
        return
    with suppress(TallystickError):
        one.abandon()


def replica(url: str | os.PathLike[str], *, password: str | None = None) -> Replica:
    """An end that answers, as it is: nothing is made.

    Raises UsageError for a directory of bundles, ConfigurationError for a database that is not tracked, and what
    ``end`` raises.
    """
    text = os.fspath(url)
    if text.startswith(DIRECTORY):
        raise UsageError(
            f"{text} cannot be asked: nobody answers in a directory of bundles",
            hint="compare two databases or served sites; a directory only takes part in tallystick sync",
        )
    if text.startswith(SERVED):
        return _served(text, password)
    return LocalReplica.open(tracked_engine(text), shown(text))


@contextmanager
def replicas(a: str, b: str, *, password: str | None = None) -> Iterator[tuple[Replica, Replica]]:
    """Two ends to compare, each as by ``replica``; closed in the end."""
    with closing(replica(a, password=password)) as first, closing(replica(b, password=password)) as second:
        yield first, second


def _served(text: str, password: str | None) -> Replica:
    from tallystick.protocols.native.replica import RemoteReplica

    return RemoteReplica(text, password=password)


def is_directory(url: str) -> bool:
    """True for the URL of a directory of bundles."""
    return url.startswith(DIRECTORY)


def is_replica(one: Replica | BundleExchange) -> TypeGuard[Replica]:
    """True for an end that answers; a directory of bundles does not."""
    return hasattr(one, "digest")


def engine_of(text: str, create: bool = False) -> Engine:
    """The engine for a database of this machine or network. Raises ConfigurationError for what names none."""
    scheme = text.partition("://")[0] if "://" in text else ""
    if text.startswith(SERVED):
        raise ConfigurationError(
            f"{shown(text)} is a served site, and this needs the database itself",
            hint="run the command where the database is, and name its path or URL",
        )
    if scheme in ("postgresql", "postgres"):
        from tallystick.site.engines.postgresql import PostgreSQLEngine

        return PostgreSQLEngine(text)
    if scheme == "sqlite":
        path = unquote(text.removeprefix("sqlite://"))
        return SQLiteEngine(path.removeprefix("/") if not path.startswith("//") else path[1:], create=create)
    if scheme:
        raise ConfigurationError(
            f"{scheme}:// is no end that tallystick knows",
            hint="use a path, sqlite:///path, postgresql://..., http://... or https://...",
        )
    if text in ("", ":memory:"):
        raise ConfigurationError(f"{text!r} is no database that lasts", hint="name a file")
    if Path(text).is_dir():
        raise ConfigurationError(f"{text} is a directory, not a database", hint="name a database file")
    return SQLiteEngine(text, create=create)


def tracked_engine(text: str) -> Engine:
    """The engine for a database with a ledger. Raises ConfigurationError where there is none; nothing is made then."""
    engine = engine_of(text)
    if not engine.has_ledger():
        engine.abandon()
        raise ConfigurationError(
            f"{shown(text)} is not tracked", hint=f"track it with: tallystick track {shown(text)}, or synchronize it"
        )
    return engine


def shown(text: str) -> str:
    """A URL without its password, for messages."""
    if "://" not in text:
        return text
    parts = urlsplit(text)
    if parts.password is None:
        return text
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{user}{parts.hostname or ''}{port}").geturl()
