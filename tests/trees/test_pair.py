"""Two directories brought into agreement, end to end (spec contexts B and D on real files)."""

import errno
import os
import sqlite3
import time
from contextlib import closing

import pytest
from disk import Ground, contents, grow, read_tree, regrow, remembered, shown, temporaries
from hypothesis import given, settings
from hypothesis import strategies as st
from woods import carried_out, leaf, perturbed, roots, tree, triples
from woods import shown as values

from tallystick.errors import StorageLocked
from tallystick.trees.files import Files
from tallystick.trees.listing import Listing
from tallystick.trees.merging import Reconcile, Side
from tallystick.trees.names import Volume
from tallystick.trees.plan import Half, Verb, plan
from tallystick.trees.problems import RootChanged, RootMissing, Unreadable
from tallystick.trees.settling import settle
from tallystick.trees.state import State
from tallystick.trees.sums import checked, summed

SAFE, NEWER, ADD, MIRROR, LOCAL, REMOTE = Reconcile


@pytest.fixture
def ground():
    with Ground() as found:
        yield found


def agreed(ground):
    """The tree that both sides show, which must be the same."""
    assert shown(ground.local) == shown(ground.remote)
    assert not temporaries(ground.root)
    return shown(ground.local)


def paths(report, verb=None):
    return [action.path for action in report.actions if verb in (None, action.verb)]


START = {"a": "alpha", "d": {"b": "beta", "run": "script!", "link": "@b", "e": {}}}


def test_a_first_run_carries_everything_over(ground):
    grow(ground.local, START)
    grow(ground.remote, {"r": "remote only", "d2": {"x": {"y": "deep"}}})
    report = ground.run()
    assert report.succeeded
    assert agreed(ground) == {**START, "r": "remote only", "d2": {"x": {"y": "deep"}}}
    assert (report.files, report.bytes) == (6, len("alphabetascript" + "remote onlydeep"))


def test_a_memory_that_lists_in_another_order_is_sorted_and_nothing_else(ground):
    grow(ground.local, {"a": "1", "b": "2", "d": {"x": "3", "y": "4", "z": "5"}})
    ground.run()
    rows = listed(ground)
    with closing(sqlite3.connect(ground.state)) as database, database:
        for side, path, *row in rows:
            names, stats, values = Listing.of(list(Listing.from_row(*row))[::-1]).to_row()
            given = "UPDATE listing SET names = ?, stats = ?, content = ? WHERE side = ? AND path = ?"
            database.execute(given, (names, stats, summed(values, side, path, names, stats), side, path))
    assert listed(ground) != rows

    report = ground.run()
    assert (report.actions, report.warnings) == ([], [])
    assert listed(ground) == rows
    (ground.local / "d" / "y").write_text("6")
    assert paths(ground.run()) == ["d/y"]


def listed(ground):
    with closing(sqlite3.connect(ground.state)) as database:
        rows = database.execute("SELECT side, path, names, stats, content FROM listing ORDER BY side, path").fetchall()
    return [(*row[:4], checked(row[4], *row[:4])) for row in rows]


def test_a_second_run_finds_nothing_and_writes_nothing(ground):
    grow(ground.local, START)
    ground.run()
    before = ground.state.read_bytes()
    for _ in range(2):
        report = ground.run()
        assert report.actions == []
        assert report.plan.local.children == {}
    assert ground.state.read_bytes() == before


def test_times_and_permissions_travel(ground):
    grow(ground.local, {"a": "x", "d": {"b": "y!"}})
    os.utime(ground.local / "a", ns=(1, 1_234_567_890_123_456_789))
    os.chmod(ground.local / "a", 0o600)
    os.chmod(ground.local / "d", 0o700)
    os.chmod(ground.local / "d" / "b", 0o6755)
    ground.run()
    assert (ground.remote / "a").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert (ground.remote / "a").stat().st_mode & 0o777 == 0o600
    assert (ground.remote / "d").stat().st_mode & 0o777 == 0o700
    assert (ground.remote / "d" / "b").stat().st_mode & 0o7777 == 0o755


