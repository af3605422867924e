"""Taking mail from a source into a store: what is new, whose flags changed, what moved or vanished.

What was taken is noted in the site's database, page by page together with the items; so an interrupted import goes on
where it stopped, nothing is taken twice, and what was deleted in the store does not come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tallystick.errors import ValueRejected
from tallystick.stores.changelog import Class
from tallystick.stores.mail.source import ANSWERED, DRAFT, FLAGGED, SEEN, Box, Fetched, Listing, MailSource, Place
from tallystick.stores.port import SERVER, Imported, Record
from tallystick.stores.properties import read_properties
from tallystick.stores.times import to_utc

if TYPE_CHECKING:
    from tallystick.stores.folder import Folder
    from tallystick.stores.store import Store

_PAGE = 100
_PROPERTIES = {FLAGGED: "flagged", ANSWERED: "replied", DRAFT: "draft"}


@dataclass
class MailReport:
    """What an import did."""

    folders: int = 0
    created: int = 0
    """Messages that became items."""
    flags_taken: int = 0
    """Items whose flags were set as the source has them."""
    flags_given: int = 0
    """Messages whose flags were set as the store has them."""
    moved: int = 0
    deleted: int = 0
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    """Messages that could not be taken: place, uid, why."""

    @property
    def changed(self) -> bool:
        """True when there was anything to do."""
        return bool(self.created or self.flags_taken or self.flags_given or self.moved or self.deleted or self.refused)


def import_mail(
    store: Store,
    source: MailSource,
    *,
    delete: bool = False,
    progress: Callable[[Place, MailReport], None] = lambda place, report: None,
) -> MailReport:
    """Take what is new in ``source`` into ``store``; what was done.

    Places become folders of the same path, well-known ones the store's own. With ``delete``, items whose messages have
    vanished from the source are deleted recoverably. ``progress`` is called after every page.
    Raises PeerError or StorageError; calling again goes on.
    """
    report = MailReport()
    run = _Run(store, source, report, progress)
    vanished: list[Imported] = []
    for place in source.places():
        with source.open(place) as box:
            vanished += run.take(place, box)
        report.folders += 1
    run.finish(vanished, delete)
    return report


class _Run:
    """One import."""

    def __init__(
        self, store: Store, source: MailSource, report: MailReport, progress: Callable[[Place, MailReport], None]
    ) -> None:
        self._store = store
        self._records = store.server.records
        self._source = source
        self._report = report
        self._progress = progress
        self._key = f"{store.record.key.hex()} {source.name}"
        self._taken = self._records.imported(self._key, None)
        self._elsewhere = {one.uid: one for one in self._taken} if source.keeps_uids else {}
        self._arrived: dict[str, Place] = {}
        """Messages that turned up in a second place: moved there, or copied."""
        self._visited: set[str] = set()

    def take(self, place: Place, box: Box) -> list[Imported]:
        """Take one place; what has vanished from it."""
        self._visited.add(place.name)
        name = f"mail {self._key} {place.name}"
        seq, cursor = _split(self._records.note(name))
        reached = self._records.last()
        listing = box.listing(cursor)
        known = {one.uid: one for one in self._taken if one.place == place.name}
        fresh = [uid for uid in listing.flags if uid not in known]
        self._arrived.update({uid: place for uid in fresh if uid in self._elsewhere})
        again = _by_content(known.values(), listing) if listing.renumbered else {}
        self._take_new(place, box, [uid for uid in fresh if uid not in self._elsewhere], again)
        self._take_flags(box, listing, known, seq)
        self._records.keep_note(name, reached.to_bytes(8, "big") + listing.cursor)
        if listing.renumbered:
            return [one for several in again.values() for one in several]
        return [] if listing.present is None else [one for uid, one in known.items() if uid not in listing.present]

    def _folder(self, place: Place) -> Folder:
        known: Folder | None = getattr(self._store, place.purpose) if place.purpose else None
        if known is not None:
            return known
        return self._store.folder("/".join(name.replace("/", "\\/") for name in place.path), create=True)

    # new messages ----------------------------------------------------------------------------------------------

    def _take_new(self, place: Place, box: Box, uids: Sequence[str], again: dict[bytes, list[Imported]]) -> None:
        """Take messages, but those that were taken under another uid are only known again by their content."""
        folder = self._folder(place)
        for start in range(0, len(uids), _PAGE):
            fetched = list(box.fetch(uids[start : start + _PAGE]))
            known = [one for one in fetched if self._known_again(one, again)] if again else []
            self._create(place, folder, [one for one in fetched if one not in known])
            self._progress(place, self._report)

    def _known_again(self, one: Fetched, again: dict[bytes, list[Imported]]) -> bool:
        same = again.get(_digest(one.raw))
        if not same:
            return False
        taken = same.pop()
        with self._records.transaction():
            self._records.forget_imported([taken])
            self._records.note_imported([taken._replace(uid=one.uid)])
        return True

    def _create(self, place: Place, folder: Folder, fetched: Sequence[Fetched]) -> None:
        """Make items, all in one transaction; where one cannot be made, each in its own, and that one is noted."""
        try:
            self._create_together(place, folder, fetched)
        except ValueRejected as error:
            if len(fetched) == 1:
                self._report.refused.append((place.name, fetched[0].uid, str(error)))
                self._records.note_imported([self._row(place, fetched[0], 0)])
                return
            for one in fetched:
                self._create(place, folder, [one])

    def _create_together(self, place: Place, folder: Folder, fetched: Sequence[Fetched]) -> None:
        with self._records.transaction():
            items = folder.create_items(_described(one) for one in fetched)
            rows = [self._row(place, one, item.hierarchyid) for one, item in zip(fetched, items, strict=True)]
            self._records.note_imported(rows)
        self._report.created += len(rows)

    def _row(self, place: Place, one: Fetched, item: int) -> Imported:
        return Imported(self._key, place.name, one.uid, item, _text(one.flags), _digest(one.raw))

    # flags -----------------------------------------------------------------------------------------------------

    def _take_flags(self, box: Box, listing: Listing, known: Mapping[str, Imported], seq: int) -> None:
        """Turn flags in the store that were turned in the source; and the other way round, where it takes them."""
        both = self._source.takes_flags
        touched = {entry.record for entry in self._records.entries(SERVER, seq, Class.ITEM)} if both else set()
        there = {uid: flags for uid, flags in listing.flags.items() if uid in known}
        chosen = [
            known[uid] for uid, flags in there.items() if _text(flags) != known[uid].flags or known[uid].item in touched
        ]
        for start in range(0, len(chosen), _PAGE):
            page = chosen[start : start + _PAGE]
            with self._records.transaction():
                present = self._records.records(one.item for one in page)
                rows = [self._merge(box, one, there[one.uid], present.get(one.item)) for one in page]
                self._records.note_imported(row for row in rows if row not in page)

    def _merge(self, box: Box, one: Imported, there: frozenset[str], record: Record | None) -> Imported:
        """Bring the flags of one message and its item together; what to note.

        Each flag that was turned since they were last compared is turned on the other side; that both turned one
        differently cannot happen.
        """
        if record is None:
            return one._replace(flags=_text(there))
        base, here = _flags(one.flags), _flags_of(record)
        merged = (here - (base - there)) | (there - base)
        if merged != here:
            self._set_item(record, here, merged)
        if self._source.takes_flags and merged != there and box.set_flags(one.uid, merged):
            self._report.flags_given += 1
            there = merged
        return one._replace(flags=_text(there))

    def _set_item(self, record: Record, here: frozenset[str], wanted: frozenset[str]) -> None:
        item = self._store.server.faces.item(self._store.server, record)
        others = {_PROPERTIES[flag]: flag in wanted for flag in (here ^ wanted) - {SEEN}}
        if others:
            item.change(read=SEEN in wanted, **others)
        else:
            item.read = SEEN in wanted
        self._report.flags_taken += 1

    # what vanished ---------------------------------------------------------------------------------------------

    def finish(self, vanished: Sequence[Imported], delete: bool) -> None:
        """Move what turned up in another place; delete what is nowhere, if that is asked for."""
        gone = [*vanished, *(one for one in self._taken if one.place not in self._visited)]
        with self._records.transaction():
            for one in gone:
                if one.uid in self._arrived:
                    self._move(one, self._arrived.pop(one.uid))
                elif delete:
                    self._delete(one)
        self._copy_arrived()

    def _move(self, one: Imported, place: Place) -> None:
        folder = self._folder(place)
        record = self._records.records([one.item]).get(one.item)
        if record is not None and not record.soft and record.parent != folder.hierarchyid:
            self._records.move([one.item], folder.hierarchyid, folder.record.store)
            self._report.moved += 1
        self._records.forget_imported([one])
        self._records.note_imported([one._replace(place=place.name)])

    def _delete(self, one: Imported) -> None:
        record = self._records.records([one.item]).get(one.item)
        if record is not None and not record.soft:
            self._records.remove([one.item], hard=False)
            self._report.deleted += 1
        self._records.forget_imported([one])

    def _copy_arrived(self) -> None:
        """What is in two places now was copied: it is taken like any other message."""
        for place in {place.name: place for place in self._arrived.values()}.values():
            uids = [uid for uid, there in self._arrived.items() if there.name == place.name]
            with self._source.open(place) as box:
                box.listing(None)
                self._take_new(place, box, uids, {})


def _split(note: bytes | None) -> tuple[int, bytes | None]:
    """The store's seq and the source's cursor that an earlier import reached."""
    return (0, None) if note is None else (int.from_bytes(note[:8], "big"), note[8:])


def _by_content(known: Iterable[Imported], listing: Listing) -> dict[bytes, list[Imported]]:
    """What was taken under uids that mean nothing any more."""
    found: dict[bytes, list[Imported]] = {}
    for one in known:
        if one.uid not in listing.flags:
            found.setdefault(one.digest, []).append(one)
    return found


def _described(one: Fetched) -> dict[str, Any]:
    """The attributes of a new item."""
    described: dict[str, Any] = {"eml": one.raw, "read": SEEN in one.flags}
    if one.arrived is not None:
        described["received"] = to_utc(one.arrived)
    described.update({name: True for flag, name in _PROPERTIES.items() if flag in one.flags})
    return described


def _flags_of(record: Record) -> frozenset[str]:
    properties = read_properties(record.properties)
    found = {flag for flag, name in _PROPERTIES.items() if properties.get(name)}
    return frozenset(found | ({SEEN} if record.read else set()))


def _text(flags: frozenset[str]) -> str:
    return " ".join(sorted(flags))


def _flags(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _digest(raw: bytes) -> bytes:
    return sha256(raw).digest()[:16]
