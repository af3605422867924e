"""Versions, what covers them, and which of them are one."""

import pytest

from tallystick.core.versions import (
    DELETED,
    NOTHING_SEEN,
    Record,
    Seen,
    Version,
    akin,
    covered,
    created_record,
    genesis_record,
    merge_vectors,
    precedence,
    same,
    unite,
    vector_covers,
    vector_of,
)


def version(origin: str = "a", tick: int = 1, content: bytes = b"x", stamp: int = 1, priority: int = 5) -> Version:
    return Version(origin, tick, content, stamp, frozenset(((origin, tick),)), priority=priority)


def old_row(origin: str, content: bytes = b"g") -> Version:
    return genesis_record(origin, 1, content, 0).versions[0]


# Vectors and what was seen


def test_merging_vectors_keeps_the_highest_tick_of_each_origin():
    assert merge_vectors({"a": 1, "b": 5}, {"a": 3, "c": 2}) == {"a": 3, "b": 5, "c": 2}


@pytest.mark.parametrize(
    ("holder", "wanted", "covers"),
    (
        ({}, {}, True),
        ({"a": 2}, {"a": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 9}, {"b": 1}, False),
        ({"a": 2, "b": 1}, {"a": 1}, True),
        ({}, {"a": 0}, True),
    ),
)
def test_a_vector_covers_another_when_it_holds_every_tick(holder, wanted, covers):
    assert vector_covers(holder, wanted) is covers


def test_the_vector_of_dots_is_the_least_that_covers_them():
    assert vector_of([("a", 3), ("b", 1), ("a", 2)]) == {"a": 3, "b": 1}


def test_what_was_seen_merges_vectors_and_genesis_names():
    merged = Seen({"a": 1}, frozenset((b"g",))).merged(Seen({"b": 2}, frozenset((b"h",))))
    assert merged == Seen({"a": 1, "b": 2}, frozenset((b"g", b"h")))
    assert merged.covers(Seen({"b": 1}, frozenset((b"g",))))
    assert not NOTHING_SEEN.covers(Seen({}, frozenset((b"g",))))


# Coverage


@pytest.mark.parametrize(
    ("seen", "expected"),
    (
        (Seen({"a": 1}), True),
        (Seen({"a": 2}), True),
        (Seen({"b": 9}), False),
        (NOTHING_SEEN, False),
    ),
)
def test_a_version_is_covered_when_its_dot_was_seen(seen, expected):
    assert covered(version(), seen) is expected


def test_a_row_older_than_tracking_is_covered_by_its_genesis_name_and_not_by_its_dot():
    row = old_row("a")
    assert not covered(row, Seen({"a": 9}))
    assert covered(row, Seen({}, frozenset((b"g",))))


def test_of_several_genesis_names_one_is_enough():
    row = Version("a", 1, b"g", 0, genesis=frozenset((b"g", b"h")))
    assert covered(row, Seen({}, frozenset((b"h",))))


# Sameness


def test_a_shared_dot_with_equal_content_is_one_version():
    assert same(version(), version(stamp=7))


def test_a_shared_dot_with_other_content_is_a_fork_nobody_noticed_and_never_known():
    assert akin(version(content=b"x"), version(content=b"y"))
    assert not same(version(content=b"x"), version(content=b"y"))


def test_equal_content_under_other_names_is_a_twin_and_not_the_same_version():
    assert not same(version("a"), version("b"))


def test_copies_of_a_row_older_than_tracking_are_one_version():
    assert same(old_row("a"), old_row("b"))


def test_uniting_copies_lets_the_smaller_origin_speak_whichever_comes_first():
    one, other = old_row("a"), old_row("b")
    assert unite(one, other) == unite(other, one)
    assert unite(one, other).origin == "a"
    assert unite(one, other).past.vector == {"a": 1, "b": 1}


def test_uniting_keeps_what_either_holder_knows_of_the_copies():
    met, unmet = unite(old_row("a"), old_row("c")), old_row("a")
    assert unite(met, unmet) == unite(unmet, met) == met


def test_uniting_takes_the_content_from_the_side_that_has_it():
    bare, full = version(), Version("a", 1, b"x", 1, frozenset((("a", 1),)), content={"n": 1})
    assert unite(bare, full).content == {"n": 1}
    assert unite(full, bare).content == {"n": 1}


# Order


def test_newer_stamps_come_first_then_lower_priority_numbers_then_smaller_origins():
    older, later = version(stamp=1), version("b", stamp=2)
    urgent, smaller = version("z", stamp=2, priority=1), version("a", stamp=2)
    assert sorted([older, later, smaller, urgent], key=precedence) == [urgent, smaller, later, older]


def test_rows_older_than_tracking_are_ordered_by_content_alone():
    assert precedence(old_row("a")) == precedence(old_row("b"))
    assert precedence(old_row("a")) > precedence(version(stamp=1))


# Records


def test_a_created_record_is_named_by_its_dot_and_a_row_older_than_tracking_by_its_content():
    made, old = created_record("a", 3, b"x", 9), genesis_record("a", 3, b"x", 0)
    assert (made.versions[0].names, made.seen) == ((("a", 3),), Seen({"a": 3}))
    assert (old.versions[0].names, old.seen) == ((b"x",), Seen({"a": 3}, frozenset((b"x",))))
    assert made.born == old.born == "a"


def test_twins_do_not_contest_each_other():
    twins = Record((version("a"), version("b")), Seen({"a": 1, "b": 1}))
    assert not twins.contested
    assert Record((version("a"), version("b", content=b"y")), twins.seen).contested


def test_a_record_is_live_while_one_version_is_no_deletion():
    dead = version("a", content=DELETED)
    assert dead.deleted
    assert not Record((dead,), Seen({"a": 1})).live
    assert Record((dead, version("b")), Seen({"a": 1, "b": 1})).live
