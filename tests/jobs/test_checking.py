"""A task that names what is not there is refused, or said, when it is entered."""

from datetime import timedelta

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


def deciding_update(field):
    return Policy(update=FieldPolicy(Resolution.NEWER, {field: Resolution.THIS}))


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


EDEN = Peer("relief", "eden+https://relief.example.org/eden")
SETS = Peer("sets", "eden+https://relief.example.org/eden", datasets=("roads",))
BY_FIELD = FieldPolicy(Resolution.THIS, {"name": Resolution.OTHER})


@pytest.fixture
def organisations(ledger):
    ledger.engine.execute("CREATE TABLE org_sector (id INTEGER PRIMARY KEY, name TEXT, rank INTEGER)")
    with ledger.write():
        track(ledger, ["org_sector"])
    return ledger


@pytest.mark.parametrize(
    "task",
    (
        Task("t", "relief", "org_sector"),
        Task("t", "relief", "org_sector", filters={"org_sector": "rank gt 3 and modified_on lt '2026-01-01'"}),
        Task("t", "relief", "org_sector", filters={"org_office": "city eq 'X'"}),
        Task("t", "relief", "org_sector", policy=Policy(update=BY_FIELD)),
    ),
)
def test_what_an_eden_site_can_be_asked_is_taken(organisations, task):
    assert check_task(organisations, task, EDEN) == ""


@pytest.mark.parametrize(
    ("task", "error", "message"),
    (
        (Task("t", "relief", "*"), UsageError, "names no table"),
        (Task("t", "relief", "org_sektor"), UsageError, "org_sektor, which is not here"),
        (Task("t", "relief", "org_sector", filters={"org_sector": "rank gt 3 or rank lt 1"}), FilterError, "cannot be"),
        (Task("t", "relief", "org_sector", filters={"org_sector": "rank + 1 gt 3"}), FilterError, "cannot be"),
        (Task("t", "relief", "org_sector", filters={"org_sector": "rang gt 3"}), UnknownField, "'rang'"),
        (Task("t", "relief", "org_sector", policy=Policy(conflict=FieldPolicy(Resolution.ASK))), UsageError, "ask"),
        (Task("t", "relief", "org_sector", policy=Policy(conflict=BY_FIELD)), UsageError, "for all fields"),
        (Task("t", "relief", "org_sector", policy=deciding_update("nam")), UnknownField, "'nam'"),
    ),
)
def test_what_an_eden_site_cannot_be_asked_is_refused_with_the_way_out(organisations, task, error, message):
    with pytest.raises(error, match=message) as found:
        check_task(organisations, task, EDEN)
    assert found.value.hint


@pytest.mark.parametrize(
    ("task", "message"),
    (
        (Task("t", "sets", "*", Mode.PUSH), "only pulled"),
        (Task("t", "sets", "*", policy=Policy(conflict=FieldPolicy(Resolution.THIS))), "of their own"),
        (Task("t", "sets", "*", filters={"org_sector": "rank gt 1"}), "of their own"),
    ),
)
def test_data_sets_decide_themselves(organisations, task, message):
    assert check_task(organisations, Task("t", "sets", "*", Mode.PULL), SETS) == ""
    with pytest.raises(UsageError, match=message):
        check_task(organisations, task, SETS)


def test_policies_of_sdata_tasks_are_refused(ledger):
    peer = Peer("erp", "sdata+https://erp.example.org/sdata/erp/crm/-")
    assert check_task(ledger, Task("t", "erp", "accounts"), peer) == ""
    with pytest.raises(UsageError, match="mean nothing between SData ends"):
        check_task(ledger, Task("t", "erp", "accounts", policy=deciding("note")), peer)


@pytest.mark.parametrize(
    "url", ("https://hub.example.org/", "files+dir:/stick", "sdata+https://erp.example.org/sdata/e/c/-")
)
def test_what_only_eden_sites_know_is_refused_for_others(ledger, url):
    for task in (Task("t", "x", "orders", components=False), Task("t", "x", "orders", full_every=timedelta(days=1))):
        with pytest.raises(UsageError, match="about Eden sites, and x is none"):
            check_task(ledger, task, Peer("x", url))
