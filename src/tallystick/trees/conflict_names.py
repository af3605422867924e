"""The names of conflict copies (spec contexts C2): the same loser yields the same name, however often retried."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

NAME_LIMIT = 255
"""Bytes that a file name may have on every volume in use."""

FIRST_DIGITS = 8

CONFLICT = ".conflict-"
"""What every name of a conflict copy has in it."""

_COPY = re.compile(rf"{re.escape(CONFLICT)}[0-9a-f]{{8}}")


def conflict_names(name: str, digest: bytes) -> Iterator[str]:
    """The names that a copy of content ``digest`` may take, best first: ever more digits of the digest."""
    digits = digest.hex()
    for length in range(FIRST_DIGITS, len(digits) + 1, FIRST_DIGITS):
        yield conflict_name(name, digits[:length])


def is_conflict_name(name: str) -> bool:
    """True for a name that a conflict copy may have; its content tells whether it is the one that is needed."""
    return _COPY.search(name) is not None


def conflict_name(name: str, digits: str) -> str:
    """``stem.conflict-<digits><extension>``; a dot file is all stem, and a long stem is shortened to fit."""
    stem, extension = os.path.splitext(name)
    tail = f"{CONFLICT}{digits}{extension}"
    room = NAME_LIMIT - len(os.fsencode(tail))
    if room < 1:
        return conflict_name(shortened(name, NAME_LIMIT // 2).replace(".", "_"), digits)
    return shortened(stem, room) + tail


def shortened(name: str, room: int) -> str:
    """The longest beginning of a name that takes at most ``room`` bytes, whole characters only."""
    while len(os.fsencode(name)) > room:
        name = name[:-1]
    return name
