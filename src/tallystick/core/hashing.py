"""Content hashes of many records of one shape (DESIGN.md 4.7; docs/protocol.md, *Values*). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import repeat
from typing import Any

import msgspec

from tallystick.core.values import Value, content_hash

_FEW = 15
"""Names up to which a mapping's head is one byte. Beyond, a structure with nulls may not get the shortest head."""
_encode = msgspec.msgpack.Encoder().encode


def content_hashes(names: tuple[str, ...], keys: Sequence[str], columns: Sequence[Sequence[Value]]) -> list[bytes]:
    """``content_hash`` of many records, given as columns: their keys, and a column of values for each name.

    ``names`` are wire names, ascending. A compiled shape takes the place of a dictionary for each record, and no
    step of a record is a step of the interpreter but its hash. Raises what ``content_hash`` does for values that
    cannot be hashed.
    """
    shape = _shape(names)
    if shape is None or (len(names) > _FEW and any(None in column for column in columns)):
        rows = zip(*columns, strict=True) if columns else repeat((), len(keys))
        return [content_hash(key, names, row) for key, row in zip(keys, rows, strict=True)]
    shapes = map(shape, *columns) if columns else repeat(shape(), len(keys))
    contents = map(_encode, shapes)
    return [sha256(key + b"\0" + content).digest() for key, content in zip(_encoded(keys), contents, strict=True)]


def _encoded(keys: Sequence[str]) -> list[bytes]:
    try:
        return list(map(str.encode, keys))
    except UnicodeEncodeError:
        return [key.encode("utf-8", "surrogatepass") for key in keys]


@lru_cache(maxsize=256)
def _shape(names: tuple[str, ...]) -> Callable[..., Any] | None:
    """A structure that is encoded like a mapping of its fields that are not null; None for names it cannot have."""
    renamed = {f"f{index}": name for index, name in enumerate(names)}
    try:
        made: Callable[..., Any] = msgspec.defstruct(
            "Content", [(name, Any, None) for name in renamed], rename=renamed, omit_defaults=True, gc=False
        )
        return made
    except (ValueError, UnicodeEncodeError):
        return None