def test_a_change_of_permissions_travels_alone_and_meets_an_edit_without_conflict(ground):
    grow(ground.local, {"a": "x", "b": "y"})
    ground.run()
    (ground.local / "a").chmod(0o755)
    (ground.local / "b").chmod(0o755)
    (ground.remote / "b").write_text("edited")
    report = ground.run()
    assert {(action.verb, action.side, action.path) for action in report.actions} == {
        (Verb.PERMIT, Side.REMOTE, "a"),
        (Verb.PERMIT, Side.REMOTE, "b"),
        (Verb.PUT, Side.LOCAL, "b"),
    }
    assert agreed(ground) == {"a": "x!", "b": "edited!"}
    assert ground.run().actions == []


def test_a_directory_that_comes_whole_leaves_nothing_of_the_one_before_it_in_the_base(ground):
    grow(ground.local, {"d": {"inner": {"in": "side"}, "x": "X"}})
    ground.run()
    regrow(ground.local, {"d": {"inner": "a file", "x": "X"}})
    regrow(ground.remote, {"d": "no directory"})
    ground.run(mode=MIRROR, confirm_deletions=True)
    assert agreed(ground) == {"d": {"inner": "a file", "x": "X"}}
    assert sorted(remembered(ground).children["d"].children) == ["inner", "x"]


@pytest.mark.parametrize("options", ({"half": Half.DOWNLOAD}, {"mode": ADD, "pull": True}))
def test_a_change_of_permissions_that_a_run_leaves_is_carried_out_by_the_next_whole_one(ground, options):
    grow(ground.local, {"d": {"x": "X", "y": "Y"}})
    ground.run()
    (ground.local / "d" / "x").chmod(0o755)
    ground.run(**options)
    assert shown(ground.remote) == {"d": {"x": "X", "y": "Y"}}
    assert paths(ground.run(), Verb.PERMIT) == ["d/x"]
    assert shown(ground.remote) == {"d": {"x": "X!", "y": "Y"}}


def test_touching_a_file_is_no_change(ground):
    grow(ground.local, START)
    ground.run()
    os.utime(ground.local / "a", ns=(5, 5))
    assert ground.run().actions == []


def test_a_rename_moves_no_content(ground):
    grow(ground.local, {"d": {"big": "content" * 1000, "other": "different"}, "top": "also large" * 100})
    ground.run()
    inode = (ground.remote / "d" / "big").stat().st_ino
    os.rename(ground.local / "d", ground.local / "renamed")
    os.rename(ground.local / "top", ground.local / "renamed" / "moved")
    report = ground.run()
    assert report.bytes == 0
    assert (ground.remote / "renamed" / "big").stat().st_ino == inode
    assert (ground.remote / "renamed" / "big").stat().st_nlink == 1
    assert sorted(agreed(ground)["renamed"]) == ["big", "moved", "other"]
    assert ground.run().actions == []


def test_swapped_names_come_out_swapped(ground):
    grow(ground.local, {"a": "one", "b": "two"})
    ground.run()
    os.rename(ground.local / "a", ground.local / "t")
    os.rename(ground.local / "b", ground.local / "a")
    os.rename(ground.local / "t", ground.local / "b")
    assert ground.run().succeeded
    assert agreed(ground) == {"a": "two", "b": "one"}


@given(triples())
@settings(max_examples=60)
def test_what_happens_on_disk_is_what_the_plan_says(woods):
    base, local, remote = map(plain, woods)
    expected = carried_out(plan(tree(base), tree(local), tree(remote)))[0]
    with Ground() as ground:
        grow(ground.local, base)
        assert ground.run().succeeded
        regrow(ground.local, local)
        regrow(ground.remote, remote)
        report = ground.run(confirm_deletions=True)
        assert report.succeeded
        assert structure(agreed(ground)) == structure_of_values(values(expected))
        assert ground.run().actions == []


@given(roots, st.data())
@settings(max_examples=40)
def test_every_run_does_what_a_plan_from_scratch_would_do(start, data):
    """What is remembered, passed over and looked at again never changes what a run comes to."""
    with Ground() as ground:
        grow(ground.local, start)
        for _ in range(4):
            half = data.draw(st.sampled_from(Half))
            mode = data.draw(st.sampled_from([SAFE, SAFE, NEWER, ADD]))
            base = remembered(ground)
            local, remote = read_tree(ground.local), read_tree(ground.remote)
            fresh = plan(base, local, remote, mode, half)
            here, there = carried_out(fresh)
            report = ground.run(mode=mode, half=half, confirm_deletions=True)
            assert report.succeeded
            assert values(read_tree(ground.local)) == values(here)
            assert values(read_tree(ground.remote)) == values(there)
            assert values(remembered(ground)) == values(settle(fresh))
            for root in (ground.local, ground.remote):
                regrow(root, data.draw(perturbed(shown(root))))


