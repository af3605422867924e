"""Two trees brought into agreement: scan, plan, guard, carry out, remember (DESIGN.md 4.10, spec contexts B and D).

    pair = Pair(DirectoryEnd(one), DirectoryEnd(other), State(file), clock)
    report = pair.run(Options())

The base moves only with what was carried out, in one transaction with the listings that belong to it. Everything before
that can be interrupted at any instant and run again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from tallystick.errors import TallystickError
from tallystick.sync.uncollected import uncollected
from tallystick.trees.depth import as_deep_as_trees
from tallystick.trees.ends import TreeEnd
from tallystick.trees.merging import Side
from tallystick.trees.options import Options
from tallystick.trees.part import Sides
from tallystick.trees.problems import Unreadable, storage_error
from tallystick.trees.report import Report
from tallystick.trees.run import Run
from tallystick.trees.state import State
from tallystick.trees.sums import Damaged

_PUT_ASIDE = "this memory was damaged and put aside; the run began without one, as a first run does"


class Pair:
    """Two ends and what they remember of each other. ``clock`` gives nanoseconds since the epoch."""

    def __init__(self, local: TreeEnd, remote: TreeEnd, state: State, clock: Callable[[], int]) -> None:
        self.local = local
        self.remote = remote
        self.state = state
        self.clock = clock

    def run(self, options: Options | None = None) -> Report:
        """Bring both trees into agreement once.

        What fails, is held back or cannot be read is in the report; everything else is done. Raises RootMissing or
        RootChanged with nothing done (G3), StorageLocked while another run of this pair is under way, and StorageError
        when a tree or the memory as a whole cannot be used. Running again is always safe.
        """
        options = options or Options()
        with as_deep_as_trees(), self.state.held(), uncollected():
            report = self._attempt(options)
            if report is None:
                self.state.put_aside()
                report = self._attempt(options)
            if report is None:
                raise Damaged("the new one was damaged, too")
        if self.state.lost:
            self.state.lost = False
            report.warnings.append(("damaged", str(self.state.path), _PUT_ASIDE))
        return report

    def _attempt(self, options: Options) -> Report | None:
        """One run; None when it met a damaged memory. It may stop anywhere, so nothing has to be taken back."""
        try:
            report = Run(self._sides(options)).run()
            doubtful = report.failed or report.plan.unknown
            return None if doubtful and self.state.is_damaged() else report
        except (sqlite3.Error, Unreadable) as problem:
            if self.state.is_damaged(problem):
                return None
            raise
        except TallystickError:
            raise
        except Exception as problem:
            of_the_system = isinstance(problem, OSError) and not isinstance(problem, ChildProcessError)
            if not of_the_system and self.state.is_damaged(problem):
                return None  # what could not be understood was no defect of ours
            if isinstance(problem, OSError):
                raise storage_error(f"{self.local.title} or {self.remote.title}", problem) from problem
            raise

    def _sides(self, options: Options) -> Sides:
        turned = options.pull and options.mode.one_way
        local, remote = (self.remote, self.local) if turned else (self.local, self.remote)
        stored = {side: side.other if turned else side for side in Side}
        noted = {side: self.state.side(stored[side]) for side in Side}
        return Sides(self.state, self.clock, options, {Side.LOCAL: local, Side.REMOTE: remote}, stored, noted)

    def close(self) -> None:
        """Give both ends' handles back."""
        self.local.close()
        self.remote.close()
