"""Sending changes to webhooks: signed, retried with back-off, logged."""

from __future__ import annotations

import http.client
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlsplit

from tallystick.errors import StateError, StorageError, TallystickError
from tallystick.site.ledger import Ledger
from tallystick.streams.hints import Hints, watch
from tallystick.streams.plain import as_json, plain
from tallystick.streams.signing import signed_headers
from tallystick.streams.stream import Changes, current_state
from tallystick.streams.webhooks import DISABLED, Attempt, Secrets, Webhook, lease, secret_name, settle, webhooks
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
    """Send a delivery. Redirections are not followed: they may lead anywhere. Raises nothing."""
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
        connection.request("POST", path, body, dict(headers))
        answer = connection.getresponse()
        text = answer.read(_ANSWER)
        return Answer(answer.status, "" if 200 <= answer.status < 300 else text.decode(errors="replace")[:500])
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"{type(error).__name__}: {error}"[:500])
    finally:
        connection.close()


def deliver_next(ledger: Ledger, secrets: Secrets, webhook: Webhook, posting: Posting = post) -> bool:
    """Deliver what a webhook is to be told next. True when there may be more to do for it at once.

    Another process may be at it: then nothing is done. Never raises what lies in the address or in its state, only
    StorageError.
    """
    secret = secrets.find(secret_name(webhook.id))
    try:
        changes = Changes(ledger, webhook.scope, webhook.state, max_changes=AT_ONCE, resync="diff")
    except StorageError:
        raise
    except TallystickError as error:
        return _restarted(ledger, webhook, error)
    told = [plain(change, content=webhook.content) for change in changes]
    if not told or secret is None or not lease(ledger, webhook, ledger.now() + _LEASE_MS):
        return False
    delivery = f"{webhook.id}-{sha256((webhook.state + changes.state).encode()).hexdigest()[:24]}"
    content = {"site": ledger.site, "delivery": delivery, "state": changes.state, "more": changes.has_more}
    body = as_json({**content, "changes": told}).encode()
    began = time.monotonic()
    headers = signed_headers(secret, delivery, ledger.now() // 1000, body)
    answer = posting(webhook.url, body, {**headers, "content-type": "application/json", **_AGENT})
    took = int((time.monotonic() - began) * 1000)
    attempt = Attempt(webhook.id, ledger.now(), delivery, len(told), answer.status, took, answer.note)
    return _settled(ledger, webhook, attempt, answer, changes)


_AGENT = {"user-agent": f"tallystick/{VERSION}"}


def _settled(ledger: Ledger, webhook: Webhook, attempt: Attempt, answer: Answer, changes: Changes) -> bool:
    if answer.taken:
        settle(ledger, attempt, webhook.id, changes.state, 0, 0)
        return changes.has_more
    failures = webhook.failures + 1
    due = DISABLED if answer.status == _GONE else ledger.now() + pause_ms(failures)
    settle(ledger, attempt, webhook.id, webhook.state, failures, due)
    return False


def _restarted(ledger: Ledger, webhook: Webhook, error: TallystickError) -> bool:
    """A state that cannot be continued from, even by its difference: say so in the log and go on from now."""
    if not isinstance(error, StateError):  # a resource that is gone
        settle(ledger, _note(ledger, webhook, error), webhook.id, webhook.state, webhook.failures, DISABLED)
        return False
    state = current_state(ledger, webhook.scope)
    settle(ledger, _note(ledger, webhook, error), webhook.id, state, webhook.failures, webhook.due)
    return False


def _note(ledger: Ledger, webhook: Webhook, error: TallystickError) -> Attempt:
    _log.warning("webhook %d: %s", webhook.id, error)
    return Attempt(webhook.id, ledger.now(), "", 0, 0, 0, str(error)[:500])


def deliver_due(ledger: Ledger, secrets: Secrets, closing: threading.Event) -> bool:
    """Deliver once to every webhook that is due. True when there is more to do at once."""
    again = False
    for item in webhooks(ledger):
        if item.due <= ledger.now() and not closing.is_set():
            again |= deliver_next(ledger, secrets, item)
    return again


class WebhookRunner:
    """A thread that delivers to all webhooks of a site; several processes may run one each."""

    def __init__(self, opening: Callable[[], Ledger], secrets: Callable[[Ledger], Secrets]) -> None:
        """``opening`` opens the site for the thread alone."""
        self._opening, self._secrets = opening, secrets
        self._closing = threading.Event()
        self._hints: Hints | None = None
        self._thread = threading.Thread(target=self._run, name="tally-webhooks", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def once(self) -> None:
        """Deliver what is due, in this thread."""
        ledger = self._opening()
        try:
            while deliver_due(ledger, self._secrets(ledger), self._closing):
                pass
        finally:
            ledger.engine.close()

    def close(self) -> None:
        """End; a delivery under way ends first. Idempotent."""
        self._closing.set()
        if self._hints is not None:
            self._hints.wake()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                ledger = self._opening()
                try:
                    self._serve(ledger)
                finally:
                    if self._hints is not None:
                        self._hints.close()
                        self._hints = None
                    ledger.engine.close()
            except Exception:
                _log.exception("delivering to webhooks is interrupted")
                self._closing.wait(_IDLE_S)

    def _serve(self, ledger: Ledger) -> None:
        secrets = self._secrets(ledger)
        while not self._closing.is_set():
            ledger.engine.check_in_place()
            known = [item for item in webhooks(ledger) if item.enabled]
            if not known:
                self._closing.wait(_IDLE_S)
                continue
            if self._hints is None:
                self._hints = watch(ledger.engine)
            if not deliver_due(ledger, secrets, self._closing):
                next_due = min(item.due for item in known) - ledger.now()
                self._hints.wait(min(max(next_due / 1000, 0.05), _IDLE_S) if next_due > 0 else _IDLE_S)
