"""SQL text for PostgreSQL: quoting, portable statements, and text that PostgreSQL cannot hold.

Portable SQL names our tables ``tally_something`` and marks parameters with ``?``. Here our tables live in the schema
``tally``, and placeholders are the server's own, ``$1``: nothing in a name can be taken for one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

SCHEMA = "tally"
_TYPES = {"int": "BIGINT", "text": 'TEXT COLLATE "C"', "blob": "BYTEA", "any": 'TEXT COLLATE "C"'}
_TOKEN = re.compile(
    r"'(?:[^']|'')*'"
    r'|"(?:[^"]|"")*"'
    r"|\bINDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?tally_(?P<index>\w+)"
    r"|\btally_(?P<table>\w+)"
    r"|\bIN\s*\(\*\)|\?",
    re.IGNORECASE,
)
_PLACE = re.compile(rb"\$([0-9]+)")
_ESCAPED = "\\u"
_UNSAFE = ("\\", '"', "\0")


class Statement(NamedTuple):
    """A statement for the driver, and whether it touches our tables only."""

    sql: bytes
    ours: bool


def quoted(name: str) -> str:
    """An identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal as SQL text, for DDL where parameters are not allowed."""
    return "'" + text.replace("'", "''") + "'"


def qualified(schema: str, name: str) -> str:
    """A table's name with its schema as SQL text."""
    return f"{quoted(schema)}.{quoted(name)}"


@lru_cache(maxsize=2048)
def translated(portable: str) -> Statement:
    """A portable statement in the words of PostgreSQL."""
    ours, count = False, 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal ours, count
        token = match.group()
        if match["index"]:
            return token[: -len("tally_" + match["index"])] + match["index"]
        if match["table"]:
            ours = True
            return f"{SCHEMA}.{match['table']}"
        if token == "?" or token.endswith("(*)"):
            count += 1
            return f"${count}" if token == "?" else f"= ANY(${count})"
        return token

    return Statement(_TOKEN.sub(replaced, portable).encode(), ours)


def ddl(portable: str) -> bytes:
    """Portable DDL with the types {int}, {text}, {blob} and {any} as a statement without parameters."""
    return translated(portable.format(**_TYPES)).sql


# Parameters ----------------------------------------------------------------------------------------------------


def untyped(parameters: Iterable[Any], ours: bool = True) -> list[Any]:
    """Parameters whose types the server infers from their places, as portable SQL expects."""
    return [_untyped(value, ours) for value in parameters]


def _untyped(value: Any, ours: bool) -> Any:
    if isinstance(value, bool | int):
        return str(int(value))
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str) and ours:
        return stored_text(value)
    return value


def array(values: Iterable[Any], ours: bool = True) -> str:
    """An array literal of an element type that the server infers, without what equals nothing that it holds."""
    values = list(values)
    if set(map(type, values)) == {str}:
        together = "".join(values)
        if together.isascii() and not any(character in together for character in _UNSAFE):
            return '{"' + '","'.join(values) + '"}'
    found = [value for value in values if value is not None and (ours or type(value) is not str or holdable(value))]
    return "{" + ",".join([_element(value, ours) for value in found]) + "}"


def _element(value: Any, ours: bool) -> str:
    if isinstance(value, bytes):
        return '"\\\\x' + value.hex() + '"'
    if not isinstance(value, str):
        return _untyped(value, ours) if isinstance(value, bool | int | float) else str(value)
    text = stored_text(value) if ours else value
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def spelled(sql: bytes, parameters: Sequence[Any]) -> bytes:
    """A statement of ours with its parameters written into it, as literals whose types the server infers."""
    return _PLACE.sub(lambda match: _spelled(parameters[int(match[1]) - 1]), sql)


def _spelled(value: Any) -> bytes:
    if value is None:
        return b"NULL"
    if isinstance(value, bytes):
        return b"'\\x" + value.hex().encode() + b"'"
    return literal(str(_untyped(value, True))).encode()


# Text that PostgreSQL cannot hold ------------------------------------------------------------------------------


def stored_text(text: str) -> str:
    """Text as our own tables hold it: NUL and lone surrogates, which PostgreSQL refuses, are escaped.

    Escaped text starts with ``\\u``, as no key made of values does.
    """
    plain = holdable(text) and not text.startswith(_ESCAPED)
    return text if plain else _ESCAPED + json.dumps(text)[1:-1]


def loaded_text(text: str) -> str:
    """The inverse of ``stored_text``."""
    return str(json.loads('"' + text[len(_ESCAPED) :] + '"')) if text.startswith(_ESCAPED) else text


def loaded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows of our own tables with their text unescaped."""
    return [
        tuple(map(_loaded, row)) if any(type(value) is str and value.startswith(_ESCAPED) for value in row) else row
        for row in rows
    ]


def _loaded(value: Any) -> Any:
    return loaded_text(value) if type(value) is str else value


def holdable(text: str) -> bool:
    """True for text that a column of PostgreSQL can hold as it is."""
    if "\0" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def listed(names: Sequence[str]) -> str:
    """Identifiers as a comma-separated list."""
    return ", ".join(quoted(name) for name in names)
