"""Pages: to bytes and back, split where they are too large, and checked (docs/protocol.md, *Pages*). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from tallystick.core.forms import Extra, RecordForm, VersionForm, decode_extra
from tallystick.core.pages import EXTRA, FLAGS, KEY, VALUES, FieldForm, Page, Row
from tallystick.core.states import parse_state
from tallystick.core.values import Logical
from tallystick.errors import LimitExceeded, StateInvalidError
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import LIMITS, Limits, check_most
from tallystick.protocols.native.codec.messages import decode, encode

SPLIT_FROM: Final = 8 * 1024 * 1024
"""Bytes of an encoded page from which it is sent in parts."""
DELETED, GENESIS, WHOLE, LEFT_SCOPE = 1, 2, 4, 8
_FLAGS: Final = frozenset((0, DELETED, GENESIS, WHOLE, LEFT_SCOPE))
_BARE: Final = frozenset((DELETED, WHOLE, LEFT_SCOPE))
"""Flags of rows without values."""
_SCALARS: Final = frozenset((int, float, str, bytes, type(None)))
_LOGICAL: Final = frozenset(Logical)
LARGEST: Final = (1 << 62) - 1
"""The largest tick, seq or stamp."""
INT64: Final = range(-(1 << 63), 1 << 63)
_record = msgspec.msgpack.Decoder(RecordForm)


def encode_page(page: Page, limits: Limits = LIMITS) -> Iterator[bytes]:
    """The page as MessagePack, in parts where it is large; parts but the last have no state.

    Raises LimitExceeded for a record that no block holds.
    """
    raw = encode(page)
    if len(raw) > SPLIT_FROM and len(page.rows) > 1:
        half = len(page.rows) // 2
        yield from encode_page(Page(page.resource, page.fields, page.origins, page.rows[:half], ""), limits)
        yield from encode_page(Page(page.resource, page.fields, page.origins, page.rows[half:], page.state), limits)
        return
    if len(raw) > limits.block:
        raise LimitExceeded(
            f"{page.resource} {page.rows[0][KEY]!r} has {len(raw):,} bytes; {limits.block:,} is the most that is sent",
            hint="make the value smaller, or leave the table out with --exclude",
        )
    yield raw


def decode_page(raw: bytes, limits: Limits = LIMITS) -> Page:
    """The page in ``raw``. Raises RequestError for what is no page, LimitExceeded for what is too large."""
    page = decode(Page, raw)
    check_page(page, limits)
    return page


def check_page(page: Page, limits: Limits = LIMITS) -> None:
    """Refuse a page that says what no page can say; what passes can be applied, parked or declined.

    Raises RequestError, LimitExceeded, StateInvalidError.
    """
    check_name("resource", page.resource, limits)
    check_most("rows of a page", len(page.rows), limits.rows)
    check_most("origins of a page", len(page.origins), limits.origins)
    for origin in page.origins:
        check_name("origin", origin, limits)
    _check_fields(page.fields, limits)
    if page.state:
        parse_state(page.state)
    if page.rows:
        _check_rows(page, limits)


def _check_fields(fields: Sequence[FieldForm], limits: Limits) -> None:
    check_most("fields of a page", len(fields), limits.fields)
    last = ""
    for item in fields:
        check_name("field", item.name, limits)
        if item.name <= last:
            raise RequestError(f"fields are not in ascending order at {item.name[:60]!r}")
        if item.logical not in _LOGICAL:
            raise RequestError(f"field {item.name[:60]!r} has the unknown type {item.logical[:60]!r}")
        last = item.name


def _check_rows(page: Page, limits: Limits) -> None:
    """Every row, column by column where rows are equally long: a column is checked in a few calls."""
    rows, width = page.rows, VALUES + len(page.fields)
    widths = set(map(len, rows))
    if min(widths) < VALUES:
        raise RequestError("a row is too short")
    even = len(widths) == 1
    columns = list(zip(*(rows if even else [row[:VALUES] for row in rows]), strict=True))
    _check_heads(columns[:VALUES], len(page.origins), limits)
    plain = columns[EXTRA].count(None) == len(rows) and _BARE.isdisjoint(columns[FLAGS])
    if not (plain and widths == {width}):
        for row in rows:
            _check_shape(row, width, bool(page.fields))
    if not page.fields:
        _check_managed(rows, limits)
    else:
        for values in columns[VALUES:] if even else (row[VALUES:] for row in rows):
            _check_values(values)


def _check_heads(columns: Sequence[Sequence[Any]], origins: int, limits: Limits) -> None:
    """The first seven columns."""
    keys, locals_, indexes, ticks, stamps, flags, extras = columns
    if set(map(type, keys)) != {str}:
        raise RequestError("a key is no text")
    check_most("a key", max(map(len, keys)), limits.key)
    if len(set(keys)) != len(keys):
        raise RequestError("a key occurs twice in a page")
    _check_values(locals_)
    _check_numbers("origin", indexes, 0, origins - 1)
    _check_numbers("tick", ticks, 1, LARGEST)
    _check_numbers("stamp", stamps, 0, LARGEST)
    if set(map(type, flags)) != {int} or not set(flags) <= _FLAGS:
        raise RequestError("a row has flags that this version does not know")
    if not set(map(type, extras)) <= {bytes, type(None)}:
        raise RequestError("an extra is no bytes")


def _check_numbers(what: str, found: Sequence[Any], least: int, most: int) -> None:
    if set(map(type, found)) != {int} or min(found) < least or max(found) > most:
        raise RequestError(f"a row has a {what} that cannot be")


def _check_shape(row: Row, width: int, has_fields: bool) -> None:
    """The width of one row, as its flags say, and what its extra holds."""
    bare = row[FLAGS] in _BARE
    if len(row) != (VALUES if bare else width) and (bare or has_fields or len(row) != VALUES + 1):
        raise RequestError(f"row {row[KEY][:60]!r} does not have the values that its flags and the fields say")
    if row[FLAGS] == WHOLE:
        check_record(row[EXTRA], row[KEY])
    elif row[EXTRA] is not None:
        _check_extra(row)


def _check_extra(row: Row) -> None:
    try:
        extra: Extra = decode_extra(row[EXTRA])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError(f"the extra of row {row[KEY][:60]!r} cannot be read") from error
    named = extra.dots != [] or bool(extra.genesis) or (extra.genesis is None and row[FLAGS] == GENESIS)
    if row[FLAGS] == GENESIS and not extra.dots and extra.genesis == []:
        named = False
    good = (
        named
        and are_ticks(extra.seen or {})
        and _are_dots(extra.dots or ())
        and _are_dots(extra.fields.values())
        and _are_dots(() if extra.rest is None else (extra.rest,), 0)
        and _are_hashes((*extra.seen_genesis, *(extra.genesis or ())))
        and 0 <= extra.copies <= LARGEST
        and 0 <= extra.priority <= 1000
    )
    if not good:
        raise RequestError(f"the extra of row {row[KEY][:60]!r} says what cannot be")
    check_content(extra.aside)


def check_record(raw: bytes | None, key: str) -> None:
    """Refuse a whole record that cannot be. Raises RequestError."""
    try:
        form = _record.decode(raw or b"")
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError(f"the record of row {key[:60]!r} cannot be read") from error
    if not form.versions or not are_ticks(form.seen) or not _are_hashes(form.seen_genesis) or form.shown:
        raise RequestError(f"the record of row {key[:60]!r} says what cannot be")
    for version in form.versions:
        _check_version(version, key)


def _check_version(version: VersionForm, key: str) -> None:
    good = (
        (version.dots or version.genesis)
        and 1 <= version.tick <= LARGEST
        and 0 <= version.stamp <= LARGEST
        and len(version.hash) in (0, 32)
        and (version.content is None) == (not version.hash)
        and _are_dots(version.dots)
        and _are_dots(version.fields.values(), 0)
        and _are_dots(() if version.rest is None else (version.rest,), 0)
        and _are_hashes((*version.genesis, *version.past_genesis))
        and are_ticks(version.past)
        and 0 <= version.priority <= 1000
    )
    if not good:
        raise RequestError(f"a version of row {key[:60]!r} says what cannot be")
    check_content(version.content or {})


def are_ticks(vector: Mapping[str, int]) -> bool:
    """True for a version vector."""
    return all(0 <= tick <= LARGEST for tick in vector.values())


def _are_dots(dots: Iterable[tuple[str, int]], least: int = 0) -> bool:
    return all(least <= tick <= LARGEST for _, tick in dots)


def _are_hashes(found: Iterable[bytes]) -> bool:
    return all(len(item) == 32 for item in found)


def _check_values(values: Sequence[Any]) -> None:
    """Values of one column, or of one row."""
    kinds = set(map(type, values))
    if not kinds <= _SCALARS:
        raise RequestError("a row has a value that is none of null, integer, float, text, bytes")
    if int in kinds:
        numbers = values if len(kinds) == 1 else [value for value in values if type(value) is int]
        if min(numbers) not in INT64 or max(numbers) not in INT64:
            raise RequestError("a row has an integer of more than 64 bits")


def _check_managed(rows: Sequence[Row], limits: Limits) -> None:
    for row in rows:
        if len(row) > VALUES:
            if type(row[VALUES]) is not dict:
                raise RequestError(f"row {row[KEY][:60]!r} has a value without a field")
            check_content(row[VALUES], limits)


def check_content(content: Mapping[Any, Any], limits: Limits = LIMITS, depth: int = 1) -> None:
    """Refuse managed content with names that are no text, integers beyond 64 bits, or too many levels."""
    check_most("depth of a value", depth, limits.depth)
    for name, value in content.items():
        if type(name) is not str:
            raise RequestError("a name in a value is no text")
        _check_part(value, limits, depth)


def _check_part(value: Any, limits: Limits, depth: int) -> None:
    if type(value) is dict:
        check_content(value, limits, depth + 1)
    elif type(value) in (list, tuple):
        check_most("depth of a value", depth + 1, limits.depth)
        for part in value:
            _check_part(part, limits, depth + 1)
    elif type(value) is int:
        if value not in INT64:
            raise RequestError("a value has an integer of more than 64 bits")
    elif type(value) not in _SCALARS and type(value) is not bool:
        raise RequestError("a value is of a kind that does not travel")


def check_name(what: str, name: str, limits: Limits = LIMITS) -> None:
    """Refuse a name that is empty, too long, or has control characters. Raises RequestError, LimitExceeded."""
    check_most(f"the length of a name ({what})", len(name), limits.name)
    if not name or any(character < " " for character in name):
        raise RequestError(f"{name[:60]!r} cannot be the name of a {what}")


def check_state(text: str, site: str) -> None:
    """Refuse a state that is none of ``site``'s. Raises StateInvalidError."""
    if text and parse_state(text).site != site:
        raise StateInvalidError(f"a page of site {site[:60]} bears a state of another one")
