"""Large trees in two parts: what comes of it is what one process comes to."""

import errno
import os
import random
import signal
import sqlite3
from contextlib import contextmanager

import pytest
from disk import Ground, grow, read_tree, regrow, remembered, shown
from hypothesis import given, settings
from hypothesis import strategies as st
from woods import carried_out, values

from tallystick.errors import StorageError
from tallystick.trees import cut as cutting
from tallystick.trees import run as running
from tallystick.trees.files import Files
from tallystick.trees.guards import Limits
from tallystick.trees.history import History
from tallystick.trees.merging import Reconcile, Side
from tallystick.trees.mount import Mount
from tallystick.trees.part import Part
from tallystick.trees.plan import Half, Verb, plan
from tallystick.trees.problems import NoSpace, ProcessEnded
from tallystick.trees.progress import Progress
from tallystick.trees.second_part import SecondPart
from tallystick.trees.settling import settle
from tallystick.trees.state import State

SAFE, NEWER, ADD, MIRROR = Reconcile.SAFE, Reconcile.NEWER, Reconcile.ADD, Reconcile.MIRROR
START = {f"d{number}": {name: f"{name} of {number}" * 9 for name in "abc"} for number in range(4)} | {"top": "of both"}


@contextmanager
def in_parts():
    """However small trees are, they are cut. Gives how the second parts ended."""
    ended = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "may_fork", lambda: True)  # whatever threads other tests have left
        patch.setattr(running, "WORTH_ENTRIES", 0)
        patch.setattr(running, "WORTH_DIRECTORIES", 1)
        patch.setattr(cutting, "WORTH", 0)
        done, taken = SecondPart.done, SecondPart.take_over
        patch.setattr(SecondPart, "done", lambda self: ended.append("done") or done(self))
        patch.setattr(SecondPart, "take_over", lambda self: ended.append("taken over") or taken(self))
        yield ended


@pytest.fixture
def ground():
    with Ground() as made, in_parts() as made.ended:
        grow(made.local, START)
        assert made.run().succeeded
        del made.ended[:]
        yield made


def agreed(ground):
    assert shown(ground.local) == shown(ground.remote)
    return shown(ground.local)


def write(root, path, content):
    (root / path).write_text(content)


def test_both_parts_are_carried_out_and_reported(ground):
    write(ground.local, "d0/a", "changed")
    (ground.local / "d3" / "b").unlink()
    write(ground.remote, "d1/new", "new")
    write(ground.remote, "d3/c", "changed there")
    report = ground.run()
    assert ground.ended == ["done"]
    assert {(action.verb, action.side, action.path) for action in report.actions} == {
        (Verb.PUT, Side.LOCAL, "d1/new"),
        (Verb.PUT, Side.LOCAL, "d3/c"),
        (Verb.PUT, Side.REMOTE, "d0/a"),
        (Verb.REMOVE, Side.REMOTE, "d3/b"),
    }
    assert (report.files, report.removals, report.entries) == (3, 1, 34)
    assert report.succeeded
    assert not report.idle
    assert agreed(ground)["d3"] == {"a": START["d3"]["a"], "c": "changed there"}
    assert ground.run().idle


def test_a_run_with_nothing_to_do_takes_over_nothing(ground):
    report = ground.run()
    assert report.idle
    assert ground.ended == ["taken over"]
    assert report.entries == 2 * (3 * 4 + 5)


@given(st.data())
@settings(max_examples=60)
def test_every_run_does_what_a_plan_of_the_whole_from_scratch_would_do(data):
    chance = data.draw(st.randoms(use_true_random=False))
    with Ground() as ground, in_parts():
        grow(ground.local, START)
        assert ground.run().succeeded
        for _ in range(3):
            for root in (ground.local, ground.remote):
                regrow(root, edited(shown(root), chance))
            half, mode = chance.choice(list(Half)), chance.choice([SAFE, SAFE, SAFE, NEWER, ADD, MIRROR])
            local, remote = read_tree(ground.local), read_tree(ground.remote)
            fresh = plan(remembered(ground), local, remote, mode, half)
            here, there = carried_out(fresh)
            report = ground.run(mode=mode, half=half, confirm_deletions=True)
            assert report.succeeded
            assert values(read_tree(ground.local)) == values(here)
            assert values(read_tree(ground.remote)) == values(there)
            assert values(remembered(ground)) == values(settle(fresh))


def edited(wood, chance):
    """A few edits, most of them of single files."""
    wood = {name: dict(child) if isinstance(child, dict) else child for name, child in wood.items()}
    for _ in range(chance.randrange(6)):
        name = chance.choice([f"d{number}" for number in range(5)])
        directory = wood.get(name)
        what = chance.choice(["write", "write", "write", "delete", "rename", "move", "directory", "root"])
        if what == "root":
            wood["top"] = chance.choice(["X", "Y"])
        elif what == "directory":
            wood[name] = chance.choice([{}, {"x": "X"}, "no directory"])
        elif not isinstance(directory, dict):
            continue
        elif what == "write":
            directory[chance.choice("abcd")] = chance.choice(["X", "Y", "Z", "@a", "X!", {"in": "side"}])
        elif directory:
            taken = directory.pop(chance.choice(sorted(directory)))
            target = wood[chance.choice([key for key, child in wood.items() if isinstance(child, dict)])]
            if what != "delete":
                (directory if what == "rename" else target)[chance.choice("wxyz")] = taken
    return wood


