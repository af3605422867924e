"""Reading changes: pages of what is new to somebody (DESIGN.md 4.2 *one dot, one content*, 4.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tallystick.core.forms import decode_extra, seen_of
from tallystick.core.pages import FieldForm, Row
from tallystick.core.values import Value
from tallystick.core.versions import Vector, vector_covers
from tallystick.site import parking
from tallystick.site.engines.engine import Entry
from tallystick.site.filtering import Matches
from tallystick.site.holding import Stored, content_of_row, load_stored
from tallystick.site.identity import local_of, natural_key
from tallystick.site.ledger import DELETED, GENESIS, WHOLE, Ledger, Tracked
from tallystick.site.managed import contents
from tallystick.site.schema import Identity
from tallystick.site.spelling import records_at

PAGE_ROWS = 8000
PAGE_BYTES = 4 * 1024 * 1024
FIRST_ROWS = 32
KNOWN_ROWS = 1000
"""Entries looked at at once while the receiver knows them all: no rows are read then, but records kept whole are."""
FEW_ORIGINS = 32
LEFT_SCOPE = 8


Told = tuple[Entry, tuple[Value, ...] | None]
"""An entry with what its row shows, as ``Rows.after`` gives them."""


class Batch(NamedTuple):
    """Rows of one resource for a page, the seq they reach, and whether more follow below the bound."""

    rows: list[Row]
    origins: list[str]
    position: int
    more: bool


def field_forms(tracked: Tracked) -> list[FieldForm]:
    """The fields of a resource as pages state them."""
    return [FieldForm(item.wire, item.logical.value, item.detail) for item in tracked.definition.fields]


class Reader:
    """Reads batches of one resource in seq order for one receiver. Used inside one read snapshot per batch."""

    def __init__(
        self,
        ledger: Ledger,
        tracked: Tracked,
        digest: Vector,
        *,
        dead: bool | None = None,
        matches: Matches | None = None,
        scoped: bool = False,
        keys: Sequence[str] | None = None,
        since: int = 0,
        told: Sequence[Told] | None = None,
        gone: bool = False,
    ) -> None:
        """``digest`` is what the receiver knows. ``matches`` is the filter; ``scoped`` says that the receiver may hold
        records that left it. ``keys`` restricts records up to seq ``since`` to those
        (first contact, repair). ``told`` are all the entries after the position that is asked for first, with
        their rows, where a stamping has just made them: they are not read again. ``gone`` leaves out whatever is live
        and in scope."""
        self.ledger = ledger
        self.tracked = tracked
        self.digest = digest
        self.dead = dead
        self.matches = matches
        self.scoped = scoped
        self.keys = None if keys is None else frozenset(keys)
        self.since = since
        self._told = told
        self.gone = gone
        self.skipped = False
        """True once a record was left out because it was marked again: the digest must not be said to be reached."""
        self._limit = FIRST_ROWS
        self._known = False
        """True while the receiver knew all of the last stretch: rows are then not read before there is news."""
        known = ledger.engine.query("SELECT id, name FROM tally_origin ORDER BY id")
        self._skip = [(number, digest[name]) for number, name in known if name in digest][:16]
        self._own = next((number for number, name in known if name == ledger.origin), 0)
        self._numbered = _numbered([number for number, _ in known])
        managed = tracked.definition.identity is Identity.MANAGED
        self._may_be_plain = bool(self._numbered) and not (dead or gone or managed) and matches is None and keys is None

    def batch(self, position: int, until: int) -> Batch:
        """The next rows after seq ``position``, up to ``until``."""
        if self._told is not None:
            return self._batch_told(self._told, position, until)
        rows: list[Row] = []
        origins = dict(self._numbered)
        size = 0
        while len(rows) < PAGE_ROWS and size < PAGE_BYTES:
            limit = min(self._limit, PAGE_ROWS - len(rows))
            made, last, more = self._stretch(position, until, limit, origins)
            rows.extend(made)
            size += size_of(made)
            position = last
            if not more:
                return Batch(rows, self._names(origins), until, False)
            self._limit = self._wider(PAGE_BYTES * len(rows) // max(size, 1))
        return Batch(rows, self._names(origins), position, True)

    def _batch_told(self, told: Sequence[Told], position: int, until: int) -> Batch:
        """What was stamped a moment ago. A row that was marked again since waits for its next dot here, too."""
        origins, pending = dict(self._numbered), marked_again(self.ledger, self.tracked)
        found = [one for one in told if position < one[0].seq <= until and self.dead in (None, one[0].flags & DELETED)]
        return Batch(self._rows(found, self._wholes(found), origins, pending), self._names(origins), until, False)

    def _wider(self, fitting: int) -> int:
        """The length of the next stretch, when about ``fitting`` rows would fill a page."""
        bound = KNOWN_ROWS if self._known else min(PAGE_ROWS, fitting)
        return max(FIRST_ROWS, min(self._limit * 4, bound))

    def _stretch(
        self, position: int, until: int, limit: int, origins: dict[int, int]
    ) -> tuple[Sequence[Row], int, bool]:
        """Rows of up to ``limit`` entries, the seq they reach, and whether more may follow."""
        pending = marked_again(self.ledger, self.tracked)
        if self._may_be_plain and not pending and not self._known:
            plain = self.tracked.rows.plain(position, until, limit, self._skip, len(self._numbered))
            if plain is not None:
                return plain.rows, plain.seq or position, len(plain.rows) == limit
        found = self.tracked.rows.after(position, until, limit, self._skip, self.dead, not self._known)
        wholes = self._wholes(found)
        more = len(found) == limit
        news = self._first_news(found, wholes) if self._known else None
        if news is not None:  # read on from there, now with rows and as carefully as at the beginning
            found, more = found[:news], True
        made = self._rows(found, wholes, origins, pending)
        self._known = news is None and not made and self.keys is None
        return made, found[-1][0].seq if found else position, more

    def _first_news(self, found: Sequence[tuple[Entry, object]], wholes: Mapping[str, Stored]) -> int | None:
        """Where in a stretch the receiver does not know all there is any more."""
        return next((at for at, (entry, _) in enumerate(found) if self._news(entry, wholes.get(entry.key))), None)

    def _wholes(self, found: Sequence[tuple[Entry, object]]) -> dict[str, Stored]:
        return load_stored(self.ledger, self.tracked, [entry.key for entry, _ in found if entry.flags & WHOLE])

    def heads(self, position: int, until: int) -> list[tuple[Entry, Stored | None]]:
        """Entries that ``batch`` would send, without their rows: for announcing."""
        rows = self.matches is not None
        found = self.tracked.rows.after(position, until, 1 << 31, self._skip, self.dead, rows)
        wholes = self._wholes(found)
        managed = self._managed(found) if self.matches is not None else {}
        chosen = []
        for entry, values in found:
            whole = wholes.get(entry.key)
            if not self._news(entry, whole):
                continue
            if entry.flags & DELETED or whole is not None or self._in_scope(entry, values, managed):
                chosen.append((entry, whole))
        return chosen

    def left(self, position: int, until: int) -> list[str]:
        """Keys of the records that ``batch`` would say have left the filter."""
        found = self.tracked.rows.after(position, until, 1 << 31, self._skip, False)
        wholes, managed = self._wholes(found), self._managed(found)
        pending = marked_again(self.ledger, self.tracked)
        return [
            entry.key
            for entry, values in found
            if entry.key not in wholes
            and entry.key not in pending
            and (values is not None or entry.key in managed)
            and self._news(entry, None)
            and not self._in_scope(entry, values, managed)
        ]

    def _names(self, origins: Mapping[int, int]) -> list[str]:
        return [self.ledger.origin_name(number) for number in origins]

    def _rows(
        self,
        found: Sequence[tuple[Entry, tuple[Value, ...] | None]],
        wholes: Mapping[str, Stored],
        origins: dict[int, int],
        pending: frozenset[str],
    ) -> list[Row]:
        managed = self._managed(found)
        made: list[Row] = []
        plainly = self.matches is None and self.keys is None and not managed and not pending
        own = self._own if plainly else 0
        known = self.digest.get(self.ledger.origin, 0)
        for entry, values in found:
            if entry.origin == own and not entry.flags and values is not None and entry.tick > known:
                index = origins.setdefault(own, len(origins))
                made.append((entry.key, entry.local, index, entry.tick, entry.stamp, 0, entry.extra, *values))
                continue
            index = origins.setdefault(entry.origin, len(origins))
            row = self._row(entry, values, index, wholes.get(entry.key), pending, managed)
            if row is not None:
                made.append(row)
        return made

    def _row(
        self,
        entry: Entry,
        values: tuple[Value, ...] | None,
        index: int,
        whole: Stored | None,
        pending: frozenset[str],
        managed: Mapping[str, Any],
    ) -> Row | None:
        if entry.key in pending:
            self.skipped = True
            return None
        if self.keys is not None and entry.seq <= self.since and entry.key not in self.keys:
            return None
        if not self._news(entry, whole):
            return None
        head = (entry.key, entry.local, index, entry.tick, entry.stamp)
        if whole is not None:
            if self.gone and not entry.flags & DELETED:
                return None
            return (*head, WHOLE, whole.wire()) if self._in_scope_whole(entry.key, whole) else None
        if entry.flags & DELETED:
            return (*head, DELETED, entry.extra)
        if values is None and entry.key not in managed:
            self.skipped = True
            return None
        if not self._in_scope(entry, values, managed):
            return (*head, LEFT_SCOPE, None) if self.scoped else None
        if self.gone:
            return None
        body = tuple(values or ())
        if entry.key in managed:
            body = (managed[entry.key],)
        return (*head, entry.flags & GENESIS, entry.extra, *body)

    def _news(self, entry: Entry, whole: Stored | None) -> bool:
        if whole is not None:
            return whole.is_news(self.digest)
        seen = seen_of(entry.extra)
        if not seen:
            return self.digest.get(self.ledger.origin_name(entry.origin), 0) < entry.tick
        return not vector_covers(self.digest, seen)

    def _in_scope(self, entry: Entry, values: tuple[Value, ...] | None, managed: Mapping[str, Any]) -> bool:
        if self.matches is None:
            return True
        if entry.key in managed:
            return self.matches({**managed[entry.key], "$key": entry.key})
        content = content_of_row(self.tracked.definition, values, decode_extra(entry.extra).aside) or {}
        return self.matches({**content, "$key": entry.key})

    def _in_scope_whole(self, key: str, whole: Stored) -> bool:
        if self.matches is None:
            return True
        return any(
            version.content is None or self.matches({**version.content, "$key": key})
            for version in whole.record.versions
        )

    def _managed(self, found: Sequence[tuple[Entry, object]]) -> dict[str, Any]:
        if self.tracked.definition.identity is not Identity.MANAGED:
            return {}
        return contents(self.ledger, self.tracked, [entry.key for entry, _ in found])


def marked_again(ledger: Ledger, tracked: Tracked) -> frozenset[str]:
    """Keys of records that wait for their next dot: marked again since they were stamped, or shared by two rows."""
    engine = ledger.engine
    if tracked.definition.identity is Identity.MANAGED:
        return frozenset()
    shared = parking.left_out(ledger, tracked) if len(tracked.definition.key_fields) > 1 else frozenset[str]()
    if not engine.query("SELECT 1 FROM tally_mark WHERE resource=? LIMIT 1", (tracked.number,)):
        return shared
    found, _ = engine.marks({tracked.number: tracked.definition})
    marks = found.get(tracked.number, ())
    addresses = {address for mark in marks for address in (mark.old, mark.new) if address is not None}
    if any(mark.kind == "T" for mark in marks):
        return _Everything()
    return shared | keys_at(ledger, tracked, addresses)


class _Everything(frozenset[str]):
    def __contains__(self, key: object) -> bool:
        return True

    def __bool__(self) -> bool:
        return True


def keys_at(ledger: Ledger, tracked: Tracked, addresses: Any) -> frozenset[str]:
    """Keys of the records whose rows are at the addresses."""
    definition = tracked.definition
    if definition.identity is Identity.NATURAL:
        known = frozenset(entry.key for entry in records_at(tracked, addresses).values())
        return known | {natural_key(definition, address) for address in addresses}
    locals_ = [local_of(definition, "", address) for address in addresses]
    return frozenset(entry.key for entry in tracked.rows.by_locals(locals_).values())


def _numbered(numbers: Sequence[int]) -> dict[int, int]:
    """Positions of origins in a page, all of them by number while they are few; else none in advance.

    Then a ledger row says by itself where its origin is, and rows need not be looked at one by one.
    """
    few = len(numbers) <= FEW_ORIGINS and list(numbers) == list(range(1, len(numbers) + 1))
    return {number: number - 1 for number in numbers} if few else {}


def size_of(rows: Sequence[Sequence[Any]]) -> int:
    """Bytes that the values of rows take, about."""
    total = 0
    for row in rows[:: max(1, len(rows) // 32)]:
        total += sum(_weight(value) for value in row)
    return total * max(1, len(rows) // 32)


def _weight(value: object) -> int:
    """Bytes that a value takes, about; the content of a managed record weighs what is in it."""
    if isinstance(value, str | bytes):
        return len(value)
    return sum(map(_weight, value.values())) if isinstance(value, dict) else 8
