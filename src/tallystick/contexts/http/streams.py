"""Bodies that are streams, between the event loop and a thread: bounded, with backpressure both ways."""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from tallystick.contexts.http.hosts import Hosts
from tallystick.contexts.local import LocalHost
from tallystick.errors import PeerUnreachable, TallystickError
from tallystick.protocols.native.codec.errors import TimedOut
from tallystick.protocols.native.requests import Disconnected, Incoming

_log = logging.getLogger("tallystick.contexts")
PIECE = 1 << 20
HELD = 4
"""Pieces that wait for the thread."""
PACE_S = 600.0
"""How long one piece may take, once a thread waits for it."""


class Arriving:
    """The body of a request on its way to a thread that iterates over ``pieces``.

    No thread waits for a body of which little has come: else a few clients that send next to nothing would keep every
    other from being answered.
    """

    def __init__(self, incoming: Incoming, pace: float = PACE_S) -> None:
        self.incoming = incoming
        self._pace = pace
        self._begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._free = asyncio.Semaphore(HELD)
        self._whole = False
        self._pieces: queue.SimpleQueue[list[bytes] | BaseException | None] = queue.SimpleQueue()

    def pieces(self) -> Iterator[bytes]:
        """For the thread: the body as it came, which is handed over about a MiB at a time.

        Raises PeerUnreachable when the client is gone.
        """
        while True:
            pieces = self._pieces.get()
            if pieces is None:
                return
            if isinstance(pieces, BaseException):
                raise PeerUnreachable("the client is gone in the middle of a body") from pieces
            self._loop.call_soon_threadsafe(self._free.release)
            yield from pieces

    async def consumed_by(self, work: Callable[[], Any], whole: InThread, streamed: InThread) -> Any:
        """Feed a thread until the body ends or the thread does; gives what it gives, raises what it does, or
        Disconnected.

        ``whole`` finds the thread for a body that has come already, ``streamed`` one that may have to wait for it.
        """
        feeding = asyncio.ensure_future(self._feed())
        try:
            await self._begun.wait()
            task = asyncio.ensure_future((whole if feeding.done() else streamed)(work))
            await asyncio.wait({task, feeding}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                gone = feeding.exception()
                if gone is not None:
                    self._pieces.put(gone)
                    await asyncio.gather(task, return_exceptions=True)
                    raise gone
            return await task
        finally:
            self.incoming.unread = not self._whole
            feeding.cancel()

    async def _feed(self) -> None:
        try:
            await self._fed()
        finally:
            self._begun.set()

    async def _fed(self) -> None:
        waiting: list[bytes] = []
        size, more, since = 0, True, self._loop.time()
        try:
            while more:
                message = await self._message()
                if self._begun.is_set() and self._loop.time() - since > self._pace:
                    raise TimedOut(f"less than {PIECE:,} bytes came in {self._pace:.0f} seconds")
                piece = message.get("body", b"")
                more = message.get("more_body", False)
                self._whole = not more
                waiting.append(piece)
                size += len(piece)
                if size >= PIECE:
                    await self._hand_over(waiting)
                    self._begun.set()
                    waiting, size, since = [], 0, self._loop.time()
        except Disconnected:
            await self._hand_over(waiting)  # what came before is of use to the next attempt
            raise
        await self._hand_over(waiting)
        self._pieces.put(None)

    async def _hand_over(self, waiting: list[bytes]) -> None:
        size = sum(map(len, waiting))
        if size:
            await self._free.acquire()
            self._pieces.put(waiting)
            self.incoming.received += size

    async def _message(self) -> Any:
        try:
            async with asyncio.timeout(self.incoming.limits.stall):  # cheaper than wait_for, which makes a task
                message = await self.incoming.receive()
        except TimeoutError as error:
            raise TimedOut(f"nothing came for {self.incoming.limits.stall:.0f} seconds") from error
        if message["type"] == "http.disconnect":
            raise Disconnected
        return message


Opening = Callable[[LocalHost], tuple[list[tuple[bytes, bytes]], Iterator[bytes]]]
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


class Leaving:
    """The body of an answer, made in threads: the next piece is made while one is sent."""

    def __init__(self, hosts: Hosts, opening: Opening, in_thread: InThread) -> None:
        self._borrowed: AbstractContextManager[LocalHost] = hosts.borrowed()
        self._opening = opening
        self._in_thread = in_thread
        self._pieces: Iterator[bytes] = iter(())
        self._first: bytes | None = None

    async def send_to(self, incoming: Incoming, media_type: str, status: int = 200) -> int:
        """Send head and body; gives the status. What fails before the head is raised; later the answer is cut."""
        headers = await self._in_thread(self._open)
        try:
            if self._first is None:
                await incoming.start(204, headers)
                await incoming.send(b"", more=False)
                return 204
            kind = (b"content-type", media_type.encode())
            await incoming.start(status, [kind, (b"cache-control", b"no-store"), *headers])
            await self._cut_where_it_fails(incoming)
        finally:
            await self._in_thread(lambda: self._borrowed.__exit__(None, None, None))
        return status

    async def _cut_where_it_fails(self, incoming: Incoming) -> None:
        """An answer that has begun cannot say what is wrong: it ends without its end, which the client notices."""
        try:
            await self._send(incoming)
        except TallystickError as problem:
            _log.warning("an answer was cut: %s", problem)
            raise Disconnected from None

    def _open(self) -> list[tuple[bytes, bytes]]:
        host = self._borrowed.__enter__()
        try:
            headers, self._pieces = self._opening(host)
            self._first = next(self._pieces, None)
        except BaseException as problem:
            if not self._borrowed.__exit__(type(problem), problem, problem.__traceback__):
                raise
        return headers

    async def _send(self, incoming: Incoming) -> None:
        piece = self._first
        ahead: asyncio.Future[bytes | None] | None = None
        try:
            while piece is not None:
                ahead = asyncio.ensure_future(self._in_thread(lambda: next(self._pieces, None)))
                await incoming.send(piece, more=True)
                piece, ahead = await ahead, None
            await incoming.send(b"", more=False)
        except TimedOut:
            raise Disconnected from None
        finally:
            if ahead is not None:
                await asyncio.wait({ahead})
