"""Crashes, failing disks, other people's writes and power cuts: no content is lost (spec contexts S5, L5, T1)."""

import errno
import os
import shutil
from contextlib import contextmanager, suppress

import pytest
from disk import Ground, contents, grow, regrow, remembered, shown, temporaries

from tallystick.cli.tree_report import exit_code, plain
from tallystick.errors import TallystickError
from tallystick.testing.faulty_disk import Crash, Faults, FaultyFiles, PoweredFiles
from tallystick.trees.files import REAL
from tallystick.trees.merging import Reconcile
from tallystick.trees.problems import Unreadable

THOROUGH = os.environ.get("TALLYSTICK_TEST_PROFILE") == "thorough"


def moments(number, stride, first=1):
    """Positions of calls to try: every one in thorough runs, else every ``stride``-th."""
    return range(first, number + 1, 1 if THOROUGH else stride)


BASE = {
    "stays": "stays",
    "edited": "edited 0",
    "gone": "gone",
    "both": "both 0",
    "renamed": "a long enough content to be found again",
    "script": "run",
    "leaf": "becomes a directory",
    "dir": {"x": "becomes a leaf", "y": {"z": "deep"}},
    "tree": {"a": "tree a", "b": "tree b", "c": {"d": "tree d"}},
}
LOCAL = {
    "stays": "stays",
    "edited": "edited 1",
    "both": "both local",
    "new name": "a long enough content to be found again",
    "script": "run!",
    "leaf": {"inside": "inside leaf"},
    "dir": {"x": "becomes a leaf", "y": {"z": "deep"}},
    "tree": {"a": "tree a", "b": "tree b", "c": {"d": "tree d"}},
    "fresh": {"one": "fresh one", "two": {"three": "fresh three"}, "link": "@one"},
    "clash": {"k": "directory"},
}
REMOTE = {
    "stays": "stays",
    "edited": "edited 0",
    "gone": "gone",
    "both": "both remote",
    "renamed": "a long enough content to be found again",
    "script": "run",
    "leaf": "becomes a directory",
    "dir": "dir is a leaf now",
    "tree": {"a": "tree a 2", "c": {"d": "tree d", "e": "tree e"}},
    "clash": "leaf",
}


@contextmanager
def prepared():
    with Ground() as ground:
        grow(ground.local, BASE)
        assert ground.run().succeeded
        regrow(ground.local, LOCAL)
        regrow(ground.remote, REMOTE)
        yield ground


def outcome():
    """(what both sides come to, the calls that it takes)."""
    with prepared() as ground:
        files = FaultyFiles()
        assert ground.run(files=files, confirm_deletions=True).succeeded
        assert shown(ground.local) == shown(ground.remote)
        return shown(ground.local), files.changes, files.log


EXPECTED, CHANGES, LOG = outcome()


def visible(ground):
    return contents(shown(ground.local)) | contents(shown(ground.remote))


def recovers(ground):
    """A run with a good disk comes to exactly what an undisturbed one would have come to."""
    report = ground.run(confirm_deletions=True)
    assert report.succeeded
    assert shown(ground.local) == shown(ground.remote) == EXPECTED
    assert not temporaries(ground.root)
    assert not report.rescued
    assert ground.run().actions == []


def on(side, files):
    """The disks of a run of which one or both fail."""
    return {
        "local": {"files": files, "remote_files": REAL},
        "remote": {"remote_files": files},
        "both": {"files": files},
    }[side]


def attempt(ground, files, side="both"):
    """The report of a run on a failing disk; None when it stopped with an error that says what to do."""
    try:
        return ground.run(**on(side, files), confirm_deletions=True)
    except TallystickError as problem:
        assert problem.hint  # noqa: PT017
        return None


def test_the_scenario_uses_every_changing_call_of_a_directory():
    assert {"create", "write", "set_time", "permit", "make_directory", "make_link", "rename", "rename_new"} <= set(LOG)
    assert {"exchange", "link", "remove", "remove_directory"} <= set(LOG)
    assert CHANGES > 60


@pytest.mark.parametrize("late", (False, True), ids=("before", "after"))
def test_a_crash_at_any_changing_call_loses_nothing_and_the_next_run_completes(late):
    for crash_at in moments(CHANGES, 6, 1 + 3 * late):
        with prepared() as ground:
            with pytest.raises(Crash):
                ground.run(files=FaultyFiles(Faults(crash_at=crash_at, late=late)), confirm_deletions=True)
            assert contents(EXPECTED) <= visible(ground), f"crash at change {crash_at}"
            recovers(ground)


