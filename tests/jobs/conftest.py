"""An Eden store with one table, and an adapter on it."""

from datetime import UTC, datetime

import pytest

from tallystick.jobs.eden import EdenAdapter
from tallystick.protocols.eden.codec.schema import Component, Field, Kind, table
from tallystick.protocols.eden.memory import MemoryStore
from tallystick.protocols.eden.store import Identity, Repository

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
