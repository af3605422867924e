"""Everybody who waits for events of one served site: one watcher for all of them, and a short queue for each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from tallystick.core.states import State
from tallystick.protocols.native.codec.errors import Busy
from tallystick.protocols.native.pool import Pool
from tallystick.streams.changes import Change
from tallystick.streams.plain import as_json, plain
from tallystick.streams.resuming import Resync
from tallystick.streams.scopes import StreamScope
from tallystick.streams.stream import Changes, state_at
from tallystick.streams.watcher import Watcher

MOST_SUBSCRIBERS = 5000
MOST_WAITING = 256
"""Events that wait for one client; when there are more, it is served from the ledger, where nothing is lost."""
_Result = TypeVar("_Result")
_AT_ONCE = 500
_THREADS = 4


class Frame(NamedTuple):
    """One event ready to be sent: its name, the state behind it, its data as JSON."""

    event: str
    state: str
    data: str


class News(NamedTuple):
    """A change as the watcher tells it, with and without content."""

    seq: int
    resource: str
    event: str
    data: str
    head: str


class CaughtUp(NamedTuple):
    """What was read from the ledger for one client: frames, the state and seq they reach, whether more follows."""

    frames: list[Frame]
    state: str
    seq: int
    more: bool


class Subscriber:
    """One client. ``state`` is what it has been sent; ``seq`` how far that goes."""

    def __init__(self, scope: StreamScope, state: str, content: bool, resync: Resync = "") -> None:
        self.scope, self.state, self.content, self.resync = scope, state, content, resync
        self.seq = 0
        self.token: Callable[[int], str] = str
        self.behind = True
        """It must be served from the ledger first."""
        self.ended = False
        self.woken = asyncio.Event()
        self._waiting: deque[News] = deque()

    def offer(self, news: Sequence[News]) -> None:
        """Queue what concerns this client."""
        if self.behind:
            return
        wires = self.scope.resources
        found = [item for item in news if not wires or item.resource in wires]
        if not found:
            return
        if self.scope.where or len(self._waiting) + len(found) > MOST_WAITING:
            self.fall_behind()
        else:
            self._waiting.extend(found)
        self.woken.set()

    def fall_behind(self) -> None:
        """Serve it from the ledger: what waits is there as well."""
        self._waiting.clear()
        self.behind = True
        self.woken.set()

    def take(self) -> list[Frame]:
        """Everything that waits."""
        found = [item for item in self._waiting if item.seq > self.seq]
        self._waiting.clear()
        frames = [Frame(item.event, self.token(item.seq), item.data if self.content else item.head) for item in found]
        if found:
            self.seq, self.state = found[-1].seq, frames[-1].state
        return frames

    def end(self) -> None:
        """Let the connection end."""
        self.ended = True
        self.woken.set()


class Hub:
    """The subscribers of one site. All but ``_heard`` runs in the server's event loop."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._watcher = Watcher(lambda: pool.take().ledger)
        self._number: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscribers: set[Subscriber] = set()
        self._threads = ThreadPoolExecutor(_THREADS, "tally-events")
        self._joining = asyncio.Lock()
        self._stopped = False

    @property
    def count(self) -> int:
        """How many clients wait for events."""
        return len(self._subscribers)

    async def join(self, subscriber: Subscriber) -> None:
        """Take a client in. Raises Busy, StorageError."""
        if self._stopped or len(self._subscribers) >= MOST_SUBSCRIBERS:
            raise Busy("as many clients as can be served wait for events already")
        async with self._joining:
            if self._number is None:
                self._loop = asyncio.get_running_loop()
                self._number, _ = await self._run(lambda: self._watcher.listen(self._heard))
        self._subscribers.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Let a client go. Idempotent."""
        self._subscribers.discard(subscriber)

    async def catch_up(self, subscriber: Subscriber) -> CaughtUp:
        """What a client that is behind has to be sent next. Raises StateError, SchemaError, StorageError."""
        return await self._run(lambda: self._caught_up(subscriber))

    async def _run(self, call: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _caught_up(self, subscriber: Subscriber) -> CaughtUp:
        with self._pool.borrowed() as replica:
            ledger, scope = replica.ledger, subscriber.scope
            changes = Changes(ledger, scope, subscriber.state, max_changes=_AT_ONCE, resync=subscriber.resync)
            found = list(changes)
            frames = [_frame(change, subscriber.content) for change in found]
            seq = found[-1].seq if changes.has_more else int(ledger.meta("seq"))
            subscriber.token = _token_maker(ledger.site, ledger.incarnation, scope)
            state = changes.state or state_at(ledger, scope, seq)
            return CaughtUp(frames, state, seq, changes.has_more)

    def _heard(self, changes: Sequence[Change]) -> None:
        """Runs in the watcher's thread."""
        if self._loop is None or not self._subscribers:
            return
        news = [_news(change) for change in changes]
        self._loop.call_soon_threadsafe(self._spread, news)

    def _spread(self, news: Sequence[News]) -> None:
        for subscriber in self._subscribers:
            if news:
                subscriber.offer(news)
            else:
                subscriber.fall_behind()

    def stop(self) -> None:
        """Let every connection end: the server stops. May be called by any thread."""
        self._stopped = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        for subscriber in self._subscribers:
            subscriber.end()

    def close(self) -> None:
        """Let go of threads and the watcher. Idempotent."""
        self._stopped = True
        self._watcher.close()
        self._threads.shutdown()


def _token_maker(site: str, incarnation: int, scope: StreamScope) -> Callable[[int], str]:
    beginning = State(site, incarnation, scope.name, 0)
    return lambda seq: beginning._replace(seq=seq).text()


def _frame(change: Change, content: bool) -> Frame:
    data = plain(change, content=content)
    return Frame(data["event"], change.state, as_json(data))


def _news(change: Change) -> News:
    data = plain(change, live=True)
    whole = as_json(data)
    del data["content"]
    return News(change.seq, change.resource, data["event"], whole, as_json(data))
