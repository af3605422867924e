"""Folder trees (spec ics 3.5, 6) and the address book (3.6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.stores.changelog import Class, Entry
from tallystick.stores.directory import directory_changes
from tallystick.stores.hierarchy import breadth_first, folder_changes, inside, parents_first

CHILDREN = {1: [2, 3], 2: [4], 4: [5], 3: [6]}
PARENTS = {child: parent for parent, below in CHILDREN.items() for child in below}


def test_descendants_come_breadth_first_without_the_root():
    assert breadth_first(1, lambda folder: CHILDREN.get(folder, [])) == [2, 3, 4, 6, 5]


@pytest.mark.parametrize(("folder", "root", "answer"), ((5, 2, True), (2, 2, True), (6, 2, False), (1, 2, False)))
def test_a_folder_is_inside_when_walking_up_reaches_the_root(folder, root, answer):
    assert inside(folder, root, PARENTS.get, {}) is answer


def test_answers_are_kept_for_the_whole_way():
    known = {}
    inside(5, 1, PARENTS.get, known)
    assert known == {5: True, 4: True, 2: True}
    assert inside(4, 1, lambda folder: pytest.fail("asked again"), known)


def entry(number, record, parent, **seqs):
    return Entry(number, parent, b"k", Class.FOLDER, record, 1, **seqs)


def test_a_move_inside_the_tree_is_told_once_where_its_first_row_stands():
    entries = [
        entry(1, 10, 1, created=5, content=8),
        entry(2, 11, 1, created=6, content=6),
        entry(3, 10, 11, content=9),
    ]
    net, reached, by_record = folder_changes(entries, 4, lambda parent: True)
    assert net.updates == {10: True, 11: True}
    assert list(net.updates) == [10, 11]
    assert reached == 9
    assert by_record.keys() == {10, 11}


def test_folders_under_parents_outside_are_not_told():
    entries = [entry(1, 10, 1, content=5), entry(2, 11, 99, hard=6)]
    net, reached, _ = folder_changes(entries, 4, lambda parent: parent == 1)
    assert (list(net.updates), list(net.hards), reached) == ([10], [], 5)


def test_items_are_no_folders():
    item = entry(1, 10, 1, content=5)._replace(object=Class.ITEM)
    assert folder_changes([item], 0, lambda parent: True)[0].empty


@given(st.permutations(list(range(1, 9))), st.lists(st.integers(0, 8), min_size=8, max_size=8))
def test_no_folder_comes_before_its_parent(order, parents):
    parent_of = {child: parent for child, parent in zip(range(1, 9), parents, strict=True) if parent < child}
    found = parents_first(order, parent_of)
    assert sorted(found) == sorted(order)
    for child, parent in parent_of.items():
        if parent in order:
            assert found.index(parent) < found.index(child)


def test_an_order_that_is_right_stays_as_it_is():
    assert parents_first([3, 1, 2], {3: 9, 2: 1}) == [3, 1, 2]


def test_even_a_circle_ends():
    assert sorted(parents_first([1, 2], {1: 2, 2: 1})) == [1, 2]


# the address book --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seqs", "told"),
    (
        ({"created": 5}, "update"),
        ({"created": 5, "content": 6}, "update"),
        ({"content": 6}, "update"),
        ({"content": 5, "hard": 6}, "delete"),
        ({"hard": 6}, "delete"),
        ({"created": 5, "hard": 6}, None),
        ({"created": 5, "content": 6, "hard": 7}, None),
        ({"hard": 5, "created": 6}, "update"),
        ({"created": 3, "content": 2, "hard": 4}, None),
        ({"created": 3, "hard": 6}, "delete"),
    ),
)
def test_users_are_told_by_their_net_change(seqs, told):
    user = Entry(1, 1, b"k", Class.USER, 10, 0, **seqs)
    net = directory_changes([user], 4)
    assert (net.updates, net.deletes) == ([1] if told == "update" else [], [1] if told == "delete" else [])


def test_users_come_in_the_order_of_their_first_change():
    users = [Entry(n, 1, b"k", Class.USER, n, 0, created=created, content=9 + n) for n, created in ((1, 7), (2, 5))]
    assert directory_changes(users, 0).updates == [2, 1]
