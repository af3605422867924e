"""Tasks with Eden peers, run against a site that is served as an Eden site."""

from __future__ import annotations

import base64
import secrets
import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest

from tallystick import api
from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.jobs.eden import eden_store
from tallystick.jobs.execution import adapter_for
from tallystick.jobs.log import Mode
from tallystick.jobs.log_table import LogTable
from tallystick.jobs.registry import Registry
from tallystick.jobs.tasks import Peer, Task
from tallystick.jobs.worker import Worker
from tallystick.protocols.eden.codec.filters import parse_filter_string
from tallystick.protocols.eden.store import Dataset
from tallystick.protocols.eden.store import Task as Hosted
from tallystick.web import running
from tallystick.web.eden import eden

TABLE = "CREATE TABLE org_sector (id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, name TEXT, rank INTEGER, modified_on TEXT)"


BY_FIELD = FieldPolicy(Resolution.THIS, {"name": Resolution.OTHER})


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

    def add(self, name, rank=1):
        self.execute(
            f"INSERT INTO org_sector(uuid, name, rank, modified_on) VALUES "
            f"('urn:uuid:{name}', '{name}', {rank}, strftime('%Y-%m-%d %H:%M:%S', 'now'))"
        )

    def names(self):
        connection = sqlite3.connect(self.path)
        found = connection.execute("SELECT name FROM org_sector ORDER BY name").fetchall()
        connection.close()
        return [name for (name,) in found]


@pytest.fixture
def sides(tmp_path, monkeypatch):
    """Our site with a registered Eden peer, and the site that is the peer."""
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())
    here, there = Side(tmp_path / "here.db"), Side(tmp_path / "there.db")
    with running(there.path, providers=[eden("/eden")]) as address:
        replica = api.ends(here.path).replica()
        registry = Registry(replica.ledger)
        registry.add_peer(Peer("relief", f"eden+{address}eden"))
        log = LogTable(replica.ledger)
        assert adapter_for(replica, registry.peer("relief"), api.ends(here.path), log.append).register()
        yield here, there, registry
        replica.close()


def run(registry, here, task):
    registry.add_task(task)
    return Worker(api.ends(here.path)).run_task(task.name)


def test_a_task_pulls_and_pushes_one_table(sides):
    here, there, registry = sides
    assert registry.peer("relief").identifier.startswith("urn:uuid:")
    there.add("health")
    here.add("shelter")
    done = run(registry, here, Task("sectors", "relief", "org_sector"))
    assert done.result.value == "success", done.message
    assert here.names() == there.names() == ["health", "shelter"]
    again = Worker(api.ends(here.path)).run_task("sectors")
    assert again.result.value == "success", "a run that has nothing to send is no warning"
    said = [item.entry for item in LogTable(registry.ledger).entries(peer="relief", run=again.name)]
    assert ("warning", "No data to send") in {(entry.result.value, entry.message) for entry in said}
    entries = LogTable(registry.ledger).entries(peer="relief", run=done.name)
    assert {(item.entry.mode, item.task) for item in entries} == {
        ("pull", "sectors"),
        ("push", "sectors"),
        ("run", "sectors"),
    }


def test_a_filter_of_the_task_is_asked_of_the_peer(sides):
    here, there, registry = sides
    there.add("health", 1)
    there.add("shelter", 5)
    task = Task("sectors", "relief", "org_sector", Mode.PULL, filters={"org_sector": "rank gt 3 and name like 'sh%'"})
    assert run(registry, here, task).result.value == "success"
    assert here.names() == ["shelter"]
    registry.change_task(replace(task, filters={}))
    Worker(api.ends(here.path)).run_task("sectors")
    assert here.names() == ["health", "shelter"]


@pytest.mark.parametrize(
    ("task", "message"),
    (
        (Task("t", "relief", "*"), "names no table"),
        (Task("t", "relief", "org_sektor"), "the table org_sektor, which is not here"),
        (Task("t", "relief", "org_sector", filters={"org_sector": "rank gt 3 or rank lt 1"}), "cannot be"),
        (Task("t", "relief", "org_sector", filters={"org_sector": "rank + 1 gt 3"}), "cannot be"),
        (Task("t", "relief", "org_sector", policy=Policy(conflict=FieldPolicy(Resolution.ASK))), "ask"),
        (Task("t", "relief", "org_sector", policy=Policy(conflict=BY_FIELD)), "for all fields"),
    ),
)
def test_what_eden_cannot_say_is_fatal_and_asks_for_nothing(sides, task, message):
    here, there, registry = sides
    there.add("health")
    done = run(registry, here, task)
    assert done.result.value == "fatal"
    assert message in done.message
    assert here.names() == []


def test_a_peer_that_is_away_may_work_later(tmp_path, monkeypatch):
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())
    here = Side(tmp_path / "here.db")
    with api.open(here.path) as opened:
        registry = Registry(opened.ledger)
        registry.add_peer(Peer("relief", "eden+http://127.0.0.1:1/eden"))
        done = run(registry, here, Task("sectors", "relief", "org_sector"))
    assert done.result.value == "error"


def test_data_sets_of_a_peer_are_pulled_without_a_registration(tmp_path, monkeypatch):
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())
    here, there = Side(tmp_path / "here.db"), Side(tmp_path / "there.db")
    there.add("shelter")
    there.add("health")
    with api.open(there.path) as opened:
        store = eden_store(opened.replica)
        store.peers.save_dataset(Dataset("urn:uuid:ds", "relief", "Relief"))
        hosted = parse_filter_string("org_sector", "org_sector", "~.name__like=s*")
        store.save_task(Hosted("urn:uuid:t", None, "org_sector", filters=hosted, dataset="urn:uuid:ds"))
    with running(there.path, providers=[eden("/eden")]) as address, api.open(here.path) as opened:
        registry = Registry(opened.ledger)
        registry.add_peer(Peer("relief", f"eden+{address}eden", datasets=("relief",)))
        done = run(registry, here, Task("data", "relief", "*"))
        assert done.result.value == "success", done.message
        assert here.names() == ["shelter"]
        again = Worker(api.ends(here.path)).run_task("data")
        assert again.result.value == "success", again.message


def test_the_guard_of_a_task_holds_deletions_back_until_it_is_told(sides):
    here, there, registry = sides
    there.add("health")
    there.add("shelter")
    run(registry, here, Task("sectors", "relief", "org_sector"))
    there.execute("DELETE FROM org_sector")
    held = Worker(api.ends(here.path)).run_task("sectors")
    assert (held.result.value, "held back 2 deletions of org_sector" in held.message) == ("warning", True)
    assert here.names() == ["health", "shelter"]
    registry.change_task(replace(registry.task("sectors"), allowed=-1))
    Worker(api.ends(here.path)).run_task("sectors")
    assert here.names() == []


def test_everything_is_asked_for_again_as_often_as_the_task_says(sides):
    here, there, registry = sides
    there.add("health")
    task = Task("sectors", "relief", "org_sector", Mode.PULL, full_every=timedelta(hours=1))
    run(registry, here, task)
    first = registry.progress("sectors").full
    assert first is not None
    Worker(api.ends(here.path)).run_task("sectors")
    assert registry.progress("sectors").full == first
