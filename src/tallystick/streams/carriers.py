"""Carriers of hints between machines: NATS and Redis (DESIGN.md 6). They carry hints only, never data.

For readers that cannot watch a site's database themselves: whoever can passes the hints on (``hints.Tee``), and they
listen. Messages go to the subject or channel ``tallystick.SITE`` and look like ``12345 resource``.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import Any, Protocol

from tallystick.errors import ConfigurationError
from tallystick.streams.hints import ANYTHING, Hint, Hints, Signal, Teller

_log = logging.getLogger("tallystick.streams")
_CONNECT_S = 5


class Carrier(Hints, Teller, Protocol):
    """Both ends of a carrier: hints that are told at one come out of ``wait`` at every other."""


def carrier(url: str, site: str) -> Carrier:
    """The carrier that ``url`` names (``nats://``, ``tls://``, ``redis://``, ``rediss://``) for the site of that id.

    Raises ConfigurationError for another URL, when its client library is not installed, or when it cannot be reached
    now; if it is lost later, it is looked for again, and hints are lost meanwhile.
    """
    scheme = url.partition("://")[0]
    if scheme in ("nats", "tls"):
        return NATSCarrier(url, site)
    if scheme in ("redis", "rediss"):
        return RedisCarrier(url, site)
    raise ConfigurationError(f"{scheme}:// is no carrier of hints", hint="use nats://HOST:4222 or redis://HOST:6379")


def subject(site: str) -> str:
    """Where hints of a site are told."""
    return f"tallystick.{site}"


def message_of(hint: Hint) -> bytes:
    """A hint as a message."""
    return f"{hint.seq} {hint.resource}".encode()


def hint_of(message: bytes) -> Hint:
    """The hint in a message; ``ANYTHING`` for one that cannot be read: it may be of a newer release."""
    seq, space, resource = message.decode(errors="replace").partition(" ")
    return Hint(resource[:512], int(seq)) if space and seq.isdecimal() and len(seq) < 20 else ANYTHING


class RedisCarrier(Signal):
    """Hints through Redis publish/subscribe."""

    def __init__(self, url: str, site: str) -> None:
        super().__init__()
        try:
            import redis

            client: Any = redis.Redis
        except ImportError as error:
            raise _missing("redis", error) from error
        self._errors: Any = redis.RedisError
        self._name = subject(site)
        self._client: Any = client.from_url(url, socket_connect_timeout=_CONNECT_S)
        self._ended = threading.Event()
        try:
            self._client.ping()
            self._heard: Any = self._client.pubsub(ignore_subscribe_messages=True)
            self._heard.subscribe(self._name)
        except self._errors as error:
            raise _unreachable(url, error) from error
        self._thread = threading.Thread(target=self._listen, name="tally-redis", daemon=True)
        self._thread.start()

    def tell(self, hint: Hint) -> None:
        """See ``Teller.tell``."""
        try:
            self._client.publish(self._name, message_of(hint))
        except self._errors as error:
            _log.warning("a hint was not told to Redis: %s", error)

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                message = self._heard.get_message(timeout=1.0)
                if message is not None:
                    Signal.tell(self, hint_of(message["data"]))
            except (self._errors, OSError, ValueError) as error:
                if self._ended.is_set():
                    return
                _log.warning("hints from Redis are interrupted: %s", error)
                self._ended.wait(1.0)
                Signal.tell(self, ANYTHING)

    def close(self) -> None:
        """See ``Hints.close``."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join(3)
        with suppress(self._errors, OSError):
            self._heard.close()
            self._client.close()
        super().close()


class NATSCarrier(Signal):
    """Hints through NATS. Its client is asynchronous and lives in a thread of ours."""

    def __init__(self, url: str, site: str) -> None:
        super().__init__()
        try:
            import nats
        except ImportError as error:
            raise _missing("nats", error) from error
        self._url, self._name = url, subject(site)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tally-nats", daemon=True)
        self._thread.start()
        self._ended = False
        try:
            self._client: Any = self._run(self._connected(nats))
        except Exception as error:
            self._stop()
            raise _unreachable(url, error) from error

    async def _connected(self, nats: Any) -> Any:
        async def reconnected() -> None:
            Signal.tell(self, ANYTHING)

        async def failed(error: Exception) -> None:
            _log.warning("hints through NATS: %s", error)

        client = await nats.connect(
            self._url,
            connect_timeout=_CONNECT_S,
            max_reconnect_attempts=-1,
            allow_reconnect=True,
            reconnected_cb=reconnected,
            error_cb=failed,
        )

        async def heard(message: Any) -> None:
            Signal.tell(self, hint_of(message.data))

        await client.subscribe(self._name, cb=heard)
        await client.flush()
        return client

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CONNECT_S * 2)

    def tell(self, hint: Hint) -> None:
        """See ``Teller.tell``."""
        try:
            self._run(self._client.publish(self._name, message_of(hint)))
        except Exception as error:
            _log.warning("a hint was not told to NATS: %s", error)

    def close(self) -> None:
        """See ``Hints.close``."""
        if self._ended:
            return
        self._ended = True
        with suppress(Exception):
            self._run(self._client.close())
        self._stop()
        super().close()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(3)
        self._loop.close()


def _missing(name: str, error: ImportError) -> ConfigurationError:
    return ConfigurationError(
        f"hints through {name} need a library that cannot be loaded ({error})",
        hint=f"install it with: pip install 'tallystick[{name}]'",
    )


def _unreachable(url: str, error: Exception) -> ConfigurationError:
    host = url.rpartition("@")[2].partition("://")[2] or url.rpartition("@")[2]
    return ConfigurationError(f"the carrier of hints at {host} cannot be reached: {error}", hint="check its address")