def plain(wood):
    """The same tree with content that is not a link that leaves, and with links that point inside."""
    return {name: plain(child) if isinstance(child, dict) else child for name, child in wood.items()}


def structure(wood):
    return {strip(name): structure(child) if isinstance(child, dict) else child[:1] for name, child in wood.items()}


def structure_of_values(wood):
    return {
        strip(name): structure_of_values(child) if isinstance(child, dict) else LETTERS[child[:2]]
        for name, child in wood.items()
    }


def strip(name):
    return name.partition(".conflict-")[0] + ("*" if ".conflict-" in name else "")


def _letters():
    return {(leaf(text)[0], leaf(text)[1]): text[:1] for text in ("X", "Y", "Z", "@X", "@Y", "X!")}


LETTERS = _letters()


@given(roots, roots, st.sampled_from(["both", "upload, download", "download, upload"]))
@settings(max_examples=30)
def test_two_trees_without_a_base_are_united(local, remote, order):
    with Ground() as ground:
        grow(ground.local, local)
        grow(ground.remote, remote)
        for half in {"both": [Half.WHOLE], "upload, download": [Half.UPLOAD, Half.DOWNLOAD]}.get(
            order, [Half.DOWNLOAD, Half.UPLOAD]
        ):
            assert ground.run(half=half).succeeded
        assert contents(local) | contents(remote) == contents(agreed(ground))
        assert ground.run().actions == []


@given(triples())
@settings(max_examples=30)
def test_a_mirror_is_exact_in_either_direction(woods):
    for pull in (False, True):
        with Ground() as ground:
            grow(ground.local, woods[0])
            ground.run()
            regrow(ground.local, woods[1])
            regrow(ground.remote, woods[2])
            report = ground.run(mode=MIRROR, pull=pull, confirm_deletions=True)
            assert report.succeeded
            assert agreed(ground) == shown(ground.remote if pull else ground.local)
            assert ground.run(mode=MIRROR, pull=pull).actions == []


def test_an_addition_deletes_nothing(ground):
    grow(ground.local, START)
    ground.run()
    regrow(ground.local, {"new": "n", "a": "edited"})
    ground.run(mode=ADD)
    assert shown(ground.remote) == {**START, "new": "n", "a": "edited"}
    assert shown(ground.local) == {"new": "n", "a": "edited"}
    assert ground.run(mode=ADD).actions == []


def test_both_versions_of_a_conflict_stay_and_the_copy_is_made_once(ground):
    grow(ground.local, {"a.txt": "start"})
    ground.run()
    grow(ground.local, {"a.txt": "mine"})
    grow(ground.remote, {"a.txt": "theirs"})
    report = ground.run()
    (conflict,) = report.conflicts
    assert agreed(ground) == {"a.txt": "theirs", conflict.copy: "mine"}
    assert ground.run().actions == []


def test_the_newer_version_takes_the_name(ground):
    grow(ground.local, {"a": "older"})
    grow(ground.remote, {"a": "newer"})
    os.utime(ground.local / "a", (1, 1))
    ground.run(mode=NEWER)
    assert agreed(ground) == {"a": "newer"}


def test_a_directory_and_a_file_of_one_name(ground):
    grow(ground.local, {"n": {"x": "inside"}})
    grow(ground.remote, {"n": "a leaf"})
    (conflict,) = ground.run().conflicts
    assert agreed(ground) == {"n": {"x": "inside"}, conflict.copy: "a leaf"}
    grow(ground.local, {"n": "leaf now"})
    ground.run(confirm_deletions=True)
    assert agreed(ground)["n"] == "leaf now"
    grow(ground.remote, {"n": {"y": "directory again"}})
    ground.run(confirm_deletions=True)
    assert agreed(ground)["n"] == {"y": "directory again"}


