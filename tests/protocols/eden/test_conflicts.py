"""What hooks are shown of conflicts that times detected, and what their rulings mean."""

from datetime import UTC, datetime

import pytest

from tallystick.core.policies import FieldPolicy, Method, Policy, Resolution
from tallystick.errors import UsageError
from tallystick.protocols.eden.codec.elements import Resource
from tallystick.protocols.eden.codec.schema import Field, table
from tallystick.protocols.eden.conflicts import conflict_of, ruled
from tallystick.protocols.eden.deciding import Outcome, Policies, Side, decide
from tallystick.protocols.eden.items import Item
from tallystick.protocols.eden.store import Stored, Target

EARLY, LATE = datetime(2026, 11, 20, 8, tzinfo=UTC), datetime(2026, 11, 20, 9, tzinfo=UTC)
TASK = Policies(conflict=Resolution.THIS, last_sync=EARLY)
ORG = table("org_organisation", [Field("name")])


def item(**more):
    parent = Target("org_organisation", "urn:uuid:p")
    local = Stored("org_organisation", "urn:uuid:a", 1, {"name": "mine", "parent_id": parent, "year": None})
    local.modified_on = EARLY
    found = Item(Resource("org_organisation", {}), ORG, "urn:uuid:a", TASK, local=local, **more)
    found.values, found.modified_on = {"name": "theirs"}, LATE
    return found


def test_a_conflict_shows_both_sides_as_versions():
    conflict = conflict_of(item(), "here", "there")
    ours, theirs = conflict.record.versions
    assert (conflict.resource, conflict.key, conflict.shown) == ("org_organisation", "urn:uuid:a", (ours,))
    assert (ours.origin, ours.content) == ("here", {"name": "mine", "parent_id": "urn:uuid:p"})
    assert (theirs.origin, theirs.content) == ("there", {"name": "theirs"})
    assert ours.stamp < theirs.stamp
    assert conflict.record.contested


def test_a_deletion_is_a_version_without_content():
    _, theirs = conflict_of(item(deleted=True), "here", "there").record.versions
    assert (theirs.deleted, theirs.content) == (True, None)


@pytest.mark.parametrize(
    ("ruling", "outcome"),
    (
        (None, Outcome.KEPT),
        (Resolution.THIS, Outcome.KEPT),
        (Resolution.OTHER, Outcome.TAKEN),
        (Resolution.NEWER, Outcome.TAKEN),
        (Resolution.MERGE, Outcome.TAKEN),
        (Resolution.MASTER, Outcome.KEPT),
        (Policy(conflict=FieldPolicy(Resolution.THIS, {"name": Resolution.OTHER})), Outcome.TAKEN),
        (Policy(conflict=FieldPolicy(Resolution.THIS)), Outcome.KEPT),
        (Policy(frozenset({Method.CREATE}), conflict=FieldPolicy(Resolution.OTHER)), Outcome.REJECTED),
    ),
)
def test_a_ruling_decides_the_record(ruling, outcome):
    ours, theirs = Side(EARLY, 0), Side(LATE, 1)
    assert decide(Method.UPDATE, ours, theirs, ruled(TASK, ruling)).outcome is outcome


def test_what_is_ruled_for_the_other_is_taken_though_it_is_older():
    decision = decide(Method.UPDATE, Side(LATE, 0), Side(EARLY, 1), ruled(TASK, Resolution.OTHER))
    assert decision.outcome is Outcome.TAKEN


@pytest.mark.parametrize("word", (Resolution.ASK, Resolution.KEEP_BOTH))
def test_what_eden_does_not_know_is_refused(word):
    with pytest.raises(UsageError, match=str(word)):
        ruled(TASK, word)
