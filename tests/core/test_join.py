"""The join is a semilattice on everything that can come about, and edits supersede what they were made on."""

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.join import edit, join
from tallystick.core.versions import DELETED, GENESIS_DOT, Record, Seen, covered, created_record, genesis_record, same

ORIGINS = "abc"


class Edit(NamedTuple):
    """A site writes (or deletes) what it holds; ``part`` chooses which sibling its author saw, None = all of them."""

    site: int
    content: bytes
    part: int | None


class Take(NamedTuple):
    """A site joins what another one holds."""

    target: int
    source: int


sites = st.integers(0, 2)
contents = st.sampled_from([DELETED, b"x", b"y", b"z"])
steps = st.lists(
    st.one_of(st.builds(Edit, sites, contents, st.none() | st.integers(0, 3)), st.builds(Take, sites, sites)),
    max_size=14,
)
old_rows = st.tuples(*[st.sampled_from([None, b"g", b"h"])] * 3)


class Played(NamedTuple):
    """Every state of every site on the way, and what each edit superseded: (dot, dots and genesis names)."""

    states: list[Record]
    last: list[Record | None]


def play(rows: Sequence[bytes | None], history: Sequence[Edit | Take]) -> Played:
    """Let a history happen."""
    ticks = [0, 0, 0]
    held: list[Record | None] = [None, None, None]
    states = []
    for number, row in enumerate(rows):
        if row is not None:
            ticks[number] += 1
            held[number] = genesis_record(ORIGINS[number], 1, row, 0)
            states.append(held[number])
    for stamp, step in enumerate(history, 1):
        if isinstance(step, Take):
            source, target = held[step.source], held[step.target]
            if source is not None:
                held[step.target] = source if target is None else join(target, source)
                states.append(held[step.target])
            continue
        before = held[step.site]
        if before is None and step.content == DELETED:
            continue
        ticks[step.site] += 1
        seen = None
        if before is not None and step.part is not None:
            seen = (before.versions[step.part % len(before.versions)],)
        made = edit(before, (ORIGINS[step.site], ticks[step.site]), stamp, step.content, superseded=seen)
        held[step.site] = made
        states.append(made)
    return Played(states, held)


def knowledge(record: Record) -> tuple[object, ...]:
    """What everybody must agree on: versions, names, order, and what was seen."""
    return (
        [(version.names, version.hash, version.stamp, version.priority) for version in record.versions],
        record.seen,
    )


@given(old_rows, steps)
def test_a_join_is_idempotent(rows, history):
    for state in play(rows, history).states:
        assert join(state, state) == state
        assert join(state, join(state, state)) == state


@given(old_rows, steps, st.data())
def test_a_join_is_commutative(rows, history, data):
    states = play(rows, history).states
    if states:
        one, other = data.draw(st.sampled_from(states)), data.draw(st.sampled_from(states))
        assert join(one, other) == join(other, one)


@given(old_rows, steps, st.data())
def test_a_join_is_associative(rows, history, data):
    states = play(rows, history).states
    if states:
        one, two, three = (data.draw(st.sampled_from(states)) for _ in range(3))
        assert knowledge(join(join(one, two), three)) == knowledge(join(one, join(two, three)))


@given(old_rows, steps, st.randoms(use_true_random=False))
def test_names_and_seen_converge_in_any_order_with_any_repetition(rows, history, random):
    played = play(rows, history)
    held = [record for record in played.last if record is not None]
    outcomes = []
    for _ in range(3):
        order = held * 2
        random.shuffle(order)
        if order:
            total = order[0]
            for record in order[1:]:
                total = join(total, record)
            outcomes.append(knowledge(total))
    assert all(outcome == outcomes[0] for outcome in outcomes)


@given(old_rows, steps)
def test_states_that_have_seen_the_same_hold_the_same(rows, history):
    """What digests rely on: a receiver that has seen everything lacks nothing."""
    by_seen = {}
    for state in play(rows, history).states:
        seen = (tuple(sorted(state.seen.vector.items())), state.seen.genesis)
        assert by_seen.setdefault(seen, knowledge(state)) == knowledge(state)


@given(old_rows, steps, st.data())
def test_no_live_version_vanishes_unless_the_other_side_superseded_it(rows, history, data):
    states = play(rows, history).states
    if states:
        one, other = data.draw(st.sampled_from(states)), data.draw(st.sampled_from(states))
        joined = join(one, other)
        for version in one.versions:
            if not covered(version, other.seen):
                assert any(same(version, kept) for kept in joined.versions)
        assert joined.versions


# Edits


def test_an_edit_supersedes_only_what_it_was_made_on():
    mine, theirs = created_record("a", 1, b"x", 1), created_record("b", 1, b"y", 2)
    both = join(mine, theirs)
    edited = edit(both, ("c", 1), 3, b"z", superseded=mine.versions)
    assert [version.hash for version in edited.versions] == [b"y", b"z"]
    assert edited.seen.vector == {"a": 1, "b": 1, "c": 1}
    assert edited.versions[-1].past.vector == {"a": 1, "c": 1}


def test_an_edit_without_a_choice_supersedes_everything():
    both = join(created_record("a", 1, b"x", 1), created_record("b", 1, b"y", 2))
    assert [version.hash for version in edit(both, ("c", 1), 3, b"z").versions] == [b"z"]


