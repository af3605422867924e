"""What every adapter must do: the same six methods, the same results (spec/eden.md, section 4).

A protocol inherits ``AdapterContract`` and gives a ``meeting`` fixture. Where its specification asks for something
else, an attribute of the class says so; everything else is the same for all.
"""

from __future__ import annotations

import io
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tallystick import api
from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.jobs.execution import adapter_for
from tallystick.jobs.registry import Registry
from tallystick.jobs.tasks import Peer, Task
from tallystick.sync.replica import Wanted

PEOPLE = "CREATE TABLE pr_people (id TEXT PRIMARY KEY, name TEXT, age INTEGER)"
ANN = "INSERT INTO pr_people VALUES ('a', 'Ann', 30)"
BOB = "INSERT INTO pr_people VALUES ('b', 'Bob', 4)"
CAT = "INSERT INTO pr_people VALUES ('c', 'Cat', 9)"


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
        found = connection.execute("SELECT id, name, age FROM pr_people ORDER BY id").fetchall()
        connection.close()
        return found

    def track(self):
        self.replica.prepare(Wanted([], ["pr_people"], False))

    def connect(self, url, trust=()):
        ends = api.ends(self.path, trust=trust)
        self.replica = self.replica or ends.replica()
        registry = Registry(self.replica.ledger)
        if not registry.has_peer("peer"):
            registry.add_peer(Peer("peer", url))
        self.adapter = adapter_for(self.replica, registry.peer("peer"), ends, self.log.append)

    def peer(self):
        return Registry(self.replica.ledger).peer("peer")

    def close(self):
        if self.replica is not None:
            self.replica.close()


class Meeting:
    """Two sides that are connected through one protocol, before anything is synchronized."""

    resource = "pr_people"

    def __init__(self, tmp_path):
        self.here, self.there = Side(tmp_path / "here.db"), Side(tmp_path / "there.db")
        self.tmp_path = tmp_path
        self.open()

    def open(self):
        """Connect both sides."""
        raise NotImplementedError

    def carry(self):
        """What the other side must do between a push and a pull of ours; nothing where it answers by itself."""

    def introduced(self):
        """The passive sides know each other as registered peers, and what they hold is tracked."""
        for side, other in ((self.here, self.there), (self.there, self.here)):
            side.adapter.peer = replace(side.adapter.peer, identifier=other.replica.ledger.site)
            side.track()

    def unknown(self, side):
        """``side`` does not know the other one any more."""
        side.adapter.peer = replace(side.adapter.peer, identifier=None)

    def stranger(self):
        """A third side, that nobody knows."""
        made = Side(self.tmp_path / "stranger.db")
        made.execute(ANN)
        made.connect("http://127.0.0.1:1/")
        made.track()
        return made

    def hook(self, asked):
        """A hook that lets ours stand; what it is asked about is put into ``asked``."""

        def onconflict(conflict):
            names = [version.content["name"] for version in conflict.record.versions]
            asked.append((conflict.key[-1], sorted(names), conflict.shown[0].content["name"]))
            return Resolution.THIS

        return onconflict

    def task(self, **more):
        return Task("people", "peer", self.resource, **more)

    def close(self):
        self.here.close()
        self.there.close()


