"""The conflict desk: siblings that wait for a decision, deciding them, and taking a decision back (DESIGN.md 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tallystick.core.merge import project
from tallystick.core.policies import FieldPolicy, Resolution
from tallystick.core.values import mapping_hash
from tallystick.core.versions import Version
from tallystick.errors import UsageError, ValueRejected
from tallystick.site import conflicts, parking
from tallystick.site.holding import Whole, load_wholes
from tallystick.site.ledger import Ledger, Tracked
from tallystick.site.row_names import key_named, row_names


class Contested(NamedTuple):
    """One record with siblings. ``versions`` are ordered by stamp; ``shown`` are the positions of those shown.

    ``row`` is the primary key of the record's row here, None where it has none.
    """

    resource: str
    key: str
    versions: tuple[Version, ...]
    shown: tuple[int, ...]
    undecided: bool
    row: str | None = None


def contested(ledger: Ledger, tracked: Tracked | None = None, undecided: bool | None = True) -> list[Contested]:
    """Records with siblings: those that somebody must decide, those decided by policy (False), or all (None)."""
    found: list[Contested] = []
    for item in ledger.resources() if tracked is None else [tracked]:
        rows = ledger.engine.query(
            "SELECT key, undecided FROM tally_sibling WHERE resource=? ORDER BY key", (item.number,)
        )
        keys = [key for key, asked in rows if undecided is None or bool(asked) == undecided]
        wholes = {key: one for key, one in load_wholes(ledger, item, keys).items() if one.record.contested}
        rows_here = row_names(item, list(wholes))
        found.extend(_contested(item, key, one)._replace(row=rows_here.get(key)) for key, one in wholes.items())
    return sorted(found, key=lambda one: (one.resource, one.key))


def _contested(tracked: Tracked, key: str, whole: Whole) -> Contested:
    hashes = {version.hash for version in whole.shown}
    shown = tuple(index for index, version in enumerate(whole.record.versions) if version.hash in hashes)
    return Contested(tracked.wire, key, whole.record.versions, shown, whole.undecided)


def contested_key(ledger: Ledger, tracked: Tracked, name: str) -> str:
    """The key of the record with siblings that is called ``name``: its key, or the primary key of its row here."""
    if load_wholes(ledger, tracked, [name]):
        return name
    rows = ledger.engine.query("SELECT key FROM tally_sibling WHERE resource=?", (tracked.number,))
    return key_named(tracked, name, [key for (key,) in rows])


def resolve(
    ledger: Ledger,
    tracked: Tracked,
    key: str,
    choice: int | Resolution | Mapping[str, Any],
) -> None:
    """Decide a record: take the version at a position, a resolution, or a content of one's own.

    The decision is an edit that has seen every version, so it ends the conflict at every site. The versions not
    taken go to the conflict log. Call inside ``ledger.write()``, after stamping. Raises UsageError when the record
    has no siblings or no such version, ValueRejected when the database refuses the row.
    """
    whole = load_wholes(ledger, tracked, [key]).get(key)
    if whole is None or not whole.record.contested:
        raise UsageError(
            f"{tracked.wire} {key!r} has no conflict", hint="list them with: tallystick conflicts list SITE"
        )
    content = _chosen(whole, choice)
    taken = b"" if content is None else mapping_hash(key, dict(content))
    conflicts.log(
        ledger, tracked, key, "decided", [version for version in whole.record.versions if version.hash != taken]
    )
    write_edit(ledger, tracked, key, content)


def _chosen(whole: Whole, choice: int | Resolution | Mapping[str, Any]) -> Mapping[str, Any] | None:
    if isinstance(choice, Resolution):
        if choice in (Resolution.ASK, Resolution.KEEP_BOTH):
            raise UsageError(f"{choice} does not decide anything", hint="choose a version, this, other, newer or merge")
        return project(whole.record, whole.shown, FieldPolicy(choice)).content
    if isinstance(choice, int):
        if not 0 <= choice < len(whole.record.versions):
            raise UsageError(f"there is no version {choice}", hint="see: tallystick conflicts show")
        return whole.record.versions[choice].content
    return choice


def write_edit(ledger: Ledger, tracked: Tracked, key: str, content: Mapping[str, Any] | None) -> None:
    """Write ``content`` (None deletes) as an edit of this site that has seen every version of the record."""
    from tallystick.site import editing  # here: only decisions need it

    (edited,) = editing.write(ledger, tracked, [editing.Edit(editing.Operation.SETTLE, key, content)])
    if edited.refusal is not None:
        raise ValueRejected(
            f"{tracked.wire} {key!r} cannot be written: {edited.refusal.message}", hint="choose another version"
        )
    parking.release(ledger, tracked, key)


def undo(ledger: Ledger, tracked: Tracked, logged: conflicts.Logged) -> None:
    """Bring back a version of the conflict log as a new edit. Call inside ``ledger.write()``, after stamping."""
    if not tracked.rows.by_keys([logged.key]):
        raise UsageError(
            f"{tracked.wire} {logged.key!r} was purged", hint="insert the row again from the log's content"
        )
    write_edit(ledger, tracked, logged.key, logged.version.content)
