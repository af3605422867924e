"""``session.context``: the mounted contexts of a session (spec contexts A.3)."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from tallystick.contexts.context_sync import ContextSync
from tallystick.contexts.host import ContextHost
from tallystick.contexts.keys import check_bindings, inner_mounts
from tallystick.contexts.results import Result
from tallystick.contexts.sessions.lifetime import Lifetime
from tallystick.contexts.sessions.mounting import Mounted, Wishes
from tallystick.contexts.sessions.problems import NotBound, SessionPaused, SessionReleased, message_of
from tallystick.contexts.sessions.releases import Release, Upload, follow
from tallystick.contexts.sessions.results import (
    ContextBinding,
    ContextBindingsResult,
    ContextBindResult,
    ContextInfoResult,
    ContextSyncResult,
    PlannedAction,
    PlanResult,
)
from tallystick.contexts.sessions.tasks import DOWNLOAD, SUCCESS, UPLOAD, Task
from tallystick.contexts.sessions.working import HALVES, Worker, wait_for
from tallystick.errors import TallystickError, UsageError
from tallystick.trees.guards import Limits
from tallystick.trees.merging import Reconcile, Side
from tallystick.trees.plan import Action
from tallystick.trees.report import Report

MODES = {"upload": (UPLOAD,), "download": (DOWNLOAD,), "both": (DOWNLOAD, UPLOAD)}
RECONCILE = {"safe": Reconcile.SAFE, "newer": Reconcile.NEWER, "mirror": Reconcile.MIRROR}
RETRIES, INTERVAL_MS = 150, 500
DEFAULT_LIMITS = Limits()
WAIT_SECONDS = 30.0
"""How long a first download waits for what another session is storing (S2)."""
R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session keeps things on this machine.

    ``root`` is the directory beneath which its paths resolve (K4); ``directories`` are exceptions, by session path.
    ``memory`` is the directory for what mounts and store agreed on.
    """

    root: Path
    memory: Path
    directories: dict[str, Path] = field(default_factory=dict)

    def directory(self, path: str) -> Path:
        """The directory of a session path in normal form."""
        return self.directories.get(path) or self.root / path.lstrip("/")


