"""What Eden knows of a record beside its fields: times, copies, people, source (spec/eden.md: section 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from tallystick.core.clock import milliseconds_of
from tallystick.core.forms import decode_extra
from tallystick.site.engines.engine import Entry
from tallystick.site.ledger import Ledger, Tracked

_COLUMNS = (
    "key, alias, origin, tick, copies, created_on, modified_on, created_by, modified_by, owned_by_user, "
    "owned_by_group, replaced_by, source, ahead"
)


_SMALL = 100


class Remark(NamedTuple):
    """One row of ``tally_eden_record``. It speaks of the version that ``origin`` and ``tick`` name."""

    key: str
    alias: str | None
    origin: int
    tick: int
    copies: int = 0
    created_on: int | None = None
    modified_on: int | None = None
    created_by: str | None = None
    modified_by: str | None = None
    owned_by_user: str | None = None
    owned_by_group: str | None = None
    replaced_by: str | None = None
    source: str | None = None
    ahead: int | None = None

    def fits(self, entry: Entry) -> bool:
        """True when the record has not changed since."""
        return self.tick == entry.tick and self.origin == entry.origin


class NewRemarks(NamedTuple):
    """First remarks of new records, column by column; ``origin`` and ``source`` are the same for all of them."""

    keys: Sequence[str]
    aliases: Sequence[str | None]
    origin: int
    ticks: Sequence[int]
    copies: Sequence[int]
    created_on: Sequence[int | None]
    modified_on: Sequence[int | None]
    created_by: Sequence[str | None]
    modified_by: Sequence[str | None]
    owned_by_user: Sequence[str | None]
    owned_by_group: Sequence[str | None]
    source: str | None


def first_remark(entry: Entry) -> Remark:
    """What can be said of a record of which nothing was said yet, as the ledger has it."""
    copies = decode_extra(entry.extra).copies if entry.extra is not None else 0
    born = stamp_seconds(entry.stamp) if entry.born_seq == entry.seq else None
    return Remark(entry.key, None, entry.origin, entry.tick, copies, born)


@lru_cache(maxsize=4096)  # records that were changed together have the same times
def seconds(moment: datetime | None) -> int | None:
    """A moment as it is stored."""
    return None if moment is None else int(moment.timestamp())


@lru_cache(maxsize=4096)  # records that were changed together have the same times
def moment_of(stored: int | None) -> datetime | None:
    """A stored moment."""
    return None if stored is None else datetime.fromtimestamp(stored, UTC)


def stamp_seconds(stamp: int) -> int | None:
    """The second of a stamp; None for a row older than tracking."""
    return milliseconds_of(stamp) // 1000 if stamp else None


class Remarks:
    """The remarks of one site."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._aliased: dict[int, bool] = {}

    def forget(self) -> None:
        """Read again what is kept of them in memory: a transaction was undone."""
        self._aliased.clear()

    def of(self, tracked: Tracked, keys: Sequence[str]) -> dict[str, Remark]:
        """Remarks by key."""
        if not keys:
            return {}
        sql = f"SELECT {_COLUMNS} FROM tally_eden_record WHERE resource={tracked.number} AND key IN (*)"
        return {row[0]: Remark._make(row) for row in self._ledger.engine.query_in(sql, (), keys)}

    def put(self, tracked: Tracked, remarks: Sequence[Remark], known: Sequence[str]) -> None:
        """Write remarks; ``known`` are the keys among them that have one."""
        engine, number = self._ledger.engine, tracked.number
        if known:
            engine.executemany(
                f"DELETE FROM tally_eden_record WHERE resource={number} AND key=?", [(key,) for key in known]
            )
        now = self._ledger.now() // 1000
        told = [(one, _ahead(one, now)) for one in remarks]
        remarks = [one if ahead == one.ahead else one._replace(ahead=ahead) for one, ahead in told]
        marks = ", ".join("?" * len(Remark._fields))
        engine.executemany(f"INSERT INTO tally_eden_record(resource, {_COLUMNS}) VALUES ({number}, {marks})", remarks)
        if any(one.alias is not None for one in remarks):
            self._aliased.clear()

    def put_new(self, tracked: Tracked, new: NewRemarks) -> None:
        """Write the first remarks of records. What is the same for all of them stands in the statement where that is
        nothing or a small number: binding it would cost as much as writing it. What is large differs the next time, and
        statements are kept: few serve all."""
        now = self._ledger.now() // 1000
        columns: dict[str, Sequence[object]] = {
            "key": new.keys,
            "alias": new.aliases,
            "tick": new.ticks,
            "copies": new.copies,
            "created_on": new.created_on,
            "modified_on": new.modified_on,
            "created_by": new.created_by,
            "modified_by": new.modified_by,
            "owned_by_user": new.owned_by_user,
            "owned_by_group": new.owned_by_group,
            "source": [new.source] * len(new.keys),
            "ahead": [one if one is not None and one >= now else None for one in new.modified_on],
        }
        fixed = {"resource": str(tracked.number), "origin": str(new.origin)}
        for name, column in list(columns.items()):
            first = column[0]
            small = first is None or (type(first) is int and first <= _SMALL)
            if small and column.count(first) == len(column):
                fixed[name] = "NULL" if first is None else str(first)
                del columns[name]
        marks = fixed | dict.fromkeys(columns, "?")
        self._ledger.engine.insert_many(
            f"INSERT INTO tally_eden_record({', '.join(marks)}) VALUES ({', '.join(marks.values())})",
            zip(*columns.values(), strict=True),
        )
        if "alias" in columns:
            self._aliased.clear()

    def renew(self, tracked: Tracked, before: Mapping[str, Entry]) -> None:
        """After a write that was no change of the records' own: what was said of them is true of them still."""
        remarks = self.of(tracked, list(before))
        after = tracked.rows.by_keys(list(before))
        made = [
            one._replace(origin=after[key].origin, tick=after[key].tick)
            for key, one in remarks.items()
            if key in after and one.fits(before[key]) and not one.fits(after[key])
        ]
        self.put(tracked, made, [one.key for one in made])

    def aliased(self, tracked: Tracked) -> bool:
        """True when any record of the resource has an alias."""
        found = self._aliased.get(tracked.number)
        if found is None:
            sql = "SELECT 1 FROM tally_eden_record WHERE resource=? AND alias IS NOT NULL LIMIT 1"
            found = self._aliased[tracked.number] = bool(self._ledger.engine.query(sql, (tracked.number,)))
        return found

    def aliases(self, tracked: Tracked, keys: Sequence[str]) -> dict[str, str]:
        """Aliases by key, of the records that have one."""
        if not keys or not self.aliased(tracked):
            return {}
        sql = (
            f"SELECT key, alias FROM tally_eden_record WHERE resource={tracked.number} "
            "AND alias IS NOT NULL AND key IN (*)"
        )
        return dict(self._ledger.engine.query_in(sql, (), keys))

    def keys(self, tracked: Tracked, aliases: Sequence[str]) -> dict[str, str]:
        """Keys by alias."""
        if not aliases or not self.aliased(tracked):
            return {}
        sql = f"SELECT alias, key FROM tally_eden_record WHERE resource={tracked.number} AND alias IN (*)"
        return dict(self._ledger.engine.query_in(sql, (), aliases))


def _ahead(remark: Remark, now: int) -> int | None:
    """The time of a change that lies after the moment in which it is written."""
    return remark.modified_on if remark.modified_on is not None and remark.modified_on >= now else None
