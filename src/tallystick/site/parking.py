"""Parked and declined changes: held and passed on, but not projected (DESIGN.md 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tallystick.site.holding import Whole, load_wholes
from tallystick.site.ledger import Ledger, Tracked
from tallystick.site.row_names import row_names

PARKED = "parked"
DECLINED = "declined"
UNNAMED = "unnamed"
"""The kind of rows of this site that no key names: they cannot be sent, and nothing is written over them."""
_ROW = "\\!"
"""What tells the note of an unnamed row from that of a parked record whose key it would have."""
LEFT = "left scope"
"""The reason noted for records that were removed here because they left a filter."""


class Waiting(NamedTuple):
    """One change that is held and not shown. ``since`` is milliseconds, ``kind`` parked or declined.

    ``row`` is the primary key of the record's row here, None where it has none; ``content`` what is not shown, None
    for a deletion. Both are only filled in where somebody asks what waits (``described``).

    Of kind ``unnamed`` are rows of this site that cannot be sent; their ``key`` is what would have been one.
    """

    resource: str
    key: str
    kind: str
    reason: str
    since: int
    attempts: int
    row: str | None = None
    content: Mapping[str, Any] | None = None


def park(ledger: Ledger, tracked: Tracked, key: str, reason: str) -> None:
    """Note that a change cannot be applied now, and why; another attempt is counted when it was parked before."""
    _note(ledger, tracked, key, PARKED, reason)


def decline(ledger: Ledger, tracked: Tracked, key: str, reason: str) -> None:
    """Note that the policy does not want a change here."""
    _note(ledger, tracked, key, DECLINED, reason)


def leave_out(ledger: Ledger, tracked: Tracked, key: str, reason: str) -> None:
    """Note that a row of this site has no key of its own, and why."""
    _note(ledger, tracked, _ROW + key, UNNAMED, reason)


def take_in(ledger: Ledger, tracked: Tracked, key: str) -> None:
    """The row has a key of its own now, or is gone."""
    sql = "DELETE FROM tally_parked WHERE resource=? AND key=? AND kind=?"
    ledger.engine.execute(sql, (tracked.number, _ROW + key, UNNAMED))


def left_out(ledger: Ledger, tracked: Tracked) -> frozenset[str]:
    """What would be the keys of rows that have none of their own."""
    sql = "SELECT key FROM tally_parked WHERE resource=? AND kind=?"
    return frozenset(row[0].removeprefix(_ROW) for row in ledger.engine.query(sql, (tracked.number, UNNAMED)))


def holed(ledger: Ledger) -> set[str]:
    """Wire names of resources of which not every record can be sent: nobody may be told that it knows them whole."""
    names = {item.number: item.wire for item in ledger.resources()}
    rows = ledger.engine.query("SELECT DISTINCT resource FROM tally_parked WHERE kind=?", (UNNAMED,))
    return {names[row[0]] for row in rows if row[0] in names}


def _note(ledger: Ledger, tracked: Tracked, key: str, kind: str, reason: str) -> None:
    ledger.engine.execute(
        "INSERT INTO tally_parked(resource, key, kind, reason, since, attempts) VALUES (?, ?, ?, ?, ?, 1) "
        "ON CONFLICT (resource, key) DO UPDATE SET kind=excluded.kind, reason=excluded.reason, "
        "attempts=tally_parked.attempts+1",
        (tracked.number, key, kind, reason[:2000], ledger.now()),
    )


def release(ledger: Ledger, tracked: Tracked, key: str) -> None:
    """The change is shown now, or no longer wanted."""
    ledger.engine.execute("DELETE FROM tally_parked WHERE resource=? AND key=?", (tracked.number, key))


def waiting(ledger: Ledger, kind: str | None = PARKED, tracked: Tracked | None = None) -> list[Waiting]:
    """What is held and not shown, oldest first."""
    names = {item.number: item.wire for item in ledger.resources()}
    sql = "SELECT resource, key, kind, reason, since, attempts FROM tally_parked WHERE 1=1"
    parameters: list[object] = []
    if kind is not None:
        sql += " AND kind=?"
        parameters.append(kind)
    if tracked is not None:
        sql += " AND resource=?"
        parameters.append(tracked.number)
    rows = ledger.engine.query(sql + " ORDER BY since, resource, key", parameters)
    return [Waiting(names.get(row[0], "?"), row[1].removeprefix(_ROW), *row[2:]) for row in rows]


def described(ledger: Ledger, kind: str | None = PARKED) -> list[Waiting]:
    """``waiting`` for people: with the rows that they know, and what is not shown."""
    found = []
    for item in waiting(ledger, kind):
        if ledger.has(item.resource):
            tracked = ledger.resource(item.resource)
            row = row_names(tracked, [item.key]).get(item.key)
            item = item._replace(row=row, content=_unshown(load_wholes(ledger, tracked, [item.key]).get(item.key)))
        found.append(item)
    return found


def _unshown(whole: Whole | None) -> Mapping[str, Any] | None:
    """The newest version that the row does not show."""
    if whole is None:
        return None
    shown = {version.hash for version in whole.shown}
    return next((one.content for one in reversed(whole.record.versions) if one.hash not in shown), None)


def count(ledger: Ledger) -> int:
    """How many changes are parked, and rows left out because no key names them."""
    sql = "SELECT count(*) FROM tally_parked WHERE kind IN (?, ?)"
    return int(ledger.engine.query(sql, (PARKED, UNNAMED))[0][0])