def test_what_is_in_a_directory_that_was_a_file_is_remembered(ground):
    grow(ground.local, {"a": "X"})
    ground.run()
    grow(ground.remote, {"a": {"a": {}, "b": "Y"}})
    ground.run()
    assert values(remembered(ground)) == values(read_tree(ground.local)) == values(read_tree(ground.remote))
    assert ground.run().actions == []


def test_what_an_addition_left_different_below_is_settled_by_the_next_whole_run(ground):
    grow(ground.local, {"c": {"a": {}, "c": "@a"}, "k": "keep"})
    ground.run()
    grow(ground.local, {"c": {"a": {"b": "X"}, "c": "@a"}})
    regrow(ground.remote, {"k": "keep"})
    ground.run(mode=ADD)
    assert shown(ground.remote)["c"] == {"a": {"b": "X"}}
    assert ground.run().succeeded
    assert agreed(ground) == {"c": {"a": {"b": "X"}}, "k": "keep"}


def test_a_dry_run_changes_nothing(ground):
    grow(ground.local, START)
    report = ground.run(dry_run=True)
    assert sorted(paths(report)) == ["a", "d"]
    assert shown(ground.remote) == {}
    assert ground.run().files == 4


# What must never become a deletion ----------------------------------------------------------------


def test_a_missing_root_stops_the_run(ground):
    grow(ground.local, START)
    ground.run()
    os.rename(ground.local, ground.root / "away")
    with pytest.raises(RootMissing):
        ground.run()
    assert shown(ground.remote) == START


def test_another_directory_in_the_place_of_the_root_stops_the_run(ground):
    grow(ground.local, START)
    ground.run()
    os.rename(ground.local, ground.root / "away")
    ground.local.mkdir()
    with pytest.raises(RootChanged):
        ground.run()
    assert shown(ground.remote) == START
    ground.run(accept_root=True)
    assert agreed(ground) == START


def test_what_cannot_be_written_is_named_with_the_side_and_the_way_on(ground):
    class Forbidding(Files):
        def create(self, name, at, permissions):
            raise PermissionError(errno.EACCES, "Permission denied")

    grow(ground.local, {"d": {"a": "content"}})
    grow(ground.remote, {"d": {}})
    problem = ground.run(files=Forbidding()).failed["d/a"]
    assert (problem.code, problem.exit_code) == ("Unwritable", 3)
    assert "'d/a' at " in problem.message
    assert str(ground.remote) in problem.message
    assert "write permission" in problem.hint


def test_a_root_that_cannot_be_opened_is_named(ground):
    class Closed(Files):
        def open_root(self, path):
            if path == str(ground.local):
                raise PermissionError(errno.EACCES, "Permission denied")
            return super().open_root(path)

    with pytest.raises(Unreadable, match=r"local'?: Permission denied"):
        ground.run(files=Closed())


def test_a_second_run_of_a_pair_is_told_of_the_first(ground):
    state = State(ground.state)
    with state.held(), pytest.raises(StorageLocked) as refused:
        ground.run()
    assert "when that one has ended" in refused.value.hint


def test_a_directory_made_anew_under_the_same_inode_stops_the_run(ground):
    class Aged(Files):
        def __init__(self, generation):
            self.of = generation

        def generation(self, handle):
            return self.of

    grow(ground.local, START)
    for generation in (0, 7):  # what was remembered before there were generations is taken as it is
        ground.run(files=Aged(generation))
    with pytest.raises(RootChanged):
        ground.run(files=Aged(8))
    ground.run(files=Aged(8), accept_root=True)
    assert agreed(ground) == START


def test_an_emptied_root_deletes_nothing_until_confirmed(ground):
    grow(ground.local, START)
    ground.run()
    regrow(ground.local, {})
    report = ground.run()
    assert not report.succeeded
    assert {action.path for action, _ in report.held} == {"a", "d"}
    assert shown(ground.remote) == START
    ground.run(confirm_deletions=True)
    assert agreed(ground) == {}


def test_a_lost_memory_unites(ground):
    grow(ground.local, START)
    ground.run()
    regrow(ground.local, {"a": "edited"})
    for file in ground.state.parent.iterdir():
        file.unlink()
    report = ground.run()
    assert agreed(ground) == {**START, report.conflicts[0].copy: "edited"}


