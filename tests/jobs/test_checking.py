"""A task that names what is not there is refused, or said, when it is entered."""

import pytest

from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.errors import FilterError, UnknownField, UnknownResource, UsageError
from tallystick.jobs.checking import check_task
from tallystick.jobs.log import Mode
from tallystick.jobs.tasks import Peer, Task
from tallystick.site.capture import track
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.ledger import Ledger

HUB = Peer("hub", "https://hub.example.org/")


@pytest.fixture
def ledger(tmp_path):
    engine = SQLiteEngine(tmp_path / "a.db", create=True)
    engine.execute("CREATE TABLE Orders (id INTEGER PRIMARY KEY, total NUMERIC, note TEXT)")
    engine.execute("CREATE TABLE later (id INTEGER PRIMARY KEY)")
    ledger = Ledger.create(engine)
    with ledger.write():
        track(ledger, ["Orders"])
    yield ledger
    engine.close()


def deciding(field):
    return Policy(conflict=FieldPolicy(Resolution.NEWER, {field: Resolution.THIS}))


@pytest.mark.parametrize("resource", ("Orders", "orders", "later", "*"))
def test_what_is_here_is_taken_without_a_word(ledger, resource):
    assert check_task(ledger, Task("t", "hub", resource, Mode.PUSH), HUB) == ""


def test_a_table_that_is_not_here_may_come_from_the_peer_and_that_is_said(ledger):
    assert "no table 'oders' here" in check_task(ledger, Task("t", "hub", "oders", Mode.PULL), HUB)


def test_a_table_that_is_not_here_cannot_be_pushed(ledger):
    with pytest.raises(UnknownResource, match="no table 'oders'"):
        check_task(ledger, Task("t", "hub", "oders", Mode.PUSH), HUB)


def test_a_policy_for_a_field_that_is_not_there_is_refused(ledger):
    assert check_task(ledger, Task("t", "hub", "orders", policy=deciding("note")), HUB) == ""
    with pytest.raises(UnknownField, match="'note2'"):
        check_task(ledger, Task("t", "hub", "orders", policy=deciding("note2")), HUB)


def test_a_filter_is_about_the_fields_of_the_tasks_own_resource(ledger):
    assert check_task(ledger, Task("t", "hub", "orders", filters={"orders": "total gt 10"}), HUB) == ""
    with pytest.raises(FilterError, match="totl"):
        check_task(ledger, Task("t", "hub", "orders", filters={"orders": "totl gt 10"}), HUB)
    with pytest.raises(UsageError, match="'later'"):
        check_task(ledger, Task("t", "hub", "orders", filters={"later": "id gt 10"}), HUB)


def test_names_of_other_protocols_are_their_own(ledger):
    eden = Peer("eden", "eden+https://relief.example.org/eden")
    assert check_task(ledger, Task("t", "eden", "org_organisation", Mode.PUSH), eden) == ""
