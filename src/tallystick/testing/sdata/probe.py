"""A provider under examination."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from tallystick.protocols.sdata.codec.digest_messages import DigestMessage, read_digest_message, write_digest_message
from tallystick.protocols.sdata.codec.digests import Digest
from tallystick.protocols.sdata.codec.entries import Entry
from tallystick.protocols.sdata.codec.feeds import Feed, read_feed
from tallystick.protocols.sdata.codec.names import ENTRY_TYPE, FEED_TYPE
from tallystick.protocols.sdata.codec.stamps import stamp_of
from tallystick.protocols.sdata.remote_jobs import Patience, Remote, RemoteJob, Run
from tallystick.protocols.sdata.transport import Response, Transport
from tallystick.testing.sdata.expecting import CheckSkipped, expect

FOREIGN: Final = "urn:tallystick:conformance"
"""The endpoint in whose name entries are posted back."""


@dataclass
class Probe:
    """A provider under examination: its kind's collection URL and a way there."""

    endpoint: str
    transport: Transport
    run: Run = field(default_factory=lambda: Run("conformance", stamp_of(datetime.now(UTC))))

    def __post_init__(self) -> None:
        self.endpoint = self.endpoint.rstrip("/")

    @property
    def remote(self) -> Remote:
        """The provider as the engine sees it."""
        return Remote(self.endpoint, self.transport, Patience(job=120, busy=60))

    def get(self, url: str, status: int | None = 200, **headers: str) -> Response:
        """The answer to a GET, which must have ``status``."""
        return self.send("GET", url, b"", status, **headers)

    def send(self, method: str, url: str, body: bytes = b"", status: int | None = 200, **headers: str) -> Response:
        """The answer to a request; underscores in header names stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.transport.request(method, url if "://" in url else self.endpoint + url, named, body)
        if status is not None:
            expect(answer.status == status, f"{method} {url} answered {answer.status} instead of {status}")
        return answer

    def digest(self) -> Digest:
        """The provider's digest."""
        return read_digest_message(self.get("/$syncDigest").body)

    def job(self, segment: str) -> RemoteJob:
        """A job at the provider, deleted at the end of its ``with`` statement."""
        return RemoteJob(self.remote, segment, self.run)

    def source(self, known: Digest | None = None, arguments: str = "") -> bytes:
        """A page of what the source sends to somebody who knows ``known``: nothing at all by default."""
        with self.job("$syncSource") as job:
            answer = job.start(message_of(known or zeroed(self.digest())), ENTRY_TYPE) or job.result()
            return self.get(job.location + arguments).body if arguments else answer.body

    def target(self, body: bytes) -> bytes:
        """The results of a page posted to the target."""
        with self.job("$syncTarget") as job:
            return (job.start(body, FEED_TYPE) or job.result()).body

    def first_entry(self) -> tuple[Feed, Entry]:
        """The source's first page and a live entry on it. Raises CheckSkipped when there is none."""
        feed = read_feed(self.source())
        live = next((entry for entry in feed.entries if not entry.deleted and entry.payload is not None), None)
        if live is None:
            raise CheckSkipped("the kind has no live resource")
        return feed, live


def message_of(digest: Digest) -> bytes:
    """A digest as it is posted."""
    return write_digest_message(DigestMessage(digest, "conformance", stamp_of(datetime.now(UTC)), "conformance"))


def zeroed(digest: Digest) -> Digest:
    """The digest with all its ticks set to 0."""
    return Digest(FOREIGN, {key: entry._replace(tick=0) for key, entry in digest.entries.items()})


def pages(probe: Probe, arguments: str) -> list[Feed]:
    """All pages of a source job that gives everything; ``arguments`` are those of its first page."""
    with probe.job("$syncSource") as job:
        answer = job.start(message_of(zeroed(probe.digest())), ENTRY_TYPE) or job.result()
        feeds = [read_feed(probe.get(job.location + arguments).body if arguments else answer.body)]
        while (following := feeds[-1].head.link("next")) is not None:
            feeds.append(read_feed(probe.get(probe.remote.resolved(job.location, following)).body))
            expect(len(feeds) < 100_000, "the pages never end")
        return feeds
