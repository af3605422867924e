"""A site served as an Eden site: the provider over the site's replicas, as an ASGI application (docs/eden.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send

from tallystick.core.policies import Method
from tallystick.errors import AccessError, StorageError, TallystickError
from tallystick.protocols.eden.codec.elements import DEFAULT_LIMITS, Limits
from tallystick.protocols.eden.codec.schema import Table
from tallystick.protocols.eden.errors import DocumentTooLarge
from tallystick.protocols.eden.provider import Account, EdenProvider
from tallystick.protocols.eden.requests import Request, Response, failed
from tallystick.protocols.eden.routes import as_response, read_request
from tallystick.protocols.eden.site.store import SiteStore
from tallystick.protocols.native.pool import Pool
from tallystick.site.users import Caller, Role
from tallystick.sync.local import LocalReplica

WRITES = ("POST", "PUT")
_PORTS = {"http": "80", "https": "443"}

StoreOf = Callable[[LocalReplica, str], SiteStore]
"""Makes the store over a replica; the text is the address under which the site was asked, without the scheme."""


@dataclass(slots=True)
class EdenService:
    """Answers Eden sites below ``prefix`` ("/eden/").

    ``check`` gives the user of a name and password, or None, in a time that tells nothing. A request for which the
    server knows a caller (``scope["state"]["caller"]``: the site is open here) needs no credentials.
    """

    pool: Pool
    store_of: StoreOf
    check: Callable[[str, str], Caller | None]
    prefix: str
    limits: Limits = DEFAULT_LIMITS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        incoming = HttpRequest(scope, receive)
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(self.prefix)
        try:
            request = await read_request(incoming, path, self.limits.document_bytes)
        except DocumentTooLarge as error:
            response: HttpResponse = as_response(failed(413, error.message))
        except ClientDisconnect:
            return
        else:
            caller = scope.get("state", {}).get("caller")
            answered = await run_in_threadpool(self._answer, request, self._base(scope, incoming), caller)
            response = as_response(answered)
        await response(scope, receive, send)

    def _base(self, scope: Scope, incoming: HttpRequest) -> str:
        """The URL under which this site is being asked."""
        host = incoming.headers.get("host") or "localhost"
        return f"{scope.get('scheme', 'http')}://{host}{scope.get('root_path', '')}{self.prefix.rstrip('/')}"

    def _answer(self, request: Request, base: str, caller: Caller | None) -> Response:
        if caller is None and request.user:
            caller = self.check(request.user, request.password or "")
        replica = self.pool.take()
        try:
            response = self._provided(replica, request, base, _account(caller))
        except TallystickError as error:
            self.pool.give(replica)
            return _refusal(error)
        except BaseException:
            replica.close()
            raise
        if isinstance(response.body, bytes):
            self.pool.give(replica)
        else:
            response.body = self._to_the_end(response.body, replica)
        return response

    def _provided(self, replica: LocalReplica, request: Request, base: str, account: Account | None) -> Response:
        store = self.store_of(replica, base.partition("://")[2])
        provider = EdenProvider(
            store,
            lambda _name, _password: None,  # whoever could show who he is has an account by now
            base,
            lambda: datetime.fromtimestamp(replica.ledger.now() / 1000, UTC),
            self.prefix.rstrip("/"),
            self.prefix.strip("/").rpartition("/")[2] or "eden",
            self.limits,
            store.peers.archive,
        )
        if request.method not in WRITES:
            return provider.answer(request, account)
        with self.pool.writing:
            return provider.answer(request, account)

    def _to_the_end(self, body: Iterator[bytes], replica: LocalReplica) -> Iterator[bytes]:
        """The body as it is read; then, or when the peer goes away, the replica is free again."""
        try:
            yield from body
        finally:
            self.pool.give(replica)


def _account(caller: Caller | None) -> Account | None:
    """What a user of the site may do as an Eden account: who may synchronize is an administrator there."""
    if caller is None:
        return None

    def may(_table: Table, method: Method | None) -> bool:
        return caller.role.allows(Role.READ if method is None else Role.WRITE)

    return Account(caller.name or "local", caller.role.allows(Role.SYNC), may)


def _refusal(error: TallystickError) -> Response:
    status = 503 if isinstance(error, StorageError) else 403 if isinstance(error, AccessError) else 400
    return failed(status, str(error))
