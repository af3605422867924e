"""Opening what is at a URL: a site, the contexts kept there, the ends of its tasks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from tallystick.api.agreeing import logged_agree
from tallystick.api.ends import end, engine_of, shown, tracked_engine
from tallystick.api.site import Site
from tallystick.sync.local import LocalReplica

if TYPE_CHECKING:
    from tallystick.contexts.host import ContextHost
    from tallystick.contexts.sessions.sessions import Sessions
    from tallystick.jobs.ends import Ends
    from tallystick.jobs.tasks import Peer
    from tallystick.protocols.bundle.exchange import Ask, BundleExchange
    from tallystick.sync.replica import Replica


def open(url: str | os.PathLike[str], *, create: bool = False, tracked: bool = False) -> Site:
    """Open a database of this machine or network as a site: an SQLite path or URL, or ``postgresql://``.

    A ledger is created on first use. With ``create`` a missing SQLite file is created too; with ``tracked`` a database
    without a ledger is refused, and left as it is. Raises ConfigurationError when the database cannot be opened.
    """
    text = os.fspath(url)
    if tracked:
        return Site(LocalReplica.open(tracked_engine(text), shown(text)))
    return Site(LocalReplica.open(engine_of(text, create), shown(text)))


def context_host(url: str | os.PathLike[str], *, password: str | None = None, create: bool = False) -> ContextHost:
    """Where contexts are kept: at a database, at a served site by ``http(s)://``, or in a bare bucket. Close it.

    ``create`` makes an SQLite database that is not there yet. Raises ConfigurationError for what is none of these.
    """
    text = os.fspath(url)
    if "://" in text:
        from tallystick.contexts.opening import is_bucket

        if is_bucket(text):
            from tallystick.contexts.bucket import BucketHost

            return BucketHost(text)
    if text.startswith(("http://", "https://")):
        from tallystick.contexts.http.client import RemoteHost

        return RemoteHost(text, password=password)
    from tallystick.contexts.local import LocalHost

    site = open(text, create=create)
    return LocalHost(site.ledger, site.name, closing=site.close)


def sessions(url: str | os.PathLike[str], *, password: str | None = None) -> Sessions:
    """Working sessions with contexts of a database or a served site (docs/contexts.md). Loads nothing yet."""
    from tallystick.contexts.sessions.sessions import Sessions

    return Sessions(lambda: context_host(url, password=password))


def ends(url: str | os.PathLike[str], *, trust: Sequence[str] = (), ask: Ask | None = None) -> Ends:
    """What tasks of the site at ``url`` are run with (docs/tasks.md). Nothing is opened yet."""
    from tallystick.jobs.ends import Ends

    text = os.fspath(url)

    def connect(peer: Peer, password: str | None) -> Replica | BundleExchange:
        return end(_with_user(peer.url, peer.user), password=password, trust=trust, ask=ask)

    return Ends(shown(text), lambda: engine_of(text, False), connect, logged_agree)


def _with_user(url: str, user: str | None) -> str:
    """A URL that names the user to log in as."""
    parts = urlsplit(url)
    if user is None or parts.username is not None or not parts.scheme.startswith("http"):
        return url
    return parts._replace(netloc=f"{quote(user, safe='')}@{parts.netloc}").geturl()
