"""kill -9 in the middle of writing and of taking, and a stick without space: the next visit goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tallystick.errors import StorageFull

VISIT = """
import os, signal, sys
from tallystick import api
from tallystick.jobs.bundles import exchange
from tallystick.protocols.bundle.exchange import BundleExchange
from tallystick.site import reading
from tallystick.sync.plan import Plan

path, directory, pages = sys.argv[1], sys.argv[2], int(sys.argv[3])
BundleExchange.part_bytes = 20_000
reading.PAGE_ROWS = 300
seen = 0

def progress(resource, records):
    global seen
    seen += 1
    if seen == pages:
        os.kill(os.getpid(), signal.SIGKILL)

site = api.open(path)
report = api.logged_agree(site.replica, exchange("files+dir:" + directory), Plan(progress=progress))
print(report.notes, report.refused)
"""


def visit(place, pages=0):
    """A visit in a process of its own that is killed after ``pages`` pages."""
    command = [sys.executable, "-c", VISIT, str(place.path), str(place.directory), str(pages)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def loaded(workshop):
    """a has many people, of which b has none yet; both know each other."""
    a, b = workshop.place("a"), workshop.place("b")
    workshop.acquainted(a, b)
    a.execute(*(f"INSERT INTO people(name) VALUES ('{os.urandom(100).hex()}')" for _ in range(1500)))
    return a, b


@pytest.mark.parametrize("pages", (1, 4))
def test_writing_goes_on_after_the_last_whole_part(loaded, pages):
    a, b = loaded
    killed = visit(a, pages)
    assert killed.returncode == -signal.SIGKILL
    (folder,) = a.bundles(b)
    assert not (folder / "manifest").exists()
    kept = {path.name: path.read_bytes() for path in folder.glob("*.part")}
    assert "the bundle is not complete" in b.visit().refused[0]
    assert b.rows() == []
    done = visit(a)
    assert done.returncode == 0, done.stderr
    assert ("continued after an interruption" in done.stdout) == bool(kept)
    for name, raw in kept.items():
        assert (folder / name).read_bytes() == raw
    assert b.visit().refused == []
    assert a.rows() == b.rows()


def test_a_part_that_was_half_written_is_written_again(loaded):
    a, b = loaded
    visit(a, 3)
    (folder,) = a.bundles(b)
    last = sorted(folder.glob("*.part"))[-1]
    last.write_bytes(last.read_bytes()[:-10])
    (folder / f".{last.name}.4711").write_bytes(b"left by a killed process")
    assert visit(a).returncode == 0
    assert not list(folder.glob(".*"))
    assert b.visit().refused == []
    assert a.rows() == b.rows()


def test_what_changed_between_the_kill_and_the_next_visit_comes_too(loaded):
    a, b = loaded
    visit(a, 2)
    a.execute(
        "DELETE FROM people WHERE id<5",
        "UPDATE people SET age=1 WHERE id>1490",
        "UPDATE people SET age=2 WHERE id=100",
        "INSERT INTO people(name) VALUES ('late')",
    )
    for place in (a, b, a, b, a):
        assert place.visit().refused == []
    assert a.rows() == b.rows()
    assert a.site.verify(b.site.replica).agree


@pytest.mark.parametrize("pages", (1, 4))
def test_taking_goes_on_after_the_last_page(loaded, pages):
    a, b = loaded
    assert visit(a).returncode == 0
    killed = visit(b, pages)
    assert killed.returncode == -signal.SIGKILL
    half = len(b.rows())
    assert 0 < half < 1500
    assert a.visit().refused == []
    assert a.bundles(b)  # nothing was acknowledged
    report = b.visit()
    assert report.refused == []
    assert report.records == 1500 - half
    assert a.rows() == b.rows()
    a.visit()
    assert a.bundles(b) == []


@pytest.fixture
def small_stick(tmp_path):
    """A file system of 512 KB."""
    path = tmp_path / "small"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs an administrator")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_stick_keeps_what_was_written_and_the_next_visit_goes_on(loaded, small_stick, monkeypatch):
    a, b = loaded
    monkeypatch.setattr("tallystick.protocols.bundle.exchange.BundleExchange.part_bytes", 20_000)
    monkeypatch.setattr("tallystick.site.reading.PAGE_ROWS", 300)
    for place in (a, b, a):
        place.visit(directory=small_stick, direction="pull")
    fill = small_stick / "holiday.mp4"
    fill.write_bytes(bytes(380_000))
    with pytest.raises(StorageFull, match=r"no space left for .*part"):
        a.visit(directory=small_stick)
    assert not list((small_stick / "tallystick" / a.site.id).rglob(".*.*"))
    fill.unlink()
    report = a.visit(directory=small_stick)
    assert "continued after an interruption" in " ".join(report.notes)
    assert b.visit(directory=small_stick).refused == []
    assert a.rows() == b.rows()


def test_a_stick_that_is_pulled_out_is_said(loaded, small_stick):
    a, b = loaded
    for place in (a, b):
        place.visit(directory=small_stick, direction="pull")
    subprocess.run(["mount", "-o", "remount,ro", str(small_stick)], check=True)
    with pytest.raises(Exception, match=r"cannot write .*Read-only"):
        a.visit(directory=small_stick)