@pytest.mark.parametrize("when", ("before", "after"))
def test_a_crash_around_remembering_loses_nothing(when, monkeypatch):
    from tallystick.trees.state import State

    real = State.remember

    def remember(self, *given):
        if when == "after":
            real(self, *given)
        raise Crash("remember")

    with prepared() as ground:
        with monkeypatch.context() as patch:
            patch.setattr(State, "remember", remember)
            with pytest.raises(Crash):
                ground.run(confirm_deletions=True)
        recovers(ground)


@pytest.mark.parametrize("error", (errno.ENOSPC, errno.EIO, errno.EACCES), ids=errno.errorcode.get)
def test_an_error_of_any_call_leaves_the_rest_done_and_the_next_run_completes(error):
    for error_at in moments(len(LOG), 29, 1 + 5 * error % 29):
        with prepared() as ground:
            report = attempt(ground, FaultyFiles(Faults(error_at=error_at, error=error)))
            assert contents(EXPECTED) <= visible(ground), f"error at call {error_at}"
            if report is not None and not report.succeeded:
                assert all(problem.hint for problem in report.failed.values())
            recovers(ground)


@pytest.mark.parametrize("error", (errno.ENOSPC, errno.EIO), ids=errno.errorcode.get)
def test_a_disk_that_takes_no_more_writes_is_left_without_truncated_files(error):
    with prepared() as ground:
        report = ground.run(
            files=FaultyFiles(Faults(error_at=3, error=error, error_on=frozenset({"write"}), forever=True)),
            confirm_deletions=True,
        )
        assert not report.succeeded
        assert visible(ground) <= contents(BASE) | contents(LOCAL) | contents(REMOTE)
        recovers(ground)


@pytest.mark.parametrize("call", ("open_directory", "entries", "look", "status", "open_read", "read", "read_link"))
@pytest.mark.parametrize("error", (errno.EIO, errno.EACCES), ids=errno.errorcode.get)
@pytest.mark.parametrize("side", ("local", "remote", "both"))
def test_what_cannot_be_read_is_unknown_and_never_deleted(call, error, side):
    with prepared() as ground:
        before = (shown(ground.local), shown(ground.remote))
        failing = FaultyFiles(Faults(error_at=2, error=error, error_on=frozenset({call}), forever=True))
        report = attempt(ground, failing, side)
        assert report is None or not report.succeeded or failing.matching < 2
        assert contents(EXPECTED) <= visible(ground)
        assert contents(before[0]) | contents(before[1]) >= visible(ground)
        recovers(ground)


@pytest.mark.parametrize("side", ("local", "remote"))
@pytest.mark.parametrize("path", ("stays", "tree", "dir", "leaf", "edited", "both"))
def test_what_is_listed_and_cannot_be_looked_at_is_unknown_and_never_deleted(side, path):
    def refuse(name, arguments):
        if name == "look" and arguments[0] == path:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    with prepared() as ground:
        before = [tree.get(path) for tree in (shown(ground.local), shown(ground.remote))]
        failing = FaultyFiles(Faults(meanwhile=refuse))
        assert not ground.run(**on(side, failing), confirm_deletions=True).succeeded
        assert [tree.get(path) for tree in (shown(ground.local), shown(ground.remote))] == before
        recovers(ground)


@pytest.mark.parametrize("call", ("open_directory", "read_link", "open_read"))
def test_what_cannot_be_read_in_a_new_directory_is_no_success_and_is_read_by_the_next_run(call):
    with Ground() as ground:
        grow(ground.local, {"new": {"inner": {"x": "deep"}, "link": "@y", "y": "file"}})

        def refuse(name, arguments):
            if name == call and arguments[0] in ("inner", "link", "y"):
                raise PermissionError(errno.EACCES, "not yours")

        report = ground.run(files=FaultyFiles(Faults(meanwhile=refuse)))
        assert not report.succeeded
        assert ground.run().succeeded
        assert shown(ground.remote) == shown(ground.local)


