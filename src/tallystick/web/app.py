"""The ASGI application of a served site: bounds, users, providers, and a few pages beside them (DESIGN.md 8)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import cached_property

import msgspec

from tallystick import api
from tallystick.errors import AuthenticationRequired, TallystickError
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import LIMITS, Limits
from tallystick.protocols.native.codec.messages import MAJOR
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.native.requests import ASGIScope, Incoming, Receive, Reply, Send, error_reply
from tallystick.sync.local import LocalReplica
from tallystick.web import openapi, pages
from tallystick.web.authentication import Authenticator
from tallystick.web.bounds import (
    check_head,
    check_origin,
    head_status,
    headers_of,
    is_loopback,
    is_open_here,
    names_this_machine,
    wrong_host,
)
from tallystick.web.metrics import Metrics
from tallystick.web.providers import Mounted, Mounting, Services, contexts, events, files, native

PROVIDERS: tuple[Mounting, ...] = (native, contexts, files, events)
"""What is mounted when nothing else is said."""

SiteLike = str | os.PathLike[str] | Callable[[], LocalReplica]
"""A URL or path of a site, or what opens it once more."""


def create_app(
    site: SiteLike, providers: Sequence[Mounting] = PROVIDERS, *, limits: Limits = LIMITS, name: str = ""
) -> Application:
    """The application that serves ``site``.

    Raises ConfigurationError when the site cannot be opened. Close the application (or let the server end its
    lifespan) when it is not used any more.
    """
    if callable(site):
        opening, shown = site, name
    else:
        url = os.fspath(site)
        opening, shown = (lambda: api.open(url).replica), name
    with_one = opening()
    pool = Pool(opening)
    pool.give(with_one)
    services = Services(pool, Authenticator(pool), limits, Metrics(), shown or with_one.name)
    try:
        return Application(services, [mounting(services) for mounting in providers])
    except BaseException:
        services.users.close()
        pool.close()
        raise


class Application:
    """See ``create_app``."""

    def __init__(self, services: Services, mounted: Sequence[Mounted]) -> None:
        self.services, self.mounted = services, tuple(mounted)
        self._pages = {"/": self._home, "/versions": self._versions, "/openapi.json": self._openapi}

    @cached_property
    def protocols(self) -> list[tuple[str, str, str]]:
        """Name, version and path of every provider."""
        return [(item.name, item.version, item.prefix) for item in self.mounted]

    def close(self) -> None:
        """Wait for what runs, and close the site. Idempotent."""
        for item in self.mounted:
            item.close()
        self.services.users.close()
        self.services.pool.close()

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._connect(scope, receive, send)

    async def _connect(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """A WebSocket: admitted like a request, else refused before it is open."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        mounted = self._at(path)
        try:
            check_head(scope, self.services.limits)
            check_origin(scope, headers_of(scope))
            if mounted is None or not mounted.websocket:
                raise _nowhere(path)
            await self._admit(scope, mounted)
        except TallystickError as error:
            self.services.metrics.refused(error.code)
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": error.code})
            return
        await mounted.application(scope, receive, send)

    def _at(self, path: str) -> Mounted | None:
        """What is mounted at a path: below the longest prefix that fits."""
        found = max(self.mounted, key=lambda item: item.fits(path), default=None)
        return found if found is not None and found.fits(path) else None

    def stop(self) -> None:
        """The server begins to stop: let connections that would stay open end."""
        for item in self.mounted:
            item.stop()

    async def _live(self, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            await receive()
            try:
                for item in self.mounted:
                    if item.life is not None:
                        await stack.enter_async_context(item.life())
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await asyncio.get_running_loop().run_in_executor(None, self.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        mounted = self._at(path)
        try:
            check_head(scope, self.services.limits)
            check_origin(scope, headers_of(scope))
            page = self._pages.get(path)
            if page is None and mounted is None and path != "/metrics":
                raise _nowhere(path)
            if page is not None:
                return await self._show(page, scope, receive, send)
            await self._admit(scope, mounted)
            if mounted is None:
                return await self._show(lambda _: self.services.metrics.reply(), scope, receive, send)
        except TallystickError as error:
            return await self._refuse(error, mounted, scope, receive, send)
        await mounted.application(scope, receive, send)

    async def _admit(self, scope: ASGIScope, mounted: Mounted | None) -> None:
        """Set the caller. Raises AuthenticationRequired, Busy, RequestError (wrong-host)."""
        headers = headers_of(scope)
        open_here = is_open_here(scope, headers)
        state = scope.setdefault("state", {})
        state["open"] = open_here
        if mounted is not None and mounted.authenticates and "authorization" in headers:
            return
        try:
            state["caller"] = await self.services.users.caller(headers, open_here)
        except AuthenticationRequired:
            if mounted is not None and mounted.authenticates and not self.services.users.open:
                return
            if self.services.users.open and not open_here and _from_here(scope):
                raise wrong_host(headers) from None
            raise

    async def _show(self, page: Callable[[ASGIScope], Reply], scope: ASGIScope, receive: Receive, send: Send) -> None:
        incoming = Incoming(scope, receive, send, self.services.limits)
        if incoming.method not in ("GET", "HEAD"):
            raise RequestError(f"this page takes no {incoming.method}", code="method", status=405, hint="use GET")
        reply = page(scope)
        length = (b"content-length", str(len(reply.body)).encode())
        await incoming.start(reply.status, [(b"content-type", reply.media_type.encode()), length, *reply.headers])
        await incoming.send(b"" if incoming.method == "HEAD" else reply.body, more=False)

    async def _refuse(
        self, error: TallystickError, mounted: Mounted | None, scope: ASGIScope, receive: Receive, send: Send
    ) -> None:
        self.services.metrics.refused(error.code)
        refuse = mounted.refuse if mounted is not None else None
        reply = refuse(error) if refuse is not None else error_reply(error)
        status = head_status(error)
        if status is not None:
            reply = reply._replace(status=status, headers=(*reply.headers, (b"connection", b"close")))
        await Incoming(scope, receive, send, self.services.limits).answer(reply)

    def _home(self, scope: ASGIScope) -> Reply:
        host = headers_of(scope).get("host", "") or "host"
        address = f"{scope.get('scheme', 'http')}://{host}{scope.get('root_path', '')}/"
        return pages.home(self.protocols, address)

    def _versions(self, scope: ASGIScope) -> Reply:
        return pages.versions(self.protocols)

    def _openapi(self, scope: ASGIScope) -> Reply:
        document = openapi.document(scope.get("root_path", "") + "/")
        return Reply(200, "application/json", msgspec.json.encode(document))


def _from_here(scope: ASGIScope) -> bool:
    """True when only the ``Host`` speaks against a request from this machine."""
    client = scope.get("client")
    if not client or not is_loopback(client[0]):
        return False
    return not names_this_machine(scope, headers_of(scope))


def _nowhere(path: str) -> RequestError:
    """The error for an address where nothing is; versions of the native protocol that we do not have say so."""
    head = path.split("/")[1] if path.startswith("/") else ""
    if head[:1] == "v" and head[1:].isdigit():
        return RequestError(
            f"version {head[1:][:9]} of the protocol is not served here",
            code="version",
            status=404,
            hint=f"use version {MAJOR}",
            versions=[str(MAJOR)],
        )
    return RequestError("there is nothing at this address", code="not-found", status=404, hint="see /openapi.json")
