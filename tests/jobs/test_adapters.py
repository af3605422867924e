"""One contract for every protocol: the same six methods, the same results (spec/eden.md, section 4)."""

from __future__ import annotations

import base64
import io
import json
import secrets
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tallystick import api
from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.jobs.execution import adapter_for
from tallystick.jobs.registry import Registry
from tallystick.jobs.tasks import Peer, Task
from tallystick.protocols.bundle.codec.signing import fingerprint
from tallystick.sync.plan import Plan
from tallystick.web import running

PEOPLE = "CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, age INTEGER)"


class Side:
    """A database, its site, and an adapter for the other side."""

    def __init__(self, path):
        self.path = path
        self.execute(PEOPLE)
        self.log = []
        self.replica = None
        self.adapter = None

    def execute(self, *statements):
        connection = sqlite3.connect(self.path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def rows(self):
        connection = sqlite3.connect(self.path)
        found = connection.execute("SELECT id, name, age FROM people ORDER BY id").fetchall()
        connection.close()
        return found

    def connect(self, url, trust=()):
        ends = api.ends(self.path, trust=trust)
        self.replica = self.replica or ends.replica()
        registry = Registry(self.replica.ledger)
        if not registry.has_peer("peer"):
            registry.add_peer(Peer("peer", url))
        self.adapter = adapter_for(self.replica, registry.peer("peer"), ends, self.log.append)

    def close(self):
        if self.replica is not None:
            self.replica.close()


class Meeting:
    """Two sides that are connected through one protocol. ``carry`` does what the other side must do for a pull."""

    def __init__(self, tmp_path, protocol):
        self.here, self.there = Side(tmp_path / "here.db"), Side(tmp_path / "there.db")
        self.protocol, self.tmp_path = protocol, tmp_path
        self.server = None
        self.stick = tmp_path / "stick"

    def open(self):
        if self.protocol == "database":
            self.here.connect(str(self.there.path))
            self.there.connect(str(self.here.path))
        elif self.protocol == "native":
            with api.open(self.there.path) as site:
                site.track()
            self.server = running(str(self.there.path))
            self.here.connect(self.server.__enter__())
            self.there.connect("http://127.0.0.1:1/")
        else:
            self._open_bundles()
        return self

    def _open_bundles(self):
        self.stick.mkdir()
        prints = []
        for side in (self.here, self.there):
            side.connect(f"files+dir:{self.stick}")
            prints.append(fingerprint(side.adapter.language.key.public))
        for side in (self.here, self.there):
            side.connect(f"files+dir:{self.stick}", prints)
            side.adapter.register()
        for side in (self.here, self.there, self.here):
            assert side.adapter.register()
            side.log.clear()

    def carry(self):
        if self.protocol == "bundle":
            api.logged_agree(self.there.replica, self.there.adapter.ends.connect(self.there.adapter.peer, None), Plan())

    def introduced(self):
        """The passive sides know each other as registered peers."""
        for side, other in ((self.here, self.there), (self.there, self.here)):
            if self.protocol != "bundle":
                side.adapter.peer = replace(side.adapter.peer, identifier=other.replica.ledger.site)
            side.replica.prepare(api_wanted())
        return self

    def close(self):
        self.here.close()
        self.there.close()
        if self.server is not None:
            self.server.__exit__(None, None, None)


def api_wanted():
    from tallystick.sync.replica import Wanted

    return Wanted([], ["people"], False)


@pytest.fixture(params=("native", "database", "bundle"))
def meeting(request, tmp_path, monkeypatch):
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())
    made = Meeting(tmp_path, request.param).open()
    yield made
    made.close()


TASK = Task("people", "peer", "people")
ANN = "INSERT INTO people VALUES ('a', 'Ann', 30)"
BOB = "INSERT INTO people VALUES ('b', 'Bob', 4)"


def test_registering_succeeds_and_is_logged(meeting):
    assert meeting.here.adapter.register() is True
    (entry,) = meeting.here.log
    assert (entry.mode, entry.direction, entry.result.value) == ("register", "outgoing", "success")
    kept = Registry(meeting.here.replica.ledger).peer("peer")
    assert kept.identifier == meeting.here.adapter.peer.identifier is not None
    assert meeting.here.adapter.login() is None


