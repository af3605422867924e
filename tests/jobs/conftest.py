"""An Eden store with one table, and an adapter on it; sites on both engines whose clock the test moves."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from tallystick.jobs.eden import EdenAdapter
from tallystick.protocols.eden.codec.schema import Component, Field, Kind, table
from tallystick.protocols.eden.memory import MemoryStore
from tallystick.protocols.eden.store import Identity, Repository
from tallystick.site.engines.postgresql import PostgreSQLEngine
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.ledger import Ledger

sys.path.insert(0, str(Path(__file__).parent))

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)


@pytest.fixture
def store():
    tables = (
        table(
            "org_organisation",
            [Field("name", required=True), Field("acronym"), Field("year", Kind.INTEGER)],
            components=(Component("org_office", "organisation_id"),),
        ),
        table(
            "org_office",
            [Field("name", required=True), Field("organisation_id", Kind.REFERENCE, "org_organisation")],
        ),
    )
    return MemoryStore(Identity("urn:uuid:here", "here", "here/eden"), tables)


@pytest.fixture
def adapter(store):
    repository = store.save_repository(Repository("PEER", "peer"))
    return EdenAdapter(repository, store, clock=lambda: NOW)


class Clock:
    """Milliseconds that pass when the test says so."""

    def __init__(self):
        self.milliseconds = round(NOW.timestamp() * 1000)

    def __call__(self):
        return self.milliseconds

    def forward(self, seconds):
        self.milliseconds += round(seconds * 1000)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def shared_postgresql(postgresql_server):
    """The URL of a PostgreSQL database for tests that empty it before they begin."""
    name = f"tally_test_{uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield urlsplit(postgresql_server)._replace(path="/" + name).geturl()
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=("sqlite", "postgresql"))
def database(request, tmp_path):
    """The URL of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "site.db")
    url = request.getfixturevalue("shared_postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS tally CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return url


@pytest.fixture
def ledger(database, clock):
    engine = PostgreSQLEngine(database) if "://" in database else SQLiteEngine(database, create=True)
    made = Ledger.create(engine, clock)
    yield made
    made.engine.close()
