"""The thread of a session: tasks are carried out here one after the other, each with a host of its own (B.12)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from tallystick.contexts.host import ContextHost
from tallystick.contexts.sessions.mounting import Mounted, Wishes
from tallystick.contexts.sessions.problems import message_of
from tallystick.contexts.sessions.tasks import DOWNLOAD, FAILED, RUNNING, SUCCESS, UPLOAD, ContextStatusData, Task
from tallystick.errors import TallystickError
from tallystick.trees.plan import Half
from tallystick.trees.progress import Progress
from tallystick.trees.report import Report

T = TypeVar("T")
HALVES = {UPLOAD: Half.UPLOAD, DOWNLOAD: Half.DOWNLOAD}
NAMED = 5
"""How many paths a message names."""


class Worker:
    """Carries out the tasks of one session. ``opening`` makes a host; ``clock`` gives nanoseconds since the epoch.

    ``follow`` is called in the thread before a download, and gives warnings for its row; ``stored`` after an upload,
    with the path of the mount.
    """

    def __init__(
        self,
        opening: Callable[[], ContextHost],
        clock: Callable[[], int],
        follow: Callable[[Mounted, Wishes], list[str]],
        stored: Callable[[str], None],
    ) -> None:
        self.opening = opening
        self.clock = clock
        self._follow = follow
        self._stored = stored
        self.tasks: list[Task] = []
        self._thread = ThreadPoolExecutor(1, "tally-session")

    def close(self) -> None:
        """End the thread when its last task is done, and wait for that."""
        self._thread.shutdown()

    def close_later(self, then: Callable[[], object]) -> None:
        """End the thread when its last task is done, whenever that is, and do something there first."""
        self._thread.submit(then)
        self._thread.shutdown(wait=False)

    def call(self, work: Callable[[], T]) -> T:
        """Do something in the thread and give its answer, or raise what it raised."""
        return self._thread.submit(work).result()

    def with_host(self, work: Callable[[ContextHost], T]) -> T:
        """Do something with a host in the thread."""

        def call() -> T:
            host = self.opening()
            try:
                return work(host)
            finally:
                host.close()

        return self.call(call)

    def begin(self, mounted: Mounted, task_type: str, wishes: Wishes) -> Task:
        """A new task, carried out when those before it are done."""
        task = Task(ContextStatusData(mounted.binding.context_id, mounted.binding.path, task_type))
        self.tasks.append(task)
        self._thread.submit(self._work, task, mounted, wishes)
        return task

    def when_done(self, tasks: Sequence[Task], callback: Callable[[bool], object]) -> None:
        """Call back, in a thread, when all tasks that were begun before have ended."""
        done: Future[bool] = self._thread.submit(lambda: all(task.row.status == SUCCESS for task in tasks))
        done.add_done_callback(lambda found: callback(found.result()))

    def _work(self, task: Task, mounted: Mounted, wishes: Wishes) -> None:
        row = task.row
        row.start_time, row.status = self._seconds(), RUNNING
        try:
            self._run(row, mounted, wishes)
        except TallystickError as problem:
            row.error_message = message_of(problem)
        except Exception as problem:
            row.error_message = f"[internal] {type(problem).__name__}: {problem}"
        row.finish_time = self._seconds()
        row.status = FAILED if row.error_message else SUCCESS
        if row.task_type == UPLOAD and row.status == SUCCESS:
            self._stored(row.path)
        task.ended.set()

    def _run(self, row: ContextStatusData, mounted: Mounted, wishes: Wishes) -> None:
        stale = row.warnings = self._follow(mounted, wishes) if row.task_type == DOWNLOAD else []
        progress = Progress(lambda now: _count(row, now))
        found = mounted.run(self.opening, HALVES[row.task_type], replace(wishes, progress=progress), self.clock)
        report, row.version, warnings = found
        _count(row, progress)
        row.files_done, row.bytes_done = max(row.files_done, report.files), max(row.bytes_done, report.bytes)
        row.files_total, row.bytes_total = max(row.files_total, row.files_done), max(row.bytes_total, row.bytes_done)
        row.conflicts = sorted(conflict.path for conflict in report.conflicts)
        row.held = sorted(action.path for action, _ in report.held)
        row.skipped = sorted({path for _, path, _ in report.warnings} | set(report.blocked))
        row.warnings = stale + [f"[{code}] {path}: {why}" for code, path, why in report.warnings]
        row.warnings += [f"[blocked] {path}: holds something out of scope" for path in report.blocked] + warnings
        row.warnings += [f"[replaced] {path}: what stood here is now {place}" for path, place in report.kept.items()]
        row.error_message = problem_in(report)

    def _seconds(self) -> int:
        return self.clock() // 1_000_000_000


def _count(row: ContextStatusData, progress: Progress) -> None:
    files, size = progress.done
    row.files_total, row.bytes_total = progress.total_files, progress.total_bytes
    row.files_done, row.bytes_done = max(row.files_done, files), max(row.bytes_done, size)


def problem_in(report: Report) -> str:
    """Why a run did not succeed, as ``[Code] Message`` with the paths; "" when it did (B.11, T2)."""
    if report.failed:
        path, problem = min(report.failed.items())
        more = f" (and {len(report.failed) - 1} more paths)" if len(report.failed) > 1 else ""
        return f"{message_of(problem)}: {path}{more}"
    if report.plan.unknown:
        return f"[Unreadable] cannot be read: {_named(report.plan.unknown)}"
    if report.held:
        return f"[DeletionsHeld] {report.held[0][1]}: {_named([action.path for action, _ in report.held])}"
    return ""


def _named(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(path or "/" for path in paths[:NAMED]) + more


def wait_for(tasks: Sequence[Task], retries: int, interval: float) -> bool:
    """Wait until tasks have ended: so many looks, the first after ``interval`` seconds, each 1.1 times later, 5 at
    most. Gives False when the looks are used up.
    """
    for task in tasks:
        while not task.ended.wait(interval):
            retries -= 1
            if retries <= 0:
                return False
            interval = min(interval * 1.1, 5.0)
    return True


def ended_within(tasks: Sequence[Task], seconds: float) -> bool:
    """Wait until tasks have ended, for so long altogether; False when the time is over before."""
    end = time.monotonic() + seconds
    return all(task.ended.wait(max(0.0, end - time.monotonic())) for task in tasks)
