"""What becomes of an incoming record: tables per strategy, update policy and conflict policy."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core import decide as rules
from tallystick.core.decide import Held, Kind, copy_key, copy_record, decide, lost_local_edits
from tallystick.core.join import edit, join
from tallystick.core.merge import changed_fields
from tallystick.core.policies import ALL_METHODS, DEFAULT_POLICY, FieldPolicy, Method, Policy, Resolution
from tallystick.core.values import mapping_hash
from tallystick.core.versions import DELETED, Record, Seen, created_record, genesis_record

BASE = {"name": "Ann", "phone": "1"}


def digest(content: dict[str, Any] | None) -> bytes:
    return DELETED if content is None else mapping_hash("k", content)


def base() -> Record:
    return created_record("here", 1, digest(BASE), 10, BASE)


def after(record: Record, site: str, stamp: int, content: dict[str, Any] | None, tick: int = 5) -> Record:
    """A later state: ``site`` wrote ``content`` over everything."""
    shown = record.versions[-1].content or {}
    changed = None if content is None else changed_fields(shown, content)
    return edit(record, (site, tick), stamp, digest(content), content, changed=changed)


def held(record: Record) -> Held:
    return Held(record, record.versions)


def policy(
    update: Resolution = Resolution.MERGE,
    conflict: Resolution = Resolution.NEWER,
    strategy: frozenset[Method] = ALL_METHODS,
    update_fields: dict[str, Resolution] | None = None,
) -> Policy:
    return Policy(strategy, FieldPolicy(update, update_fields or {}), FieldPolicy(conflict))


def take(ours: Record | None, theirs: Record, wanted: Policy = DEFAULT_POLICY, forgotten: dict[str, int] | None = None):
    before = None if ours is None else held(ours)
    known = {} if ours is None else ours.seen.vector
    return decide(before, theirs, wanted, known, forgotten or {})


NEW = after(base(), "there", 20, {**BASE, "name": "Bea"})
GONE = after(base(), "there", 20, None)


# Knowing


def test_what_is_known_changes_nothing():
    assert take(NEW, NEW).kind is Kind.UNCHANGED
    assert take(NEW, base()).kind is Kind.UNCHANGED
    assert take(NEW, base()).record == NEW


def test_a_known_content_under_another_name_is_only_knowledge():
    twin = created_record("there", 1, digest(BASE), 11, BASE)
    outcome = take(base(), twin)
    assert outcome.kind is Kind.UNITED
    assert len(outcome.record.versions) == 2
    assert not outcome.conflict


def test_a_tombstone_of_a_record_we_never_had_is_only_knowledge():
    assert take(None, GONE).kind is Kind.UNITED


def test_a_deletion_where_no_row_is_shown_is_only_knowledge():
    ours = after(base(), "here", 15, None)
    assert take(ours, after(base(), "there", 20, None)).kind is Kind.UNITED
    assert take(ours, after(ours, "there", 20, None)).kind is Kind.UNITED


# Updates: one content is left


@pytest.mark.parametrize(
    ("ours", "theirs", "kind", "method"),
    (
        (None, NEW, Kind.CREATED, Method.CREATE),
        (base(), NEW, Kind.UPDATED, Method.UPDATE),
        (base(), GONE, Kind.DELETED, Method.DELETE),
        (GONE, after(GONE, "there", 30, BASE, 6), Kind.CREATED, Method.CREATE),
    ),
)
def test_each_change_has_its_method_and_a_strategy_without_it_declines(ours, theirs, kind, method):
    taken = take(ours, theirs)
    assert (taken.kind, taken.method) == (kind, method)
    declined = take(ours, theirs, policy(strategy=ALL_METHODS - {method}))
    assert (declined.kind, declined.projection) == (Kind.DECLINED, None)
    assert declined.record == taken.record, "what is declined is held all the same"


@pytest.mark.parametrize(
    ("resolution", "stamp", "site", "taken"),
    (
        (Resolution.MERGE, 1, "there", True),
        (Resolution.OTHER, 1, "there", True),
        (Resolution.THIS, 99, "there", False),
        (Resolution.NEWER, 99, "there", True),
        (Resolution.NEWER, 1, "there", False),
        (Resolution.MASTER, 99, "there", False),
        (Resolution.MASTER, 99, "here", True),
    ),
)
@pytest.mark.parametrize("content", ({**BASE, "name": "Bea"}, None))
def test_the_update_policy_decides_on_changes_that_had_seen_ours(resolution, stamp, site, taken, content):
    theirs = after(base(), site, stamp, content)
    outcome = take(base(), theirs, policy(update=resolution))
    assert (outcome.kind is not Kind.DECLINED) is taken
    assert not outcome.conflict


def test_an_update_policy_does_not_keep_a_record_from_being_created():
    assert take(None, NEW, policy(update=Resolution.THIS)).kind is Kind.CREATED


def test_an_update_policy_for_a_field_keeps_that_field_as_shown():
    theirs = after(base(), "there", 20, {"name": "Bea", "phone": "2"})
    wanted = policy(update_fields={"phone": Resolution.THIS})
    outcome = take(base(), theirs, wanted)
    assert outcome.projection is not None
    assert outcome.projection.content == {"name": "Bea", "phone": "1"}
    assert {version.hash for version in outcome.projection.contributors} == {digest(BASE), theirs.versions[0].hash}


def test_a_field_kept_once_stays_kept_when_more_changes_come():
    first = after(base(), "there", 20, {"name": "Bea", "phone": "2"})
    wanted = policy(update_fields={"phone": Resolution.THIS})
    shown = take(base(), first, wanted).projection
    assert shown is not None
    later = after(first, "there", 30, {"name": "Cleo", "phone": "2"}, 6)
    again = decide(Held(first, shown.contributors, row=shown.content), later, wanted, {}, {})
    assert again.projection is not None
    assert again.projection.content == {"name": "Cleo", "phone": "1"}


def test_a_change_of_nothing_but_kept_fields_is_declined():
    theirs = after(base(), "there", 20, {**BASE, "phone": "2"})
    assert take(base(), theirs, policy(update_fields={"phone": Resolution.THIS})).kind is Kind.DECLINED


def test_an_edit_of_a_row_that_shows_a_declined_change_meets_it_as_a_conflict():
    declined = take(base(), NEW, policy(update=Resolution.THIS))
    edited = edit(declined.record, ("here", 9), 30, b"h", {"name": "Cleo"}, superseded=base().versions)
    assert edited.contested
    outcome = decide(held(NEW), edited, DEFAULT_POLICY, {}, {})
    assert outcome.conflict


def test_a_change_that_closes_siblings_and_leaves_what_is_shown_writes_no_row():
    mine, theirs = (
        after(base(), "here", 15, {**BASE, "name": "Bea"}),
        after(base(), "there", 20, {**BASE, "name": "Cleo"}),
    )
    both = join(mine, theirs)
    decided = edit(both, ("third", 1), 30, mine.versions[0].hash, mine.versions[0].content)
    outcome = decide(Held(both, mine.versions), decided, policy(update=Resolution.THIS), {}, {})
    assert outcome.kind is Kind.UNITED


# Conflicts: several contents


def conflicting(resolution: Resolution, ours: dict[str, Any] | None, theirs: dict[str, Any] | None):
    mine, other = after(base(), "here", 20, ours), after(base(), "there", 15, theirs)
    return decide(held(mine), other, policy(conflict=resolution), mine.seen.vector, {})


@pytest.mark.parametrize(
    ("resolution", "kind", "shown"),
    (
        (Resolution.THIS, Kind.UNITED, {"name": "Bea", "phone": "1"}),
        (Resolution.OTHER, Kind.UPDATED, {"name": "Cleo", "phone": "2"}),
        (Resolution.NEWER, Kind.UNITED, {"name": "Bea", "phone": "1"}),
        (Resolution.MASTER, Kind.UNITED, {"name": "Bea", "phone": "1"}),
        (Resolution.MERGE, Kind.UPDATED, {"name": "Bea", "phone": "2"}),
        (Resolution.KEEP_BOTH, Kind.UPDATED, {"name": "Bea", "phone": "1"}),
        (Resolution.ASK, Kind.UNITED, {"name": "Bea", "phone": "1"}),
    ),
)
def test_the_conflict_policy_decides_what_the_row_shows(resolution, kind, shown):
    outcome = conflicting(resolution, {"name": "Bea", "phone": "1"}, {"name": "Cleo", "phone": "2"})
    assert outcome.conflict
    assert outcome.kind is kind
    assert outcome.projection is not None
    assert outcome.projection.content == shown
    assert outcome.undecided is (resolution is Resolution.ASK)
    assert len(outcome.record.versions) == 2, "whoever loses is held"


def test_the_loser_is_told_to_the_conflict_log():
    outcome = conflicting(Resolution.NEWER, {"name": "Bea"}, {"name": "Cleo"})
    assert [version.content for version in outcome.lost] == [{"name": "Cleo"}]
    assert conflicting(Resolution.ASK, {"name": "Bea"}, {"name": "Cleo"}).lost == ()
    assert lost_local_edits([outcome, conflicting(Resolution.ASK, {"name": "Bea"}, {"name": "Cleo"})]) == 1


@pytest.mark.parametrize(
    ("resolution", "ours", "theirs", "kind"),
    (
        (Resolution.OTHER, {"name": "Bea"}, None, Kind.DELETED),
        (Resolution.NEWER, {"name": "Bea"}, None, Kind.UNITED),
        (Resolution.OTHER, None, {"name": "Bea"}, Kind.CREATED),
        (Resolution.NEWER, None, {"name": "Bea"}, Kind.UNITED),
        (Resolution.KEEP_BOTH, None, {"name": "Bea"}, Kind.CREATED),
        (Resolution.MERGE, None, {"name": "Bea"}, Kind.UNITED),
    ),
)
def test_deletions_take_part_in_conflicts(resolution, ours, theirs, kind):
    assert conflicting(resolution, ours, theirs).kind is kind


def test_a_conflict_whose_outcome_the_strategy_forbids_is_held_and_not_shown():
    mine, other = after(base(), "here", 10, {"name": "Bea"}), after(base(), "there", 20, None)
    outcome = decide(held(mine), other, policy(strategy=ALL_METHODS - {Method.DELETE}), {}, {})
    assert (outcome.kind, outcome.method, outcome.conflict) == (Kind.DECLINED, Method.DELETE, True)


def test_under_ask_the_row_follows_an_edit_of_what_it_shows_and_not_the_other_sibling():
    mine, other = after(base(), "here", 10, {"name": "Bea"}), after(base(), "there", 90, {"name": "Cleo"})
    both = join(mine, other)
    followed = edit(mine, ("third", 1), 20, digest({"name": "Dora"}), {"name": "Dora"})
    outcome = decide(Held(both, mine.versions), followed, policy(conflict=Resolution.ASK), {}, {})
    assert outcome.projection is not None
    assert outcome.projection.content == {"name": "Dora"}


def test_other_follows_the_other_end_when_it_edits_what_both_show():
    """Ours lost, the row shows theirs; they edit it again without having met ours."""
    mine, other = after(base(), "here", 90, {"name": "Bea"}), after(base(), "there", 20, {"name": "Cleo"})
    both = join(mine, other)
    again = after(other, "there", 30, {"name": "Dora"}, 6)
    outcome = decide(Held(both, other.versions), again, policy(conflict=Resolution.OTHER), {}, {})
    assert outcome.projection is not None
    assert outcome.projection.content == {"name": "Dora"}


def test_this_and_other_turned_show_the_same_on_both_ends():
    mine, other = after(base(), "here", 15, {"name": "Bea"}), after(base(), "there", 20, {"name": "Cleo"})
    ours = decide(held(mine), other, policy(conflict=Resolution.THIS), {}, {})
    theirs = decide(held(other), mine, policy(conflict=Resolution.THIS).turned(), {}, {})
    assert ours.projection is not None
    assert theirs.projection is not None
    assert ours.projection.content == theirs.projection.content == {"name": "Bea"}


def test_new_names_of_a_loser_can_make_it_the_newer():
    mine, other = after(base(), "here", 30, {"name": "Bea"}), after(base(), "there", 20, {"name": "Cleo"})
    both = join(mine, other)
    twin = after(base(), "third", 40, {"name": "Cleo"})
    outcome = decide(Held(both, mine.versions), twin, DEFAULT_POLICY, {}, {})
    assert outcome.kind is Kind.UPDATED
    assert outcome.projection is not None
    assert outcome.projection.content == {"name": "Cleo"}
    assert not outcome.conflict, "the contents were in conflict before"


# Records that we lack


def test_an_unknown_record_with_siblings_is_created_as_the_policy_shows_it_and_is_a_conflict():
    both = join(after(base(), "here", 15, {"name": "Bea"}), after(base(), "there", 20, {"name": "Cleo"}))
    outcome = take(None, both)
    assert (outcome.kind, outcome.conflict) == (Kind.CREATED, True)
    assert outcome.projection is not None
    assert outcome.projection.content == {"name": "Cleo"}


def test_a_record_whose_deletion_was_purged_here_does_not_come_back():
    outcome = decide(None, base(), DEFAULT_POLICY, {"here": 9}, {"here": 2})
    assert outcome.kind is Kind.UNCHANGED


def test_an_edit_that_never_saw_a_purged_deletion_brings_the_record_back_as_a_conflict():
    outcome = decide(None, NEW, DEFAULT_POLICY, {"here": 9}, {"here": 2})
    assert (outcome.kind, outcome.conflict) == (Kind.CREATED, True)


def test_a_version_that_a_purged_deletion_had_seen_does_not_come_back_with_another():
    both = join(base(), created_record("there", 1, b"t", 1, {"name": "Cleo"}))
    outcome = decide(None, both, DEFAULT_POLICY, {"here": 9}, {"here": 2})
    assert [version.content for version in outcome.record.versions] == [{"name": "Cleo"}]
    ours = created_record("third", 1, b"3", 2, {"name": "Dora"})
    beside = decide(held(ours), both, DEFAULT_POLICY, {"here": 9, "third": 1}, {"here": 2})
    assert [version.content for version in beside.record.versions] == [{"name": "Cleo"}, {"name": "Dora"}]


# Copies


def test_every_site_gives_a_copy_the_same_key_and_the_same_version():
    (version,) = NEW.versions
    assert copy_key("k", version) == copy_key("k", version)
    assert copy_key("k", version) != copy_key("other", version)
    one, other = (copy_record(version, b"c", site, tick) for site, tick in (("a", 3), ("b", 8)))
    assert len(join(one, other).versions) == 1
    edited = edit(one, ("a", 4), 50, b"e")
    assert join(edited, other).versions == edited.versions, "an edit of one copy supersedes what is copied later"


def test_genesis_copies_agree_without_anything_being_written_but_names():
    ours, theirs = (genesis_record(site, 1, digest(BASE), 0, BASE) for site in ("a", "b"))
    outcome = decide(held(ours), theirs, DEFAULT_POLICY, {}, {})
    assert outcome.kind is Kind.UNITED
    assert outcome.record.seen == Seen({"a": 1, "b": 1}, frozenset((digest(BASE),)))


# Most conflicts are two edits of one record: the short way to decide them says what the general rules say

choices = st.sampled_from(list(Resolution))
some = st.sampled_from([None, {"name": "Bea"}, {"name": "Cleo", "phone": "2"}, BASE])


@st.composite
def meetings(draw: st.DrawFn) -> tuple[Record, Record]:
    """What two sites hold that edited and exchanged one record in any order, older than tracking or not."""
    start = genesis_record("here.1", 1, digest(BASE), 0, BASE) if draw(st.booleans()) else base()
    sides = [start, start]
    for tick in range(2, 2 + draw(st.integers(0, 5))):
        side = draw(st.integers(0, 1))
        if draw(st.integers(0, 2)):
            sides[side] = after(sides[side], ("here.1", "there.1")[side], draw(st.integers(10, 13)), draw(some), tick)
        else:
            sides[side] = join(sides[side], sides[1 - side])
    return sides[0], sides[1]


@given(meetings(), choices, choices.filter(lambda one: one not in (Resolution.KEEP_BOTH, Resolution.ASK)))
def test_two_edits_are_decided_in_fewer_steps_as_the_general_rules_decide_them(found, conflict, update):
    ours, theirs = found
    wanted = policy(update, conflict)
    outcome = take(ours, theirs, wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "_plain_conflict", lambda *_: None)
        assert take(ours, theirs, wanted) == outcome


@pytest.mark.parametrize("conflict", (Resolution.NEWER, Resolution.THIS, Resolution.OTHER, Resolution.MASTER))
@pytest.mark.parametrize("back", (False, True))
def test_a_plain_conflict_needs_no_general_rules_there_and_back(conflict, back, monkeypatch):
    ours, theirs = (after(base(), site, stamp, {"name": site}) for site, stamp in (("here", 20), ("there", 21)))
    monkeypatch.setattr(rules, "_contested", None)
    outcome = take(ours, join(theirs, ours) if back else theirs, policy(conflict=conflict))
    assert outcome.conflict
    assert len(outcome.record.versions) == 2