class ContextManager:
    """What a session does with its contexts. Calls may come from any thread; failures are returned.

    ``limits`` are those of the guards on deletions (B.11), ``durable`` and ``accept_root`` as in
    ``trees.pair.Options``; ``wait_seconds`` is how long a first download waits for the release of another session.
    """

    def __init__(
        self,
        opening: Callable[[], ContextHost],
        place: Place,
        clock: Callable[[], int] = time.time_ns,
        limits: Limits = DEFAULT_LIMITS,
        durable: bool = True,
        life: Lifetime | None = None,
        accept_root: bool = False,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self.place = place
        self.clock = clock
        self.released = ""
        """Why the session has ended; "" while it has not."""
        self.life = life or Lifetime(None, None, clock())
        self._wishes = Wishes(time.sleep, accept_root=accept_root, limits=limits, durable=durable)
        self._wait_seconds = wait_seconds
        self.release = Release(place.memory, clock, durable)
        """What others find of what this session has yet to store."""
        self._worker = Worker(opening, clock, self._follow, self.release.stored)
        self._mounted: list[Mounted] = []
        self._binding = threading.Lock()

    # Binding --------------------------------------------------------------------------------------

    def bind(self, *contexts: ContextSync, wait_for_completion: bool = True) -> ContextBindResult:
        """Mount contexts, all or none of them; waiting covers their first download."""
        return self._answered(ContextBindResult, lambda: self._bind(contexts, wait_for_completion))

    def _bind(self, contexts: tuple[ContextSync, ...], waiting: bool) -> ContextBindResult:
        if not contexts:
            raise UsageError("No contexts provided", code="InvalidBinding", hint="give a ContextSync")
        begun = self.attach(*contexts)
        awaited = [task for wanted, task in begun if wanted.beta_wait_for_completion is not False]
        result = ContextBindResult(success=True, task_ids=[task.row.task_id for _, task in begun])
        return self.judged(result, awaited) if waiting else result

    def attach(self, *contexts: ContextSync) -> list[tuple[ContextSync, Task]]:
        """Mount contexts and begin their downloads, those that are waited for first.

        Raises InvalidBinding and the like with none of them mounted.
        """
        with self._binding:
            wanted = [Mounted.of(item, self.place.directory, self.place.memory) for item in contexts]
            check_bindings((item.binding for item in self._mounted), (item.binding for item in wanted))
            self._worker.with_host(lambda host: self._attach(host, list(zip(contexts, wanted, strict=True))))
            begun = [pair for pair in zip(contexts, wanted, strict=True) if pair[1].auto_download]
            begun.sort(key=lambda pair: pair[0].beta_wait_for_completion is False)  # nobody waits behind these
            return [(item, self._begin(mounted, DOWNLOAD)) for item, mounted in begun]

    def _attach(self, host: ContextHost, wanted: list[tuple[ContextSync, Mounted]]) -> None:
        found = [*self._mounted, *(mounted for _, mounted in wanted)]
        for _, mounted in wanted:
            host.find(mounted.binding.context_id)  # before any of them changes anything
        for item, mounted in sorted(wanted, key=lambda pair: pair[1].binding.path):
            mounted.inner = _inner(mounted, found)
            mounted.attach(host, item.policy is not None, self.clock)
            mounted.bind_time = self.clock() // 1_000_000_000
        for mounted in self._mounted:
            mounted.inner = _inner(mounted, found)
        self._mounted = found
        self.release.work([_upload(mounted) for mounted in found if mounted.auto_upload])

    def _follow(self, mounted: Mounted, wishes: Wishes) -> list[str]:
        """Before the first download of a binding: wait for what others are storing there; warnings about the rest."""
        if mounted.followed:
            return []
        mounted.followed = True
        left = self.life.seconds_left(self.clock())
        seconds = self._wait_seconds if left is None else min(self._wait_seconds, left / 2)
        return follow(self.place.memory, mounted.binding, wishes.wait, seconds)

    def list_bindings(self) -> ContextBindingsResult:
        """What is mounted where, under which policy."""

        def found() -> ContextBindingsResult:
            return ContextBindingsResult(success=True, bindings=[_shown(mounted) for mounted in self._mounted])

        return self._answered(ContextBindingsResult, found)

    # Tasks ----------------------------------------------------------------------------------------

    def info(
        self, context_id: str | None = None, path: str | None = None, task_type: str | None = None
    ) -> ContextInfoResult:
        """The tasks of this session, the oldest first; filters combine."""

        def found() -> ContextInfoResult:
            rows = [
                task.row
                for task in list(self._worker.tasks)
                if _matches(task.row.context_id, task.row.path, context_id, path)
                and task_type in (None, task.row.task_type)
            ]
            return ContextInfoResult(success=True, context_status_data=rows)

        return self._answered(ContextInfoResult, found)

    def sync(
        self,
        context_id: str | None = None,
        path: str | None = None,
        mode: str | None = None,
        max_retries: int = RETRIES,
        retry_interval: int = INTERVAL_MS,
        *,
        reconcile: str = "safe",
        confirm_deletions: bool = False,
        callback: Callable[[bool], object] | None = None,
    ) -> ContextSyncResult:
        """Synchronize now, whatever the policies say of by itself: ``upload`` (the default), ``download``, ``both``.

        Waits for the tasks of this call: ``max_retries`` looks, the first after ``retry_interval`` milliseconds. With
        ``callback`` it returns at once and calls back, from another thread, with whether all of them succeeded.
        ``reconcile`` is ``safe``, ``newer`` or ``mirror``; ``confirm_deletions`` lets held deletions through.
        """

        def work() -> ContextSyncResult:
            if mode not in (None, *MODES) or reconcile not in RECONCILE:
                raise UsageError(
                    f"there is no mode {mode!r} or reconcile {reconcile!r}",
                    code="InvalidMode",
                    hint=f"modes are {', '.join(MODES)}; reconcile is {', '.join(RECONCILE)}",
                )
            wishes = replace(self._wishes, reconcile=RECONCILE[reconcile], confirm_deletions=confirm_deletions)
            chosen = self._chosen(context_id, path)
            tasks = [self._begin(item, kind, wishes) for item in chosen for kind in MODES[mode or "upload"]]
            result = ContextSyncResult(success=True, task_ids=[task.row.task_id for task in tasks])
            if callback is not None:
                self._worker.when_done(tasks, callback)
                return result
            return self.judged(result, tasks, max_retries, retry_interval)

        return self._answered(ContextSyncResult, work)

    def plan(self, mode: str = "upload", context_id: str | None = None, path: str | None = None) -> PlanResult:
        """What ``sync`` would do now, with a reason for each action; nothing is done (T4).

        ``both`` gives the actions of the download, then those of the upload, as they are before either.
        """

        def work() -> PlanResult:
            if mode not in MODES:
                raise UsageError(f"there is no mode {mode!r}", code="InvalidMode", hint=f"modes are {', '.join(MODES)}")
            found = {
                mounted.binding.path: [action for kind in MODES[mode] for action in self._half(mounted, kind)]
                for mounted in self._chosen(context_id, path)
            }
            return PlanResult(success=True, actions=found)

        return self._answered(PlanResult, work)

    def _half(self, mounted: Mounted, kind: str) -> list[PlannedAction]:
        wishes = replace(self._wishes, dry_run=True)
        report, _, _ = self._worker.call(lambda: mounted.run(self._worker.opening, HALVES[kind], wishes, self.clock))
        return _planned(report)

    def explain(self, path: str, file: str) -> str:
        """Whether ``file``, relative to the mount at ``path``, is in scope, and which entry decided it (W5).

        Raises NotBound.
        """
        return self._chosen(None, path)[0].white_lists().explain(file).reason

    # For the session ------------------------------------------------------------------------------

    def upload(self, everything: bool) -> list[Task]:
        """Begin the uploads of a release: all bindings, or those that upload by themselves (S1)."""
        chosen = [item for item in self._mounted if everything or item.auto_upload]
        self.release.begin([_upload(item) for item in chosen])
        return [self._begin(item, UPLOAD) for item in chosen]

    def when_ended(self, tasks: list[Task], then: Callable[[], object]) -> None:
        """Do something, in another thread, when these tasks have ended."""
        self._worker.when_done(tasks, lambda _: then())

    def judged(self, result: R, tasks: list[Task], retries: int = RETRIES, interval_ms: float = INTERVAL_MS) -> R:
        """The result after waiting for these tasks: successful only if every one of them was."""
        if not wait_for(tasks, retries, interval_ms / 1000):
            result.success, result.error_message = False, "[TimedOut] the tasks have not ended yet; see info()"
            return result
        failed = [task.row for task in tasks if task.row.status != SUCCESS]
        if failed:
            result.success, result.error_message = False, failed[0].error_message
        return result

    @property
    def directories(self) -> list[Path]:
        """Where everything is mounted on this machine."""
        return [mounted.directory for mounted in self._mounted]

    @property
    def is_busy(self) -> bool:
        """True while a task has not ended."""
        return any(not task.ended.is_set() for task in list(self._worker.tasks))

    def close(self, why: str = "the session was released") -> None:
        """Refuse further calls, and end the thread when its tasks are done."""
        self.released = self.released or why
        self._worker.close()
        self.release.close()

    def close_later(self, why: str, then: Callable[[], object]) -> None:
        """Refuse further calls; when its tasks are done, whenever that is, do something and end the thread."""
        self.released = self.released or why
        self._worker.close_later(then)

    def _begin(self, mounted: Mounted, task_type: str, wishes: Wishes | None = None) -> Task:
        return self._worker.begin(mounted, task_type, wishes or self._wishes)

    def _chosen(self, context_id: str | None, path: str | None) -> list[Mounted]:
        """The bindings that filters name. Raises NotBound when they name none."""
        found = [
            item for item in self._mounted if _matches(item.binding.context_id, item.binding.path, context_id, path)
        ]
        if not found and (context_id is not None or path is not None):
            raise NotBound(f"nothing is mounted for context {context_id!r}, path {path!r}")
        return found

    def _answered(self, kind: type[R], call: Callable[[], R]) -> R:
        """The answer of a call, or why there is none."""
        try:
            if self.released:
                raise SessionReleased(self.released)
            if self.life.is_paused:
                raise SessionPaused("the session is paused")
            self.life.use(self.clock())
            result = call()
        except TallystickError as problem:
            result = kind(success=False, error_message=message_of(problem))
        result.request_id = result.request_id or uuid.uuid4().hex
        return result


def _inner(mounted: Mounted, all_mounted: list[Mounted]) -> list[str]:
    return inner_mounts(mounted.binding, [other.binding for other in all_mounted if other is not mounted])


def _upload(mounted: Mounted) -> Upload:
    binding = mounted.binding
    return Upload(binding.context_id, binding.prefix, binding.path, str(mounted.directory))


def _matches(context_id: str, path: str, wanted_id: str | None, wanted_path: str | None) -> bool:
    if wanted_id is not None and wanted_id != context_id:
        return False
    return wanted_path is None or wanted_path.rstrip("/") == path or wanted_path == path


def _shown(mounted: Mounted) -> ContextBinding:
    policy = json.dumps(mounted.policy.__dict__(), ensure_ascii=False, separators=(",", ":"))
    binding = mounted.binding
    return ContextBinding(binding.context_id, mounted.name, binding.path, policy, mounted.bind_time)


def _planned(report: Report) -> list[PlannedAction]:
    held = [_action(action, why) for action, why in report.held]
    return [_action(action, "") for action in report.actions] + held


def _action(action: Action, held: str) -> PlannedAction:
    side = "mount" if action.side is Side.LOCAL else "store"
    return PlannedAction(action.verb.value, side, action.path, action.reason, held)
