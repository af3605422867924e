"""One provider as the engine sees it: requests repeated, jobs waited for and deleted (spec 10)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin

from tallystick.errors import PeerRefused, PeerUnreachable, TallystickError
from tallystick.protocols.sdata.codec.diagnoses import read_diagnoses
from tallystick.protocols.sdata.codec.names import FEED_TYPE, SYNC_DIGEST, SYNC_RESULTS
from tallystick.protocols.sdata.codec.tracking import LONGEST_POLL, SHORTEST_POLL, Tracking, read_tracking
from tallystick.protocols.sdata.codec.urls import segment_url, with_arguments
from tallystick.protocols.sdata.errors import MalformedMessage, OriginRefused, PassStopped, ProviderBusy
from tallystick.protocols.sdata.transport import Response, Transport, origin_of

HELD: Final = 0.5
"""A 202 that took this many seconds came from a provider that holds requests: it is asked again at once."""


@dataclass(frozen=True, slots=True)
class Run:
    """What ties together everything of one run: unique as a pair; both are opaque to providers."""

    name: str
    stamp: str


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the engine waits, in seconds; ``tries`` are attempts at one request whose answer got lost.

    ``job``: until a job is given up. ``busy``: in all, for providers that answer 503.
    """

    tries: int = 4
    pause: float = 0.5
    busy: float = 300.0
    job: float = 3600.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class Remote:
    """One kind at one provider: ``endpoint`` is its collection URL. ``trusted`` are other origins it may point to."""

    endpoint: str
    transport: Transport
    patience: Patience = field(default_factory=Patience)
    trusted: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.endpoint = self.endpoint.rstrip("/")

    # Requests -----------------------------------------------------------------------------------------------------

    def send(self, method: str, url: str, body: bytes = b"", content_type: str = "") -> Response:
        """The answer to a request, repeated unchanged while the network fails or the provider asks for patience.

        Raises PeerUnreachable or ProviderBusy when patience is at its end.
        """
        headers = {"Content-Type": content_type} if content_type else {}
        waited, failures = 0.0, 0
        while True:
            try:
                answer = self.transport.request(method, url, headers, body)
            except PeerUnreachable:
                failures += 1
                if failures >= self.patience.tries:
                    raise
                self.patience.sleep(self.patience.pause * 2 ** (failures - 1))
                continue
            if answer.status != 503:
                return answer
            delay = _retry_after(answer.headers)
            waited += delay
            if waited > self.patience.busy:
                raise ProviderBusy(f"{url} is busy and asks for {waited:.0f} seconds{_told(answer)}")
            self.patience.sleep(delay)

    def resolved(self, base: str, reference: str) -> str:
        """The address that a Location or link means.

        Raises OriginRefused when it lies at another origin: what a peer chooses is not fetched for it.
        """
        url = urljoin(base, reference)
        allowed = {origin_of(self.endpoint), *(origin_of(other) for other in self.trusted)}
        if origin_of(url) not in allowed:
            raise OriginRefused(f"{self.endpoint} points to {url[:200]}")
        return url

    # What a pass needs --------------------------------------------------------------------------------------------

    def digest(self) -> bytes:
        """The bytes of ``$syncDigest``. Raises PassStopped when the kind cannot be synchronized there."""
        url = segment_url(self.endpoint, SYNC_DIGEST)
        answer = self.send("GET", url)
        if answer.status in (404, 405, 501):
            raise PassStopped(f"{self.endpoint} cannot be synchronized{_told(answer)}", status=answer.status)
        return self.expected(answer, url, 200).body

    def expected(self, answer: Response, url: str, *statuses: int) -> Response:
        """``answer``, which must have one of ``statuses``. Raises PassStopped with what the provider says, else."""
        if answer.status in statuses:
            return answer
        if answer.status in (401, 403):
            raise PeerRefused(f"{url} answered {answer.status}{_told(answer)}")
        raise PassStopped(f"{url} answered {answer.status}{_told(answer)}", status=answer.status)

    def report(self, body: bytes, run: Run) -> bool:
        """Post a page of results to ``$syncResults``; False when the provider does not want any.

        Raises PassStopped for other refusals, which do not harm the pass.
        """
        url = _of_run(segment_url(self.endpoint, SYNC_RESULTS), run)
        answer = self.send("POST", url, body, FEED_TYPE)
        if answer.status in (404, 405, 501):
            return False
        self.expected(answer, url, 200, 201, 202, 204)
        return True


