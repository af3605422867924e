"""URLs become ends: what can be named in ``sync A B`` (DESIGN.md 3 *api*)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard
from urllib.parse import unquote, urlsplit

from tallystick.errors import ConfigurationError, UsageError
from tallystick.site.engines.engine import Engine
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.sync.local import LocalReplica

if TYPE_CHECKING:
    from tallystick.protocols.bundle.exchange import Ask, BundleExchange
    from tallystick.sync.replica import Replica


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
    if text.startswith("files+dir:"):
        from tallystick.jobs.bundles import exchange

        return exchange(text, trust, ask)
    if text.startswith(("http://", "https://")):
        from tallystick.protocols.native.replica import RemoteReplica

        return RemoteReplica(text, password=password)
    return LocalReplica.open(engine_of(text, create), shown(text))


def replica(url: str | os.PathLike[str], *, password: str | None = None) -> Replica:
    """An end that answers. Raises UsageError for a directory of bundles, and what ``end`` raises."""
    found = end(url, password=password)
    if is_replica(found):
        return found
    raise UsageError(
        f"{os.fspath(url)} cannot be asked: nobody answers in a directory of bundles",
        hint="compare two databases or served sites; a directory only takes part in tallystick sync",
    )


def is_replica(one: Replica | BundleExchange) -> TypeGuard[Replica]:
    """True for an end that answers; a directory of bundles does not."""
    return hasattr(one, "digest")


def engine_of(text: str, create: bool = False) -> Engine:
    """The engine for a database of this machine or network. Raises ConfigurationError for what names none."""
    scheme = text.partition("://")[0] if "://" in text else ""
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
    if Path(text).is_dir():
        raise ConfigurationError(f"{text} is a directory, not a database", hint="name a database file")
    return SQLiteEngine(text, create=create)


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
