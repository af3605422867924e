"""SData mounted in the application: one dataset of a served site (spec/sdata.md as published in docs/sdata.md)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tallystick.errors import ConfigurationError, TallystickError
from tallystick.protocols.native.requests import ASGIScope, Receive, Reply, Send
from tallystick.protocols.sdata.codec.media_types import Form
from tallystick.protocols.sdata.provider.application import Dataset, Provider, Settings, sdata_application
from tallystick.protocols.sdata.provider.authentication import Principal
from tallystick.protocols.sdata.provider.calls import answer_error
from tallystick.protocols.sdata.site.store import PRIORITY, SiteStore
from tallystick.site import users
from tallystick.site.users import Caller, Role
from tallystick.streams.hints import SLOW_POLL_S, watch
from tallystick.web.authentication import Authenticator
from tallystick.web.providers import Mounted, Services

VERSION = "1.1"
_LOOKS = 30
"""After so many slow polls without a hint local changes are looked for anyway."""
NAMESPACE = "urn:tallystick:contract:"


@dataclass(frozen=True, slots=True)
class Service:
    """How a site is served as SData.

    ``base`` is the URL of the virtual directory (``https://host:5493/sdata``), by which links are written. It also
    names the endpoints of the site when they are first synchronized; they keep that name wherever the site moves.
    ``namespace`` is that of payloads; ``priority`` the conflict priority, 1 (strong) to 9 (weak). Local changes are
    pushed at once to the datasets ``push`` (``sdata+https://...``), with ``password`` for users named there. Tables
    of ``nest`` (``orders.order_line``) are lists inside their parents.
    """

    base: str
    application: str = "tallystick"
    contract: str = "site"
    dataset: str = "-"
    namespace: str = ""
    priority: int = PRIORITY
    push: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    nest: tuple[str, ...] = ()

    def __call__(self, services: Services) -> Mounted:
        """Mount the provider. Raises ConfigurationError for a base URL that cannot be."""
        base = self.base.strip().rstrip("/")
        if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).path.strip("/"):
            raise ConfigurationError(f"{base!r} cannot be SData's base", hint="write it like https://host:5493/sdata")
        dataset_url = "/".join((base, self.application, self.contract, self.dataset))
        namespace = self.namespace or NAMESPACE + self.contract
        store = SiteStore(services.pool, dataset_url, self.contract, namespace, priority=self.priority, nest=self.nest)
        dataset = Dataset(self.application, self.contract, self.dataset, store)
        provider = Provider(
            base, [dataset], authenticator=SiteUsers(services), settings=Settings(author=self.application)
        )
        application = sdata_application(provider)

        @contextlib.asynccontextmanager
        async def life() -> AsyncIterator[None]:
            async with application.router.lifespan_context(application):
                with _pushing(services, self.push, self.password):
                    yield

        async def answered(scope: ASGIScope, receive: Receive, send: Send) -> None:
            await application(scope, receive, send)

        prefix, end = "/" + urlsplit(base).path.strip("/"), f"sdata+{dataset_url}"
        return Mounted("sdata", VERSION, prefix, answered, authenticates=True, refuse=_refused, life=life, end=end)


@contextlib.contextmanager
def _pushing(services: Services, urls: Sequence[str], password: str | None) -> Iterator[None]:
    """Push local changes for as long as the ``with`` lasts, woken by the hints of the site's database."""
    if not urls:
        yield
        return
    from tallystick.jobs.pushing import Pusher, push_all

    with services.pool.borrowed() as replica:
        hints = watch(replica.ledger.engine)
    pushers = [Pusher(services.pool, url, password) for url in urls]
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            push_all(pushers)
            for _ in range(_LOOKS):
                if hints.wait(SLOW_POLL_S) or ended.is_set():
                    break

    thread = threading.Thread(target=work, name="sdata-push", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        hints.wake()
        thread.join()
        hints.close()
        for pusher in pushers:
            pusher.close()


def _refused(error: TallystickError) -> Reply:
    answer = answer_error(error, Form.XML)
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items() if name != "Content-Type"]
    return Reply(answer.status, answer.headers["Content-Type"], answer.body, tuple(headers))


@dataclass(frozen=True, slots=True)
class _User:
    """A user of the site who called."""

    caller: Caller

    @property
    def name(self) -> str:
        return self.caller.name

    def allows(self, role: str, kind: str) -> bool:
        return self.caller.role.allows(Role(role))


class SiteUsers:
    """The users of a site as SData's provider asks for them: Basic for all, Digest for those who have its secrets."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._users: Authenticator = services.users

    @property
    def open(self) -> bool:
        """True while the site has no users: then it answers its own machine only."""
        with self._services.pool.borrowed() as replica:
            return not users.has_users(replica.ledger)

    def check(self, name: str, password: str) -> Principal | None:
        """See the provider's ``Authenticator``."""
        caller = self._users.check(name, password)
        return None if caller is None else _User(caller)

    def secret(self, name: str, realm: str, algorithm: str) -> tuple[str, Principal] | None:
        """See the provider's ``Authenticator``."""
        with self._services.pool.borrowed() as replica:
            user = users.find(replica.ledger, name)
            found = users.digest_secret(replica.ledger, name, algorithm) if user is not None else ""
        if user is None or not found:
            return None
        return found, _User(Caller(user.name, user.role))

    @property
    def keeps_secrets(self) -> bool:
        """True when some user has what Digest needs."""
        with self._services.pool.borrowed() as replica:
            return users.has_digest_secrets(replica.ledger)