# Others at work -----------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ("local", "remote"))
@pytest.mark.parametrize(
    "path", ("edited", "both", "gone", "dir", "tree/a", "tree/b", "leaf", "renamed", "script", "clash")
)
def test_an_edit_at_any_moment_of_a_run_is_never_lost(side, path):
    """Somebody writes a file, by replacing it as editors do, between any two calls of the run."""
    for moment in moments(len(LOG), 120, 1 + 11 * len(path + side) % 120):
        with prepared() as ground:
            root = getattr(ground, side)
            edit = Edit(root / path, moment)
            ground.run(files=FaultyFiles(Faults(meanwhile=edit)), confirm_deletions=True)
            for _ in range(2):
                ground.run(confirm_deletions=True)
            assert shown(ground.local) == shown(ground.remote)
            if edit.done:
                assert "somebody's work" in visible(ground), f"edited before call {moment}: {edit.call}"
            assert not temporaries(ground.root)


class Edit:
    """Replaces a file at the n-th call, if it or its directory is there."""

    def __init__(self, path, moment):
        self.path = path
        self.moment = moment
        self.calls = 0
        self.done = False
        self.call = ""

    def __call__(self, name, arguments):
        self.calls += 1
        if self.calls != self.moment or self.path.is_dir() or not self.path.parent.is_dir():
            return
        self.call = name
        temporary = self.path.with_name("editor's temporary file")
        temporary.write_text("somebody's work")
        os.replace(temporary, self.path)
        self.done = True


def test_a_file_that_never_holds_still_is_busy_and_keeps_its_stored_version():
    with Ground() as ground:
        grow(ground.local, {"log": "first", "other": "o"})
        ground.run()
        grow(ground.local, {"log": "second", "other": "o2"})

        def scribble(name, arguments):
            if name == "read":
                with open(ground.local / "log", "a") as log:
                    log.write("!")

        report = ground.run(files=FaultyFiles(Faults(meanwhile=scribble)))
        assert report.failed["log"].code == "FileBusy"
        assert shown(ground.remote) == {"log": "first", "other": "o2"}
        assert ground.run().succeeded
        assert shown(ground.remote)["log"].startswith("second!")


def test_a_file_that_never_holds_still_is_busy_too_where_its_content_decides():
    with Ground() as ground:
        grow(ground.local, {"log": "first"})
        ground.run()
        grow(ground.local, {"log": "mine"})
        grow(ground.remote, {"log": "theirs"})

        def scribble(name, arguments):
            if name == "read":
                with open(ground.local / "log", "a") as log:
                    log.write("!")

        report = ground.run(files=FaultyFiles(Faults(meanwhile=scribble)), remote_files=REAL)
        assert report.failed["log"].code == "FileBusy"
        assert (exit_code(report), plain(report, False, 0)["unreadable"]) == (1, [])


def test_a_journal_that_goes_while_its_database_is_read_is_no_failure():
    with Ground() as ground:
        grow(ground.local, {"live.db": "old", "live.db-journal": "j"})
        ground.run()
        grow(ground.local, {"live.db": "new", "live.db-journal": "more"})
        grow(ground.remote, {"live.db": "old, too"})

        def commit(name, arguments):
            journal = ground.local / "live.db-journal"
            if name == "open_read" and arguments[0] == journal.name and journal.exists():
                journal.unlink()

        report = ground.run(files=FaultyFiles(Faults(meanwhile=commit)), remote_files=REAL)
        assert exit_code(report) == 1
        assert {problem.code for problem in report.failed.values()} == {"SourceChanged"}
        ground.run()
        assert ground.run().succeeded
        assert shown(ground.local) == shown(ground.remote)
        assert contents(shown(ground.local)) >= {"new", "old, too"}


def test_what_an_ignore_file_that_cannot_be_read_leaves_out_does_not_travel():
    with Ground() as ground:
        grow(ground.local, {".tallyignore": "secret\n", "secret": "s", "x": "x"})

        def refuse(name, arguments):
            if name == "open_read" and arguments[0] == ".tallyignore":
                raise PermissionError(errno.EACCES, "not yours")

        with pytest.raises(Unreadable):
            ground.run(files=FaultyFiles(Faults(meanwhile=refuse)))
        assert shown(ground.remote) == {}
        assert ground.run().succeeded
        assert shown(ground.remote) == {".tallyignore": "secret\n", "x": "x"}


