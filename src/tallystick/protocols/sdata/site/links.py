"""Which uuid belongs to which record of a site (spec 11).

A record whose key is a UUID goes by it; others get one when they are first linked or synchronized. A uuid may be
re-assigned: then the table of links says what a uuid means, and a former one stays an alias (Q2).

A deletion carries a uuid and no fields (spec 7). One that comes before what it deletes is *foretold*: where a table's
own columns are the key, its record stands under the uuid until a live version or a row of this site says the key.
"""

from __future__ import annotations

import os
import re
import time
import uuid as uuids
from collections.abc import Iterable, Mapping, Sequence

from tallystick.site.engines.engine import Entry
from tallystick.site.holding import terms_of
from tallystick.site.ledger import DELETED, WHOLE, Ledger, Tracked
from tallystick.site.schema import Identity

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_NATURAL = uuids.UUID("6e3f5d0a-8c1b-5b1e-9a57-74616c6c7973")
"""Names records with a key of their own: every site comes to the same uuid."""


class Links:
    """The links of one resource inside one transaction."""

    def __init__(self, ledger: Ledger, tracked: Tracked) -> None:
        self.ledger, self.tracked = ledger, tracked
        rows = ledger.engine.query("SELECT 1 FROM tally_sdata_link WHERE resource=? LIMIT 1", (tracked.number,))
        self._some = bool(rows)

    # Reading ------------------------------------------------------------------------------------------------------

    def uuids(self, keys: Sequence[str]) -> dict[str, str]:
        """The uuids of records by key; those that were never linked are left out."""
        found, blocked = {}, set()
        if self._some:
            for uuid, key, main in self._query("key IN (*)", keys):
                if main:
                    found[key] = uuid
            blocked = {uuid for uuid, _, _ in self._query("uuid IN (*)", [key for key in keys if key not in found])}
        for key in keys:
            if key not in found and key not in blocked and _UUID(key):
                found[key] = key
        return found

    def keys(self, wanted: Sequence[str]) -> dict[str, str]:
        """The keys that uuids stand for. A uuid that was never heard of is left out, unless a record has it as key."""
        return self.found(wanted)[0]

    def found(self, wanted: Sequence[str]) -> tuple[dict[str, str], dict[str, Entry]]:
        """The keys that uuids stand for, and the entries of the records among them, by key."""
        linked: dict[str, str] = {}
        if self._some:
            linked = {uuid: key for uuid, key, _ in self._query("uuid IN (*)", wanted)}
        lacking = [uuid for uuid in wanted if uuid not in linked]
        keys = {uuid: key for uuid, key in linked.items() if key}
        entries = self.tracked.rows.by_keys([*dict.fromkeys((*keys.values(), *lacking))])
        own = [key for key in lacking if key in entries]
        other = {key for _, key, main in self._query("key IN (*)", own) if main} if self._some else ()
        for key in own:
            if key not in other:
                keys[key] = key
        named = set(keys.values())
        return keys, {key: entry for key, entry in entries.items() if key in named}

    def _query(self, condition: str, values: Sequence[str]) -> list[tuple[str, str, int]]:
        if not values:
            return []
        sql = f"SELECT uuid, key, main FROM tally_sdata_link WHERE resource={self.tracked.number} AND {condition}"
        return self.ledger.engine.query_in(sql, (), values)

    # Writing: inside ``ledger.write()`` ----------------------------------------------------------------------------

    def name(self, keys: Sequence[str]) -> dict[str, str]:
        """The uuids of records, given now to those that have none."""
        found = self.uuids(keys)
        lacking = [key for key in keys if key not in found]
        if not lacking:
            return found
        new = dict(zip(lacking, self._made(lacking), strict=True))
        if self.tracked.definition.identity is Identity.NATURAL:
            self._drop(foretold(self.tracked.rows.by_keys(list(new.values()))))
        self.link(new)
        return {**found, **new}

    def _made(self, keys: Sequence[str]) -> list[str]:
        if self.tracked.definition.identity is Identity.NATURAL:
            return [str(uuids.uuid5(_NATURAL, f"{self.tracked.wire}\0{key}")) for key in keys]
        return rising_uuids(len(keys))

    def link(self, pairs: Mapping[str, str], *, main: bool = True) -> None:
        """Let uuids stand for keys; ``pairs`` are uuids by key. A former uuid of the key stays an alias."""
        changed = [(key, uuid) for key, uuid in pairs.items() if not (uuid == key and not self._some)]
        if not changed:
            return
        number = self.tracked.number
        if main and self._some:
            self.ledger.engine.executemany(
                "UPDATE tally_sdata_link SET main=0 WHERE resource=? AND key=?", [(number, key) for key, _ in changed]
            )
        self.ledger.engine.executemany(
            "INSERT INTO tally_sdata_link(resource, uuid, key, main) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (resource, uuid) DO UPDATE SET key=excluded.key, main=excluded.main",
            sorted((number, uuid, key, int(main)) for key, uuid in changed),  # an index grows faster in its order
        )
        self._some = True

    def settle(self, keys: Mapping[str, str], entries: Mapping[str, Entry]) -> None:
        """Move foretold records, ``entries`` by uuid, to their ``keys``; where one is taken, forget the deletion."""
        self.link({key: uuid for uuid, key in keys.items()})
        taken = self.tracked.rows.by_keys(sorted(set(keys.values())))
        self._drop([entries[uuid] for uuid, key in keys.items() if key in taken])
        moving = [(entries[uuid], key) for uuid, key in keys.items() if key not in taken]
        if moving:
            seqs = self.ledger.next_seqs(self.tracked, len(moving))
            self._replace(
                [entry for entry, _ in moving],
                [entry._replace(key=key, seq=seq) for (entry, key), seq in zip(moving, seqs, strict=True)],
            )

    def _drop(self, entries: Sequence[Entry]) -> None:
        """Forget foretold deletions that a record of this site builds on: the digest covers them."""
        if entries:
            self._replace(entries, [])

    def _replace(self, old: Sequence[Entry], new: Sequence[Entry]) -> None:
        self.tracked.rows.put(new, [entry.seq for entry in old])
        added, removed = (terms_of(self.ledger, [(entry, None) for entry in entries]) for entries in (new, old))
        self.ledger.count(self.tracked, added, removed)

    def unlink(self, uuid: str, key: str) -> None:
        """Let a uuid stand for nothing. A record that went by its key as uuid has none from now on."""
        number = self.tracked.number
        self.ledger.engine.execute("DELETE FROM tally_sdata_link WHERE resource=? AND key=?", (number, key))
        if _UUID(key):
            self.link({"": key}, main=False)
        elif uuid != key:
            self.ledger.engine.execute("DELETE FROM tally_sdata_link WHERE resource=? AND uuid=?", (number, uuid))

    def page(self, start: int, count: int) -> tuple[int, list[str]]:
        """How many live records have a uuid, and the keys of a page of them, in key order."""
        named = (
            "EXISTS (SELECT 1 FROM tally_sdata_link l WHERE l.resource=r.resource AND l.key=r.key AND l.main=1) OR "
            "(length(r.key)=36 AND r.key LIKE '________-____-____-____-____________' AND NOT EXISTS "
            "(SELECT 1 FROM tally_sdata_link b WHERE b.resource=r.resource AND b.uuid=r.key))"
        )
        source = f"tally_record r WHERE r.resource=? AND (r.flags & 1)=0 AND ({named})"
        total = int(self.ledger.engine.query(f"SELECT count(*) FROM {source}", (self.tracked.number,))[0][0])
        rows = self.ledger.engine.query(
            f"SELECT r.key FROM {source} ORDER BY r.key LIMIT ? OFFSET ?",
            (self.tracked.number, max(count, 0), start - 1),
        )
        return total, [str(row[0]) for row in rows]


