"""Selecting what is new, and what purged deletions still mean."""

import pytest

from tallystick.core.changes import (
    Rank,
    Verdict,
    bereft,
    is_news,
    judge_unknown,
    parents_first,
    position_after,
    purgeable,
)
from tallystick.core.join import edit, join
from tallystick.core.versions import DELETED, created_record, genesis_record

FORGOTTEN = {"x": 1}


def deleted(record, dot=("z", 1), stamp=9):
    return edit(record, dot, stamp, DELETED)


# News


@pytest.mark.parametrize(
    ("digest", "news"), (({}, True), ({"a": 1}, True), ({"a": 2}, False), ({"a": 3, "b": 1}, False), ({"b": 9}, True))
)
def test_a_record_is_news_to_whom_has_not_seen_all_that_it_builds_on(digest, news):
    record = edit(created_record("a", 1, b"x", 1), ("a", 2), 2, b"y")
    assert is_news(record, digest) is news


def test_a_sibling_of_a_deletion_is_news_even_to_whom_has_seen_both():
    """He may have purged the deletion before the sibling came."""
    record = created_record("a", 1, b"x", 1)
    contested = join(deleted(record), edit(record, ("b", 1), 2, b"y"))
    assert is_news(contested, {"a": 9, "b": 9, "z": 9})
    assert not is_news(deleted(record), {"a": 9, "b": 9, "z": 9})


# Records that we lack


def test_where_nothing_was_purged_whatever_we_lack_is_new():
    record = created_record("a", 1, b"x", 1)
    assert judge_unknown(record, {"a": 9}, {}) is Verdict.TAKE


def test_a_record_whose_every_version_we_knew_was_deleted_here():
    assert judge_unknown(created_record("a", 1, b"x", 1), {"a": 9}, FORGOTTEN) is Verdict.DELETED_HERE


def test_a_record_of_which_we_knew_nothing_is_new_though_tombstones_were_purged():
    assert judge_unknown(created_record("a", 1, b"x", 1), {"b": 9}, FORGOTTEN) is Verdict.TAKE


def test_an_edit_that_builds_on_what_we_knew_is_in_conflict_with_the_purged_deletion():
    edited = edit(created_record("a", 1, b"x", 1), ("b", 1), 2, b"y")
    assert judge_unknown(edited, {"a": 1}, FORGOTTEN) is Verdict.DELETION_CONFLICT


def test_an_edit_by_the_records_own_maker_tells_by_its_fields_what_it_builds_on():
    """Its ``seen`` only holds the later tick."""
    edited = edit(created_record("a", 1, b"x", 1), ("a", 7), 2, b"y", changed={"name"})
    assert edited.seen.vector == {"a": 7}
    assert judge_unknown(edited, {"a": 3}, FORGOTTEN) is Verdict.DELETION_CONFLICT


def test_a_tombstone_that_we_lack_is_taken():
    assert judge_unknown(deleted(created_record("a", 1, b"x", 1)), {"a": 1}, FORGOTTEN) is Verdict.TAKE


def test_beside_a_purged_deletion_only_what_it_had_not_seen_is_left():
    record = created_record("a", 1, b"x", 1)
    both = join(record, created_record("b", 5, b"y", 2))
    left = bereft(both, {"a": 1, "b": 4})
    assert left is not None
    assert [version.hash for version in left.versions] == [b"y"]
    assert left.seen == both.seen
    assert bereft(both, {"a": 1, "b": 5}) is None
    assert bereft(both, {}) is both


def test_deletions_and_rows_older_than_tracking_are_left_beside_a_purged_deletion():
    old = genesis_record("a", 1, b"g", 0)
    assert bereft(old, {"a": 9}) is old
    contested = join(deleted(created_record("a", 1, b"x", 1)), created_record("b", 1, b"y", 2))
    left = bereft(contested, {"a": 9, "b": 9, "z": 9})
    assert left is not None
    assert not left.live


def test_what_the_other_end_still_holds_is_left():
    both = join(created_record("a", 1, b"x", 1), created_record("b", 1, b"y", 2))
    left = bereft(both, {"a": 9, "b": 9}, both.versions[:1])
    assert left is not None
    assert left.versions == both.versions[:1]


# Purge


def test_a_tombstone_is_purged_only_when_our_digest_covers_all_it_builds_on():
    tombstone = deleted(created_record("a", 1, b"x", 1))
    assert purgeable(tombstone, {"a": 1, "z": 1})
    assert not purgeable(tombstone, {"a": 1})


def test_a_live_record_a_contested_one_and_a_row_older_than_tracking_are_not_purged():
    record = created_record("a", 1, b"x", 1)
    everything = {"a": 9, "b": 9, "z": 9}
    assert not purgeable(record, everything)
    assert not purgeable(join(deleted(record), edit(record, ("b", 1), 2, b"y")), everything)
    assert not purgeable(deleted(genesis_record("a", 1, b"g", 0)), everything)


# Order of resources


def test_parents_come_first():
    ranks = [
        Rank("line", ("order", "product")),
        Rank("order", ("customer",)),
        Rank("product", ()),
        Rank("customer", ()),
    ]
    order = parents_first(ranks)
    assert sorted(order) == ["customer", "line", "order", "product"]
    assert order.index("customer") < order.index("order") < order.index("line")
    assert order.index("product") < order.index("line")


def test_cycles_and_self_references_are_broken_the_same_way_every_time():
    ranks = [Rank("b", ("a",)), Rank("a", ("b",)), Rank("c", ("c", "a"))]
    assert parents_first(ranks) == parents_first(list(reversed(ranks)))
    assert sorted(parents_first(ranks)) == ["a", "b", "c"]


def test_cycles_are_broken_where_nothing_is_required():
    ranks = [Rank("a", ("b",), ("b",)), Rank("b", ("a",))]
    assert parents_first(ranks) == parents_first(list(reversed(ranks))) == ["b", "a"]


def test_references_to_resources_outside_do_not_matter():
    assert parents_first([Rank("a", ("elsewhere",))]) == ["a"]


def test_an_open_pass_goes_on_where_it_stood_and_from_the_start_where_that_is_gone():
    assert position_after(["a", "b"], "b") == 1
    assert position_after(["a", "b"], "gone") == 0
