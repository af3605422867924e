"""Progress: counted by several processes, shown by one."""

import os

import pytest
from disk import Ground, grow

from tallystick.cli.tree_report import line
from tallystick.trees import processes
from tallystick.trees.processes import in_processes
from tallystick.trees.progress import Progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_what_children_do_counts(monkeypatch):
    monkeypatch.setattr(processes, "may_fork", lambda: True)
    progress = Progress(lambda progress: None)

    def work(share):
        progress.advance(share, share * 10)
        return os.getpid()

    assert len(set(in_processes(work, [1, 2, 4]))) == 3
    assert progress.done == (7, 70)


def test_it_is_shown_now_and_then_with_rate_and_time_left():
    clock, shown = Clock(), []
    progress = Progress(lambda progress: shown.append(line(progress)), 0.1, clock)
    progress.expect(4, 4096)
    assert progress.seconds_left is None
    for _ in range(3):
        clock.now += 0.06
        progress.advance(1, 1024)
    clock.now = 30.0
    assert len(shown) == 1
    assert progress.seconds_left == pytest.approx(10)
    assert line(progress) == "3 of 4 files, 3.0 KiB of 4.0 KiB, 102 B/s, 0:10 left"


def test_a_run_counts_exactly_what_it_writes():
    with Ground() as ground:
        grow(ground.local, {"d": {f"f{number}": "x" * number for number in range(20)}, "a": "top"})
        grow(ground.remote, {"b": "there"})
        progress = Progress(lambda progress: None)
        report = ground.run(progress=progress)
        assert (
            progress.done == (progress.total_files, progress.total_bytes) == (report.files, report.bytes) == (22, 198)
        )
