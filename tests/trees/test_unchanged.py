"""Leaves that nothing is to be done about: found from what is stored, and left out of all three trees."""

import pytest
from disk import Ground, grow, shown

from tallystick.trees.base_row import BaseRow
from tallystick.trees.listing import NO_DIGEST, Entry, Listing, Mark
from tallystick.trees.nodes import Directory, Kind, Leaf
from tallystick.trees.plan import Verb
from tallystick.trees.unchanged import unchanged_but, unchanged_names

ONE, TWO = bytes([1]) * 32, bytes([2]) * 32


def entry(name, digest=ONE, mark=Mark.FILE, permissions=0o644, mtime=7):
    kind = {Mark.LINK: 0o120000, Mark.DIRECTORY: 0o040000}.get(mark, 0o100000)
    return Entry(name, (kind | permissions, 1, 3, mtime, 9), mark, digest)


def base(**digests):
    return BaseRow.of({name.replace("_", "."): Leaf(Kind.FILE, digest, 3) for name, digest in digests.items()})


def test_equal_leaves_are_found_whatever_their_times():
    local, remote = Listing.of([entry("a"), entry("b", mtime=8)]), Listing.of([entry("b"), entry("a", mtime=9)])
    assert unchanged_names(base(a=ONE, b=ONE), local, remote) == {"a", "b"}


@pytest.mark.parametrize(
    ("old", "here", "there"),
    (
        (TWO, {}, {}),
        (ONE, {"digest": TWO}, {}),
        (ONE, {}, {"digest": TWO}),
        (ONE, {"permissions": 0o755}, {}),
        (ONE, {}, {"permissions": 0o755}),
        (ONE, {"permissions": 0o755}, {"permissions": 0o755}),
        (ONE, {"mark": Mark.LINK, "permissions": 0o777}, {}),
        (ONE, {"mark": Mark.UNREAD, "digest": NO_DIGEST}, {"mark": Mark.UNREAD, "digest": NO_DIGEST}),
    ),
)
def test_whatever_differs_anywhere_is_looked_at(old, here, there):
    local, remote = Listing.of([entry("a", **here)]), Listing.of([entry("a", **there)])
    assert unchanged_names(base(a=old), local, remote) == frozenset()


def test_what_is_not_everywhere_is_looked_at():
    one, none = Listing.of([entry("a")]), Listing()
    for row, local, remote in ((base(), one, one), (base(a=ONE), none, one), (base(a=ONE), one, none)):
        assert unchanged_names(row, local, remote) == frozenset()


def test_names_on_which_others_depend_are_looked_at():
    copy = Listing.of([entry("a.conflict-01234567"), entry("b")])
    row = BaseRow.of({"a.conflict-01234567": Leaf(Kind.FILE, ONE, 3), "b": Leaf(Kind.FILE, ONE, 3)})
    assert unchanged_names(row, copy, copy) == {"b"}
    database = Listing.of([entry("x.db"), entry("x.db-wal")])
    assert unchanged_names(BaseRow.of({"x.db": Leaf(Kind.FILE, ONE, 3)}), database, database) == frozenset()


def test_where_nothing_was_left_to_do_all_but_the_news_is_unchanged():
    local = Listing.of([entry("a"), entry("b"), entry("c", mark=Mark.UNREAD), entry("d", mark=Mark.DIRECTORY)])
    remote = Listing.of([entry("a"), entry("b"), entry("c"), entry("e")])
    row = base(a=ONE, b=ONE, c=ONE, f=ONE)
    assert unchanged_but({"b"}, row, local, remote) == {"a"}
    assert unchanged_but((), row, local, remote) == unchanged_names(row, local, remote) == {"a", "b"}


def test_names_on_which_others_depend_are_looked_at_where_nothing_was_left_to_do():
    copy = Listing.of([entry("a.conflict-01234567"), entry("b")])
    row = BaseRow.of({"a.conflict-01234567": Leaf(Kind.FILE, ONE, 3), "b": Leaf(Kind.FILE, ONE, 3)})
    assert unchanged_but((), row, copy, copy) == {"b"}
    database = Listing.of([entry("x.db"), entry("x.db-wal")])
    assert unchanged_but((), base(x_db=ONE), database, database) == frozenset()
    held = BaseRow.of({"a": Leaf(Kind.FILE, ONE, 3, materialised=False)})
    one = Listing.of([entry("a")])
    assert unchanged_but((), held, one, one) == frozenset()


def test_a_row_is_updated_under_some_names_only():
    row = base(a=ONE, b=ONE, c=ONE)
    children = {"b": Leaf(Kind.FILE, TWO, 5), "d": Directory()}
    assert row.updated(frozenset({"a"}), children) == BaseRow.of({"a": Leaf(Kind.FILE, ONE, 3), **children})


def test_a_side_of_which_only_unchanged_files_are_left_is_not_an_emptied_one():
    with Ground() as ground:
        grow(ground.local, {"stays": "s", "goes": "g", "too": "t"})
        ground.run()
        (ground.local / "goes").unlink()
        (ground.local / "too").unlink()
        report = ground.run()
        assert not report.held
        assert {(action.verb, action.path) for action in report.actions} == {
            (Verb.REMOVE, "goes"),
            (Verb.REMOVE, "too"),
        }
        assert shown(ground.remote) == {"stays": "s"}


def test_a_renamed_file_is_not_read_again_in_the_next_run():
    with Ground() as ground:
        grow(ground.local, {"d": {"old": "a content to be found again"}})
        ground.run()
        (ground.local / "d" / "old").rename(ground.local / "new")
        assert ground.run().bytes == 0
        before = ground.state.read_bytes()
        assert ground.run().plan.remote.children == {}
        assert ground.state.read_bytes() == before


def test_what_failed_is_looked_at_again_although_nothing_is_new():
    with Ground() as ground:
        grow(ground.local, {"d": {"a": "one", "b": "two"}})
        ground.run()
        grow(ground.local, {"d": {"a": "three"}})
        (ground.remote / "d" / "a").unlink()
        (ground.remote / "d" / "a").mkdir()
        (ground.remote / "d" / "a" / "file").write_text("in the way")
        ground.run()
        grow(ground.local, {"d": {"c": "four"}})
        ground.run()
        assert shown(ground.local) == shown(ground.remote)
