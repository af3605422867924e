"""Rows of a page that came, as records: what they say, checked before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from tallystick.core.forms import Extra, decode_extra, decode_record, simple_record
from tallystick.core.hashing import content_hashes
from tallystick.core.pages import EXTRA, FLAGS, KEY, ORIGIN, STAMP, TICK, VALUES, Page, Row
from tallystick.core.values import CANONICAL, Logical, mapping_hash
from tallystick.core.versions import Record
from tallystick.errors import PeerProtocolError
from tallystick.site.ledger import DELETED, GENESIS, WHOLE
from tallystick.site.schema import RESPELLED

PLAIN = frozenset((0, GENESIS))
"""Flags of rows that carry the values of one version."""
_head = itemgetter(slice(VALUES))


def checked_heads(page: Page) -> list[tuple[Any, ...]]:
    """The heads of a page's rows, column by column.

    Raises PeerProtocolError when one row is malformed: then nothing of the page is applied.
    """
    rows, width = page.rows, VALUES + len(page.fields)
    widths = set(map(len, rows))
    if min(widths) < VALUES:
        raise PeerProtocolError(f"a row of a page of {page.resource!r} is malformed")
    heads = list(zip(*map(_head, rows), strict=True))
    keys = heads[KEY]
    if set(map(type, keys)) != {str} or len(set(keys)) != len(keys):
        raise PeerProtocolError(f"a key of a page of {page.resource!r} is no text, or occurs twice")
    if page.fields and (widths != {width} or not PLAIN.issuperset(heads[FLAGS])):
        for row in rows:
            if len(row) != (VALUES if row[FLAGS] not in PLAIN else width):
                raise PeerProtocolError(f"row {row[KEY][:80]!r} of a page of {page.resource!r} is malformed")
    if min(heads[ORIGIN]) < 0 or max(heads[ORIGIN]) >= len(page.origins):
        raise PeerProtocolError(f"a row of a page of {page.resource!r} names no origin")
    return heads


class Incoming:
    """The rows of one page as records. ``managed``: their values are the content of managed records."""

    def __init__(self, page: Page, *, managed: bool) -> None:
        self.managed = managed
        self.names = tuple(item.name for item in page.fields)
        self._origins = page.origins
        self._page = page

    def canonical(self) -> bool:
        """True when every value is the canonical form of its type: what a typed database holds as it came."""
        page = self._page
        for at, item in enumerate(page.fields):
            convert = CANONICAL.get(Logical(item.logical)) if item.logical in RESPELLED else None
            if convert is None:
                continue
            if not all(row[FLAGS] in PLAIN or row[FLAGS] & DELETED for row in page.rows):
                return False
            for value in {row[VALUES + at] for row in page.rows if row[FLAGS] in PLAIN} - {None}:
                own = convert(value)
                if own.__class__ is not value.__class__ or own != value:
                    return False
        return True

    def content(self, row: Row) -> dict[str, Any]:
        """The values of a plain row by name, without NULLs."""
        if self.managed:
            return dict(row[VALUES])
        if None in row:
            return {name: value for name, value in zip(self.names, row[VALUES:], strict=True) if value is not None}
        return dict(zip(self.names, row[VALUES:], strict=True))

    def digests(self, rows: Sequence[Row]) -> list[bytes]:
        """The content hashes of plain rows."""
        if self.managed:
            return [mapping_hash(row[KEY], row[VALUES]) for row in rows]
        columns = list(zip(*(row[VALUES:] for row in rows), strict=True))
        return content_hashes(self.names, [row[KEY] for row in rows], columns)

    def record(self, row: Row, digest: bytes | None = None) -> Record:
        """The record that a row of the page stands for. ``digest`` is the hash of its bare values, where known."""
        if row[FLAGS] & WHOLE:
            return decode_record(row[EXTRA])[0]
        extra = decode_extra(row[EXTRA])
        dot = (self._origins[row[ORIGIN]], row[TICK])
        if row[FLAGS] & DELETED:
            return simple_record(dot, row[STAMP], b"", 0, extra, None)
        content = self.content(row)
        if extra.aside:
            content.update(extra.aside)
            content = {name: value for name, value in content.items() if value is not None}
            digest = None
        hashed = mapping_hash(row[KEY], content) if digest is None else digest
        return simple_record(dot, row[STAMP], hashed, row[FLAGS], _bare(extra), content)


def _bare(extra: Extra) -> Extra:
    if not extra.aside:
        return extra
    return Extra(**{name: getattr(extra, name) for name in extra.__struct_fields__ if name != "aside"})
