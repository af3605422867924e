"""Fingerprints kept step by step, in any order, are those computed anew."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.fingerprints import (
    EMPTY,
    MODULUS,
    Fingerprint,
    canonical_names,
    content_term,
    dot_name,
    names_term,
)
from tallystick.core.values import mapping_hash

records = st.dictionaries(st.text(max_size=6), st.tuples(st.sampled_from("abc"), st.integers(1, 9), st.integers(0, 3)))


def term(key: str, record: tuple[str, int, int]) -> Fingerprint:
    origin, tick, value = record
    names = canonical_names([((), [(origin, tick)])])
    return Fingerprint(1, names_term(key, names), content_term(mapping_hash(key, {"v": value})))


def computed(state: dict[str, tuple[str, int, int]]) -> Fingerprint:
    total = EMPTY
    for key, record in state.items():
        total = total.added(term(key, record))
    return total


@given(st.lists(records, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_a_fingerprint_kept_through_changes_is_the_one_computed_from_the_end(states, random):
    kept = computed(states[0])
    for before, after in pairwise(states):
        changes = [("removed", key, record) for key, record in before.items()]
        changes += [("added", key, record) for key, record in after.items()]
        random.shuffle(changes)
        for change, key, record in changes:
            kept = getattr(kept, change)(term(key, record))
    assert kept == computed(states[-1])


@given(records, records)
def test_different_records_have_different_fingerprints(one, other):
    assert (computed(one) == computed(other)) is (one == other)


def test_a_fingerprint_binds_names_and_content_to_their_key():
    assert names_term("a", b"n") != names_term("b", b"n")
    assert names_term("ab", b"c") != names_term("a", b"bc")
    assert mapping_hash("a", {"v": 1}) != mapping_hash("b", {"v": 1})


def test_sums_stay_within_256_bits():
    full = Fingerprint(1, MODULUS - 1, MODULUS - 1)
    assert full.added(full) == Fingerprint(2, MODULUS - 2, MODULUS - 2)
    assert EMPTY.removed(full).added(full) == EMPTY


@given(
    st.lists(
        st.tuples(st.lists(st.binary(max_size=3)), st.lists(st.tuples(st.text("abc", max_size=2), st.integers(1, 9)))),
        max_size=3,
    ),
    st.randoms(use_true_random=False),
)
def test_canonical_names_do_not_depend_on_order(versions, random):
    shuffled = [(random.sample(genesis, len(genesis)), random.sample(dots, len(dots))) for genesis, dots in versions]
    random.shuffle(shuffled)
    assert canonical_names(versions) == canonical_names(shuffled)


def test_one_version_with_one_dot_is_named_by_its_dot():
    assert canonical_names([((), [("a", 3)])]) == dot_name("a", 3)
