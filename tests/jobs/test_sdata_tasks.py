"""Tasks with SData peers, run against a site that is served as an SData provider."""

from __future__ import annotations

import base64
import secrets
import socket
import sqlite3

import pytest

from tallystick import api
from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.jobs.execution import adapter_for
from tallystick.jobs.log import Mode
from tallystick.jobs.log_table import LogTable
from tallystick.jobs.registry import Registry
from tallystick.jobs.tasks import Peer, Task
from tallystick.jobs.worker import Worker
from tallystick.web import running
from tallystick.web.sdata import Service

TABLE = "CREATE TABLE country (code VARCHAR(2) PRIMARY KEY, name VARCHAR(40))"


class Side:
    def __init__(self, path):
        self.path = str(path)
        self.execute(TABLE)
        with api.open(self.path) as opened:
            opened.track()

    def execute(self, *statements):
        connection = sqlite3.connect(self.path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def rows(self):
        connection = sqlite3.connect(self.path)
        found = connection.execute("SELECT code, name FROM country ORDER BY code").fetchall()
        connection.close()
        return found


@pytest.fixture
def sides(tmp_path, monkeypatch):
    """Our site with an SData peer, and the site that is the peer."""
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())
    here, there = Side(tmp_path / "here.db"), Side(tmp_path / "there.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    service = Service(f"http://127.0.0.1:{port}/sdata")
    with running(there.path, port=port, providers=[service]), api.open(here.path) as opened:
        registry = Registry(opened.ledger)
        registry.add_peer(Peer("erp", f"sdata+http://127.0.0.1:{port}/sdata/tallystick/site/-"))
        yield here, there, registry


def run(registry, here, task):
    registry.add_task(task)
    return Worker(api.ends(here.path)).run_task(task.name)


def test_registering_reads_what_the_peer_offers(sides):
    here, _, registry = sides
    opening = api.ends(here.path)
    replica, entries = opening.replica(), []
    adapter = adapter_for(replica, registry.peer("erp"), opening, entries.append)
    assert adapter.register() is True
    assert adapter.login() is None
    replica.close()
    assert registry.peer("erp").identifier.endswith("/sdata/tallystick/site/-")
    assert [(entry.mode, entry.result.value) for entry in entries] == [("register", "success")]


def test_a_task_pulls_and_pushes(sides):
    here, there, registry = sides
    here.execute("INSERT INTO country VALUES ('NL', 'Netherlands')")
    there.execute("INSERT INTO country VALUES ('BE', 'Belgium')")
    done = run(registry, here, Task("countries", "erp", "countries"))
    assert done.result.value == "success", done.message
    assert here.rows() == there.rows() == [("BE", "Belgium"), ("NL", "Netherlands")]
    assert Worker(api.ends(here.path)).run_task("countries").message == "0 entries; 0 entries"
    entries = LogTable(registry.ledger).entries(peer="erp", run=done.name)
    assert [item.entry.mode for item in entries] == ["run", "push", "pull"]


def test_the_newest_time_is_told_and_nothing_new_has_none(sides):
    here, there, registry = sides
    there.execute("INSERT INTO country VALUES ('BE', 'Belgium')")
    opening = api.ends(here.path)
    replica = opening.replica()
    adapter = adapter_for(replica, registry.peer("erp"), opening, lambda entry: None)
    task = Task("countries", "erp", "countries", Mode.PULL)
    error, mtime = adapter.pull(task)
    assert error is None
    assert mtime is not None
    assert adapter.pull(task) == (None, None)
    replica.close()


def test_policies_and_filters_are_fatal_and_nothing_is_asked(sides):
    here, there, registry = sides
    there.execute("INSERT INTO country VALUES ('BE', 'Belgium')")
    policy = Policy(conflict=FieldPolicy(Resolution.THIS))
    done = run(registry, here, Task("countries", "erp", "countries", policy=policy))
    assert done.result.value == "fatal"
    assert "mean nothing between SData ends" in done.message
    assert here.rows() == []


def test_a_peer_that_is_away_may_work_later(tmp_path, monkeypatch):
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())
    here = Side(tmp_path / "here.db")
    with api.open(here.path) as opened:
        registry = Registry(opened.ledger)
        registry.add_peer(Peer("erp", "sdata+http://127.0.0.1:1/sdata/a/b/-"))
        assert run(registry, here, Task("countries", "erp", "countries")).result.value == "error"