def test_a_damaged_memory_is_put_aside_and_unites(ground):
    grow(ground.local, START)
    ground.run()
    regrow(ground.local, {"a": "alpha"})
    ground.state.write_bytes(b"not a database" * 1000)
    report = ground.run()
    assert report.succeeded
    assert [(code, path) for code, path, _ in report.warnings] == [("damaged", str(ground.state))]
    assert agreed(ground) == START
    assert (ground.state.parent / "state.db.damaged-1").exists()
    assert ground.run().warnings == []


def test_a_memory_with_a_broken_page_is_put_aside(ground):
    grow(ground.local, {f"d{n}": {"x": str(n)} for n in range(200)})
    ground.run()
    with sqlite3.connect(ground.state) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    data = bytearray(ground.state.read_bytes())
    for start in range(4096 * 3, len(data), 4096):
        data[start : start + 2048] = b"\xff" * 2048
    ground.state.write_bytes(data)
    grow(ground.local, {"new": "n"})
    assert ground.run().succeeded
    assert "new" in agreed(ground)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root; the simulated disk does this")
def test_an_unreadable_directory_is_unknown(ground):  # pragma: no cover
    grow(ground.local, START)
    ground.run()
    (ground.local / "d").chmod(0)
    report = ground.run()
    assert not report.succeeded
    assert shown(ground.remote) == START


def test_only_one_run_at_a_time(ground):
    pair = ground.pair()
    with pair.state.held(), pytest.raises(StorageLocked):
        ground.run()
    pair.close()


# Links, special files, names ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "edited",
    (
        {},
        {"d": {}},
        {"one": "edited", "two": "edited otherwise", "d": {"three": "edited, too"}},
        {"one-moved": "content", "two": "content", "d": {"three-moved": "content"}},
        {"one": "edited", "two-moved": "content", "d": {}},
    ),
)
def test_several_names_of_one_file_change_in_one_run(ground, edited):
    grow(ground.local, {"one": "content", "d": {}})
    os.link(ground.local / "one", ground.local / "two")
    os.link(ground.local / "one", ground.local / "d" / "three")
    assert ground.run().succeeded
    time.sleep(0.01)  # for the ctime to move
    regrow(ground.remote, edited)
    report = ground.run(confirm_deletions=True)
    assert report.failed == {}
    assert agreed(ground) == edited
    assert ground.run().actions == []


def test_a_renamed_name_of_a_file_leaves_time_and_permissions_of_the_others_alone(ground):
    grow(ground.local, {"one": "content"})
    os.link(ground.local / "one", ground.local / "two")
    ground.run()
    before = os.stat(ground.local / "two")
    os.rename(ground.remote / "one", ground.remote / "renamed")
    os.utime(ground.remote / "renamed", (1, 1))
    os.chmod(ground.remote / "renamed", 0o600)
    assert ground.run().succeeded
    assert agreed(ground) == {"renamed": "content", "two": "content"}
    renamed, after = os.stat(ground.local / "renamed"), os.stat(ground.local / "two")
    assert (renamed.st_mtime, renamed.st_mode & 0o777) == (1, 0o600)
    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)


def test_a_name_of_a_file_that_was_edited_under_another_one_stays(ground):
    class Editing(Files):
        """Somebody edits the file when one of its names is going."""

        def remove(self, name, at):
            if name.startswith(".tally-swap-") and not edited:
                edited.append(name)
                (ground.local / "two").write_text("edited")
            super().remove(name, at)

    edited = []
    grow(ground.local, {"one": "content"})
    os.link(ground.local / "one", ground.local / "two")
    ground.run()
    regrow(ground.remote, {})
    report = ground.run(files=Editing(), confirm_deletions=True)
    assert list(report.failed) == ["two"]
    assert shown(ground.local) == {"two": "edited"}


def test_links_that_leave_the_tree_are_skipped_and_protected(ground):
    grow(ground.local, {"out": "@/etc/passwd", "up": "@../x", "in": "@a", "a": "x"})
    report = ground.run()
    assert shown(ground.remote) == {"in": "@a", "a": "x"}
    assert {path for code, path, _ in report.warnings if code == "skipped"} == {"out", "up"}
    assert report.succeeded
    assert "out" in shown(ground.local)


def test_what_one_side_hides_is_invisible_on_both(ground):
    grow(ground.local, {"n": "@/etc/passwd"})
    grow(ground.remote, {"n": "a file"})
    assert ground.run().actions == []
    assert shown(ground.remote) == {"n": "a file"}


