"""The engine: a stateless third party that brings two providers into agreement (spec 10).

It owns no data and understands none: the target's digest goes to the source, the source's pages to the target, the
target's results back, byte for byte as they came. What it reads of a page are its links and its statuses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tallystick.errors import TallystickError
from tallystick.protocols.sdata.codec.feeds import Glance, glance
from tallystick.protocols.sdata.codec.kinds import Contract, Kind
from tallystick.protocols.sdata.codec.names import ENTRY_TYPE, FEED_TYPE, SCHEMA, SYNC_SOURCE, SYNC_TARGET
from tallystick.protocols.sdata.codec.schema import read_schema
from tallystick.protocols.sdata.errors import MalformedMessage, PassStopped, ProviderBusy
from tallystick.protocols.sdata.remote_jobs import Remote, RemoteJob, Run
from tallystick.protocols.sdata.transport import Response

MOST_PAGES: Final = 1_000_000


@dataclass(slots=True)
class PassReport:
    """How one pass went: pages and entries carried, results by HTTP status, what could not be told to whom."""

    source: str
    target: str
    run: Run
    pages: int = 0
    entries: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)

    @property
    def applied(self) -> int:
        """Entries that the target handled: applied, or known to it already."""
        return self.statuses[200] + self.statuses[201]

    @property
    def refused(self) -> int:
        """Entries that lost a conflict or could not be applied; the latter are sent again by the next pass."""
        return sum(self.statuses.values()) - self.applied


def run_pass(
    source: Remote,
    target: Remote,
    run: Run,
    *,
    loggers: Sequence[Remote] = (),
    progress: Callable[[PassReport], None] | None = None,
) -> PassReport:
    """Bring to ``target`` what ``source`` has and it has not. Two passes, the second with swapped roles, agree both.

    Results go to the source and to ``loggers``; that they are not wanted or lost is a warning. Both jobs are deleted
    in every outcome. Raises PassStopped, ProviderBusy, OriginRefused, PeerRefused or PeerUnreachable when a step
    failed as a whole: what was applied stays, and the next pass goes on from there.
    """
    report = PassReport(source.endpoint, target.endpoint, run)
    with ExitStack() as stack:
        ahead = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="sdata-ahead"))
        telling = stack.enter_context(_Telling(source, loggers, run, report))
        leaving = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="sdata-leaving"))
        job = stack.enter_context(RemoteJob(source, SYNC_SOURCE, run))
        answer = job.start(target.digest(), ENTRY_TYPE) or job.result()
        for body, seen in _pages(job, answer.body, ahead, report):
            _carry(RemoteJob(target, SYNC_TARGET, run, leaving), body, telling, report)
            report.entries += seen.entries
            if progress is not None:
                progress(report)
    return report


def _pages(
    job: RemoteJob, body: bytes, ahead: ThreadPoolExecutor, report: PassReport
) -> Iterator[tuple[bytes, Glance]]:
    """The source's pages; the next one is fetched while the present one is being applied."""
    base, known = job.location, {job.location}
    while True:
        report.pages += 1
        seen = _seen(body, base)
        link = seen.head.link("next")
        if link is None:
            yield body, seen
            return
        base = job.remote.resolved(base, link)
        if base in known or report.pages >= MOST_PAGES:
            raise PassStopped(f"the pages of {job.location} never end: {base} came twice")
        known.add(base)
        following: Future[Response] = ahead.submit(job.result, base)
        yield body, seen
        body = following.result().body


def _seen(body: bytes, url: str) -> Glance:
    try:
        return glance(body)
    except MalformedMessage as error:
        raise PassStopped(f"{url} answered no feed: {error.message}", status=200) from error


def _carry(job: RemoteJob, body: bytes, telling: _Telling, report: PassReport) -> None:
    """One page to the target, its results to whom they concern."""
    with job:
        answer = job.start(body, FEED_TYPE) or job.result()
        base, known = job.location, {job.location}
        while True:
            seen = _seen(answer.body, base)
            report.statuses.update(seen.statuses)
            report.warnings += [f"{base}: {found.message}" for found in seen.head.diagnoses]
            telling.tell(answer.body)
            link = seen.head.link("next")
            if link is None:
                return
            base = job.remote.resolved(base, link)
            if base in known:
                raise PassStopped(f"the result pages of {job.location} never end: {base} came twice")
            known.add(base)
            answer = job.result(base)