def test_pull_brings_what_is_new_and_tells_when_it_was_made(meeting):
    meeting.introduced()
    before = datetime.now(UTC) - timedelta(seconds=2)
    meeting.there.execute(ANN)
    meeting.carry()
    error, mtime = meeting.here.adapter.pull(TASK)
    assert error is None
    assert before <= mtime <= datetime.now(UTC)
    assert meeting.here.rows() == [("a", "Ann", 30)]
    assert [(entry.mode, entry.result.value) for entry in meeting.here.log] == [("pull", "success")]


def test_rows_older_than_tracking_have_no_time(meeting):
    meeting.here.execute(ANN)
    assert meeting.here.adapter.push(TASK) == (None, None)


def test_push_takes_there_what_is_new_here(meeting):
    meeting.introduced()
    meeting.here.execute(ANN)
    error, mtime = meeting.here.adapter.push(TASK)
    assert error is None
    assert mtime is not None
    meeting.carry()
    assert meeting.there.rows() == [("a", "Ann", 30)]
    assert [(entry.mode, entry.result.value) for entry in meeting.here.log] == [("push", "success")]


def test_what_was_pulled_is_not_pushed_back_and_nothing_new_is_quiet(meeting):
    meeting.there.execute(ANN)
    meeting.here.execute(BOB)
    for _ in range(2):
        meeting.carry()
        meeting.here.adapter.pull(TASK)
        meeting.here.adapter.push(TASK)
    meeting.carry()
    assert meeting.here.rows() == meeting.there.rows()
    assert meeting.here.adapter.pull(TASK) == (None, None)
    assert meeting.here.adapter.push(TASK) == (None, None)


def test_the_hook_is_asked_about_conflicts_of_a_pull(meeting):
    meeting.here.execute(ANN)
    meeting.here.adapter.push(TASK)
    meeting.carry()
    meeting.here.adapter.pull(TASK)
    meeting.here.execute("UPDATE people SET name='here'")
    meeting.there.execute("UPDATE people SET name='there'")
    meeting.carry()
    asked = []

    def hook(conflict):
        asked.append(conflict.key)
        return Resolution.THIS

    assert meeting.here.adapter.pull(TASK, hook)[0] is None
    assert asked == ["a"]
    assert meeting.here.rows() == [("a", "here", 30)]


def test_the_tasks_policy_is_written_from_this_side(meeting):
    meeting.here.execute(ANN)
    meeting.here.adapter.push(TASK)
    meeting.carry()
    meeting.here.adapter.pull(TASK)
    meeting.there.execute("UPDATE people SET name='there'")
    meeting.here.execute("UPDATE people SET name='here'")
    meeting.carry()
    other = Task("people", "peer", "people", policy=Policy(conflict=FieldPolicy(Resolution.OTHER)))
    assert meeting.here.adapter.pull(other)[0] is None
    assert meeting.here.rows() == [("a", "there", 30)]


def test_an_unknown_resource_is_an_error_and_not_an_exception(meeting):
    error, mtime = meeting.here.adapter.pull(Task("none", "peer", "no_such_table"))
    if meeting.protocol == "bundle":  # nobody can be asked: nothing was left under that name
        assert (error, mtime) == (None, None)
    else:
        assert "no_such_table" in error
        assert meeting.here.log[-1].result.value == "fatal"


# Passive


def test_what_one_side_sends_the_other_receives(meeting):
    meeting.introduced()
    meeting.there.execute(ANN, BOB)
    sent = meeting.there.adapter.send("people")
    assert (sent["status"], sent["remote"], sent["message"]) == ("success", False, None)
    taken = meeting.here.adapter.receive([io.BytesIO(sent["response"])], "people")
    assert taken["status"] == "success"
    assert json.loads(taken["response"])["resources"]["people"]["created"] == 2
    assert meeting.here.rows() == meeting.there.rows()
    again = meeting.here.adapter.receive([io.BytesIO(sent["response"])], "people")
    assert json.loads(again["response"])["resources"]["people"]["created"] == 0
    entries = [(entry.mode, entry.direction) for entry in meeting.here.log]
    assert entries == [("push", "incoming")] * 2


