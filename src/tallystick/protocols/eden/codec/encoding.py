"""Field values to and from the wire (spec: sections 6.2 and 6.3).

Inside, a value is ``None``, ``bool``, ``int``, ``float``, ``Decimal`` or ``str`` (dates and times as ISO text in UTC,
as on the wire), a list of such for list fields, any JSON value for json fields, an ``Upload`` for upload fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from tallystick.protocols.eden.codec.elements import Data
from tallystick.protocols.eden.codec.json_format import json_value
from tallystick.protocols.eden.codec.schema import TEXT_KINDS, Field, Kind
from tallystick.protocols.eden.codec.times import format_time, parse_clock, parse_date, parse_time
from tallystick.protocols.eden.codec.xml_writing import UNFIT
from tallystick.protocols.eden.errors import FieldRejected, TimeFormatError


class Upload(NamedTuple):
    """An uploaded file as the wire names it. Its ``url`` is never fetched because a document says so (section 17)."""

    url: str | None
    filename: str | None


class Dropped:
    """The type of DROPPED."""


DROPPED: Final = Dropped()
"""What an empty value of a number, date or the like means: the field counts as not sent (section 6.3)."""

_quoted = msgspec.json.Encoder().encode

UNWRITTEN_KINDS = frozenset({Kind.BLOB})
_FEW_DIGITS = 18
_WORDS = frozenset({Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.DECIMAL})
"""Kinds whose texts mean themselves."""

# To the wire ---------------------------------------------------------------------------------------------------


def encode_value(field: Field, value: object) -> Data | None:
    """The ``data`` element of a value; None for nothing, which Eden expresses by leaving the element out."""
    if value is None or field.kind in UNWRITTEN_KINDS:
        return None
    if isinstance(value, str):
        return _encode_text(field, value)
    if isinstance(value, Upload):
        return Data(field.name, None, None, value.url, value.filename)
    if isinstance(value, Decimal):
        return Data(field.name, format(value, "f"), format(value, "f"))
    if value is True or value is False:
        return Data(field.name, "true", "True") if value else Data(field.name, "false", "False")
    if isinstance(value, int):
        text = str(value)
        return Data(field.name, text, text)
    return Data(field.name, json.dumps(value), _list_text(value))


def _encode_text(field: Field, value: str) -> Data:
    kind = field.kind
    if kind in _WORDS:
        return Data(field.name, value, value)
    if kind is Kind.PASSWORD:
        return Data(field.name, None, value)
    if UNFIT.search(value):
        return Data(field.name, json.dumps(value), value)
    if field.represented or not value or kind not in TEXT_KINDS:
        return Data(field.name, _quoted(value).decode(), value)
    return Data(field.name, None, value)


def _list_text(value: object) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else json.dumps(value)


# From the wire -------------------------------------------------------------------------------------------------


Decoder = Callable[[Data], object]
UNDECODED = (ValueError, TimeFormatError, InvalidOperation)
"""What a decoder raises for what its field does not take."""


def decode_value(field: Field, data: Data) -> object:
    """The value that an element gives to its field, or DROPPED.

    ``value`` goes before text. Raises FieldRejected when the field does not take it.
    """
    try:
        return decoder(field)(data)
    except UNDECODED as error:
        raise rejection(field, error) from None


def decoder(field: Field) -> Decoder:
    """What ``decode_value`` does for one field, found out once. Raises UNDECODED, to be told by ``rejection``."""
    if field.kind is Kind.UPLOAD:
        return _decode_upload
    decode = _DECODERS[field.kind]
    if field.bounded:
        decode = _bounded(field, decode)
    return _chosen(field.options, decode) if field.options else decode


def rejection(field: Field, error: Exception) -> FieldRejected:
    """What is said of a field whose decoder raised ``error``."""
    if isinstance(error, _NotOffered):
        return FieldRejected(field.name, "Value not allowed")
    reason = error.message if isinstance(error, TimeFormatError) else f"{error}{_range(field)}"
    return FieldRejected(field.name, reason)


class _NotOffered(ValueError):
    """A value that is none of the options of its field."""


def _decode_upload(data: Data) -> object:
    return Upload(data.url, data.filename) if data.url or data.filename else DROPPED


def _bounded(field: Field, decode: Decoder) -> Decoder:
    def decoded(data: Data) -> object:
        found = decode(data)
        if found is DROPPED or found is None:
            return found
        _check_range(field, found)
        _check_length(field, found)
        return found if field.check is None else field.check(found)

    return decoded


def _chosen(options: Mapping[str, str], decode: Decoder) -> Decoder:
    def decoded(data: Data) -> object:
        found = decode(data)
        if isinstance(found, str | int) and found != "" and str(found) not in options:
            raise _NotOffered
        return found

    return decoded


def _check_length(field: Field, found: object) -> None:
    if field.length and isinstance(found, str) and len(found) > field.length:
        raise ValueError(f"Enter no more than {field.length} characters")


def _check_range(field: Field, found: object) -> None:
    if isinstance(found, int | float) and not isinstance(found, bool):
        low, high = field.minimum, field.maximum
        if (low is not None and found < low) or (high is not None and found > high):
            raise ValueError("Enter an integer" if field.kind is Kind.INTEGER else "Enter a number")


def _range(field: Field) -> str:
    low, high = field.minimum, field.maximum
    if low is not None and high is not None:
        return f" between {low:g} and {high:g}"
    if low is not None:
        return f" greater than or equal to {low:g}"
    return "" if high is None else f" less than or equal to {high:g}"


def given(data: Data) -> object:
    """What an element holds, JSON-decoded where it is JSON, whatever its field's type: for error trees."""
    return data.text if data.value is None else json_value(data.value)


