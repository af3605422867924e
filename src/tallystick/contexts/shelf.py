"""One context as a site keeps it: its row, its managed resource, its chunks (DESIGN.md 4.10).

Functions here run inside transactions of the caller and decide nothing: ``publishing`` and ``local`` do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from tallystick.contexts.entries import FileEntry, entry_of
from tallystick.contexts.host import ContextInfo, Kept, Rule
from tallystick.contexts.problems import ContextNotFound
from tallystick.site.ledger import Ledger, Tracked

_COLUMNS = "id, name, created, used, files, bytes, quota_files, quota_bytes, rules"
Row = tuple[str, "bytes | None"]
"""A key and the stored content of its record; None when it has gone."""

_rules = msgspec.json.Decoder(dict[str, list[Rule]])


@dataclass(slots=True)
class Shelf:
    """One context: the columns of its row, and the ledger that keeps its records."""

    ledger: Ledger
    id: str
    name: str
    created: int
    used: int
    files: int
    size: int
    quota_files: int | None
    quota_bytes: int | None
    rules_text: str

    @property
    def resource(self) -> Tracked:
        """The managed resource of its records, counters loaded."""
        return self.ledger.resource(resource_name(self.id))

    @property
    def rules(self) -> dict[str, list[Rule]]:
        """The recycle rules by prefix."""
        return _rules.decode(self.rules_text) if self.rules_text else {}

    @property
    def version(self) -> str:
        """The token of its manifest: it changes with every publication, and with the site's incarnation."""
        return f"{self.ledger.incarnation:x}.{self.resource.seq:x}"

    def seq_of(self, version: str) -> int:
        """The seq that a token stands for; 0 when it is of another history, or reaches behind what is remembered."""
        incarnation, _, seq = version.partition(".")
        try:
            known = int(seq, 16) if int(incarnation, 16) == self.ledger.incarnation else 0
        except ValueError:
            return 0
        return known if self.resource.horizon <= known <= self.resource.seq else 0

    def info(self) -> ContextInfo:
        """What others are told of it."""
        return ContextInfo(
            self.id,
            self.name,
            self.version,
            self.created,
            self.used,
            self.files,
            self.size,
            quota_files=self.quota_files,
            quota_bytes=self.quota_bytes,
            holds=self._holds(),
        )

    def _holds(self) -> bool:
        rows = self.ledger.engine.query(
            "SELECT 1 FROM tally_context_chunk WHERE context=? LIMIT 1", (self.resource.number,)
        )
        return bool(rows)

    # Entries ----------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """How many entries there are, directories too."""
        rows = self.ledger.engine.query("SELECT count(*) FROM tally_managed WHERE resource=?", (self.resource.number,))
        return int(rows[0][0])

    def entries(self, keys: Sequence[str]) -> dict[str, FileEntry]:
        """The entries of the keys that are there."""
        rows = self.ledger.engine.query_in(
            f"SELECT key, content FROM tally_managed WHERE resource={self.resource.number} AND key IN (*)", (), keys
        )
        return {key: entry_of(content) for key, content in rows}

    def below(self, prefix: str, after: str = "", limit: int = 5000) -> list[tuple[str, FileEntry]]:
        """Up to ``limit`` entries below a key, in order, beyond ``after``."""
        start = max(after, f"{prefix}/")
        comparison = ">" if start == after else ">="
        rows = self.ledger.engine.query(
            f"SELECT key, content FROM tally_managed WHERE resource=? AND key{comparison}? AND key<? "
            "ORDER BY key LIMIT ?",
            (self.resource.number, start, f"{prefix}0", limit),
        )
        return [(key, entry_of(content)) for key, content in rows]

    def everything(self, prefix: str = "") -> Iterator[Sequence[tuple[str, FileEntry]]]:
        """All entries below a key, page by page, in order."""
        after = ""
        while page := self.below(prefix, after):
            yield page
            after = page[-1][0]

    def rows(self, prefix: str = "") -> list[Row]:
        """Everything at or below a key, as it is stored, in order."""
        rows = self.ledger.engine.query(
            "SELECT key, content FROM tally_managed WHERE resource=? AND key>=? AND key<? ORDER BY key",
            (self.resource.number, prefix, f"{prefix}0"),
        )
        return [(key, content) for key, content in rows if is_at(key, prefix)]

    def changed(self, seq: int, prefix: str = "") -> list[Row]:
        """What has another seq since, as it is stored; without content where it has gone."""
        tracked = self.resource
        found: list[Row] = []
        while batch := tracked.rows.after(seq, tracked.seq, 5000):
            keys = [entry.key for entry, _ in batch if is_at(entry.key, prefix)]
            there = dict(
                self.ledger.engine.query_in(
                    f"SELECT key, content FROM tally_managed WHERE resource={tracked.number} AND key IN (*)", (), keys
                )
            )
            found += [(key, there.get(key)) for key in keys]
            seq = batch[-1][0].seq
        return found

    def history(self, prefix: str, most: int) -> list[Kept]:
        """What was replaced or removed at or below a key, the latest first."""
        rows = self.ledger.engine.query(
            "SELECT key, at, content FROM tally_history WHERE context=? AND (key=? OR (key>=? AND key<?)) "
            "ORDER BY version DESC, key LIMIT ?",
            (self.resource.number, prefix, f"{prefix}/", f"{prefix}0", most),
        )
        return [Kept(key, at, entry_of(content)) for key, at, content in rows]

    # Chunks -----------------------------------------------------------------------------------------------------------

    def lengths(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """The bytes of each of the chunks that this context holds."""
        rows = self.ledger.engine.query_in(
            f"SELECT hash, length FROM tally_context_chunk WHERE context={self.resource.number} AND hash IN (*)",
            (),
            hashes,
        )
        return {bytes(name): length for name, length in rows}

    def hold(self, chunks: Mapping[bytes, int]) -> None:
        """Let the context see chunks (hash -> bytes) that are stored by now."""
        now = self.ledger.now()
        if self.quota_bytes is not None:
            self._note_unpublished(chunks)
        self.ledger.engine.insert_many(
            f"INSERT INTO tally_context_chunk(context, hash, length, at) VALUES ({self.resource.number}, ?, ?, ?) "
            "ON CONFLICT (context, hash) DO UPDATE SET at=excluded.at",
            [(name, length, now) for name, length in sorted(chunks.items())],
        )

    def _note_unpublished(self, chunks: Mapping[bytes, int]) -> None:
        held = self.lengths(list(chunks))
        self.ledger.engine.insert_many(
            f"INSERT INTO tally_unpublished(context, hash, length) VALUES ({self.resource.number}, ?, ?) "
            "ON CONFLICT (context, hash) DO NOTHING",
            [(name, length) for name, length in sorted(chunks.items()) if name not in held],
        )

    def unpublished(self) -> int:
        """Bytes of the chunks that were sent under a quota and that no publication has referred to."""
        rows = self.ledger.engine.query(
            "SELECT coalesce(sum(length), 0) FROM tally_unpublished WHERE context=?", (self.resource.number,)
        )
        return int(rows[0][0])

    def note_published(self, hashes: Iterable[bytes]) -> None:
        """A publication has referred to these chunks."""
        self.ledger.engine.executemany(
            "DELETE FROM tally_unpublished WHERE context=? AND hash=?",
            [(self.resource.number, name) for name in sorted(hashes)],
        )


def is_at(key: str, prefix: str) -> bool:
    """True when a key is a prefix or below it."""
    return not prefix or key == prefix or key.startswith(f"{prefix}/")


def resource_name(identifier: str) -> str:
    """The wire name of a context's resource."""
    return f"contexts/{identifier}"


def shelves(ledger: Ledger) -> list[Shelf]:
    """All contexts of a site, by creation, then identifier."""
    rows = ledger.engine.query(f"SELECT {_COLUMNS} FROM tally_context ORDER BY created, id")
    return [Shelf(ledger, *row) for row in rows]


def shelf_of(ledger: Ledger, name: str) -> Shelf:
    """The context of this name or, failing that, this identifier. Raises ContextNotFound."""
    rows = ledger.engine.query(f"SELECT {_COLUMNS} FROM tally_context WHERE name=? OR id=?", (name, name))
    for row in sorted(rows, key=lambda row: row[1] != name):
        return Shelf(ledger, *row)
    raise ContextNotFound.of(name)


def live_chunks(ledger: Ledger) -> Iterable[bytes]:
    """Every chunk that some context holds."""
    after = b""
    while rows := ledger.engine.query(
        "SELECT DISTINCT hash FROM tally_context_chunk WHERE hash>? ORDER BY hash LIMIT 10000", (after,)
    ):
        yield from (bytes(name) for (name,) in rows)
        after = bytes(rows[-1][0])