class AdapterContract:
    """The contract. Subclasses give ``meeting``."""

    decides = True
    """False where tasks have no policies and no hook: the protocol has rules of its own."""
    mixes = True
    """False where the protocol refuses mixed transmissions."""
    dates_old_rows = False
    """True where rows older than tracking have a time of change."""
    vouches = True
    """False where nothing in a document says from whom it is."""
    checks_words = True
    """False where unknown policies and filters are passed over, as the protocol wants it."""
    knows_tables = True
    """False where a table that is not here brings nothing and is no error."""

    # Active

    def test_registering_succeeds_and_is_logged_and_kept(self, meeting):
        assert meeting.here.adapter.register() is True
        (entry,) = meeting.here.log
        assert (entry.mode, entry.direction, entry.result.value) == ("register", "outgoing", "success")
        assert entry.repository == "peer"
        assert meeting.here.peer().identifier == meeting.here.adapter.peer.identifier is not None
        assert meeting.here.adapter.login() is None

    def test_pull_brings_what_is_new_and_tells_when_it_was_made(self, meeting):
        meeting.introduced()
        before = datetime.now(UTC) - timedelta(seconds=2)
        meeting.there.execute(ANN)
        meeting.carry()
        error, mtime = meeting.here.adapter.pull(meeting.task())
        assert error is None
        assert before <= mtime <= datetime.now(UTC)
        assert meeting.here.rows() == [("a", "Ann", 30)]
        assert [(one.mode, one.direction, one.repository, one.result.value) for one in meeting.here.log] == [
            ("pull", "outgoing", "peer", "success")
        ]

    def test_push_takes_there_what_is_new_here(self, meeting):
        meeting.introduced()
        meeting.here.execute(ANN)
        error, mtime = meeting.here.adapter.push(meeting.task())
        assert error is None
        assert mtime is not None
        meeting.carry()
        assert meeting.there.rows() == [("a", "Ann", 30)]
        assert [(one.mode, one.repository, one.result.value) for one in meeting.here.log] == [
            ("push", "peer", "success")
        ]

    def test_rows_older_than_tracking(self, meeting):
        meeting.here.execute(ANN)
        error, mtime = meeting.here.adapter.push(meeting.task())
        assert error is None
        assert (mtime is not None) == self.dates_old_rows

    def test_edits_and_deletions_go_both_ways(self, meeting):
        meeting.introduced()
        meeting.here.execute(ANN, BOB)
        self.settle(meeting)
        meeting.here.execute("UPDATE pr_people SET name='Anna' WHERE id='a'")
        meeting.there.execute("DELETE FROM pr_people WHERE id='b'")
        self.settle(meeting)
        assert meeting.here.rows() == meeting.there.rows() == [("a", "Anna", 30)]

    def test_what_was_pulled_is_not_pushed_back_and_nothing_new_is_quiet(self, meeting):
        meeting.there.execute(ANN)
        meeting.here.execute(BOB)
        self.settle(meeting)
        assert meeting.here.rows() == meeting.there.rows()
        assert meeting.here.adapter.pull(meeting.task()) == (None, None)
        assert meeting.here.adapter.push(meeting.task()) == (None, None)

    def settle(self, meeting):
        for _ in range(2):
            meeting.carry()
            assert meeting.here.adapter.pull(meeting.task())[0] is None
            assert meeting.here.adapter.push(meeting.task())[0] is None
        meeting.carry()

    def conflicting(self, meeting):
        meeting.introduced()
        meeting.here.execute(ANN)
        self.settle(meeting)
        meeting.here.execute("UPDATE pr_people SET name='here'")
        meeting.there.execute("UPDATE pr_people SET name='there'")
        meeting.carry()

    def test_the_hook_is_asked_about_conflicts_of_a_pull(self, meeting):
        if not self.decides:
            pytest.skip("the protocol decides by its own rules")
        self.conflicting(meeting)
        asked = []
        assert meeting.here.adapter.pull(meeting.task(), meeting.hook(asked))[0] is None
        assert asked == [("a", ["here", "there"], "here")]
        assert meeting.here.rows() == [("a", "here", 30)]
        self.settle(meeting)
        assert meeting.there.rows() == [("a", "here", 30)]

    @pytest.mark.parametrize(("word", "name"), (("this", "here"), ("other", "there")))
    def test_the_tasks_policy_is_written_from_this_side(self, meeting, word, name):
        if not self.decides:
            pytest.skip("the protocol decides by its own rules")
        self.conflicting(meeting)
        policy = FieldPolicy(Resolution(word))
        assert meeting.here.adapter.pull(meeting.task(policy=Policy(conflict=policy)))[0] is None
        assert meeting.here.rows() == [("a", name, 30)]

    def test_an_unknown_resource_is_no_exception(self, meeting):
        error, mtime = meeting.here.adapter.pull(Task("none", "peer", "no_such"))
        assert mtime is None
        assert (error is not None) == self.knows_tables
        if error is not None:
            assert "nosuch" in error.replace("_", "")
            assert meeting.here.log[-1].result.value == "fatal"

    # Passive

    @pytest.fixture
    def passive(self, meeting):
        """A meeting whose sides answer each other."""
        meeting.introduced()
        meeting.here.log.clear()
        return meeting

    def received(self, meeting, sent, **more):
        return meeting.here.adapter.receive([io.BytesIO(sent["response"])], "pr_people", **more)

    def test_what_one_side_sends_the_other_receives_once(self, passive):
        passive.there.execute(ANN, BOB)
        sent = passive.there.adapter.send("pr_people")
        assert (sent["status"], sent["remote"], sent["message"]) == ("success", False, None)
        for _ in range(2):
            taken = self.received(passive, sent)
            assert taken["status"] == "success"
            assert passive.here.rows() == passive.there.rows()
        entries = [(one.mode, one.direction, one.repository) for one in passive.here.log]
        assert entries == [("push", "incoming", "peer")] * 2

    @pytest.mark.parametrize("pretty", (False, True))
    def test_an_extract_is_what_was_asked_for(self, passive, pretty):
        passive.there.execute(ANN, BOB, CAT)
        filters = {"~": {"~.age__lt": "20"}}
        sent = passive.there.adapter.send("pr_people", start=1, limit=1, filters=filters, pretty_print=pretty)
        self.received(passive, sent)
        assert len(passive.here.rows()) == 1
        assert passive.here.rows()[0][0] in ("b", "c")

    def test_msince_is_at_or_after_and_a_wrong_one_is_refused(self, passive):
        passive.there.execute(ANN)
        moment = datetime.now(UTC)
        early, late = (moment + timedelta(hours=hours) for hours in (-1, 1))
        for since in (early, early.strftime("%Y-%m-%dT%H:%M:%S")):
            self.received(passive, passive.there.adapter.send("pr_people", msince=since))
            assert len(passive.here.rows()) == 1
        if not passive.there.adapter.send("pr_people", msince=late)["response"].count(b"Ann"):
            assert self.checks_words  # Eden: a time that we never gave gets everything
        refused = passive.there.adapter.send("pr_people", msince="yesterday")
        assert (refused["status"], refused["remote"]) == ("error", True)

    def test_a_table_that_is_not_there_is_an_error_of_the_peer(self, passive):
        answer = passive.there.adapter.send("no_such_table")
        assert (answer["status"], answer["remote"]) == ("error", True)
        assert "no_such_table" in answer["message"]
        assert b"fail" in answer["response"]

    @pytest.mark.parametrize(
        ("filters", "message"),
        (
            ({"~": {"~.size": "1"}}, "no field 'size'"),
            ({"~": {"~.age__about": "1"}}, "no operator"),
            ({"else": {"~.age": "1"}}, "not asked for"),
        ),
    )
    def test_a_filter_that_means_nothing_is_said_to_the_peer(self, passive, filters, message):
        if not self.checks_words:
            pytest.skip("the protocol passes over what it does not know")
        answer = passive.there.adapter.send("pr_people", filters=filters)
        assert (answer["status"], answer["remote"]) == ("error", True)
        assert message in answer["message"]

    def test_mixed(self, passive):
        passive.there.execute(ANN)
        sent = passive.there.adapter.send("", mixed=True)
        taken = passive.here.adapter.receive([io.BytesIO(sent["response"])], "", mixed=True)
        if self.mixes:
            assert (sent["status"], taken["status"]) == ("success", "success")
            assert passive.here.rows() == passive.there.rows()
        else:
            assert (sent["status"], taken["status"]) == ("error", "error")
            assert "not supported" in sent["message"]

    def test_nothing_is_received_from_a_peer_that_is_not_registered(self, passive):
        passive.there.execute(ANN)
        sent = passive.there.adapter.send("pr_people")
        passive.unknown(passive.here)
        answer = self.received(passive, sent)
        assert answer["status"] in ("error", "fatal")
        assert answer["remote"] is True
        assert passive.here.rows() == []

    def test_a_document_that_is_none_changes_nothing(self, passive):
        passive.there.execute(ANN)
        sent = passive.there.adapter.send("pr_people")["response"]
        for raw in (b"", b"{}", sent[: len(sent) // 2], sent[:-3], b"x" + sent, b"{}\n" + sent):
            answer = passive.here.adapter.receive([io.BytesIO(sent), io.BytesIO(raw)], "pr_people")
            assert answer["status"] in ("error", "fatal")
            assert answer["remote"] is True
        assert passive.here.rows() == []

    def test_a_document_of_somebody_else_is_refused(self, passive):
        if not self.vouches:
            pytest.skip("nothing in a document of this protocol says from whom it is")
        stranger = passive.stranger()
        answer = self.received(passive, stranger.adapter.send("pr_people"))
        stranger.close()
        assert answer["status"] == "error"
        assert passive.here.rows() == []

    @pytest.mark.parametrize("method", ("create", "update"))
    def test_this_sides_strategy_holds_for_what_is_received(self, passive, method):
        passive.there.execute(ANN)
        sent = passive.there.adapter.send("pr_people")
        taken = self.received(passive, sent, strategy=[method])
        assert taken["status"] in ("success", "warning")
        assert len(passive.here.rows()) == (method == "create")

    def test_a_policy_that_is_none_is_refused(self, passive):
        if not self.checks_words:
            pytest.skip("the protocol takes unknown policies for THIS")
        passive.there.execute(ANN)
        sent = passive.there.adapter.send("pr_people")
        assert self.received(passive, sent, update_policy="SOMETIMES")["status"] == "fatal"
        assert passive.here.rows() == []