def test_names_that_are_reserved_for_temporary_files_are_skipped_and_said_to_be(ground):
    grow(ground.local, {".tally-notes": "mine", ".tally-new-0123456789ab-1-1": "of another pair", "x": "x"})

    report = ground.run()

    assert [path for code, path, _ in report.warnings if code == "skipped"] == [".tally-notes"]
    assert (ground.local / ".tally-notes").read_text() == "mine"
    assert set(os.listdir(ground.remote)) == {"x"}


def test_pipes_are_skipped_and_block_the_removal_of_their_directory(ground):
    grow(ground.local, {"d": {"a": "x"}})
    ground.run()
    os.mkfifo(ground.local / "d" / "pipe")
    regrow(ground.remote, {"z": "keep"})
    report = ground.run(confirm_deletions=True)
    assert report.blocked == ["d"]
    assert (ground.local / "d" / "pipe").exists()
    assert not (ground.local / "d" / "a").exists()
    assert ground.run().actions == []


def test_a_directory_replaced_by_a_link_does_not_redirect_a_write(ground):
    grow(ground.local, {"d": {"a": "one"}})
    ground.run()
    outside = ground.root / "outside"
    outside.mkdir()
    (outside / "a").write_text("precious")
    (ground.remote / "d" / "a").unlink()
    (ground.remote / "d").rmdir()
    (ground.remote / "d").symlink_to("../outside")
    grow(ground.local, {"d": {"a": "two", "b": "new"}})
    ground.run()
    assert (outside / "a").read_text() == "precious"
    assert sorted(path.name for path in outside.iterdir()) == ["a"]


def test_undecodable_names_survive(ground):
    name = os.fsencode(ground.local) + b"/caf\xe9"
    with open(name, "wb") as file:
        file.write(b"latin")
    ground.run()
    assert os.listdir(os.fsencode(ground.remote)) == [b"caf\xe9"]
    assert ground.run().actions == []


def test_names_that_a_volume_merges_are_reported_and_never_overwritten(ground):
    grow(ground.local, {"A": "upper", "a": "lower", "b": "plain", "d": {"x:y": "colon"}})
    windows = Volume(keeps_case=False, windows_names=True)
    report = ground.run(volumes=(Volume(), windows))
    assert shown(ground.remote) == {"A": "upper", "b": "plain", "d": {}}
    hidden = {(code, path) for code, path, _ in report.warnings}
    assert hidden == {("name_clash", "a"), ("illegal_name", "d/x:y")}
    assert report.succeeded
    assert ground.run(volumes=(Volume(), windows)).actions == []
    assert "a" in shown(ground.local)


def test_names_that_others_would_merge_or_refuse_are_reported_and_travel(ground):
    grow(ground.local, {"d": {"Read": "1", "read": "2", "aux.txt": "3", "fine": "4"}})
    report = ground.run()
    assert {path for code, path, _ in report.warnings if code == "portability"} == {"d/read", "d/aux.txt"}
    assert report.succeeded
    assert len(agreed(ground)["d"]) == 4


def test_newlines_and_odd_names(ground):
    wood = {"new\nline": "1", " space ": "2", "-rf": "3", "\\back": {"*": "4"}}
    grow(ground.local, wood)
    ground.run()
    assert agreed(ground) == wood


# Change detection ---------------------------------------------------------------------------------


