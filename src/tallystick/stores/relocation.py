"""Deleting, moving, copying and restoring: what a folder takes along, and in which order it is logged (spec ics 6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tallystick.stores.changelog import Class, Detail, Kind
from tallystick.stores.errors import ArgumentError, DuplicateError
from tallystick.stores.port import Draft, Record, Records, pages
from tallystick.stores.properties import read_properties
from tallystick.stores.rights import Right

if TYPE_CHECKING:
    from tallystick.stores.folder import Folder
    from tallystick.stores.objects import Managed
    from tallystick.stores.server import Server

_PAGE = 200


def items_in(records: Records, folder: int, soft: bool) -> list[int]:
    """Numbers of a folder's items, hidden ones included, ascending."""
    return sorted(number for number, _ in records.listed(folder, soft=soft, associated=(0, 1)))


def delete(server: Server, objects: Sequence[Managed], soft: bool) -> None:
    """Delete items and folders, with all that is in those; in one transaction. What is gone already is passed over."""
    records = server.records
    with records.transaction():
        present = records.records(one.hierarchyid for one in objects)
        _allow_deletion(server, present.values())
        for one in objects:
            record = present.get(one.hierarchyid)
            if record is not None and record.object == Class.FOLDER:
                delete_tree(records, record, soft)
        items = [one.hierarchyid for one in objects if present.get(one.hierarchyid, _NONE).object == Class.ITEM]
        records.remove(items, hard=not soft)


_NONE = Record(0, 0, b"", 0, 0, 0, 0, 0, 0, None, "", b"")


def _allow_deletion(server: Server, present: Iterable[Record]) -> None:
    for record in present:
        if record.object == Class.FOLDER:
            known = server.store_by_number(record.store).properties["folders"]
            if record.key.hex() in (known.get("root"), known.get("subtree")):
                raise ArgumentError(f"folder {record.name!r} holds all others and stays as long as its store")
        if server.caller is not None:
            _allow_deletion_by(server, record)


def _allow_deletion_by(server: Server, record: Record) -> None:
    folder = server.faces.folder(server, server.require(record.parent if record.object == Class.ITEM else record.id))
    own = record.object == Class.ITEM and read_properties(record.properties).get("owner") == server.caller_key
    if not (own and folder.allowed(Right.DELETE_OWN)):
        folder.allow(Right.DELETE_ALL)


def delete_tree(records: Records, top: Record, soft: bool) -> None:
    """Delete a folder with all that is in it.

    Items first, then folders, each from the top down; a deletion for good takes what was recoverable, too.
    """
    tree = [top]
    for folder in tree:
        tree += records.children(folder.id, Class.FOLDER)
        if not soft:
            tree += records.children(folder.id, Class.FOLDER, soft=True)
    for folder in tree:
        records.remove(items_in(records, folder.id, soft=False), hard=not soft, cascade=True)
        if not soft:
            records.remove(items_in(records, folder.id, soft=True), hard=True, cascade=True)
    records.remove([top.id], hard=not soft)
    records.remove([folder.id for folder in tree[1:]], hard=not soft, cascade=True)


def move(server: Server, objects: Sequence[Managed], target: Folder, restoring: bool = False) -> list[Any]:
    """Move objects to ``target`` (``restoring``: bring back what was deleted); gives them as they are then."""
    records = server.records
    target.allow(Right.CREATE_ITEMS)
    with records.transaction():
        place = target.standing()
        present = records.records(one.hierarchyid for one in objects)
        if not restoring:
            _allow_deletion(server, present.values())
        for record in present.values():
            if record.object == Class.FOLDER:
                _check_target(records, record, place)
        chosen = [one.hierarchyid for one in objects if one.hierarchyid in present]
        moved = records.move(chosen, place.id, place.store)
        for record in moved:
            if record.object == Class.FOLDER:
                _settle(records, present[record.id], record, restoring)
    return [_as_object(server, record) for record in moved]


def _check_target(records: Records, folder: Record, target: Record) -> None:
    at: Record | None = target
    while at is not None:
        if at.id == folder.id:
            raise ArgumentError(f"folder {folder.name!r} cannot be moved into itself")
        at = records.records([at.parent]).get(at.parent)
    named = records.children(target.id, Class.FOLDER, name=folder.name)
    if any(one.id != folder.id for one in named):
        raise DuplicateError(f"folder {folder.name!r} already exists in {target.name!r}")


def _settle(records: Records, before: Record, folder: Record, restoring: bool) -> None:
    """What is below a moved or restored folder follows it: to another store, back to life."""
    tree = [folder]
    for one in tree:
        tree += records.children(one.id, Class.FOLDER)
        if restoring and before.soft:
            tree += _revive(records, one)
    if before.store != folder.store:
        below = [one.id for one in tree[1:]]
        items = [number for one in tree for soft in (False, True) for number in items_in(records, one.id, soft)]
        records.rehome(below + items, folder.store)


def _revive(records: Records, folder: Record) -> list[Record]:
    """Bring back what was deleted together with ``folder``; gives the folders among it."""
    gone = {found.id: found.entry for found in records.children(folder.id, Class.FOLDER, soft=True)}
    gone.update(records.listed(folder.id, soft=True, associated=(0, 1)))
    entries = records.named(gone.values())
    together = sorted(number for number, entry in gone.items() if entries[entry].detail & Detail.CASCADE)
    revived = records.move(together, folder.id, folder.store)
    return [record for record in revived if record.object == Class.FOLDER]


def copy(server: Server, objects: Sequence[Managed], target: Folder) -> list[Any]:
    """Copy objects into ``target``, folders with all that is in them; gives the copies."""
    records = server.records
    target.allow(Right.CREATE_ITEMS)
    with records.transaction():
        place = target.standing()
        present = records.records(one.hierarchyid for one in objects)
        chosen = [present[one.hierarchyid] for one in objects if one.hierarchyid in present]
        made: list[Record] = []
        for record in chosen:
            if record.object == Class.FOLDER:
                _check_target(records, record, place)
                made.append(_copy_tree(records, record, place))
            else:
                made += _copy_items(records, [record.id], place)
    return [_as_object(server, record) for record in made]


def _copy_items(records: Records, items: Sequence[int], place: Record) -> list[Record]:
    made: list[Record] = []
    for page in pages(records, items, _PAGE):
        made += records.insert([_copied(records, record, place) for record in page])
    return made


def _copied(records: Records, record: Record, place: Record) -> Draft:
    parts = {name: records.part(record.id, name) or b"" for name in records.parts(record.id)}
    return Draft(
        Class(record.object),
        place.id,
        place.store,
        record.name,
        read_properties(record.properties),
        parts,
        bool(record.associated),
        bool(record.read),
        record.delivered,
        (Kind.NEW, Kind.CHANGE) if record.object == Class.FOLDER else (Kind.NEW,),
    )


def _copy_tree(records: Records, folder: Record, place: Record) -> Record:
    below = records.children(folder.id, Class.FOLDER)
    top = records.insert([_copied(records, folder, place)])[0]
    _copy_items(records, items_in(records, folder.id, soft=False), top)
    for child in below:
        if child.id != top.id:
            _copy_tree(records, child, top)
    return top


def _as_object(server: Server, record: Record) -> Any:
    return (server.faces.folder if record.object == Class.FOLDER else server.faces.item)(server, record)