def _decode_text(data: Data) -> object:
    raw = data.value
    if raw is None:
        return data.text or ""
    if not raw:
        return ""
    first = raw[0]
    if first == '"':
        found = json_value(raw)
        return found if isinstance(found, str) else raw
    return None if raw == "null" else raw


def _decode_scalar(data: Data) -> object:
    """The JSON value, else the text; DROPPED when there is nothing, None for an explicit null."""
    raw = data.text if data.value is None else data.value
    if raw is None or not raw.strip():
        return DROPPED
    found = json_value(raw)
    if isinstance(found, str) and not found.strip():
        return DROPPED
    return found


def _decode_integer(data: Data) -> object:
    raw = data.value
    if raw is not None and len(raw) < _FEW_DIGITS and raw.isdecimal() and raw.isascii() and raw[0] != "0":
        return int(raw)  # as nearly all of them are
    found = _decode_scalar(data)
    if found is DROPPED or found is None:
        return found
    if isinstance(found, float) and found.is_integer():
        return int(found)
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise ValueError("Enter an integer")
    try:
        return int(found)
    except ValueError:
        raise ValueError("Enter an integer") from None


def _decode_double(data: Data) -> object:
    found = _decode_scalar(data)
    if found is DROPPED or found is None:
        return found
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        raise ValueError("Enter a number")
    try:
        return float(found)
    except (ValueError, OverflowError):
        raise ValueError("Enter a number") from None


def _decode_decimal(data: Data) -> object:
    raw = data.text if data.value is None else data.value
    if raw is None or not raw.strip():
        return DROPPED
    if raw == "null":
        return None
    try:
        number = Decimal(raw.strip().strip('"'))
    except InvalidOperation:
        raise ValueError("Enter a number") from None
    if not number.is_finite():
        raise ValueError("Enter a number")
    return number


def _decode_boolean(data: Data) -> object:
    raw = data.value
    if raw == "true" or raw == "false":  # as nearly all of them are
        return raw == "true"
    found = _decode_scalar(data)
    if found is DROPPED or found is None or isinstance(found, bool):
        return found
    if isinstance(found, int):
        return bool(found)
    word = str(found).strip().lower()
    if word in ("true", "t", "yes", "y", "on"):
        return True
    if word in ("false", "f", "no", "n", "off", "-"):
        return False
    raise ValueError("Enter true or false")


def _moment(render: Callable[[str], str]) -> Callable[[Data], object]:
    def decode(data: Data) -> object:
        raw = data.text if data.value is None else data.value
        if raw is None or not raw.strip():
            return DROPPED
        if raw == "null":
            return None
        found = json_value(raw) if raw[0] == '"' else raw
        return DROPPED if not found else render(str(found))

    return decode


@lru_cache(maxsize=4096)  # there are few days among many records
def _day(text: str) -> str:
    return parse_date(text).isoformat()


def _decode_json(data: Data) -> object:
    if data.value is not None:
        return json_value(data.value) if data.value else DROPPED
    return json_value(data.text) if data.text else DROPPED


def _decode_list(item: Callable[[object], object]) -> Callable[[Data], object]:
    def decode(data: Data) -> object:
        found = _decode_scalar(data)
        if found is DROPPED or found is None:
            return found
        return [item(one) for one in found] if isinstance(found, list) else [item(found)]

    return decode


def _list_integer(one: object) -> object:
    if isinstance(one, bool) or not isinstance(one, int | str):
        raise ValueError("Enter a list of integers")
    return int(one)


_DECODERS: dict[Kind, Decoder] = {
    Kind.STRING: _decode_text,
    Kind.TEXT: _decode_text,
    Kind.PASSWORD: _decode_text,
    Kind.BLOB: _decode_text,
    Kind.INTEGER: _decode_integer,
    Kind.DOUBLE: _decode_double,
    Kind.DECIMAL: _decode_decimal,
    Kind.BOOLEAN: _decode_boolean,
    Kind.DATE: _moment(_day),
    Kind.TIME: _moment(lambda text: parse_clock(text).isoformat()),
    Kind.DATETIME: _moment(lambda text: format_time(parse_time(text))),
    Kind.JSON: _decode_json,
    Kind.STRING_LIST: _decode_list(str),
    Kind.INTEGER_LIST: _decode_list(_list_integer),
}