def test_a_change_that_keeps_size_and_time_is_seen(ground):
    grow(ground.local, {"a": "first"})
    ground.run()
    before = (ground.local / "a").stat()
    (ground.local / "a").write_text("other")
    os.utime(ground.local / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    ground.run()
    assert agreed(ground) == {"a": "other"}


def test_a_file_that_changed_a_moment_ago_is_read_again(ground):
    grow(ground.local, {"a": "first"})
    changed = (ground.local / "a").stat().st_ctime_ns
    ground.run(clock=lambda: changed + 1_000_000)
    database = sqlite3.connect(ground.state)
    (count,) = database.execute(
        "SELECT count(*) FROM listing WHERE side = 0 AND instr(stats, x'ffffffffffffffff')"
    ).fetchone()
    database.close()
    assert count == 1
    assert ground.run(clock=time.time_ns).actions == []


@pytest.mark.parametrize("side", ("local", "remote"))
def test_a_database_and_its_journal_travel_together(ground, side):
    root = getattr(ground, side)
    writer = sqlite3.connect(root / "x.db")
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE t (n)")
    writer.execute("INSERT INTO t VALUES (1)")
    writer.commit()
    other = ground.remote if side == "local" else ground.local
    for number in (2, 3):
        assert ground.run().succeeded
        assert sorted(path.name for path in other.iterdir()) == ["x.db", "x.db-wal"]
        copy = ground.root / f"copy{number}"
        copy.mkdir()
        for name in ("x.db", "x.db-wal"):
            (copy / name).write_bytes((other / name).read_bytes())
        reader = sqlite3.connect(copy / "x.db")
        assert reader.execute("SELECT max(n) FROM t").fetchone() == (number - 1,)
        reader.close()
        writer.execute("INSERT INTO t VALUES (?)", (number,))
        writer.commit()
    writer.close()
    assert ground.run(confirm_deletions=True).succeeded
    assert sorted(path.name for path in other.iterdir()) == ["x.db"]


def test_a_sparse_file_stays_sparse(ground):
    with open(ground.local / "s", "wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"middle")
    ground.run()
    assert (ground.remote / "s").read_bytes() == (ground.local / "s").read_bytes()
    assert (ground.remote / "s").stat().st_blocks * 512 < 8 << 20


# Scope --------------------------------------------------------------------------------------------


def test_ignored_paths_are_invisible_on_both_sides(ground):
    grow(
        ground.local,
        {".tallyignore": "*.o\nbuild/\n!keep.o\n", "a.o": "x", "keep.o": "k", "build": {"y": "y"}, "src": {"b.o": "z"}},
    )
    grow(ground.remote, {"r.o": "remote object"})
    ground.run()
    assert shown(ground.remote) == {
        ".tallyignore": "*.o\nbuild/\n!keep.o\n",
        "keep.o": "k",
        "r.o": "remote object",
        "src": {},
    }
    assert "r.o" not in shown(ground.local)
    assert ground.run().actions == []


def test_a_rule_that_goes_brings_the_files_back_without_deleting_anything(ground):
    grow(ground.local, {".tallyignore": "*.o\n", "a.o": "x", "d": {"b.o": "y"}})
    ground.run()
    grow(ground.remote, {"c.o": "z"})
    grow(ground.local, {".tallyignore": "# nothing\n"})
    ground.run()
    ground.run()
    assert agreed(ground) == {".tallyignore": "# nothing\n", "a.o": "x", "d": {"b.o": "y"}, "c.o": "z"}


def test_a_rule_that_comes_deletes_nothing(ground):
    grow(ground.local, {"a.o": "x", "d": {"b.o": "y", "c": "z"}})
    ground.run()
    grow(ground.local, {".tallyignore": "*.o\n"})
    assert ground.run().succeeded
    regrow(ground.local, {".tallyignore": "*.o\n", "d": {"c": "z"}})
    assert ground.run().actions == []
    assert shown(ground.remote) == {".tallyignore": "*.o\n", "a.o": "x", "d": {"b.o": "y", "c": "z"}}


def test_deeper_ignore_files_decide_later(ground):
    grow(ground.local, {".tallyignore": "*.log\n", "d": {".tallyignore": "!keep.log\n", "keep.log": "k", "x.log": "x"}})
    ground.run()
    assert sorted(shown(ground.remote)["d"]) == [".tallyignore", "keep.log"]


def test_patterns_of_one_run_are_a_scope_too(ground):
    grow(ground.local, {"a": "x", "node_modules": {"m": "m"}})
    ground.run(patterns=["node_modules/"])
    assert shown(ground.remote) == {"a": "x"}


def test_a_directory_with_ignored_content_stays_when_it_is_deleted_on_the_other_side(ground):
    grow(ground.local, {".tallyignore": "*.o\n", "d": {"a": "x", "b.o": "object"}, "k": "keep", "l": "keep"})
    ground.run()
    regrow(ground.remote, {".tallyignore": "*.o\n", "k": "keep", "l": "keep"})
    report = ground.run()
    assert report.blocked == ["d"]
    assert shown(ground.local)["d"] == {"b.o": "object"}
    assert ground.run().actions == []
    assert "d" not in shown(ground.remote)
