"""The stream that answers ``changes``, piece by piece (docs/protocol.md, *Blocks*, *NDJSON*)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from urllib.parse import parse_qs

from tallystick.core.pages import Page
from tallystick.errors import TallystickError
from tallystick.protocols.native.calls import check_resources
from tallystick.protocols.native.codec import blocks, lines
from tallystick.protocols.native.codec.checks import check
from tallystick.protocols.native.codec.errors import RequestError, encode_error, form_of
from tallystick.protocols.native.codec.limits import Limits
from tallystick.protocols.native.codec.messages import LINES, encode
from tallystick.protocols.native.codec.pages import encode_page
from tallystick.protocols.native.pool import Pool
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Closing, Known, Scope, Selection
from tallystick.sync.uncollected import uncollected

_log = logging.getLogger("tallystick.native")


class ChangeStream:
    """The pieces of one stream of changes. Used by one thread at a time."""

    def __init__(self, pool: Pool, selection: Selection | None, query: str, media_type: str, limits: Limits) -> None:
        self.pool, self.selection, self.query, self.media_type, self.limits = pool, selection, query, media_type, limits
        self.replica: LocalReplica | None = None
        self.pieces: Iterator[bytes] | None = None

    def piece(self) -> bytes | None:
        """The next piece; None at the end. The first call raises what cannot be; later errors become pieces."""
        with uncollected():
            return self._first() if self.pieces is None else self._next(self.pieces)

    def _next(self, pieces: Iterator[bytes]) -> bytes | None:
        try:
            return next(pieces, None)
        except Exception as error:
            if not isinstance(error, TallystickError):
                _log.exception("unexpected in a stream of changes")
            self.pieces = iter(())
            if self.media_type == LINES:
                return lines.line("error", form_of(error))
            return blocks.block(blocks.ERROR, encode_error(error), self.limits)

    def _first(self) -> bytes | None:
        self.replica = self.pool.take()
        selection = self.selection or asked(self.replica, self.query, self.limits)
        check_resources(self.replica, selection)
        self.pieces = self._made(self.replica, selection)
        with self.pool.writing:
            return next(self.pieces, None)

    def _made(self, replica: LocalReplica, selection: Selection) -> Iterator[bytes]:
        for item in replica.changes(selection):
            if self.media_type == LINES:
                yield lines.page_lines(item) if isinstance(item, Page) else lines.line("closing", item)
            elif isinstance(item, Closing):
                yield blocks.block(blocks.CLOSING, encode(item), self.limits)
            else:
                for raw in encode_page(item, self.limits):
                    yield blocks.block(blocks.PAGE, raw, self.limits)

    def close(self) -> None:
        """Give the replica back."""
        self.pieces = None
        if self.replica is not None:
            self.pool.give(self.replica)
            self.replica = None


def asked(replica: LocalReplica, query: str, limits: Limits) -> Selection:
    """The selection of a GET: resources by name, and a state."""
    try:
        asked = parse_qs(query, keep_blank_values=True, max_num_fields=1000)
    except ValueError as problem:
        raise RequestError(f"the query cannot be read: {problem}") from None
    unknown = asked.keys() - {"resource", "state"}
    if unknown or len(asked.get("state", [])) > 1:
        raise RequestError("changes takes resource=NAME, any number of times, and state=STATE")
    names = tuple(sorted(set(asked.get("resource", [])))) or tuple(
        sorted(item.wire for item in replica.ledger.resources() if not item.definition.stays)
    )
    selection = Selection(Scope(names), Known((asked.get("state") or [""])[0], {}, {}))
    check(selection, limits)
    return selection
