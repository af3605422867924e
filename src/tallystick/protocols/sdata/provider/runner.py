"""Jobs run in the background, one at a time for each kind (spec 3; Q8), and go on after a restart."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import msgspec

from tallystick.errors import TallystickError
from tallystick.protocols.sdata.codec.diagnoses import Diagnosis, Severity
from tallystick.protocols.sdata.errors import ProviderBusy
from tallystick.protocols.sdata.provider.calls import status_of_error
from tallystick.protocols.sdata.store import Job, JobState, SDataStore

log = logging.getLogger("tallystick.sdata")

MOST_WAITING: Final = 64
"""Jobs of one kind that may wait; the next ones are answered 503."""
POLL_SECONDS: Final = 0.05
"""How often a job that another process runs is looked at."""

Work = Callable[[Job], int]
"""Does a job; gives the number of things it made ready. Raises TallystickError when the job failed."""


class Runner:
    """Runs the jobs of one dataset. ``clock`` gives Unix seconds."""

    def __init__(self, store: SDataStore, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._lanes: dict[str, ThreadPoolExecutor] = {}
        self._running: dict[tuple[str, str, str], Future[None]] = {}

    def check_room(self, resource_kind: str) -> None:
        """Raise ProviderBusy when too many jobs of the kind wait already."""
        if sum(name[0] == resource_kind for name in list(self._running)) >= MOST_WAITING:
            raise ProviderBusy(f"{MOST_WAITING} jobs for {resource_kind} are waiting already")

    def submit(self, job: Job, work: Work) -> None:
        """Run ``job`` when its turn comes."""
        with self._lock:
            lane = self._lanes.get(job.resource_kind)
            if lane is None:
                lane = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sdata-{job.resource_kind}")
                self._lanes[job.resource_kind] = lane
            future = lane.submit(self._run, job, work)
            self._running[_name(job)] = future
        future.add_done_callback(lambda _: self._running.pop(_name(job), None))

    def _run(self, job: Job, work: Work) -> None:
        if self._store.job(job.resource_kind, job.kind, job.id) is None:
            return
        job = self._changed(job, state=JobState.RUNNING)
        try:
            total = work(job)
        except TallystickError as error:
            status, code = status_of_error(error)
            severity = Severity.TRANSIENT if status == 503 else Severity.ERROR
            found = Diagnosis(severity, code, str(error), application_code=error.code)
            self._changed(job, state=JobState.FAILED, error=(found,), status=max(status, 500), request=b"")
        except Exception:
            log.exception("job %s failed", job.id)
            found = Diagnosis(Severity.FATAL, message="the job failed; the provider's log says why")
            self._changed(job, state=JobState.FAILED, error=(found,), status=500, request=b"")
        else:
            self._changed(job, state=JobState.DONE, done=total, total=total, request=b"")

    def _changed(self, job: Job, **changes: object) -> Job:
        job = msgspec.structs.replace(job, changed=self._clock(), **changes)
        self._store.change_job(job)
        return job

    async def wait(self, job: Job, seconds: float) -> None:
        """Return when ``job`` has ended or ``seconds`` have passed, whichever process runs it."""
        future = self._running.get(_name(job))
        if future is not None:
            await asyncio.wait([asyncio.wrap_future(future)], timeout=seconds)
            return
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = await asyncio.to_thread(self._store.job, job.resource_kind, job.kind, job.id)
            if found is None or found.state in (JobState.DONE, JobState.FAILED):
                return
            await asyncio.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Wait for the job in hand of each kind; those that wait stay in the store for the next start."""
        for lane in self._lanes.values():
            lane.shutdown(wait=True, cancel_futures=True)


def _name(job: Job) -> tuple[str, str, str]:
    return (job.resource_kind, job.kind.value, job.id.lower())
