"""Scans of large trees: what two processes find together is what one finds."""

import os
import time

import pytest

from tallystick.trees import processes, scan
from tallystick.trees.files import REAL
from tallystick.trees.merging import Side
from tallystick.trees.mount import Mount
from tallystick.trees.names import TEMPORARY
from tallystick.trees.scan import IGNORE_FILE
from tallystick.trees.scope import Everything
from tallystick.trees.state import Changes, State


@pytest.fixture
def two_processes(monkeypatch):
    """Every tree is large, and there are two processors."""
    monkeypatch.setattr(scan, "SHARE_ENTRIES", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(processes.threading, "active_count", lambda: 1)


@pytest.fixture
def wood(tmp_path):
    root = tmp_path / "wood"
    for one in "abcdef":
        for other in "xyz":
            directory = root / one / other
            directory.mkdir(parents=True)
            (directory / "file").write_text(one + other)
    (root / "e" / IGNORE_FILE).write_text("*.log")
    (root / "f" / f"{TEMPORARY}new-tree-1-1").write_text("left")
    (root / "f" / "out").symlink_to("/etc")
    os.mkfifo(root / "f" / "pipe")
    time.sleep(0.05)  # times that are safely in the past are noted as they are
    return root


@pytest.fixture
def state(tmp_path):
    with State(tmp_path / "state").held() as state:
        yield state


def scanned(root, state, shared):
    with Mount(str(root)) as mount:
        return scan.scan(REAL, mount.handle, state.side(Side.LOCAL), Everything(), time.time_ns, shared)


def told(found):
    listings = [{path: listing.to_row() for path, listing in part.items()} for part in (found.changed, found.reordered)]
    others = [sorted(part) for part in (found.unknown, found.warnings, found.leftovers, found.rules)]
    return listings, others, found.entries, found.directories


def forks(monkeypatch):
    started, fork = [], os.fork
    monkeypatch.setattr(os, "fork", lambda: started.append(1) or fork())
    return started


def test_two_processes_find_what_one_finds(wood, state, two_processes, monkeypatch):
    alone = told(scanned(wood, state, shared=False))
    started = forks(monkeypatch)

    assert told(scanned(wood, state, shared=True)) == alone
    assert started == [1]
    assert alone[0][0].keys() == {""} | set("abcdef") | {f"{one}/{x}" for one in "abcdef" for x in "xyz"}


def test_two_processes_find_what_changed_since_it_was_noted(wood, state, two_processes):
    (wood / "f" / f"{TEMPORARY}new-tree-1-1").unlink()
    before = scanned(wood, state, shared=True)
    state.remember(Changes({(Side.LOCAL, path): listing for path, listing in before.changed.items()}))
    for path in ("a/x/file", "e/y/new", "f/z/file"):
        (wood / path).write_text("changed")

    (wood / "b" / "z" / "file").unlink()
    after = scanned(wood, state, shared=True)

    assert before.news == {}
    assert after.changed.keys() == after.news.keys() == {"a/x", "b/z", "e/y", "f/z"}
    assert after.news["e/y"] == {"new"}
    assert after.news["a/x"] == after.news["b/z"] == {"file"}


def test_what_one_of_two_processes_cannot_read_is_told(wood, state, two_processes, monkeypatch):
    open_directory = REAL.open_directory

    def refusing(name, at):
        if name in "af":
            raise PermissionError(13, "Permission denied", name)
        return open_directory(name, at)

    monkeypatch.setattr(REAL, "open_directory", refusing)
    found = scanned(wood, state, shared=True)

    assert found.unknown == {"a", "f"}
    assert sorted(path for code, path, _ in found.warnings if code == "unreadable") == ["a", "f"]


def test_what_stops_a_part_of_a_scan_stops_the_scan(wood, state, two_processes, monkeypatch):
    own, open_directory = os.getpid(), REAL.open_directory

    def failing(name, at):
        if os.getpid() != own:
            raise MemoryError("no more of it")
        return open_directory(name, at)

    monkeypatch.setattr(REAL, "open_directory", failing)
    with pytest.raises(MemoryError):
        scanned(wood, state, shared=True)
    assert processes.may_fork()


def test_a_scan_that_shares_work_already_is_not_shared_again(wood, state, two_processes, monkeypatch):
    started = forks(monkeypatch)
    found = processes.in_processes(lambda _: told(scanned(wood, state, shared=True)), [1, 2])

    assert found[0] == found[1]
    assert len(started) == 1
