"""SData mounted in the application: one dataset of a served site (spec/sdata.md as published in docs/sdata.md)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
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
from tallystick.web.authentication import Authenticator
from tallystick.web.providers import Mounted, Services

VERSION = "1.1"
NAMESPACE = "urn:tallystick:contract:"
_BASE = "sdata.base"


@dataclass(frozen=True, slots=True)
class Service:
    """How a site is served as SData.

    ``base`` is the URL of the virtual directory (``https://host:5493/sdata``): it names every endpoint for ever, and
    is kept in the site when it is first served; "" takes the kept one. ``priority`` is the conflict priority, 1
    (strong) to 9 (weak).
    """

    base: str = ""
    application: str = "tallystick"
    contract: str = "site"
    dataset: str = "-"
    priority: int = PRIORITY

    def __call__(self, services: Services) -> Mounted:
        """Mount the provider. Raises ConfigurationError for a base URL that cannot be, or is not the one kept."""
        base = _kept_base(services, self.base)
        dataset_url = "/".join((base, self.application, self.contract, self.dataset))
        store = SiteStore(services.pool, dataset_url, self.contract, NAMESPACE + self.contract, priority=self.priority)
        dataset = Dataset(self.application, self.contract, self.dataset, store)
        provider = Provider(
            base, [dataset], authenticator=SiteUsers(services), settings=Settings(author=self.application)
        )
        application = sdata_application(provider)

        @contextlib.asynccontextmanager
        async def life() -> AsyncIterator[None]:
            async with application.router.lifespan_context(application):
                yield

        async def answered(scope: ASGIScope, receive: Receive, send: Send) -> None:
            await application(scope, receive, send)

        prefix = "/" + urlsplit(base).path.strip("/")
        return Mounted("sdata", VERSION, prefix, answered, authenticates=True, refuse=_refused, life=life)


def _refused(error: TallystickError) -> Reply:
    answer = answer_error(error, Form.XML)
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items() if name != "Content-Type"]
    return Reply(answer.status, answer.headers["Content-Type"], answer.body, tuple(headers))


def _kept_base(services: Services, wanted: str) -> str:
    """The URL that names this site's endpoints: kept from the first time on, and never changed by accident."""
    wanted = wanted.strip().rstrip("/")
    if wanted and (urlsplit(wanted).scheme not in ("http", "https") or not urlsplit(wanted).netloc):
        raise ConfigurationError(f"{wanted!r} cannot name endpoints", hint="write it like https://host:5493/sdata")
    with services.pool.writing, services.pool.borrowed() as replica:
        ledger = replica.ledger
        kept = ledger.meta(_BASE)
        if wanted and kept and wanted != kept:
            raise ConfigurationError(
                f"the endpoints of {services.site} are named {kept}, by which every peer knows them, not {wanted}",
                hint="serve it under the old URL; a proxy may answer there",
            )
        if not kept:
            if not wanted:
                raise ConfigurationError("the site's SData endpoints have no name yet", hint="give --base-url")
            with ledger.engine.write():
                ledger.put_meta(_BASE, wanted)
    return kept or wanted


def kept_base(site: str) -> str:
    """The URL under which the endpoints of a site are known; "" when it was never served as SData."""
    from tallystick.api import open as open_site

    with open_site(site) as opened:
        return opened.ledger.meta(_BASE)


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
