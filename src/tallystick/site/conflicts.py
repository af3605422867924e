"""The conflict log: versions that a decision hid, with their content, for the retention period (DESIGN.md 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from tallystick.core.forms import VersionForm, version_form, version_of
from tallystick.core.versions import Record, Version
from tallystick.site.holding import Whole
from tallystick.site.ledger import Ledger, Tracked

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(VersionForm)


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


def log_many(ledger: Ledger, tracked: Tracked, kind: str, hidden: Sequence[tuple[str, Version]], run: str = "") -> None:
    """Write versions of many records, by key, to the conflict log."""
    if not hidden:
        return
    now = ledger.now()
    (first,) = ledger.engine.query("SELECT coalesce(max(id), 0)+1 FROM tally_conflict")[0]
    ledger.engine.executemany(
        "INSERT INTO tally_conflict(id, resource, key, at, kind, run, version) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (first + index, tracked.number, key, now, kind, run, _encoder.encode(version_form(version)))
            for index, (key, version) in enumerate(hidden)
        ],
    )


def closed(key: str, before: Record, after: Record, whole: Whole) -> list[tuple[str, Version]]:
    """The versions that an edit closed although the edited row did not show them, for ``log_many``."""
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
