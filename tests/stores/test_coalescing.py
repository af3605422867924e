"""Net changes per object: every row of the table (spec ics 4.3), and order (4.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.stores.changelog import Entry, Kind, Row, rows_after
from tallystick.stores.coalescing import coalesce

NEW, CHANGE, FLAG, SOFT, HARD = Kind


def rows(*kinds):
    return [Row(seq, kind, 1, bool(seq % 2)) for seq, kind in enumerate(kinds, 1)]


@pytest.mark.parametrize(
    ("logged", "told"),
    (
        ((NEW,), "new"),
        ((NEW, CHANGE), "new"),
        ((CHANGE,), "changed"),
        ((FLAG,), "read"),
        ((FLAG, CHANGE), "changed"),
        ((CHANGE, FLAG), "changed"),
        ((FLAG, SOFT), "soft"),
        ((CHANGE, HARD), "hard"),
        ((NEW, HARD), "hard"),
        ((NEW, SOFT), "soft"),
        ((SOFT, HARD), "hard"),
        ((HARD, CHANGE), "changed"),
        ((HARD, NEW), "changed"),
        ((SOFT, NEW, CHANGE), "changed"),
        ((HARD, FLAG), "hard"),
        ((NEW, FLAG), "new"),
        ((FLAG, NEW), "changed"),
    ),
)
def test_one_object_is_told_once(logged, told):
    net = coalesce(rows(*logged))
    groups = {
        "new": [entry for entry, new in net.updates.items() if new],
        "changed": [entry for entry, new in net.updates.items() if not new],
        "soft": list(net.softs),
        "hard": list(net.hards),
        "read": list(net.reads),
    }
    assert groups == {name: [1] if name == told else [] for name in groups}


def test_a_read_flag_is_told_with_its_value():
    assert coalesce([Row(1, FLAG, 7, True)]).reads == {7: True}


def test_an_update_stands_where_its_first_row_stands():
    net = coalesce([Row(1, NEW, 1, False), Row(2, NEW, 2, False), Row(3, CHANGE, 1, False)])
    assert list(net.updates) == [1, 2]


def test_what_comes_back_after_a_deletion_stands_behind():
    net = coalesce([Row(1, HARD, 1, False), Row(2, NEW, 2, False), Row(3, NEW, 1, False)])
    assert net.updates == {2: True, 1: False}


def test_nothing_logged_is_nothing_to_tell():
    assert coalesce([]).empty
    assert not coalesce(rows(FLAG)).empty


@given(st.lists(st.tuples(st.sampled_from(Kind), st.integers(1, 4))))
def test_no_object_is_told_twice(logged):
    net = coalesce([Row(seq, kind, entry, False) for seq, (kind, entry) in enumerate(logged, 1)])
    told = [entry for group in net for entry in group]
    assert len(told) == len(set(told))
    assert set(told) == {entry for _, entry in logged}


@given(st.lists(st.lists(st.integers(0, 20), min_size=5, max_size=5), max_size=5), st.integers(0, 20))
def test_entries_unfold_into_their_rows_beyond_a_seq_ascending(seqs, since):
    entries = [Entry(number, 1, b"k", 1, number, 1, *five) for number, five in enumerate(seqs, 1)]
    found = rows_after(entries, since)
    assert found == sorted(found)
    expected = {(seq, kind, entry.id) for entry in entries for kind, seq in zip(Kind, entry[6:11], strict=True)}
    assert {row[:3] for row in found} == {row for row in expected if row[0] > since}


def test_the_latest_seq_of_an_entry_is_the_highest_of_any_kind():
    assert Entry(1, 1, b"k", 1, 1, 1, 3, 9, 4, 0, 2).latest == 9
