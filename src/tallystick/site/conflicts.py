"""The conflict log: versions that a decision hid, with their content, for the retention period (DESIGN.md 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from tallystick.core.forms import Encoded, VersionForm, version_of
from tallystick.core.versions import Record, Version
from tallystick.site.holding import Whole
from tallystick.site.ledger import Ledger, Tracked

_decoder = msgspec.msgpack.Decoder(VersionForm)

LATELY_MS = 3600 * 1000
"""A loser that was logged at the decision is logged once more where the conflict ends later than this."""


class Logged(NamedTuple):
    """One entry of the conflict log. ``at`` is milliseconds; ``kind`` says how the version came to be hidden."""

    id: int
    resource: str
    key: str
    at: int
    kind: str
    run: str
    version: Version


def log(ledger: Ledger, tracked: Tracked, key: str, kind: str, versions: Iterable[Version], run: str = "") -> None:
    """Write versions, with content, to the conflict log."""
    log_many(ledger, tracked, kind, [(key, version) for version in versions], run)


def log_many(
    ledger: Ledger,
    tracked: Tracked,
    kind: str,
    hidden: Sequence[tuple[str, Version]],
    run: str = "",
    encoded: Encoded | None = None,
) -> None:
    """Write versions of many records, by key, to the conflict log. ``encoded`` knows some of them as bytes."""
    if not hidden:
        return
    as_bytes = (encoded or Encoded()).of
    now = ledger.now()
    (first,) = ledger.engine.query("SELECT coalesce(max(id), 0)+1 FROM tally_conflict")[0]
    ledger.engine.executemany(
        "INSERT INTO tally_conflict(id, resource, key, at, kind, run, version) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (first + index, tracked.number, key, now, kind, run, as_bytes(version))
            for index, (key, version) in enumerate(hidden)
        ],
    )


def keep_logged(whole: Whole | None, now: int, lost: Iterable[Version], before: Whole | None) -> Whole | None:
    """``whole``, if there is one, with the time since which all that its row does not show is in the log.

    ``lost`` is logged now; what was not shown ``before`` may have been logged then.
    """
    if whole is None:
        return None
    losers, shown, versions = [*lost], whole.shown, whole.record.versions
    pair = (*losers, *shown)
    if len(losers) == len(shown) == 1 and len(versions) == 2 and pair in (versions, versions[::-1]):
        return Whole(whole.record, shown, whole.undecided, now)  # as most conflicts are
    if not (hidden := whole.hidden):
        return whole
    lately, logged = {version.hash for version in losers}, now
    if before is not None and before.logged and not hidden <= lately:
        lately, logged = lately | before.hidden, before.logged
    return whole._replace(logged=logged) if hidden <= lately else whole


def is_logged(logged: int, now: int) -> bool:
    """True when a conflict need not be logged at its end: it was at the decision, and that was not long ago.

    ``logged`` is as in ``Whole``.
    What is in the log stays there while the conflict lasts, so the retention period ends but little earlier.
    """
    return 0 < logged <= now < logged + LATELY_MS


def closed(key: str, before: Record, after: Record, whole: Whole, now: int) -> list[tuple[str, Version]]:
    """The versions that an edit closed although the edited row did not show them, for ``log_many``.

    None of them where they are in the log already.
    """
    if is_logged(whole.logged, now):
        return []
    shown = {version.hash for version in whole.shown}
    kept = {version.hash for version in after.versions}
    return [(key, version) for version in before.versions if version.hash not in shown and version.hash not in kept]


def logged(ledger: Ledger, tracked: Tracked | None = None, key: str | None = None) -> list[Logged]:
    """The conflict log, oldest first, of everything, of a resource, or of one record."""
    names = {item.number: item.wire for item in ledger.resources()}
    sql = "SELECT id, resource, key, at, kind, run, version FROM tally_conflict WHERE 1=1"
    parameters: list[object] = []
    if tracked is not None:
        sql += " AND resource=?"
        parameters.append(tracked.number)
    if key is not None:
        sql += " AND key=?"
        parameters.append(key)
    rows = ledger.engine.query(sql + " ORDER BY id", parameters)
    return [
        Logged(
            row[0], names.get(row[1], "?"), row[2], row[3], row[4], row[5] or "", version_of(_decoder.decode(row[6]))
        )
        for row in rows
    ]