@pytest.mark.parametrize(("old", "new"), (("d0/a", "d3/moved"), ("d3/a", "d0/moved")))
def test_a_rename_from_one_part_to_the_other_moves_no_content(ground, old, new):
    inode = (ground.remote / old).stat().st_ino
    os.rename(ground.local / old, ground.local / new)
    report = ground.run()
    assert (ground.remote / new).stat().st_ino == inode
    assert report.bytes == 0
    assert ground.ended == ["taken over"]
    assert agreed(ground)


def test_renames_inside_the_parts_move_no_content(ground):
    inodes = [(ground.remote / path).stat().st_ino for path in ("d0/a", "d3/a")]
    for directory in ("d0", "d3"):
        os.rename(ground.local / directory / "a", ground.local / directory / "z")
    assert ground.run().bytes == 0
    assert ground.ended == ["done"]
    assert [(ground.remote / path).stat().st_ino for path in ("d0/z", "d3/z")] == inodes


def test_guards_count_the_deletions_of_both_parts(ground):
    for path in ("d0/a", "d0/b", "d3/a", "d3/b"):
        (ground.local / path).unlink()
    report = ground.run(limits=Limits(at_most=3))
    assert ground.ended == ["taken over"]
    assert sorted(action.path for action, _ in report.held) == ["d0/a", "d0/b", "d3/a", "d3/b"]
    assert "4 files would be deleted" in report.held[0][1]
    assert shown(ground.remote) == START


def test_deletions_in_both_parts_that_no_guard_holds_are_carried_out_by_both(ground):
    for path in ("d0/a", "d0/b", "d3/a", "d3/b"):
        (ground.local / path).unlink()
    assert ground.run(limits=Limits(at_most=4)).succeeded
    assert ground.ended == ["done"]
    assert agreed(ground)["d3"] == {"c": START["d3"]["c"]}


def test_an_emptied_side_deletes_nothing(ground):
    for number in range(4):
        regrow(ground.local / f"d{number}", {})
    regrow(ground.local, {})
    assert ground.run().held
    assert shown(ground.remote) == START


def test_deletions_before_the_first_download_are_held_in_both_parts(ground):
    (ground.local / "d3" / "a").unlink()
    assert [action.path for action, _ in ground.run(first_download_done=False).held] == ["d3/a"]


@pytest.mark.parametrize("directory", ("d0", "d3"))
def test_a_conflict_in_either_part_keeps_both_versions(ground, directory):
    write(ground.local, f"{directory}/a", "mine")
    write(ground.remote, f"{directory}/a", "theirs")
    write(ground.local, "d1/b", "elsewhere")
    report = ground.run()
    assert ground.ended == ["taken over"]
    assert [conflict.path for conflict in report.conflicts] == [f"{directory}/a"]
    assert {"mine", "theirs"} <= set(agreed(ground)[directory].values())


def test_a_loser_of_the_second_part_goes_into_history(ground):
    write(ground.local, "d3/a", "mine")
    write(ground.remote, "d3/a", "newer")
    os.utime(ground.remote / "d3" / "a", (2**31, 2**31))
    report = ground.run(mode=NEWER, history=ground.root / "history")
    assert agreed(ground)["d3"]["a"] == "newer"
    assert list(report.kept) == ["d3/a"]
    assert History(ground.root / "history", 0) is not None


@pytest.mark.parametrize("edit", ("gone", "file", "link", "new", "permitted"))
@pytest.mark.parametrize("name", ("d0", "d3"))
def test_a_directory_that_changes_itself_is_planned_with_all_of_it(ground, name, edit):
    path = ground.local / name
    if edit == "permitted":
        path.chmod(0o700)
    elif edit == "new":
        grow(ground.local, {f"{name}-new": {"deep": {"x": "X"}}})
    else:
        regrow(path, {})
        path.rmdir()
    if edit in ("file", "link"):
        grow(ground.local, {name: "a file" if edit == "file" else "@top"})
    write(ground.local, "d1/a", "changed")
    write(ground.local, "d2/a", "changed")
    report = ground.run(confirm_deletions=True)
    assert report.succeeded, report
    assert agreed(ground) == shown(ground.local)
    assert ground.run().idle


def test_what_has_no_space_is_not_begun_in_either_part(ground, monkeypatch):
    write(ground.local, "d0/a", "x" * 3000)
    write(ground.local, "d3/a", "y" * 3000)
    monkeypatch.setattr(Files, "free_space", lambda files, handle: running.SPARE_BYTES + 5000)
    report = ground.run()
    assert ground.ended == ["taken over"]
    assert {type(problem) for problem in report.failed.values()} == {NoSpace}
    assert shown(ground.remote) == START


