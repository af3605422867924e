"""Keys of purged deletions, so that a reader who comes too late can still be told what is gone (DESIGN.md 4.5).

A purge forgets tombstones, with everything that agreement between sites needs of them. What a reader needs is the key
alone: it is kept for ``KEPT_DAYS`` longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from tallystick.site.ledger import Ledger, Tracked
from tallystick.streams.tables import require

KEPT_DAYS = 366
_DAY_MS = 86_400_000
_Result = TypeVar("_Result")


class Gone(NamedTuple):
    """A purged deletion."""

    seq: int
    key: str


def noting_gone(ledger: Ledger, tracked: Tracked, purging: Callable[[], _Result]) -> _Result:
    """Run a purge of one resource and keep the keys of what it forgets. Call inside ``ledger.write()``."""
    require(ledger)
    known = _complete(ledger, tracked)
    dead = {entry.seq: entry.key for entry, _ in tracked.rows.after(0, 1 << 62, 1 << 31, (), True)}
    result = purging()
    left = {entry.seq for entry, _ in tracked.rows.after(0, 1 << 62, 1 << 31, (), True)}
    now = ledger.now()
    rows = [(tracked.wire, seq, key, now) for seq, key in dead.items() if seq not in left]
    ledger.engine.executemany("INSERT INTO tally_stream_gone(resource, seq, key, at) VALUES (?, ?, ?, ?)", rows)
    complete = max(known, _drop_old(ledger, tracked, now))
    ledger.engine.execute(
        "INSERT INTO tally_stream_horizon(resource, complete, horizon) VALUES (?, ?, ?) "
        "ON CONFLICT (resource) DO UPDATE SET complete=excluded.complete, horizon=excluded.horizon",
        (tracked.wire, complete, tracked.horizon),
    )
    return result


def _complete(ledger: Ledger, tracked: Tracked) -> int:
    """From which seq on every purged key was kept. What moved the horizon without us leaves a gap behind it."""
    rows = ledger.engine.query("SELECT complete, horizon FROM tally_stream_horizon WHERE resource=?", (tracked.wire,))
    if rows and rows[0][1] == tracked.horizon:
        return int(rows[0][0])
    return tracked.horizon


def _drop_old(ledger: Ledger, tracked: Tracked, now: int) -> int:
    """Drop keys kept for long enough; the highest seq among them."""
    old = (tracked.wire, now - KEPT_DAYS * _DAY_MS)
    sql = "FROM tally_stream_gone WHERE resource=? AND at<?"
    highest = int(ledger.engine.query(f"SELECT coalesce(max(seq), 0) {sql}", old)[0][0])
    ledger.engine.execute(f"DELETE {sql}", old)
    return highest


def gone_since(ledger: Ledger, tracked: Tracked, seq: int) -> list[Gone] | None:
    """Deletions beyond ``seq`` that were purged; None when not all of them are known any more."""
    if tracked.horizon <= seq:
        return []
    if _complete(ledger, tracked) > seq:
        return None
    rows = ledger.engine.query(
        "SELECT seq, key FROM tally_stream_gone WHERE resource=? AND seq>? ORDER BY seq", (tracked.wire, seq)
    )
    return [Gone(*row) for row in rows]