def foretold(entries: Mapping[str, Entry]) -> list[Entry]:
    """Those of the entries, by the uuids they might have as keys, that may be deletions of what was never here."""
    return [entry for entry in entries.values() if entry.flags & DELETED and not entry.flags & WHOLE]


def rising_uuids(count: int) -> list[str]:
    """So many random UUIDs (version 7), each above the one before: whoever stores them grows its indexes at one end."""
    first = (time.time_ns() // 1_000_000) << 12
    random = os.urandom(8 * count).hex()
    found = []
    for number in range(count):
        head, tail = f"{first + number:015x}", random[16 * number : 16 * number + 16]
        variant = "89ab"[int(tail[0], 16) & 3]
        found.append(f"{head[:8]}-{head[8:12]}-7{head[12:]}-{variant}{tail[1:4]}-{tail[4:]}")
    return found


def uuids_of(ledger: Ledger, wanted: Mapping[str, Iterable[str]], *, name: bool) -> dict[tuple[str, str], str]:
    """Uuids by (resource, key) for keys of several resources; with ``name`` those that have none get one."""
    found: dict[tuple[str, str], str] = {}
    for wire, keys in wanted.items():
        if ledger.has(wire):
            links, listed = Links(ledger, ledger.resource(wire)), sorted(set(keys))
            for key, uuid in (links.name(listed) if name else links.uuids(listed)).items():
                found[wire, key] = uuid
    return found


def keys_of(ledger: Ledger, wanted: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], str]:
    """Keys by (resource, uuid) for uuids of several resources."""
    found: dict[tuple[str, str], str] = {}
    for wire, listed in wanted.items():
        if ledger.has(wire):
            for uuid, key in Links(ledger, ledger.resource(wire)).keys(sorted(set(listed))).items():
                found[wire, uuid] = key
    return found