def test_an_ignore_file_in_the_second_part_counts_for_all_of_it(ground):
    grow(ground.local / "d3", {".tallyignore": "b\n"})
    write(ground.local, "d3/b", "ignored")
    write(ground.local, "d0/b", "not ignored")
    assert ground.run().succeeded
    assert shown(ground.remote)["d3"]["b"] == START["d3"]["b"]
    assert shown(ground.remote)["d0"]["b"] == "not ignored"


def test_what_an_interrupted_run_left_in_the_second_part_is_removed(ground):
    pair = ground.pair()
    left = ground.remote / "d3" / pair.remote.mount.temporary()
    left.write_text("half")
    write(ground.local, "d0/a", "changed")
    assert ground.run().succeeded
    assert not left.exists()


def test_what_fails_in_the_second_part_is_reported_and_done_by_the_next_run(ground, monkeypatch):
    write(ground.local, "d0/a", "changed")
    write(ground.local, "d3/a", "changed")
    with monkeypatch.context() as patch:
        real = Mount.publish_over

        def refuse(mount, at, temporary, name, expected):
            if os.readlink(f"/proc/self/fd/{at}").endswith("/d3"):
                raise OSError(errno.EIO, "Input/output error")
            real(mount, at, temporary, name, expected)

        patch.setattr(Mount, "publish_over", refuse)
        report = ground.run()
    assert ground.ended == ["done"]
    assert list(report.failed) == ["d3/a"]
    assert not report.succeeded
    assert shown(ground.remote)["d0"]["a"] == "changed"
    assert ground.run().succeeded
    assert agreed(ground)["d3"]["a"] == "changed"


def killed(patch, name, number):
    """The second process dies the ``number``-th time it comes to a method of a part."""
    first, real, calls = os.getpid(), getattr(Part, name), []

    def die(self, *given):
        if os.getpid() != first:
            calls.append(name)
            if len(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return real(self, *given)

    patch.setattr(Part, name, die)


@pytest.mark.parametrize("where", ("prepare", "carry_out", "_note_outcome", "remember"))
def test_when_the_second_process_is_killed_the_next_run_completes_and_nothing_is_lost(ground, monkeypatch, where):
    for name in ("d0", "d3"):
        write(ground.local, f"{name}/a", f"local {name}")
        write(ground.remote, f"{name}/b", f"remote {name}")
        (ground.local / name / "c").unlink()
    with monkeypatch.context() as patch:
        killed(patch, where, 1)
        with pytest.raises(ProcessEnded, match="run again"):
            ground.run()
    assert ground.run().succeeded
    for name in ("d0", "d3"):
        assert agreed(ground)[name] == {"a": f"local {name}", "b": f"remote {name}"}
    assert ground.run().idle


def test_what_the_second_process_raises_is_raised(ground, monkeypatch):
    write(ground.local, "d0/a", "changed")
    first, real = os.getpid(), State.remember

    def fail(state, *given):
        if os.getpid() != first:
            raise sqlite3.OperationalError("disk I/O error")
        real(state, *given)

    with monkeypatch.context() as patch:
        patch.setattr(State, "remember", fail)
        write(ground.local, "d3/a", "changed")
        with pytest.raises(StorageError, match="disk I/O error"):
            ground.run()
    assert ground.run().succeeded
    assert agreed(ground)["d3"]["a"] == "changed"


def test_when_the_first_process_fails_the_second_changes_nothing_before_it_was_told_to(ground, monkeypatch):
    write(ground.local, "d3/a", "changed")
    with monkeypatch.context() as patch:
        patch.setattr(running.Run, "_may_go_on", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ground.run()
    assert shown(ground.remote) == START
    assert ground.run().succeeded


def test_progress_counts_both_parts(ground):
    for name in ("d0", "d3"):
        write(ground.local, f"{name}/a", "changed")
    progress = Progress(lambda _: None)
    assert ground.run(progress=progress).succeeded
    assert (progress.total_files, progress.total_bytes) == (2, 14)
    assert progress.done == (2, 14)


def test_many_edits_of_many_files_at_once(ground):
    chance = random.Random(4)
    wood = {f"g{group}": {f"f{number}": f"{group} {number}" for number in range(30)} for group in range(20)}
    regrow(ground.local, wood)
    assert ground.run(confirm_deletions=True).succeeded
    del ground.ended[:]
    for round_number in range(5):
        for root in (ground.local, ground.remote):
            for group in chance.sample(range(20), 9):
                for number in chance.sample(range(30), 4):
                    path = root / f"g{group}" / f"f{number}"
                    if chance.random() < 0.3:
                        path.unlink(missing_ok=True)
                    elif chance.random() < 0.5 and path.exists():
                        path.rename(path.with_name(f"r{round_number}-{number}-{root.name}"))
                    else:
                        path.write_text(f"{root.name} {round_number}")
        assert ground.run(confirm_deletions=True).succeeded
        assert agreed(ground)
    assert ground.run().idle
