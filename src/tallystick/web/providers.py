"""What is mounted in the application: providers of protocols and whatever else answers below a prefix."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from tallystick.errors import TallystickError
from tallystick.protocols.native.codec.limits import Limits
from tallystick.protocols.native.codec.messages import VERSION
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.native.provider import NativeProvider
from tallystick.protocols.native.requests import ASGIScope, Receive, Reply, Send
from tallystick.web.authentication import Authenticator
from tallystick.web.events import RESOURCES, SITE, Events
from tallystick.web.metrics import Metrics
from tallystick.web.telling import carrier_of, delivering

ASGIApplication = Callable[[ASGIScope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Services:
    """What a provider is given: the site's open replicas, its users, limits and counters. All may be shared."""

    pool: Pool
    users: Authenticator
    limits: Limits
    metrics: Metrics
    site: str
    """How the site was named, without a password."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """One provider in its place.

    The application gets every request below ``prefix`` ("/v1/") and ``also``, with ``websocket`` also those that open
    a WebSocket, path unchanged, with ``scope["state"]["caller"]``: the ``Caller`` who asks. With ``authenticates`` it
    asks for credentials itself, and there is no caller unless the site is open here. ``refuse`` answers in the
    protocol's own form what is refused before the application is reached. ``life`` is entered when the server starts
    and left when it stops; ``stop`` is called when it begins to stop, so that connections that would stay open end;
    ``close`` is called at the very end. ``end`` is what the command calls it as an end, with {} for the server's
    address; "" where that address alone names it.
    """

    name: str
    version: str
    prefix: str
    application: ASGIApplication
    authenticates: bool = False
    refuse: Callable[[TallystickError], Reply] | None = None
    life: Callable[[], AbstractAsyncContextManager[None]] | None = None
    close: Callable[[], None] = lambda: None
    also: tuple[str, ...] = ()
    websocket: bool = False
    stop: Callable[[], None] = lambda: None
    end: str = ""

    def fits(self, path: str) -> int:
        """How much of ``path`` is a prefix of this provider; 0 when the request does not belong here."""
        return max(len(prefix) if path.startswith(prefix) else 0 for prefix in (self.prefix, *self.also))


Mounting = Callable[[Services], Mounted]
"""Makes a provider for one site."""


def native(services: Services) -> Mounted:
    """The native protocol (docs/protocol.md)."""
    provider = NativeProvider(services.pool, services.limits, services.metrics.observe)
    return Mounted(provider.name, VERSION, provider.prefix, provider, close=provider.close)


def contexts(services: Services) -> Mounted:
    """Contexts (docs/protocol.md, *Contexts*)."""
    from tallystick.contexts.http.provider import ContextsProvider

    provider = ContextsProvider(services.pool, services.limits, services.metrics.observe)
    return Mounted(provider.name, provider.version, provider.prefix, provider, close=provider.close, stop=provider.stop)


def files(services: Services) -> Mounted:
    """Files of contexts by signed URL, which is all the authentication they need."""
    from tallystick.contexts.http.signed import SignedProvider

    provider = SignedProvider(services.pool, services.limits, services.metrics.observe)
    return Mounted(provider.name, provider.version, provider.prefix, provider, authenticates=True, close=provider.close)


def events(services: Services, hints: str = "") -> Mounted:
    """Events of the site and its resources (docs/notifications.md).

    ``hints`` is the URL of a carrier that is told of every change while the site is served. Raises ConfigurationError
    when it cannot be reached.
    """
    told = carrier_of(services.pool, hints) if hints else None
    served = Events(services.pool, services.limits)
    return Mounted(
        "events",
        VERSION,
        SITE,
        served,
        also=(RESOURCES,),
        websocket=True,
        stop=served.stop,
        close=served.close,
        life=lambda: delivering(services.pool, told),
    )
