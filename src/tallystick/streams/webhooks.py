"""Webhooks: addresses that are sent what changes (docs/notifications.md, *Webhooks*).

A webhook keeps its own state at the site, so it is told of every change, in order, at least once, however long its
address was down. Webhooks are added by whoever administers the site at its database, never by a request: a peer must
not make the server send anything anywhere (DESIGN.md 8).
"""

from __future__ import annotations

import secrets as randomness
from base64 import b64encode
from collections.abc import Sequence
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec

from tallystick.errors import UsageError
from tallystick.site.ledger import Ledger
from tallystick.streams.scopes import StreamScope, scope_for
from tallystick.streams.stream import current_state
from tallystick.streams.tables import require

_COLUMNS = "id, url, resources, state, failures, due, since, content"
_LOG_COLUMNS = "webhook, at, delivery, changes, status, took, note"
LOGGED = 1000
"""Deliveries that are kept in the log of one webhook."""
DISABLED = 1 << 62
"""The due time of a webhook whose address said that it is gone for ever."""


class Secrets(Protocol):
    """Where secrets are kept, encrypted: ``jobs.credentials.Credentials``."""

    def save(self, name: str, secret: str | None) -> None:
        """Keep a secret, or (None) forget it."""

    def find(self, name: str) -> str | None:
        """The secret of that name."""


class Webhook(NamedTuple):
    """An address that is sent changes of ``resources`` (none: of all), with content or without.

    ``state`` is what it has been sent, ``failures`` how often the next delivery has failed, ``due`` when it is tried
    next (milliseconds; ``DISABLED``: never), ``since`` when the webhook was added.
    """

    id: int
    url: str
    resources: tuple[str, ...]
    state: str
    failures: int
    due: int
    since: int
    content: bool

    @property
    def scope(self) -> StreamScope:
        """What it is told of."""
        return StreamScope(self.resources)

    @property
    def enabled(self) -> bool:
        """False when the address said that it is gone."""
        return self.due < DISABLED


class Attempt(NamedTuple):
    """One attempt at a delivery: HTTP ``status`` (0: no answer), ``took`` in milliseconds, and what went wrong."""

    webhook: int
    at: int
    delivery: str
    changes: int
    status: int
    took: int
    note: str


def add(
    ledger: Ledger,
    secrets: Secrets,
    url: str,
    resources: Sequence[str] = (),
    *,
    content: bool = True,
    all_: bool = False,
) -> tuple[Webhook, str]:
    """Add a webhook; returns it and the secret that signs its deliveries, which is shown only now.

    With ``all_`` it is sent everything that is there, too. Raises UsageError for an address that cannot be one,
    SchemaError for an unknown resource.
    """
    _check(url)
    require(ledger)
    scope = scope_for(ledger, resources)
    state = "" if all_ else current_state(ledger, scope)
    secret = "whsec_" + b64encode(randomness.token_bytes(32)).decode()
    with ledger.engine.write():
        ((number,),) = ledger.engine.query("SELECT coalesce(max(id), 0)+1 FROM tally_webhook")
        secrets.save(secret_name(number), secret)
        ledger.engine.execute(
            f"INSERT INTO tally_webhook({_COLUMNS}, lease) VALUES (?, ?, ?, ?, 0, 0, ?, ?, 0)",
            (number, url, msgspec.json.encode(scope.resources).decode(), state, ledger.now(), int(content)),
        )
    return find(ledger, number), secret


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username and not parts.fragment
        good = (
            good and (parts.port is None or parts.port > 0) and url.isascii() and url.isprintable() and " " not in url
        )
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"{url[:200]!r} is no address for a webhook", hint="write it like https://host/path")


def secret_name(number: int) -> str:
    """Under which name the secret of a webhook is kept."""
    return f"webhook {number}"


def webhooks(ledger: Ledger) -> list[Webhook]:
    """All webhooks, oldest first."""
    require(ledger)
    rows = ledger.engine.query(f"SELECT {_COLUMNS} FROM tally_webhook ORDER BY id")
    return [
        Webhook(
            number, url, msgspec.json.decode(wires, type=tuple[str, ...]), state, failures, due, since, bool(content)
        )
        for number, url, wires, state, failures, due, since, content in rows
    ]


def find(ledger: Ledger, number: int) -> Webhook:
    """A webhook by its number. Raises UsageError when there is none."""
    for item in webhooks(ledger):
        if item.id == number:
            return item
    raise UsageError(f"there is no webhook {number}", hint="see: tallystick webhooks list SITE")


def remove(ledger: Ledger, secrets: Secrets, number: int) -> None:
    """Remove a webhook, its secret and its log. Raises UsageError when there is none."""
    find(ledger, number)
    with ledger.engine.write():
        secrets.save(secret_name(number), None)
        ledger.engine.execute("DELETE FROM tally_webhook WHERE id=?", (number,))
        ledger.engine.execute("DELETE FROM tally_webhook_log WHERE webhook=?", (number,))


def retry(ledger: Ledger, number: int) -> None:
    """Try the next delivery now, also where the address had said that it is gone. Raises UsageError."""
    find(ledger, number)
    with ledger.engine.write():
        ledger.engine.execute("UPDATE tally_webhook SET due=0, failures=0 WHERE id=?", (number,))


def attempts(ledger: Ledger, number: int, limit: int = 100) -> list[Attempt]:
    """The delivery log of a webhook, newest first."""
    rows = ledger.engine.query(
        f"SELECT {_LOG_COLUMNS} FROM tally_webhook_log WHERE webhook=? ORDER BY id DESC LIMIT ?", (number, limit)
    )
    return [Attempt(*row) for row in rows]


def lease(ledger: Ledger, webhook: Webhook, until: int) -> bool:
    """Take the next delivery of a webhook for this process, until a time. False when another one has or had it."""
    with ledger.engine.write():
        found = ledger.engine.query("SELECT lease, due, state FROM tally_webhook WHERE id=?", (webhook.id,))
        if not found or max(found[0][:2]) > ledger.now() or found[0][2] != webhook.state:
            return False
        ledger.engine.execute("UPDATE tally_webhook SET lease=? WHERE id=?", (until, webhook.id))
        return True


def settle(ledger: Ledger, attempt: Attempt | None, number: int, state: str, failures: int, due: int) -> None:
    """Note what became of a delivery, in one transaction, and let go of the lease."""
    with ledger.engine.write():
        ledger.engine.execute(
            "UPDATE tally_webhook SET state=?, failures=?, due=?, lease=0 WHERE id=?", (state, failures, due, number)
        )
        if attempt is None:
            return
        ledger.engine.execute(
            f"INSERT INTO tally_webhook_log(id, {_LOG_COLUMNS}) "
            "VALUES ((SELECT coalesce(max(id), 0)+1 FROM tally_webhook_log), ?, ?, ?, ?, ?, ?, ?)",
            tuple(attempt),
        )
        kept = "SELECT id FROM tally_webhook_log WHERE webhook=? ORDER BY id DESC LIMIT 1 OFFSET ?"
        old = ledger.engine.query(kept, (number, LOGGED))
        if old:
            ledger.engine.execute("DELETE FROM tally_webhook_log WHERE webhook=? AND id<=?", (number, old[0][0]))
