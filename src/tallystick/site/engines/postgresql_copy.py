"""Rows in the text form of COPY, made column by column (PostgreSQL manual, *COPY, Text Format*). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

_SPECIAL = ("\\", "\t", "\n", "\r")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL = "\\N"
_PLAIN: dict[type, Callable[[Any], str]] = {int: str, float: repr}


def copied(columns: Sequence[Sequence[Any]]) -> bytes:
    """Rows given as columns of equal length, for ``COPY ... FROM STDIN``.

    Values are those of ``core.values``: text, int, float, bytes, None. Raises UnicodeEncodeError for text that no
    UTF-8 holds.
    """
    lines = "\n".join(map("\t".join, zip(*map(_texts, columns), strict=True)))
    return (lines + "\n").encode() if lines or (columns and columns[0]) else b""


def _texts(column: Sequence[Any]) -> Iterable[str]:
    kinds = set(map(type, column))
    if kinds == {str}:
        together = "".join(column)
        special = any(character in together for character in _SPECIAL)
        return [text.translate(_ESCAPES) for text in column] if special else column
    if kinds == {type(None)}:
        return [_NULL] * len(column)
    if kinds == {bytes}:
        return ["\\\\x" + value.hex() for value in column]
    if len(kinds) == 1 and (plain := _PLAIN.get(*kinds)) is not None:
        return map(plain, column)
    return map(_text, column)


def _text(value: Any) -> str:
    if value is None:
        return _NULL
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    return str(int(value)) if isinstance(value, bool | int) else repr(value)