def test_an_edit_takes_twins_of_what_it_was_made_on_along():
    twins = join(created_record("a", 1, b"x", 1), created_record("b", 1, b"x", 2))
    assert len(twins.versions) == 2
    assert len(edit(twins, ("c", 1), 3, b"z", superseded=twins.versions[:1]).versions) == 1


def test_twins_fall_away_one_by_one():
    mine, twin = created_record("a", 1, b"x", 1), created_record("b", 1, b"x", 2)
    replaced = edit(mine, ("a", 2), 3, b"z")
    joined = join(replaced, twin)
    assert [version.names for version in joined.versions] == [(("b", 1),), (("a", 2),)]


def test_a_deletion_is_a_version_like_any_other():
    record = created_record("a", 1, b"x", 1)
    deleted = edit(record, ("a", 2), 2, DELETED)
    edited = edit(record, ("b", 1), 3, b"y")
    assert not deleted.live
    assert [version.hash for version in join(deleted, edited).versions] == [DELETED, b"y"]
    assert join(deleted, record) == deleted


def test_an_edit_of_a_row_that_shows_something_superseded_knows_only_that():
    """A declined change is held, but the row shows what it showed: whoever edits the row did not see it."""
    old = created_record("a", 1, b"x", 1)
    declined = join(old, edit(old, ("b", 1), 2, b"y"))
    edited = edit(declined, ("a", 2), 3, b"z", superseded=old.versions)
    assert [version.hash for version in edited.versions] == [b"y", b"z"]
    by_past = edit(declined, ("a", 2), 3, b"z", superseded=(), shown_past=old.seen)
    assert [version.hash for version in by_past.versions] == [b"y", b"z"]


def test_an_edit_of_a_row_older_than_tracking_replaces_every_copy_of_it():
    edited = edit(genesis_record("a", 1, b"g", 0), ("a", 2), 1, b"x")
    assert edited.seen == Seen({"a": 2}, frozenset((b"g",)))
    assert join(genesis_record("b", 1, b"g", 0), edited).versions == edited.versions


def test_one_dot_with_two_contents_leaves_both():
    """It cannot come about while forks are noticed; where it does, nothing is lost."""
    one, other = created_record("a", 1, b"x", 1), created_record("a", 1, b"y", 1)
    assert {version.hash for version in join(one, other).versions} == {b"x", b"y"}


def test_edited_fields_carry_the_dot_of_their_edit_and_the_rest_keeps_its_own():
    record = created_record("a", 1, b"1", 1)
    first = edit(record, ("b", 1), 2, b"2", changed={"name"})
    second = edit(first, ("c", 1), 3, b"3", changed={"phone"})
    (version,) = second.versions
    assert (version.fields, version.rest) == ({"name": ("b", 1), "phone": ("c", 1)}, ("a", 1))


def test_an_edit_of_unknown_extent_or_over_several_contents_is_an_edit_of_every_field():
    record = created_record("a", 1, b"1", 1)
    assert edit(record, ("b", 1), 2, b"2").versions[0].rest == ("b", 1)
    both = join(record, created_record("b", 1, b"2", 2))
    (version,) = edit(both, ("c", 1), 3, b"3", changed={"name"}).versions
    assert (version.fields, version.rest) == ({}, ("c", 1))


def test_fields_of_a_row_older_than_tracking_keep_the_common_dot():
    (version,) = edit(genesis_record("a", 1, b"g", 0), ("a", 2), 1, b"x", changed={"name"}).versions
    assert (version.fields, version.rest) == ({"name": ("a", 2)}, GENESIS_DOT)


# Births


def test_the_birth_does_not_depend_on_the_road():
    mine = Record(created_record("b", 1, b"x", 1).versions, Seen({"b": 1}), 0)
    theirs = Record(created_record("a", 1, b"y", 1).versions, Seen({"a": 1}), 2)
    assert (join(mine, theirs).born, join(mine, theirs).copies) == ("a", 2)
    assert join(theirs, mine).born == "a"


def test_the_birth_is_told_by_the_versions_that_are_left():
    mine, theirs = created_record("b", 1, b"x", 1), created_record("a", 1, b"y", 1)
    both = join(mine, theirs)
    assert both.born == "a"
    assert edit(both, ("c", 1), 2, b"z", superseded=mine.versions).versions[-1].born == "b"
    assert edit(both, ("c", 1), 2, b"z").born == "a"
    gone = edit(theirs, ("d", 1), 2, b"")
    assert join(both, gone).born == "a"
    assert {version.born or version.origin for version in join(both, gone).versions} == {"a", "b"}


def test_a_copys_claim_to_the_birth_counts_only_while_there_is_no_edit():
    copies = join(genesis_record("b", 1, b"g", 0), genesis_record("a", 1, b"g", 0))
    assert copies.born == "a"
    assert join(copies, created_record("c", 1, b"x", 1)).born == "c"
    assert join(genesis_record("b", 1, b"g", 0), created_record("c", 1, b"x", 1)).born == "c"


def test_a_superseded_copy_no_longer_claims_the_birth():
    edited = edit(genesis_record("b", 1, b"g", 0), ("b", 2), 1, b"x")
    assert join(genesis_record("a", 1, b"g", 0), edited).born == "b"
