"""References that wait for records which are not here yet, or which the database refuses (spec/eden.md: section 9.1).

The row holds nothing in such a field, which must never be taken for what somebody emptied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tallystick.protocols.eden.site.catalog import Bound, Catalog
from tallystick.protocols.eden.site.remarks import Remarks
from tallystick.protocols.eden.store import Target
from tallystick.site import editing
from tallystick.site.ledger import Ledger, Tracked

_Wanted = dict[str, dict[str, str]]
"""Keys of records that came, by key of the row that refers to them and field."""


def waiting_fields(ledger: Ledger, tracked: Tracked, keys: Sequence[str]) -> dict[str, frozenset[str]]:
    """The fields whose references wait, by key of the record."""
    number = tracked.number
    if not keys or not ledger.engine.query("SELECT 1 FROM tally_eden_waiting WHERE resource=? LIMIT 1", (number,)):
        return {}
    found: dict[str, set[str]] = {}
    sql = f"SELECT key, field FROM tally_eden_waiting WHERE resource={number} AND key IN (*)"
    for key, name in ledger.engine.query_in(sql, (), keys):
        found.setdefault(key, set()).add(name)
    return {key: frozenset(names) for key, names in found.items()}


class Waiting:
    """The references of a site that wait."""

    def __init__(self, ledger: Ledger, catalog: Catalog, remarks: Remarks) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._remarks = remarks

    def __bool__(self) -> bool:
        return bool(self._ledger.engine.query("SELECT 1 FROM tally_eden_waiting LIMIT 1"))

    def put(self, bound: Bound, waiting: Iterable[tuple[str, Mapping[str, Target]]]) -> None:
        """Keep references by record and field until their targets arrive. Call inside ``ledger.write()``."""
        rows = [
            (bound.tracked.number, key, name, to.table, to.uuid)
            for key, targets in waiting
            for name, to in targets.items()
        ]
        if rows:
            self._ledger.engine.executemany(
                "INSERT INTO tally_eden_waiting(resource, key, field, target, uuid) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (resource, key, field) DO UPDATE SET target=excluded.target, uuid=excluded.uuid",
                rows,
            )

    def end(self, arrived: Mapping[Target, str]) -> None:
        """Write the references that waited for records which are here now, given with their keys.

        Call inside ``ledger.write()``, after stamping.
        """
        if not arrived or not self:
            return
        sql = "SELECT resource, key, field, target, uuid FROM tally_eden_waiting WHERE uuid IN (*)"
        rows = self._ledger.engine.query_in(sql, (), sorted({to.uuid for to in arrived}))
        by_number: dict[int, _Wanted] = {}
        for number, key, name, table, uuid in rows:
            if Target(table, uuid) in arrived:
                by_number.setdefault(number, {}).setdefault(key, {})[name] = arrived[Target(table, uuid)]
        for name in self._catalog:
            bound = self._catalog.bound(name)
            if bound is not None and bound.tracked.number in by_number:
                self._write(bound, by_number[bound.tracked.number])

    def _write(self, bound: Bound, wanted: _Wanted) -> None:
        entries = bound.tracked.rows.by_keys(list(wanted))
        shown = editing.contents_of(self._ledger, bound.tracked, [one for one in entries.values() if one.hash])
        edits = []
        for key, references in wanted.items():
            links = [(bound.links[name], to) for name, to in references.items() if name in bound.links]
            free = {one.wire: one.value_of(to) for one, to in links if shown.get(key, {}).get(one.wire) is None}
            if key in shown and free:
                edits.append(editing.update(key, free))
        editing.write(self._ledger, bound.tracked, edits)
        self._remarks.renew(bound.tracked, entries)  # they came with the record, only later
        self._ledger.engine.executemany(
            f"DELETE FROM tally_eden_waiting WHERE resource={bound.tracked.number} AND key=? AND field=?",
            [(key, name) for key, references in wanted.items() for name in references],
        )
