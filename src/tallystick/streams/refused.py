"""Deliveries that an importer refused: kept by consumer until they succeed (issue: *loses nothing silently*)."""

from __future__ import annotations

import traceback
from typing import NamedTuple

from tallystick.site.ledger import Ledger
from tallystick.streams.changes import Change
from tallystick.streams.tables import require

_COLUMNS = "consumer, resource, key, callback, reason, seq, at"
_REASON = 2000


class Refused(NamedTuple):
    """One record that a consumer could not be told of. ``callback`` raised ``reason``; ``at`` is in milliseconds."""

    consumer: str
    resource: str
    key: str
    callback: str
    reason: str
    seq: int
    at: int


def reason_of(error: BaseException) -> str:
    """What an error says, as text that every database keeps and every terminal prints."""
    try:
        message = str(error)
    except Exception:
        message = "(it cannot say what happened)"
    return _printable(f"{type(error).__name__}: {message}")[:_REASON]


def trace_of(error: BaseException) -> str:
    """Where an error came from, as text for a log: a file of it could not be written with half a character in it."""
    return _printable("".join(traceback.format_exception(error))).rstrip()


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def park(ledger: Ledger, consumer: str, change: Change, callback: str, error: Exception) -> None:
    """Keep a refused delivery; one of the same record that was kept before is replaced."""
    reason = reason_of(error)
    with ledger.engine.write():
        ledger.engine.execute(
            f"INSERT INTO tally_stream_parked(id, {_COLUMNS}) "
            "VALUES ((SELECT coalesce(max(id), 0)+1 FROM tally_stream_parked), ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (consumer, resource, key) DO UPDATE SET callback=excluded.callback, reason=excluded.reason, "
            "seq=excluded.seq, at=excluded.at",
            (consumer, change.resource, change.key, callback, reason, change.seq, ledger.now()),
        )


def settle(ledger: Ledger, consumer: str, resource: str, key: str) -> None:
    """Forget a refused delivery: a later one of the record succeeded, or nobody wants it any more."""
    with ledger.engine.write():
        ledger.engine.execute(
            "DELETE FROM tally_stream_parked WHERE consumer=? AND resource=? AND key=?", (consumer, resource, key)
        )


def refused(ledger: Ledger, consumer: str | None = None, resource: str = "") -> list[Refused]:
    """Refused deliveries, oldest first: of one consumer (None: all), of one resource ("": all)."""
    require(ledger)
    rows = ledger.engine.query(f"SELECT {_COLUMNS} FROM tally_stream_parked ORDER BY id")
    found = (Refused(*row) for row in rows)
    return [item for item in found if consumer in (None, item.consumer) and resource in ("", item.resource)]
