"""Many new records at once, as edits of this site: the fast way of an import (DESIGN.md 5).

Their fields are taken column by column, because that is how they are written, hashed and entered in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from tallystick.core.fingerprints import EMPTY
from tallystick.core.pages import FieldForm, Page
from tallystick.core.values import CANONICAL, Logical
from tallystick.protocols.eden.site.catalog import Bound, Link
from tallystick.protocols.eden.site.values import AS_IT_IS, written
from tallystick.protocols.eden.store import Target, Write
from tallystick.site.entering import Column, enter_columns, suits
from tallystick.site.ledger import Ledger
from tallystick.site.projection import exact
from tallystick.site.schema import Identity

FEW = 8
"""Below this the ordinary way is as fast."""
_SELDOM_ALIKE = AS_IT_IS | {type(None)}
_OFTEN_ALIKE = frozenset({str, bool, type(None)})
"""Types among whose values equal ones are the same."""


class Entered(NamedTuple):
    """Of each new record, in their order, the tick of its change and the integer of its row, if it has one.

    ``left`` are the keys of those that were not written.
    """

    ticks: Sequence[int]
    locals: Sequence[Any]
    left: frozenset[str]


def may_enter(bound: Bound) -> bool:
    """True when new rows of the table are kept exactly as they are written, and nothing else has to be."""
    page = _page(bound, "")
    stated = {form.name: (form.logical, form.detail) for form in page.fields}
    return suits(bound.tracked, page) and exact(bound.tracked, stated)


def enter_new(
    ledger: Ledger,
    bound: Bound,
    keys: Sequence[str],
    fields: Sequence[Column],
    known: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Entered:
    """Write new records of a table that they ``may_enter``: their keys, and a column for each of its fields.

    ``known`` are, by resource and key, integers of rows that this transaction wrote; the others are looked up.
    Those that are left need the ordinary way, which also finds out why. Call inside ``ledger.write()``, after
    stamping.
    """
    definition, count = bound.definition, len(keys)
    locals_: Sequence[Any] = bound.tracked.rows.fresh(count) if definition.mapped else [None] * count
    ticks, now = ledger.next_ticks(bound.tracked, count), ledger.now()
    stamps = [ledger.stamp_at(now) for _ in range(count)]
    values = list(fields)
    if definition.identity is Identity.COLUMN:
        values[definition.columns.index(definition.key_column)] = keys
    nothing, zero = [None] * count, [0] * count
    columns = [keys, locals_, zero, ticks, stamps, zero, nothing, *values]
    numbers = [ledger.origin_number(ledger.origin)]
    made = enter_columns(ledger, bound.tracked, _page(bound, ledger.origin), columns, numbers, known)
    ledger.count(bound.tracked, made.fingerprint, EMPTY)
    return Entered(ticks, locals_, frozenset(made.left))


def _page(bound: Bound, origin: str) -> Page:
    forms = [FieldForm(one.wire, one.logical.value, one.detail) for one in bound.definition.fields]
    return Page(bound.definition.wire, forms, [origin], [], "")


class NewColumns:
    """The fields of new records, a column for each field of the table, with references as keys.

    ``key_of`` gives the key of a target that is here. ``waiting`` are, by position of the record, the references whose
    targets are not.
    """

    def __init__(
        self, bound: Bound, writes: Sequence[Write], key_of: Callable[[Target], str | None], now: datetime
    ) -> None:
        self.waiting: dict[int, dict[str, Target]] = {}
        self.columns: list[Column] = [[None] * len(writes)] * len(bound.definition.fields)
        for link in bound.links.values():
            if link.position >= 0:
                self.columns[link.position] = self._column(bound, link, [one.values for one in writes], key_of)
        for name, position in bound.meta.items():
            self.columns[position] = _meta_column(name, bound.definition.fields[position].logical, writes, now)

    def _column(
        self,
        bound: Bound,
        link: Link,
        values: Sequence[dict[str, object]],
        key_of: Callable[[Target], str | None],
    ) -> Column:
        name, logical = link.name, link.site.logical
        given = [one.get(name) for one in values]
        default = bound.defaults.get(name)
        if default is not None:
            given = [default if value is None else value for value in given]
        return self._references(link, given, key_of) if link.target else _written(given, logical)

    def _references(self, link: Link, given: Sequence[object], key_of: Callable[[Target], str | None]) -> Column:
        made: list[Any] = []
        for position, value in enumerate(given):
            if not isinstance(value, Target):
                made.append(written(value, link.site.logical))
                continue
            key = key_of(value)
            made.append(None if key is None else link.value_of(key))
            if key is None:
                self.waiting.setdefault(position, {})[link.name] = value
        return made


def _written(given: Sequence[Any], logical: Logical) -> Column:
    """``written`` of a whole column."""
    types = set(map(type, given))
    if logical not in CANONICAL and types <= _SELDOM_ALIKE:
        return given
    if types <= _OFTEN_ALIKE:
        made = {value: written(value, logical) for value in set(given)}
        return [made[value] for value in given]
    return [written(value, logical) for value in given]


def _meta_column(name: str, logical: Logical, writes: Sequence[Write], now: datetime) -> Column:
    """What a column that the table has for a meta-field holds of new records."""
    if name == "mci":
        return [one.copies for one in writes]
    if name == "deleted":
        return [written(False, logical)] * len(writes)
    moments = [one.modified_on if name == "modified_on" else one.created_on or now for one in writes]
    return _written([one.strftime("%Y-%m-%dT%H:%M:%S") for one in moments], logical)