class _Telling:
    """Posts result pages beside the pass, in order, one at a time; at its end all have been posted or given up."""

    def __init__(self, source: Remote, loggers: Sequence[Remote], run: Run, report: PassReport) -> None:
        self._listeners = [source, *loggers]
        self._run = run
        self._report = report
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sdata-results")
        self._last: Future[None] | None = None

    def __enter__(self) -> _Telling:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True)

    def tell(self, body: bytes) -> None:
        """Post ``body`` to everybody who still wants results; waits for the page before, so that none piles up."""
        if self._last is not None:
            self._last.result()
        self._last = self._thread.submit(self._post, body)

    def _post(self, body: bytes) -> None:
        for listener in list(self._listeners):
            try:
                if listener.report(body, self._run):
                    continue
                reason = "wants no results"
            except TallystickError as error:
                reason = error.message
            self._listeners.remove(listener)
            self._report.warnings.append(f"{listener.endpoint}: {reason}")


# Several kinds --------------------------------------------------------------------------------------------------


def common_kinds(source: Remote, target: Remote) -> tuple[Kind, ...]:
    """The kinds that both datasets synchronize, in syncOrder; ``source`` and ``target`` are dataset URLs.

    A kind counts where one side is its source and the other its target. Raises PassStopped when a side has no
    readable ``$schema``.
    """
    theirs = {kind.name.lower(): kind for kind in _kinds(target)}
    found = []
    for kind in _kinds(source):
        other = theirs.get(kind.name.lower())
        if other is not None and ((kind.source and other.target) or (kind.target and other.source)):
            found.append(kind)
    return tuple(sorted(found, key=lambda kind: (kind.order, kind.name)))


def dataset_contract(dataset: Remote) -> Contract:
    """What a dataset offers, by its ``$schema``. Raises PassStopped when it has no readable one."""
    url = f"{dataset.endpoint}/{SCHEMA}"
    answer = dataset.expected(dataset.send("GET", url), url, 200)
    try:
        return read_schema(answer.body, dataset.endpoint.split("/")[-2])
    except MalformedMessage as error:
        raise PassStopped(f"{url} is no schema: {error.message}", status=200) from error


def _kinds(dataset: Remote) -> list[Kind]:
    return [kind for kind in dataset_contract(dataset).kinds if not kind.embedded]


def of_kind(dataset: Remote, name: str) -> Remote:
    """The kind called ``name`` in a dataset."""
    return Remote(f"{dataset.endpoint}/{name}", dataset.transport, dataset.patience, dataset.trusted)


def synchronize(
    first: Remote,
    second: Remote,
    runs: tuple[Run, Run],
    *,
    kinds: Sequence[str] = (),
    loggers: Sequence[Remote] = (),
    progress: Callable[[PassReport], None] | None = None,
) -> list[PassReport]:
    """Both directions, kind after kind in syncOrder; without ``kinds`` the remotes are single kinds themselves.

    ``runs`` are the runs of the two directions: one run may not hold two passes over the same pair (spec 2). Raises
    what `run_passes` raises; kinds after the one that failed are not touched.
    """
    pairs = [(of_kind(first, name), of_kind(second, name)) for name in kinds] or [(first, second)]
    passes = [
        partial(run_pass, *((other, one) if swapped else (one, other)), run, loggers=loggers, progress=progress)
        for run, swapped in zip(runs, (False, True), strict=True)
        for one, other in pairs
    ]
    reports: list[PassReport] = []
    run_passes(passes, reports)
    return reports


def run_passes(passes: Sequence[Callable[[], PassReport]], reports: list[PassReport]) -> None:
    """Run passes in order and append what each did. One whose provider is busy comes once more, after the others.

    A source that came back from a backup is busy until the passes into it are done (9.9). Raises what `run_pass`
    raises, ProviderBusy when it was the only pass or is busy still.
    """
    postponed = []
    for one in passes:
        try:
            reports.append(one())
        except ProviderBusy:
            if len(passes) == 1:
                raise
            postponed.append(one)
    for one in postponed:
        reports.append(one())