def test_a_file_that_moves_once_is_read_again():
    with Ground() as ground:
        grow(ground.local, {"a": "first"})
        moments = iter([True])

        def scribble(name, arguments):
            if name == "read" and next(moments, False):
                (ground.local / "a").write_text("second")

        assert ground.run(files=FaultyFiles(Faults(meanwhile=scribble))).succeeded
        assert shown(ground.remote) == {"a": "second"}
        assert ground.run().actions == []


def test_an_interrupted_swap_that_held_somebodys_work_is_rescued():
    with Ground() as ground:
        grow(ground.local, {"a": "zero"})
        ground.run()
        grow(ground.local, {"a": "one"})
        files = FaultyFiles(Faults())

        def late_edit(name, arguments):
            if name == "exchange":
                (ground.remote / "a").write_text("precious")
            if name == "status" and "exchange" in files.log:
                files.dead = True
                raise Crash("right after the swap")

        files.faults.meanwhile = late_edit
        with pytest.raises(Crash):
            ground.run(files=files)
        assert "precious" not in visible(ground)
        report = ground.run()
        assert report.rescued
        ground.run()
        assert "precious" in contents(shown(ground.local))
        assert shown(ground.local) == shown(ground.remote)


def test_a_link_that_an_interrupted_removal_had_swapped_out_goes():
    with Ground() as ground:
        grow(ground.local, {"d": {"link": "@target", "f": "f"}})
        ground.run()
        shutil.rmtree(ground.local / "d")
        swapped = False

        def die(name, arguments):
            nonlocal swapped
            if swapped:
                raise Crash("right after the swap")
            swapped = name == "rename" and arguments[0] == "link"

        with pytest.raises(Crash):
            ground.run(files=FaultyFiles(Faults(meanwhile=die)), confirm_deletions=True)
        assert temporaries(ground.remote)
        report = ground.run(confirm_deletions=True)
        assert report.succeeded
        assert not report.rescued
        assert shown(ground.remote) == {}
        assert not temporaries(ground.remote)


# Power cuts ---------------------------------------------------------------------------------------


def test_a_power_cut_at_any_change_of_a_durable_run_loses_nothing():
    for crash_at in moments(CHANGES + 7, 9):
        with prepared() as ground:
            graveyard = ground.root / "graveyard"
            graveyard.mkdir()
            files = PoweredFiles(Faults(crash_at=crash_at), graveyard=str(graveyard))
            with suppress(Crash):
                ground.run(files=files, confirm_deletions=True, durable=True)
            for keep in (files.at_risk // 2,):
                files.cut_power([str(ground.local), str(ground.remote)], keep)
            shutil.rmtree(graveyard)
            lost = contents(EXPECTED) - visible(ground)
            assert not lost, f"power cut at change {crash_at}"
            assert "" not in visible(ground), f"an empty file after a power cut at change {crash_at}"
            recovers(ground)


def test_what_is_remembered_after_a_durable_run_survives_a_power_cut():
    with prepared() as ground:
        graveyard = ground.root / "graveyard"
        graveyard.mkdir()
        files = PoweredFiles(Faults(), graveyard=str(graveyard))
        ground.run(files=files, confirm_deletions=True, durable=True)
        assert files.at_risk == 0
        files.cut_power([str(ground.local), str(ground.remote)])
        assert shown(ground.local) == shown(ground.remote) == EXPECTED
        assert ground.run().actions == []


def test_modes_that_overwrite_survive_crashes_too():
    with prepared() as ground:
        files = FaultyFiles()
        ground.run(files=files, mode=Reconcile.MIRROR, confirm_deletions=True)
        changes = files.changes
    for crash_at in moments(changes, 9):
        with prepared() as ground:
            with pytest.raises(Crash):
                ground.run(files=FaultyFiles(Faults(crash_at=crash_at)), mode=Reconcile.MIRROR, confirm_deletions=True)
            assert contents(LOCAL) <= visible(ground)
            report = ground.run(mode=Reconcile.MIRROR, confirm_deletions=True)
            assert report.succeeded
            if report.rescued:  # what was on its way out is shown once more before it goes
                ground.run(mode=Reconcile.MIRROR, confirm_deletions=True)
            assert shown(ground.remote) == shown(ground.local) == LOCAL
            assert remembered(ground) is not None
