"""Many new records at once, as edits of this site: the fast way of an import (DESIGN.md 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tallystick.core.fingerprints import EMPTY
from tallystick.core.pages import KEY, FieldForm, Page, Row
from tallystick.protocols.eden.site.catalog import Bound
from tallystick.site.entering import enter, suits
from tallystick.site.ledger import Ledger
from tallystick.site.projection import exact
from tallystick.site.schema import Identity

FEW = 8
"""Below this the ordinary way is as fast."""


class Entered(NamedTuple):
    """Where a new record is: the tick of its change and the integer of its row, if it has one."""

    tick: int
    local: Any


def enter_new(ledger: Ledger, bound: Bound, records: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Entered]:
    """Write new records (key, content in canonical values) where nothing but rows has to be written.

    Returns those that were written; the others need the ordinary way, which also finds out why. Call inside
    ``ledger.write()``, after stamping.
    """
    definition = bound.definition
    forms = [FieldForm(one.wire, one.logical.value, one.detail) for one in definition.fields]
    page = Page(definition.wire, forms, [ledger.origin], [], "")
    stated = {form.name: (form.logical, form.detail) for form in forms}
    if len(records) < FEW or not suits(bound.tracked, page) or not exact(bound.tracked, stated):
        return {}
    page.rows = _rows(ledger, bound, records)
    made = enter(ledger, bound.tracked, page, page.rows, [ledger.origin_number(ledger.origin)])
    ledger.count(bound.tracked, made.fingerprint, EMPTY)
    left = {row[KEY] for row in made.left}
    return {row[KEY]: Entered(row[3], row[1]) for row in page.rows if row[KEY] not in left}


def _rows(ledger: Ledger, bound: Bound, records: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Row]:
    definition = bound.definition
    count = len(records)
    locals_: Sequence[Any] = bound.tracked.rows.fresh(count) if definition.mapped else [None] * count
    ticks, now = ledger.next_ticks(bound.tracked, count), ledger.now()
    own = definition.columns.index(definition.key_column) if definition.identity is Identity.COLUMN else -1
    rows: list[Row] = []
    for (key, content), local, tick in zip(records, locals_, ticks, strict=True):
        values = list(map(content.get, definition.names))
        if own >= 0:
            values[own] = key
        rows.append((key, local, 0, tick, ledger.stamp_at(now), 0, None, *values))
    return rows
