"""A fresh server on each engine, with a store and a folder."""

import pytest

import tallystick
from tallystick.stores import Server, SiteRecords


@pytest.fixture
def records(site_url):
    opened = SiteRecords(tallystick.open(site_url, create=True).ledger)
    yield opened
    opened.close()


@pytest.fixture
def quick_server(records):
    """A server whose last commits a power cut would lose."""
    engine = records.session.engine
    off = "PRAGMA synchronous = OFF" if engine.dialect == "sqlite" else "SET synchronous_commit = off"
    engine.execute(off)
    return Server(records)


@pytest.fixture
def server(records):
    return Server(records)


@pytest.fixture
def store(server):
    return server.create_user("anna").store


@pytest.fixture
def folder(store):
    return store.create_folder("f")