def _of_run(url: str, run: Run, tracking_id: str = "") -> str:
    return with_arguments(url, trackingID=tracking_id, runName=run.name, runStamp=run.stamp)


@dataclass(slots=True)
class RemoteJob:
    """One job at a provider, from its POST to its DELETE, whatever happens between: use it in a ``with`` statement.

    With ``beside`` the DELETE goes its own way there, so that nobody waits for it but who shuts the executor down.
    """

    remote: Remote
    segment: str
    run: Run
    beside: Executor | None = None
    identity: str = field(default_factory=lambda: str(uuid.uuid4()))
    location: str = ""
    tracking: Tracking = field(default_factory=Tracking)
    posted: bool = False

    def __enter__(self) -> RemoteJob:
        return self

    def __exit__(self, *_: object) -> None:
        if self.beside is None:
            self.delete()
        else:
            self.beside.submit(self.delete)

    def start(self, body: bytes, content_type: str) -> Response | None:
        """POST the job; its result where the provider answered at once with 200 (K 11.5), else None.

        The same trackingID goes with every repetition. A provider that refuses it as used already (P1, P2) has taken
        the lost POST: its job is asked for. Raises PassStopped for every other answer.
        """
        url = _of_run(segment_url(self.remote.endpoint, self.segment), self.run, self.identity)
        self.posted = True
        self.location = segment_url(self.remote.endpoint, self.segment, self.identity)
        lost = _Losses(self.remote.transport)
        answer = Remote(self.remote.endpoint, lost, self.remote.patience, self.remote.trusted).send(
            "POST", url, body, content_type
        )
        if answer.status == 202:
            self._follow(answer, url)
            return None
        if answer.status != 200 and lost.count and self._exists():
            return None
        return self.remote.expected(answer, url, 200)

    def _exists(self) -> bool:
        return self.remote.send("GET", self.location).status in (200, 202)

    def _follow(self, answer: Response, url: str) -> None:
        location = answer.headers.get("location")
        if location:
            self.location = self.remote.resolved(url, location)
        try:
            self.tracking = read_tracking(answer.body)
        except MalformedMessage:
            self.tracking = Tracking()

    def result(self, at: str = "") -> Response:
        """The result, or its page ``at``, once the job is done.

        The Location is asked at once, and again without delay while the provider holds the request; one that answers
        202 quickly is given the time it asks for. Raises ProviderBusy when the job takes longer than our patience,
        PassStopped when it failed.
        """
        clock, url = self.remote.patience.clock, at or self.location
        began = clock()
        while True:
            asked = clock()
            answer = self.remote.send("GET", url)
            if answer.status != 202:
                return self.remote.expected(answer, url, 200)
            self._follow(answer, url)
            url = at or self.location
            if clock() - began > self.remote.patience.job:
                raise ProviderBusy(f"the job {self.location} did not end in {self.remote.patience.job:.0f} seconds")
            if clock() - asked < HELD:
                self.remote.patience.sleep(min(max(self.tracking.delay, SHORTEST_POLL / 1000), LONGEST_POLL / 1000))

    def delete(self) -> None:
        """DELETE the job. 404 and 410 mean that it is gone already; nothing else is worth failing a pass for."""
        if not self.posted:
            return
        self.posted = False
        for _ in range(2):
            try:
                self.remote.transport.request("DELETE", self.location, {})
            except PeerUnreachable:
                continue
            except TallystickError:
                return
            return


@dataclass(slots=True)
class _Losses:
    """Counts the requests whose answer got lost."""

    inner: Transport
    count: int = 0

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        try:
            return self.inner.request(method, url, headers, body)
        except PeerUnreachable:
            self.count += 1
            raise

    def close(self) -> None:
        self.inner.close()


def _retry_after(headers: Mapping[str, str]) -> float:
    text = headers.get("retry-after", "").strip()
    return max(float(text), 0.1) if text.isdigit() and len(text) < 9 else 2.0


def _told(answer: Response) -> str:
    """What the provider says about an error, for our own message."""
    try:
        found = read_diagnoses(answer.body)
    except TallystickError:
        return ""
    messages = [diagnosis.message for diagnosis in found if diagnosis.message]
    return f": {'; '.join(messages)[:500]}" if messages else ""
