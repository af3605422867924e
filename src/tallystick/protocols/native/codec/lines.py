"""NDJSON: the streams of the protocol for people and scripts (docs/protocol.md, *NDJSON*). Pure."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import msgspec

from tallystick.core.pages import EXTRA, FLAGS, KEY, LOCAL, ORIGIN, STAMP, TICK, VALUES, FieldForm, Page, Row
from tallystick.protocols.native.codec.errors import ErrorForm, RequestError
from tallystick.protocols.native.codec.limits import LIMITS, Limits, check_most
from tallystick.protocols.native.codec.messages import SettingsForm
from tallystick.protocols.native.codec.pages import check_page
from tallystick.sync.replica import Closing, Meeting

_encode = msgspec.json.Encoder().encode
_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class PageLine(msgspec.Struct):
    """The line before the rows of a page."""

    resource: str
    fields: list[FieldForm]
    origins: list[str]
    rows: int
    state: str = ""


class RowLine(msgspec.Struct, omit_defaults=True):
    """One row. ``values`` None: the row has none; "" as ``managed`` values are those of a managed record."""

    key: str
    local: Any
    origin: int
    tick: int
    stamp: int
    flags: int
    extra: bytes | None = None
    values: dict[str, Any] | None = None
    content: dict[str, Any] | None = None


class _Line(msgspec.Struct):
    settings: SettingsForm | None = None
    page: PageLine | None = None
    closing: Closing | None = None
    meeting: Meeting | None = None
    error: ErrorForm | None = None


_line = msgspec.json.Decoder(_Line)
_row = msgspec.json.Decoder(RowLine)


def page_lines(page: Page) -> bytes:
    """A page as lines."""
    head = PageLine(page.resource, page.fields, page.origins, len(page.rows), page.state)
    names = [item.name for item in page.fields]
    lines = [_encode({"page": head}), *(_encode(_row_line(row, names)) for row in page.rows), b""]
    return b"\n".join(lines)


def line(name: str, form: Any) -> bytes:
    """``settings``, ``closing``, ``meeting`` or ``error`` as a line."""
    return _encode({name: form}) + b"\n"


def _row_line(row: Row, names: list[str]) -> RowLine:
    made = RowLine(row[KEY], _plain(row[LOCAL]), row[ORIGIN], row[TICK], row[STAMP], row[FLAGS], row[EXTRA])
    if len(row) > VALUES and not names:
        made.content = {name: _plain(value) for name, value in row[VALUES].items()}
    elif row[FLAGS] in (0, 2):
        found = zip(names, row[VALUES:], strict=True)
        made.values = {name: _plain(value) for name, value in found if value is not None}
    return made


def _plain(value: Any) -> Any:
    """A value as JSON can say it."""
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, dict):
        plain = {name: _plain(part) for name, part in value.items()}
        return {"$map": plain} if len(plain) == 1 and next(iter(plain)).startswith("$") else plain
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def read_lines(body: bytes, limits: Limits = LIMITS) -> Iterator[SettingsForm | Page | Closing | Meeting | ErrorForm]:
    """What the lines of a whole body say, in order. Raises RequestError, LimitExceeded, StateInvalidError."""
    waiting = iter(part for part in body.split(b"\n") if part.strip())
    for raw in waiting:
        found = _decoded(_line, raw)
        item = found.settings or found.closing or found.meeting or found.error
        if found.page is not None:
            yield _page(found.page, waiting, limits)
        elif item is not None:
            yield item
        else:
            raise RequestError("a line is none of settings, page, closing, meeting, error")


def _page(head: PageLine, waiting: Iterator[bytes], limits: Limits) -> Page:
    check_most("rows of a page", head.rows, limits.rows)
    names = [item.name for item in head.fields]
    rows = [_row_of(_decoded(_row, raw), names) for _, raw in zip(range(head.rows), waiting, strict=False)]
    if len(rows) != head.rows:
        raise RequestError(f"a page of {head.rows} rows is cut after {len(rows)}")
    page = Page(head.resource, head.fields, head.origins, rows, head.state)
    check_page(page, limits)
    return page


def _row_of(found: RowLine, names: list[str]) -> Row:
    head = (found.key, _value(found.local), found.origin, found.tick, found.stamp, found.flags, found.extra)
    if found.content is not None:
        return (*head, {name: _value(part) for name, part in found.content.items()})
    if found.values is None:
        return head
    unknown = found.values.keys() - set(names)
    if unknown:
        raise RequestError(f"row {found.key[:60]!r} has a value for {min(unknown)[:60]!r}, no field of the page")
    return (*head, *(_value(found.values.get(name)) for name in names))


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(part) for part in plain]
    if not isinstance(plain, dict):
        return plain
    if len(plain) == 1:
        ((name, part),) = plain.items()
        if name.startswith("$"):
            return _coded(name, part)
    return {name: _value(part) for name, part in plain.items()}


def _coded(name: str, part: Any) -> Any:
    try:
        if name == "$bytes":
            return b64decode(part, validate=True)
        if name == "$float":
            return _FLOATS[part]
        if name == "$map":
            return {inner: _value(value) for inner, value in part.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RequestError(f"{name} says {str(part)[:60]!r}, which it cannot") from error
    raise RequestError(f"{name[:60]!r} is no way to write a value")


def _decoded(decoder: Any, raw: bytes) -> Any:
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError(f"a line cannot be read: {str(error)[:300]}") from error
