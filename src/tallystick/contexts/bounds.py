"""What a context with a quota keeps beside what is current: history, and pages laid aside (docs/contexts.md, *Limits*).

Neither counts towards the quota. A context has room for as much history as it may hold, and for uploads that it could
publish.
"""

from __future__ import annotations

from typing import NamedTuple

from tallystick.contexts.problems import QuotaExceeded
from tallystick.contexts.shelf import Shelf

LEAST_VERSIONS = 10_000
"""So many old versions are kept whatever the quota of files."""

LEAST_BYTES = 512 << 20
"""The pages of one upload may be so large whatever the quota of bytes: they name files that may be empty."""

UPLOADS = 4
"""Pages of so many uploads of the greatest size are kept; beyond that those go that nothing came for the longest."""


def trim_history(shelf: Shelf, version: int) -> None:
    """Forget the oldest history beyond the bounds, but nothing that the publication of ``version`` replaced."""
    if shelf.quota_bytes is None and shelf.quota_files is None:
        return
    engine, number = shelf.ledger.engine, shelf.resource.number
    ((count, size),) = engine.query(
        "SELECT count(*), coalesce(sum(size), 0) FROM tally_history WHERE context=?", (number,)
    )
    many = 0 if shelf.quota_files is None else count - max(shelf.quota_files, LEAST_VERSIONS)
    large = 0 if shelf.quota_bytes is None else int(size) - shelf.quota_bytes
    while many > 0 or large > 0:
        rows = engine.query(
            "SELECT version, key, size FROM tally_history WHERE context=? AND version<? "
            "ORDER BY version, key LIMIT 1000",
            (number, version),
        )
        if not rows:
            return
        gone = []
        for row in rows:
            if many <= 0 and large <= 0:
                break
            gone.append((number, *row[:2]))
            many, large = many - 1, large - row[2]
        engine.executemany("DELETE FROM tally_history WHERE context=? AND version=? AND key=?", gone)


class _Laid(NamedTuple):
    """What one run has laid aside; ``size`` is in bytes, without content."""

    run: str
    changes: int
    size: int


def check_staged(shelf: Shelf, run: str) -> None:
    """Raise QuotaExceeded when a run has laid more aside than could be published.

    Where all runs together have laid too much aside, those are forgotten that nothing came for the longest.
    """
    if shelf.quota_bytes is None and shelf.quota_files is None:
        return
    # All that may be there is new, and all that is there goes: nothing could need more.
    most = None if shelf.quota_files is None else shelf.quota_files + shelf.count()
    largest = None if shelf.quota_bytes is None else max(shelf.quota_bytes, LEAST_BYTES)
    own, *others = sorted(_laid_aside(shelf), key=lambda laid: laid.run != run)  # the others stay the latest first
    if _beyond(own.changes, most):
        raise _too_much(shelf, f"{own.changes:,} changes aside, and could publish {most:,}", "--quota-files N")
    if _beyond(own.size, largest):
        raise _too_much(shelf, f"{own.size:,} bytes aside without content, and may {largest:,}", "--quota BYTES")
    changes, size = own.changes, own.size
    for laid in others:
        if _beyond(changes + laid.changes, most, UPLOADS) or _beyond(size + laid.size, largest, UPLOADS):
            shelf.ledger.engine.execute(
                "DELETE FROM tally_staged WHERE context=? AND run=?", (shelf.resource.number, laid.run)
            )
        else:
            changes, size = changes + laid.changes, size + laid.size


def _laid_aside(shelf: Shelf) -> list[_Laid]:
    """All runs that have laid pages aside, the latest first."""
    rows = shelf.ledger.engine.query(
        "SELECT run, sum(changes), sum(length(body)) FROM tally_staged WHERE context=? GROUP BY run "
        "ORDER BY max(at) DESC, run",
        (shelf.resource.number,),
    )
    return [_Laid(run, int(changes), int(size)) for run, changes, size in rows]


def _beyond(value: int, bound: int | None, times: int = 1) -> bool:
    return bound is not None and value > times * bound


def _too_much(shelf: Shelf, what: str, option: str) -> QuotaExceeded:
    return QuotaExceeded(
        f"[QuotaExceeded] an upload to {shelf.name} lays {what}",
        hint=f"upload less at once, or raise the quota: tallystick contexts create SITE NAME {option}",
    )
