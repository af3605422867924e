"""Small Eden sites in memory, with clocks in the test's hands, that talk to each other in process."""

import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tallystick.protocols.eden.asking import EdenPeer
from tallystick.protocols.eden.codec.schema import Component, Field, Kind, Table, table
from tallystick.protocols.eden.memory import MemoryStore
from tallystick.protocols.eden.provider import Account, EdenProvider, chunks_of
from tallystick.protocols.eden.requests import Request
from tallystick.protocols.eden.routes import credentials
from tallystick.protocols.eden.store import Identity, Repository, Stored, Task
from tallystick.protocols.eden.synchronizing import Active
from tallystick.protocols.eden.transport import HttpReply

sys.path.insert(0, str(Path(__file__).parent))

from eden_site_stores import RealStore

START = datetime(2026, 11, 20, 8, tzinfo=UTC)
ORG, OFFICE, PLACE = "org_organisation", "org_office", "gis_location"


def tables() -> tuple[Table, ...]:
    return (
        table(
            ORG,
            [
                Field("name", required=True),
                Field("acronym", represented=True),
                Field("year", Kind.INTEGER, minimum=1850, maximum=2099),
                Field("logo", Kind.UPLOAD),
                Field("settings", Kind.JSON),
                Field("parent_id", Kind.REFERENCE, ORG),
                Field("places", Kind.REFERENCE_LIST, PLACE),
            ],
            identity=("name",),
            components=(Component(OFFICE, "organisation_id"), Component("org_logo", "organisation_id", many=False)),
        ),
        table(
            OFFICE,
            [
                Field("name", required=True),
                Field("organisation_id", Kind.REFERENCE, ORG, required=True),
                Field("location_id", Kind.REFERENCE, PLACE),
            ],
        ),
        table("org_logo", [Field("title"), Field("organisation_id", Kind.REFERENCE, ORG)]),
        table(PLACE, [Field("name"), Field("lat", Kind.DOUBLE), Field("code", unique=True)]),
        table("admin_setting", [Field("name")], restricted=True),
        table("auth_user", [Field("email"), Field("password", Kind.PASSWORD)]),
    )


@dataclass
class Wire:
    """A transport that calls the provider of another site, and keeps what was asked."""

    sites: dict[str, "Site"]
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    tells_time: bool = True
    plain: bool = False
    """True: nobody says that it is a Tallystick site, as between real Eden sites."""

    def request(self, method, url, headers, body):
        parts = urlsplit(url)
        site = self.sites[parts.hostname]
        content = body if isinstance(body, bytes) else b"" if body is None else body.read()
        self.requests.append((method, url, content))
        user, password = credentials(headers.get("Authorization", ""))
        lowered = {name.lower(): value for name, value in headers.items()}
        if self.plain:
            lowered.pop("user-agent", None)
        path = parts.path.removeprefix("/eden/")
        answer = site.provider.answer(Request(method, path, parts.query, lowered, content, user, password))
        found = {"content-type": answer.content_type}
        if self.tells_time:
            found["date"] = format_datetime(site.now, usegmt=True)
        return HttpReply(answer.status, found, chunks_of(answer))

    def close(self):
        pass

    def pushes(self) -> list[bytes]:
        return [body for method, url, body in self.requests if method == "POST" and "sync.xml" in url]