@pytest.mark.parametrize("pretty", (False, True))
def test_an_extract_is_what_was_asked_for(meeting, pretty):
    meeting.introduced()
    meeting.there.execute(ANN, BOB, "INSERT INTO people VALUES ('c', 'Cat', 9)")
    filters = {"~": {"~.age__lt": "20"}}
    sent = meeting.there.adapter.send("people", start=1, limit=1, filters=filters, pretty_print=pretty)
    meeting.here.adapter.receive([io.BytesIO(sent["response"])], "people")
    assert len(meeting.here.rows()) == 1
    assert meeting.here.rows()[0][0] in ("b", "c")


def test_msince_is_at_or_after_and_a_wrong_one_is_refused(meeting):
    meeting.introduced()
    meeting.there.execute(ANN)
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    for since, count in ((later, 0), (datetime(2026, 1, 1, tzinfo=UTC), 1)):
        sent = meeting.there.adapter.send("people", msince=since)
        meeting.here.adapter.receive([io.BytesIO(sent["response"])], "people")
        assert len(meeting.here.rows()) == count
    refused = meeting.there.adapter.send("people", msince="yesterday")
    assert (refused["status"], refused["remote"]) == ("error", True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"resource": "no_such_table"}, "no_such_table"),
        ({"resource": "people", "filters": {"~": {"~.size": "1"}}}, "no field 'size'"),
        ({"resource": "people", "filters": {"~": {"~.age__about": "1"}}}, "no operator"),
        ({"resource": "people", "filters": {"else": {"~.age": "1"}}}, "not asked for"),
    ),
)
def test_what_cannot_be_sent_is_said_to_the_peer(meeting, arguments, message):
    meeting.introduced()
    answer = meeting.there.adapter.send(**arguments)
    assert (answer["status"], answer["remote"]) == ("error", True)
    assert message in answer["message"]
    assert json.loads(answer["response"])["status"] == "failed"


def test_mixed_is_everything(meeting):
    meeting.introduced()
    meeting.there.execute(ANN)
    sent = meeting.there.adapter.send("", mixed=True)
    assert meeting.here.adapter.receive([io.BytesIO(sent["response"])], "", mixed=True)["status"] == "success"
    assert meeting.here.rows() == meeting.there.rows()


def test_nothing_is_received_from_a_peer_that_is_not_registered(meeting):
    meeting.introduced()
    meeting.there.execute(ANN)
    sent = meeting.there.adapter.send("people")
    meeting.here.adapter.peer = replace(meeting.here.adapter.peer, identifier=None)
    answer = meeting.here.adapter.receive([io.BytesIO(sent["response"])], "people")
    assert (answer["status"], answer["remote"]) == ("fatal", True)
    assert meeting.here.rows() == []


def test_a_document_that_is_none_changes_nothing(meeting):
    meeting.introduced()
    meeting.there.execute(ANN)
    sent = meeting.there.adapter.send("people")["response"]
    for raw in (b"", b"{}", sent[: len(sent) // 2], sent[:-3], b"x" + sent, b"{}\n" + sent):
        answer = meeting.here.adapter.receive([io.BytesIO(sent), io.BytesIO(raw)], "people")
        assert answer["status"] in ("error", "fatal")
        assert answer["remote"] is True
    assert meeting.here.rows() == []


def test_a_document_of_somebody_else_is_refused(meeting, tmp_path):
    meeting.introduced()
    stranger = Side(tmp_path / "stranger.db")
    stranger.execute(ANN)
    url = f"files+dir:{meeting.stick}" if meeting.protocol == "bundle" else "http://127.0.0.1:1/"
    stranger.connect(url)
    stranger.replica.prepare(api_wanted())
    sent = stranger.adapter.send("people")
    answer = meeting.here.adapter.receive([io.BytesIO(sent["response"])], "people")
    stranger.close()
    assert answer["status"] == "error"
    assert meeting.here.rows() == []


def test_this_sides_strategy_and_policies_hold_for_what_is_received(meeting):
    meeting.introduced()
    meeting.there.execute(ANN)
    sent = meeting.there.adapter.send("people")
    refused = meeting.here.adapter.receive([io.BytesIO(sent["response"])], "people", strategy=["update"])
    assert meeting.here.rows() == []
    assert refused["status"] == "success"
    wrong = meeting.here.adapter.receive([io.BytesIO(sent["response"])], "people", update_policy="SOMETIMES")
    assert wrong["status"] == "fatal"
