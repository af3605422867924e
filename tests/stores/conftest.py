"""A fresh server in memory, and one on disk."""

import pytest

from tallystick.stores import Server, SqliteRecords


@pytest.fixture
def server():
    with Server(SqliteRecords(":memory:", durable=False)) as opened:
        yield opened


@pytest.fixture
def store(server):
    return server.create_user("anna").store


@pytest.fixture
def folder(store):
    return store.create_folder("f")