@dataclass
class Site:
    """One site: ``now`` is its own clock."""

    name: str
    wire: Wire
    now: datetime = START
    store: MemoryStore = None
    provider: EdenProvider = None
    tasks: dict[tuple[str, str], str] = field(default_factory=dict)

    def connect(self, other: "Site", *resources: str, **task: object) -> None:
        """Registers at ``other`` and makes a task for each resource."""
        repository = Repository(None, other.name, url=f"http://{other.name}/eden", username="sync", password="secret")
        active = Active(self.store, self.peer(other), repository, lambda: self.now)
        assert active.register()
        for resource in resources or (ORG,):
            uuid = f"urn:uuid:task-{self.name}-{other.name}-{resource}"
            self.store.save_task(Task(uuid, active.repository.uuid, resource, **task))
            self.tasks[other.name, resource] = uuid

    def peer(self, other: "Site") -> EdenPeer:
        return EdenPeer(f"http://{other.name}/eden", self.wire, "sync", "secret")

    def active(self, other: "Site") -> Active:
        repository = self.store.repository(other.store.identity().uuid)
        return Active(self.store, self.peer(other), repository, lambda: self.now)

    def configure(self, other: "Site", **settings: object) -> None:
        self.store.save_repository(replace(self.active(other).repository, **settings))

    def task(self, other: "Site", resource: str = ORG) -> Task:
        return self.store.saved_tasks[self.tasks[other.name, resource]]

    def pull(self, other: "Site", resource: str = ORG, **more):
        done = self.active(other).pull(self.task(other, resource), **more)
        assert done.error is None, done.error
        return done

    def push(self, other: "Site", resource: str = ORG):
        done = self.active(other).push(self.task(other, resource))
        assert done.error is None, done.error
        return done

    def sync(self, other: "Site", resource: str = ORG) -> None:
        self.pull(other, resource)
        self.push(other, resource)

    # local work

    def put(self, uuid: str, name: str, resource: str = ORG, at: datetime | None = None, **values: object) -> Stored:
        moment = at or self.now
        record = Stored(resource, uuid, 0, {"name": name, **values}, created_on=self.now, modified_on=moment)
        return self.store.put(record)

    def edit(self, uuid: str, resource: str = ORG, **values: object) -> Stored:
        return self.store.edit(resource, uuid, self.now, **values)

    def remove(self, uuid: str, resource: str = ORG, replaced_by: str | None = None) -> Stored:
        return self.store.remove(resource, uuid, self.now, replaced_by)

    def get(self, uuid: str, resource: str = ORG) -> Stored | None:
        return self.records(resource).get(uuid)

    def records(self, resource: str = ORG):
        return self.store.records[resource]

    def names(self, resource: str = ORG) -> set[str]:
        return {one.values["name"] for one in self.records(resource).values() if not one.deleted}


def pass_time(*sites: Site, **delta: float) -> None:
    """Moves the clocks of all sites on by the same time."""
    for site in sites:
        site.now += timedelta(**(delta or {"minutes": 1}))


@dataclass
class Network:
    wire: Wire
    database: object = None
    """Gives the URL of a new database; None keeps records in memory."""

    def site(self, name: str, *, clock: timedelta = timedelta(0), store: type[MemoryStore] = MemoryStore) -> Site:
        site = Site(name, self.wire, START + clock)
        identity = Identity(f"urn:uuid:site-{name}", name, f"{name}/eden")
        if self.database is None or store is not MemoryStore:
            site.store = store(identity, tables())
        else:
            site.store = RealStore(self.database(), identity, tables(), lambda: site.now)
        accounts = {("sync", "secret"): Account("sync", administrator=True), ("reader", "secret"): reader()}
        site.provider = EdenProvider(
            site.store, lambda user, password: accounts.get((user, password)), f"http://{name}/eden", lambda: site.now
        )
        self.wire.sites[name] = site
        return site

    pass_time = staticmethod(pass_time)


@pytest.fixture(scope="session")
def postgresql_pool(postgresql_server):
    """Names of databases that tests take in turn: emptying one is much faster than making one."""
    import psycopg

    names: list[str] = []
    yield names
    with psycopg.connect(postgresql_server, autocommit=True) as server:
        for name in names:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def postgresql_databases(postgresql_server, postgresql_pool):
    """Gives the URLs of empty databases."""
    import psycopg

    taken = 0

    def made():
        nonlocal taken
        if taken == len(postgresql_pool):
            postgresql_pool.append(f"tally_test_{uuid4().hex}")
            with psycopg.connect(postgresql_server, autocommit=True) as server:
                server.execute(f'CREATE DATABASE "{postgresql_pool[-1]}" TEMPLATE template0')
        url = urlsplit(postgresql_server)._replace(path="/" + postgresql_pool[taken]).geturl()
        taken += 1
        with psycopg.connect(url, autocommit=True) as database:
            database.execute("DROP SCHEMA IF EXISTS tally CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return url

    return made


def reader() -> Account:
    return Account("reader", may=lambda _table, method: method is None)


def pytest_generate_tests(metafunc):
    """A module that names STORES runs with sites in memory and with sites on databases."""
    if "kind_of_store" in metafunc.fixturenames:
        metafunc.parametrize("kind_of_store", getattr(metafunc.module, "STORES", ("memory",)))


@pytest.fixture
def network(kind_of_store, tmp_path, request):
    made = Network(Wire({}))
    if kind_of_store == "postgresql":
        made.database = request.getfixturevalue("postgresql_databases")
    if kind_of_store == "sqlite":
        made.database = lambda: str(tmp_path / f"{uuid4().hex}.db")
    yield made
    for site in made.wire.sites.values():
        if isinstance(site.store, RealStore):
            site.store.close()


@pytest.fixture
def here(network) -> Site:
    return network.site("here")


@pytest.fixture
def there(network) -> Site:
    return network.site("there")
