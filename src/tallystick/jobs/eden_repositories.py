"""What Eden's store keeps of a peer: one repository per site and one task per table, however they are named.

``tallystick sync eden+https://...`` and a peer with that URL are the same peer: they share its registration, its
password and how far each side has read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from tallystick.core.policies import FieldPolicy, Method, Resolution
from tallystick.errors import UsageError
from tallystick.jobs.registry import Registry
from tallystick.jobs.tasks import Peer
from tallystick.protocols.eden.codec.filters import Filter
from tallystick.protocols.eden.codec.identifiers import urn_of
from tallystick.protocols.eden.site.store import SiteStore
from tallystick.protocols.eden.store import EdenStore, Mode, Repository, Task

SCHEMES = ("eden+http://", "eden+https://")


@dataclass(frozen=True, slots=True)
class Address:
    """An Eden site: ``base`` is its URL with the application, such as ``https://host/eden``."""

    base: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What the peer is called here where nobody named it: a name that ``checked_name`` takes."""
        return self.base.partition("://")[2].replace("/", "-").replace(":", "-").strip("-[]")


def parse_address(url: str) -> Address:
    """The address in ``eden+https://user@host/eden``. Raises UsageError for what is none."""
    if not url.startswith(SCHEMES):
        raise UsageError(f"{url} is no address of an Eden site", hint="write it like eden+https://user@host/eden")
    parts = urlsplit(url.removeprefix("eden+"))
    path = parts.path.rstrip("/")
    if not parts.hostname or not path:
        raise UsageError(
            f"{parts.scheme}://{parts.hostname or ''} names no application of an Eden site",
            hint="add it, as in eden+https://user@host/eden",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return Address(f"{parts.scheme}://{host}{port}{path}", user, password)


def peer_at(registry: Registry, address: Address) -> Peer:
    """The peer at an address; one that nobody added where there is none. A user in the address is who logs in."""
    for peer in registry.peers():
        if peer.protocol == "eden" and parse_address(peer.url).base == address.base:
            other = address.user not in (None, peer.user)
            return replace(peer, user=address.user, credential=None) if other else peer
    return Peer(address.name, f"eden+{address.base}", user=address.user)


def repository_of(store: SiteStore, peer: Peer, password: str | None) -> Repository:
    """The repository of a peer: the one with its identifier, or the one at its address; a new one is not kept yet.

    Its password is what the caller has: repositories of peers keep none.
    """
    address = parse_address(peer.url)
    known = (store.repository(peer.identifier) if peer.identifier else None) or _at(store, address.base)
    repository = known or Repository(peer.identifier, peer.name)
    repository.store = store
    repository.url = address.base
    repository.username, repository.password = peer.user or address.user, password or address.password
    repository.synchronise_uuids = peer.synchronise_identifiers
    if peer.datasets:
        repository.apitype, repository.datasets = "data", peer.datasets
        repository.uuid = repository.uuid or repository.url
    return repository


def _at(store: SiteStore, base: str) -> Repository | None:
    found = [one for one in store.peers.repositories() if one.url == base and not one.deleted]
    return found[0] if found else None


class Terms(NamedTuple):
    """How a table is synchronized, in Eden's words."""

    mode: Mode
    strategy: frozenset[Method]
    update: FieldPolicy
    conflict: Resolution
    components: bool
    filters: tuple[Filter, ...]


def task_of(store: EdenStore, repository: Repository, resource: str, terms: Terms) -> Task:
    """The task of a repository and table under new terms, not kept yet; what is known of earlier runs stays.

    With other filters everything is asked for and sent again, as it was left out before.
    """
    name = repository.uuid or repository.url or repository.name
    known = store.task(name, resource) or Task(_identifier(store, name, resource), name, resource)
    if terms.filters != known.filters:
        known = replace(known, pushed=0, last_pull=None, state=None)
    return replace(known, **terms._asdict())


def _identifier(store: EdenStore, repository: str, resource: str) -> str:
    made: UUID = uuid5(NAMESPACE_URL, f"{store.identity().uuid} {repository} {resource}")
    return urn_of(made)
