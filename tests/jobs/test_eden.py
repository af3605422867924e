"""The six methods over Eden (spec/eden.md: section 4), passive ones called directly."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from tallystick.core.policies import Resolution
from tallystick.jobs.adapter import Adapter
from tallystick.jobs.eden import EdenAdapter
from tallystick.jobs.running import Finished, run_peer
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.store import LogEntry, Mode, Repository, Result, Stored, Task

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
ORG = "org_organisation"
A = "urn:uuid:a"
ONE = f'<s3xml><resource name="{ORG}" uuid="{A}" modified_on="{{}}"><data field="name">{{}}</data></resource></s3xml>'


def source(name="One", modified="2026-11-20T08:00:00"):
    return [io.BytesIO(ONE.format(modified, name).encode())]


def put(store, uuid, name, moment=NOW):
    return store.put(Stored(ORG, uuid, 0, {"name": name}, created_on=moment, modified_on=moment))


def test_it_is_an_adapter(adapter):
    face: Adapter[Task] = adapter
    assert (face.login(), face.register()) == (None, True)


def test_send_answers_a_pull(adapter, store):
    put(store, A, "One")
    answer = adapter.send(ORG)
    assert {name: answer[name] for name in ("status", "remote", "message")} == {
        "status": "success",
        "remote": False,
        "message": None,
    }
    assert read_xml(answer["response"]).resources[0].uuid == A


@pytest.mark.parametrize(
    ("more", "uuids"),
    (
        ({"start": 1, "limit": 1}, ["urn:uuid:1"]),
        ({"msince": NOW + timedelta(seconds=2)}, ["urn:uuid:2"]),
        ({"msince": "2026-11-20T08:00:02"}, ["urn:uuid:2"]),
        ({"filters": {"~": {"~.name": "1"}}}, ["urn:uuid:1"]),
        ({"filters": {ORG: {"organisation.name__like": "*"}}}, ["urn:uuid:0", "urn:uuid:1", "urn:uuid:2"]),
    ),
)
def test_send_selects(adapter, store, more, uuids):
    adapter.clock = lambda: NOW + timedelta(hours=1)
    for number in range(3):
        put(store, f"urn:uuid:{number}", str(number), NOW + timedelta(seconds=number))
    assert [one.uuid for one in read_xml(adapter.send(ORG, **more)["response"]).resources] == uuids


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"resource": ORG, "mixed": True}, "Mixed resource synchronization not supported"),
        ({"resource": ""}, "Mixed resource synchronization not supported"),
        ({"resource": "foo_bar"}, "No such resource: foo_bar"),
    ),
)
def test_what_cannot_be_answered_is_an_error_of_the_peer(adapter, arguments, message):
    for answer in (adapter.send(**arguments), adapter.receive(source(), **arguments)):
        assert (answer["status"], answer["remote"], answer["message"]) == ("error", True, message)
        assert json.loads(answer["response"])["status"] == "failed"


def test_a_malformed_msince_is_an_error(adapter):
    assert adapter.send(ORG, msince="2026-11-20")["status"] == "error"


def test_readable_output_means_the_same(adapter, store):
    put(store, A, "One")
    plain, pretty = adapter.send(ORG)["response"], adapter.send(ORG, pretty_print=True)["response"]
    assert pretty.count(b"\n") > plain.count(b"\n")
    assert read_xml(pretty).resources[0].data == read_xml(plain).resources[0].data


def test_receive_takes_several_documents(adapter, store):
    answer = adapter.receive([*source(), io.BytesIO(ONE.replace(A, "urn:uuid:b").format("", "Two").encode())], ORG)
    assert (answer["status"], answer["remote"]) == ("success", False)
    assert json.loads(answer["response"])["created"] == [1, 2]
    assert len(store.records[ORG]) == 2


@pytest.mark.parametrize(
    ("policies", "name"),
    (
        ({}, "mine"),
        ({"update_policy": "OTHER"}, "theirs"),
        ({"update_policy": "THIS"}, "mine"),
        ({"update_policy": {"name": "OTHER", "__default__": "THIS"}}, "theirs"),
        ({"update_policy": "OTHER", "conflict_policy": "THIS", "last_sync": NOW - timedelta(days=2)}, "mine"),
        ({"update_policy": "OTHER", "strategy": ["create"]}, "mine"),
    ),
)
def test_receive_follows_the_policies_of_this_side(adapter, store, policies, name):
    put(store, A, "mine")
    adapter.receive(source("theirs", "2026-11-19T08:00:00"), ORG, **policies)
    assert store.records[ORG][A].values["name"] == name


def test_a_callback_decides_conflicts(adapter, store):
    put(store, A, "mine")
    seen = []

    def accept(conflict):
        seen.append(conflict.shown[0].content["name"])
        return Resolution.OTHER

    adapter.receive(source("theirs"), ORG, conflict_policy="THIS", last_sync=NOW - timedelta(1), onconflict=accept)
    assert (seen, store.records[ORG][A].values["name"]) == (["mine"], "theirs")


def test_rejections_are_a_warning_of_the_peer(adapter):
    answer = adapter.receive([io.BytesIO(f'<s3xml><resource name="{ORG}"/></s3xml>'.encode())], ORG)
    assert (answer["status"], answer["remote"]) == ("warning", True)
    assert "name: value(s) required" in answer["message"]


@pytest.mark.parametrize("body", (b"<s3xml", b"", b"<!DOCTYPE s3xml><s3xml/>", b"<s3xml>" + b"<x>" * 300))
def test_what_is_no_document_is_an_error_of_the_peer(adapter, body):
    answer = adapter.receive([io.BytesIO(body)], ORG)
    assert (answer["status"], answer["remote"]) == ("error", True)


def test_an_unknown_repository_may_not_push(store):
    adapter = EdenAdapter(Repository("NOBODY", "nobody"), store)
    assert json.loads(adapter.receive(source(), ORG)["response"])["statuscode"] == "403"


# The order of a run (section 3) ----------------------------------------------------------------------------------


class Recorder:
    """An adapter that notes what is asked of it."""

    def __init__(self, **errors):
        self.calls, self.errors = [], errors

    def refresh(self):
        self.calls.append("refresh")
        return self.errors.get("refresh")

    def login(self):
        self.calls.append("login")
        return self.errors.get("login")

    def pull(self, task, onconflict=None):
        self.calls.append(f"pull {task.resource}")
        return self.errors.get(f"pull {task.resource}"), NOW

    def push(self, task):
        self.calls.append(f"push {task.resource}")
        return self.errors.get(f"push {task.resource}"), NOW


def tasks():
    modes = (("a", Mode.BOTH), ("b", Mode.PULL), ("c", Mode.PUSH), ("d", Mode.NONE))
    return [Task(f"urn:uuid:{name}", "PEER", name, mode) for name, mode in modes]


def run(adapter, address="http://peer"):
    entries: list[LogEntry] = []
    done = run_peer(adapter, tasks, lambda task: task, entries.append, lambda: NOW, address=address, name="PEER")
    return done, entries


def test_each_task_pulls_and_then_pushes_as_its_mode_says():
    adapter = Recorder()
    done, entries = run(adapter)
    assert adapter.calls == ["refresh", "login", "pull a", "push a", "pull b", "push c"]
    assert [one.failed for one in done] == [False] * 4
    assert entries == []


def test_an_error_in_a_pull_skips_the_push_of_that_task_only():
    adapter = Recorder(**{"pull a": "down"})
    done, _ = run(adapter)
    assert adapter.calls == ["refresh", "login", "pull a", "pull b", "push c"]
    assert done[0] == Finished(tasks()[0], pull_error="down")


@pytest.mark.parametrize("step", ("refresh", "login"))
def test_a_failed_beginning_ends_the_run_with_a_fatal_entry(step):
    adapter = Recorder(**{step: "no"})
    done, (entry,) = run(adapter)
    assert (done, entry.result, entry.message, entry.action) == ([], Result.FATAL, "no", step)
    assert not any(call.startswith("pull") for call in adapter.calls)


def test_a_peer_without_an_address_is_fatal():
    adapter = Recorder()
    done, (entry,) = run(adapter, address=None)
    assert (done, adapter.calls, entry.result) == ([], [], Result.FATAL)
