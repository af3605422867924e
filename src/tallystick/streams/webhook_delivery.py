"""Sending changes to webhooks: signed, retried with back-off, logged."""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlsplit

from tallystick.errors import StateError, StorageError, TallystickError
from tallystick.site.ledger import Ledger
from tallystick.streams.plain import as_json, plain
from tallystick.streams.signing import signed_headers
from tallystick.streams.stream import Changes, current_state
from tallystick.streams.webhooks import DISABLED, Attempt, Secrets, Webhook, lease, secret_name, settle
from tallystick.version import VERSION

AT_ONCE = 100
"""Changes in one delivery."""
TIMEOUT_S = 15.0
FIRST_PAUSE_MS = 1_000
LONGEST_PAUSE_MS = 3_600_000
_LEASE_MS = 60_000
_IDLE_S = 2.0
_ANSWER = 64 * 1024
_GONE = 410
_log = logging.getLogger("tallystick.webhooks")


class Answer(NamedTuple):
    """What an address answered: HTTP status (0: none), and what went wrong."""

    status: int
    note: str = ""

    @property
    def taken(self) -> bool:
        """True when the delivery was accepted."""
        return 200 <= self.status < 300


Posting = Callable[[str, bytes, Mapping[str, str]], Answer]


def pause_ms(failures: int) -> int:
    """How long to wait after so many failures: doubled each time, an hour at most."""
    return min(FIRST_PAUSE_MS << min(failures - 1, 30), LONGEST_PAUSE_MS)


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send a delivery, within ``TIMEOUT_S`` seconds. Raises nothing.

    Redirections are not followed: they may lead anywhere.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with _ended_after(connection, TIMEOUT_S):
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            text = answer.read(_ANSWER)
        return Answer(answer.status, "" if 200 <= answer.status < 300 else text.decode(errors="replace")[:500])
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"{type(error).__name__}: {error}"[:500])
    finally:
        connection.close()


@contextmanager
def _ended_after(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Inside: the connection is cut after so long, however slowly the other side goes on sending."""

    def cut() -> None:
        late.set()
        if connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    late = threading.Event()
    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if late.is_set():
            raise TimeoutError(f"no whole answer within {seconds:g} s")


class Prepared(NamedTuple):
    """One delivery ready to be posted. ``state`` is the one behind its ``changes``; ``more`` follows."""

    webhook: Webhook
    delivery: str
    body: bytes
    headers: Mapping[str, str]
    changes: int
    state: str
    more: bool


class Posted(NamedTuple):
    """What became of a delivery, and how many milliseconds it took."""

    prepared: Prepared
    answer: Answer
    took: int


def deliver_next(ledger: Ledger, secrets: Secrets, webhook: Webhook, posting: Posting = post) -> bool:
    """Deliver what a webhook is to be told next. True when there may be more to do for it at once.

    Another process may be at it: then nothing is done. Never raises what lies in the address or in its state, only
    StorageError.
    """
    prepared = prepare(ledger, secrets, webhook)
    return prepared is not None and settled(ledger, posted(prepared, posting))


def prepare(ledger: Ledger, secrets: Secrets, webhook: Webhook) -> Prepared | None:
    """What a webhook is to be told next, taken on for this process alone; None when there is nothing."""
    secret = secrets.find(secret_name(webhook.id))
    try:
        changes = Changes(ledger, webhook.scope, webhook.state, max_changes=AT_ONCE, resync="diff")
    except StorageError:
        raise
    except TallystickError as error:
        _restarted(ledger, webhook, error)
        return None
    told = [plain(change, content=webhook.content) for change in changes]
    if not told or secret is None or not lease(ledger, webhook, ledger.now() + _LEASE_MS):
        return None
    delivery = f"{webhook.id}-{sha256((webhook.state + changes.state).encode()).hexdigest()[:24]}"
    content = {"site": ledger.site, "delivery": delivery, "state": changes.state, "more": changes.has_more}
    body = as_json({**content, "changes": told}).encode()
    headers = signed_headers(secret, delivery, ledger.now() // 1000, body)
    headers = {**headers, "content-type": "application/json", **_AGENT}
    return Prepared(webhook, delivery, body, headers, len(told), changes.state, changes.has_more)


_AGENT = {"user-agent": f"tallystick/{VERSION}"}


def posted(prepared: Prepared, posting: Posting = post) -> Posted:
    """Post a delivery. Uses no ledger: any thread may do it."""
    began = time.monotonic()
    answer = posting(prepared.webhook.url, prepared.body, prepared.headers)
    return Posted(prepared, answer, int((time.monotonic() - began) * 1000))


def settled(ledger: Ledger, done: Posted) -> bool:
    """Note what became of a delivery. True when more is to be delivered at once."""
    prepared, answer, took = done
    webhook = prepared.webhook
    note = Attempt(webhook.id, ledger.now(), prepared.delivery, prepared.changes, answer.status, took, answer.note)
    if answer.taken:
        settle(ledger, note, webhook.id, prepared.state, 0, 0)
        return prepared.more
    failures = webhook.failures + 1
    due = DISABLED if answer.status == _GONE else ledger.now() + pause_ms(failures)
    settle(ledger, note, webhook.id, webhook.state, failures, due)
    return False


def _restarted(ledger: Ledger, webhook: Webhook, error: TallystickError) -> None:
    """A state that cannot be continued from, even by its difference: say so in the log and go on from now."""
    if not isinstance(error, StateError):  # a resource that is gone
        settle(ledger, _note(ledger, webhook, error), webhook.id, webhook.state, webhook.failures, DISABLED)
        return
    state = current_state(ledger, webhook.scope)
    settle(ledger, _note(ledger, webhook, error), webhook.id, state, webhook.failures, webhook.due)


def _note(ledger: Ledger, webhook: Webhook, error: TallystickError) -> Attempt:
    _log.warning("webhook %d: %s", webhook.id, error)
    return Attempt(webhook.id, ledger.now(), "", 0, 0, 0, str(error)[:500])
