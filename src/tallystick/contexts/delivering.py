"""Content and changes on their way to a host, load by load: asked for, sent, laid aside (spec contexts T1, U2).

A load is some MiB of chunks and the changes that were found with them. Where the host may be used by several threads,
loads travel while the next one is read; what is in memory is bounded by the loads under way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tallystick.content.bundles import bundles_of
from tallystick.content.chunking import MIN_CHUNK, Chunk
from tallystick.contexts.entries import Change
from tallystick.contexts.host import ContextHost
from tallystick.errors import PeerUnreachable

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

LOAD_BYTES = 7 << 20
LOAD_CHUNKS = 4096
"""What is read before the host is asked which of it is missing."""
LARGE_LOAD_BYTES = 4 << 20
"""The same of a large file, of which more is in memory."""
UNDER_WAY = 2
"""Loads that travel at once."""
REMEMBERED = 100_000
"""Chunks that were sent to a context that held none. Beyond so many the host is asked, as it is of others."""
STAGED = 20_000
"""Changes in one page that is laid aside before a publication."""
ATTEMPTS = 5
T = TypeVar("T")


@dataclass(slots=True)
class _Load:
    """Chunks by their names, their bytes together, and changes."""

    chunks: dict[bytes, bytes] = field(default_factory=dict)
    size: int = 0
    changes: list[Change] = field(default_factory=list)
    asked: Collection[bytes] = ()
    """Which of them the host may hold."""


class Delivery:
    """What one upload sends to a context. Whatever fails under way is raised by the next call.

    ``lacking`` are chunks that the host said to lack. One that ``holds`` none is not asked.
    """

    def __init__(
        self, host: ContextHost, identifier: str, lacking: Collection[bytes] = (), *, holds: bool = True
    ) -> None:
        self.host = host
        self.identifier = identifier
        self.lacking = lacking
        self.holds = holds
        self.run = os.urandom(8).hex()
        self.pages = 0
        """How many pages of changes were laid aside under ``run``."""
        self._load = _Load()
        self._under_way: dict[Future[None], _Load] = {}
        self._sent: set[bytes] = set()
        """Chunks that are under way; all that were ever sent to a host that held none."""
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False

    def offer(self, chunk: Chunk) -> None:
        """Send a chunk, if the host lacks it."""
        load = self._load
        if chunk.hash in load.chunks or chunk.hash in self._sent:
            return
        load.chunks[chunk.hash] = chunk.data
        load.size += len(chunk.data)
        most = LOAD_BYTES if len(chunk.data) < MIN_CHUNK else LARGE_LOAD_BYTES
        if load.size >= most or len(load.chunks) >= LOAD_CHUNKS:
            self._ship()

    def change(self, changes: Sequence[Change]) -> None:
        """Lay changes aside; their content was offered before, or is there."""
        self._load.changes += changes
        while len(self._load.changes) > STAGED:
            rest = self._load.changes[STAGED:]
            del self._load.changes[STAGED:]
            self._ship()
            self._load.changes = rest

    def finish(self) -> None:
        """Wait until all that is under way has arrived. What is left goes with the publication."""
        while self._under_way:
            self._await_one()
        self._sent = set()
        self._end_threads()

    def publish(self, expected: str, changes: Sequence[Change] = ()) -> str:
        """Send what is left and make everything visible, these changes included; gives the version that is current
        then."""
        load = self._load
        load.changes += changes
        if not load.changes and not self.pages:
            return expected

        load.asked = self._doubtful(load)

        def work() -> str:
            bundles = self._bundles(load)
            return self.host.publish(self.identifier, expected, load.changes, self.run, self.pages, bundles)

        return again(work, self._is_closed)

    def close(self) -> None:
        """End the threads. What is under way is given up as soon as it fails."""
        self._closed = True
        self._end_threads()

    def _end_threads(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None

    def _ship(self) -> None:
        load, self._load = self._load, _Load()
        if not load.chunks and not load.changes:
            return
        load.asked = self._doubtful(load)
        page = self.pages
        self.pages += bool(load.changes)
        self._sent |= load.chunks.keys()
        if not self.host.concurrent:
            self._deliver(load, page)
            self._arrived(load)
            return
        if self._threads is None:
            from concurrent.futures import ThreadPoolExecutor  # here, because most uploads are one load

            self._threads = ThreadPoolExecutor(UNDER_WAY, "tally-deliver")
        while len(self._under_way) >= UNDER_WAY:
            self._await_one()
        self._under_way[self._threads.submit(self._deliver, load, page)] = load

    def _await_one(self) -> None:
        from concurrent.futures import FIRST_COMPLETED, wait

        done, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
        for future in done:
            load = self._under_way.pop(future)
            future.result()
            self._arrived(load)

    def _arrived(self, load: _Load) -> None:
        """What is held may be forgotten: the host tells. One that held nothing is not asked while that can be."""
        if self.holds:
            self._sent -= load.chunks.keys()
        elif len(self._sent) > REMEMBERED:
            self.holds = True
            self._sent = {name for other in self._under_way.values() for name in other.chunks}

    def _doubtful(self, load: _Load) -> Collection[bytes]:
        """Those chunks of a load that the host may hold."""
        return [name for name in load.chunks if name not in self.lacking] if self.holds else ()

    def _deliver(self, load: _Load, page: int) -> None:
        again(partial(self._send, load, page), self._is_closed)

    def _is_closed(self) -> bool:
        return self._closed

    def _send(self, load: _Load, page: int) -> None:
        bundles = self._bundles(load)
        if load.changes:
            self.host.stage(self.identifier, self.run, page, load.changes, bundles)
        elif bundles:
            self.host.send(self.identifier, bundles)

    def _bundles(self, load: _Load) -> Iterable[bytes]:
        """What the host lacks of a load; made bundle by bundle, if anything."""
        asked, load.asked = load.asked, load.chunks.keys()  # a second attempt goes on after what has come
        held = set(asked).difference(self.host.missing(self.identifier, list(asked))) if asked else ()
        if len(held) == len(load.chunks):
            return ()
        return bundles_of(Chunk(name, data) for name, data in load.chunks.items() if name not in held)


def publish_pages(host: ContextHost, identifier: str, expected: str, changes: Sequence[Change]) -> str:
    """Publish any number of changes at once: many are laid aside in pages first. Gives the new version."""
    delivery = Delivery(host, identifier)
    try:
        delivery.change(changes)
        delivery.finish()
        return delivery.publish(expected)
    finally:
        delivery.close()


def again(work: Callable[[], T], given_up: Callable[[], bool]) -> T:
    """What work gives; it may be repeated and is, when the connection was cut."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return work()
        except PeerUnreachable:
            if given_up():
                raise
            time.sleep(0.1 * 2**attempt)
    return work()
