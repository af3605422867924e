"""One resource of a site during one transaction, as the SData store works on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import msgspec

from tallystick.core import clock
from tallystick.core.forms import decode_extra, encode_record
from tallystick.core.values import content_hash
from tallystick.core.versions import Dot, Version
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.stamps import stamp_of_milliseconds
from tallystick.protocols.sdata.site import children, keyed
from tallystick.protocols.sdata.site.forms import Form, Referred
from tallystick.protocols.sdata.site.links import Links, uuids_of
from tallystick.protocols.sdata.site.standings import Names
from tallystick.protocols.sdata.store import Resource
from tallystick.site.editing import contents_of
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import Whole, load_wholes
from tallystick.site.identity import address_of, local_of
from tallystick.site.ledger import DELETED, GENESIS, WHOLE, Ledger, Tracked
from tallystick.site.schema import Identity
from tallystick.site.spelling import records_at

_encoder = msgspec.msgpack.Encoder()
_TITLES = ("name", "title", "label", "description")


class Told(msgspec.Struct, array_like=True):
    """What an entry's extension says: the record's key at its sender, ledger flags, and an extra or a whole record."""

    key: str
    flags: int
    record: bytes | None


_told = msgspec.msgpack.Decoder(Told)


def told(raw: bytes | None) -> Told | None:
    """The extension of an entry; None where there is none that can be read."""
    if raw is None:
        return None
    try:
        return _told.decode(raw)
    except msgspec.MsgspecError:
        return None


@dataclass
class Place:
    """A ledger, one of its resources, and how SData calls it."""

    ledger: Ledger
    tracked: Tracked
    form: Form
    names: Names
    namespace: str
    nested: dict[str, Place] = field(default_factory=dict)
    """The tables whose rows are lists in this one's payloads, by property."""
    unnamed: dict[str, set[str]] = field(default_factory=dict)
    """Records that payloads refer to and that have no uuid yet, by resource."""

    @cached_property
    def links(self) -> Links:
        """The links of the resource."""
        return Links(self.ledger, self.tracked)

    def dots(self, entries: Iterable[Entry], wholes: Mapping[str, Whole]) -> dict[str, tuple[Dot, int]]:
        """Dot and stamp of the version that each record shows, by key: what its sync state names."""
        found = {}
        for entry in entries:
            whole = wholes.get(entry.key)
            if whole is None:
                found[entry.key] = ((self.ledger.origin_name(entry.origin), entry.tick), entry.stamp)
            else:
                version = shown_version(whole)
                found[entry.key] = (version.dot, version.stamp)
        return found

    def wholes(self, entries: Iterable[Entry]) -> dict[str, Whole]:
        """The records among the entries that are kept whole."""
        return load_wholes(self.ledger, self.tracked, [entry.key for entry in entries if entry.flags & WHOLE])

    def resources(self, entries: Sequence[Entry], *, name: bool = False, full: bool = True) -> list[Resource]:
        """The records of entries as resources; with ``name`` what has no uuid gets one; ``full`` with extensions."""
        wholes = self.wholes(entries)
        contents = self._contents(entries, wholes)
        uuids = (self.links.name if name else self.links.uuids)([entry.key for entry in entries])
        referred = self._referred(contents)
        references = uuids_of(self.ledger, referred, name=name)
        told = Referred(references, keyed.shown_keys(self.ledger, self._note_unnamed(referred, references)))
        dots = self.dots(entries, wholes)
        live = [entry for entry in entries if entry.key in contents]
        lists = children.collections(self, live, name=name) if self.nested and live else {}
        made = []
        for entry in entries:
            uuid = uuids.get(entry.key, "")
            payload = self._payload(entry, contents.get(entry.key), uuid, told)
            (origin, tick), stamp = dots[entry.key]
            key, etag = self.shown_key(entry), self._etag(entry, contents.get(entry.key))
            if lists and etag:
                payload.fields.update({name: listed[entry.key] for name, listed in lists.items()})
                etag = sha256(msgspec.json.encode([etag, *(payload.fields[name] for name in lists)])).hexdigest()[:16]
            made.append(
                Resource(
                    key=key,
                    uuid=uuid,
                    title=_title(payload, key),
                    updated=stamp_of_milliseconds(clock.milliseconds_of(stamp)),
                    etag=etag,
                    deleted=entry.key not in contents,
                    state=self.names.state(origin, tick, stamp) if uuid else None,
                    payload=payload,
                    extension=_extension(entry, wholes.get(entry.key)) if full else None,
                )
            )
        return made

    def _note_unnamed(
        self, referred: Mapping[str, set[str]], references: Mapping[tuple[str, str], str]
    ) -> dict[str, set[str]]:
        found = {wire: {key for key in keys if (wire, key) not in references} for wire, keys in referred.items()}
        lacking = {wire: keys for wire, keys in found.items() if keys}
        for wire, keys in lacking.items():
            self.unnamed.setdefault(wire, set()).update(keys)
        return lacking

    def _contents(self, entries: Sequence[Entry], wholes: Mapping[str, Whole]) -> dict[str, dict[str, Any]]:
        """What the records show: the row's content, or for a change that is held the content of its version."""
        live = [entry for entry in entries if entry.hash and not entry.flags & DELETED]
        found = contents_of(self.ledger, self.tracked, live)
        for key, whole in wholes.items():
            version = shown_version(whole)
            if version.hash not in {one.hash for one in whole.shown}:
                found.pop(key, None)
                if version.content is not None:
                    found[key] = dict(version.content)
        return found

    def _referred(self, contents: Mapping[str, Mapping[str, Any]]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for wire, target in self.form.referred.items():
            found.setdefault(target, set()).update(
                content[wire] for content in contents.values() if content.get(wire) is not None
            )
        return found

    def _payload(self, entry: Entry, content: Mapping[str, Any] | None, uuid: str, told: Referred) -> Payload:
        if content is None:
            return Payload(self.form.kind.element, self.namespace, uuid=uuid)
        payload = self.form.payload(self.namespace, content, uuid, told)
        if self.form.keys:
            address = address_of(self.tracked.definition, entry.key, entry.local) if entry.hash else ()
            self.form.add_key(payload, entry.key, address, told.uuids)
        return payload

    def _etag(self, entry: Entry, content: Mapping[str, Any] | None) -> str:
        if content is None:
            return ""
        if entry.rendered is None and not entry.flags & WHOLE and entry.hash:
            return entry.hash.hex()[:16]
        names = sorted(content)
        return content_hash(entry.key, names, [content[name] for name in names]).hex()[:16]

    # Keys ---------------------------------------------------------------------------------------------------------

    def shown_key(self, entry: Entry) -> str:
        """The key that URLs show for a record of this resource."""
        return keyed.shown_key(self.tracked, entry)

    def entries_at(self, addresses: Sequence[Any]) -> list[Entry]:
        """The entries of the rows at addresses, in their order; rows that are not in the ledger yet are left out."""
        definition = self.tracked.definition
        if definition.identity is Identity.NATURAL:
            at = records_at(self.tracked, addresses)
            return [at[address] for address in addresses if address in at]
        locals_ = [local_of(definition, "", address) for address in addresses]
        by_local = self.tracked.rows.by_locals(locals_)
        return [by_local[local] for local in locals_ if local in by_local]

    def entry_at(self, key: str) -> Entry | None:
        """The entry of the record that URLs call ``key``, dead or alive."""
        return keyed.entry_at(self.tracked, key)


def shown_version(whole: Whole) -> Version:
    """The version of a record with siblings that stands for it: the one shown, else what waits to be shown."""
    parked = whole.record.versions[-1]
    if len(whole.record.versions) == 1:
        return parked
    hashes = {version.hash for version in whole.shown}
    shown = [version for version in whole.record.versions if version.hash in hashes]
    return shown[-1] if shown else parked


def _extension(entry: Entry, whole: Whole | None) -> bytes | None:
    """What a Tallystick site wants to know beyond state and payload; None where those say everything."""
    if whole is not None:
        return _encoder.encode(Told(entry.key, WHOLE, encode_record(whole.record)))
    flags = entry.flags & GENESIS
    if not flags and (entry.extra is None or decode_extra(entry.extra) == decode_extra(None)):
        return None
    return _encoder.encode(Told(entry.key, flags, entry.extra))


def _title(payload: Payload, key: str) -> str:
    for name in _TITLES:
        value = payload.fields.get(name)
        if isinstance(value, str) and value:
            return value
    return key
