"""What one end accepts of the other (docs/protocol.md, *Limits*). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tallystick.errors import LimitExceeded


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds; sizes in bytes, lengths in characters, times in seconds."""

    body: int = 64 * 1024 * 1024
    """A request or message, as sent and decoded."""
    block: int = 64 * 1024 * 1024
    """One block of a stream, as sent and decoded."""
    ratio: int = 1024
    """Decoded to sent, beyond ``ratio_from`` decoded."""
    ratio_from: int = 64 * 1024
    rows: int = 20_000
    fields: int = 4_000
    name: int = 512
    key: int = 65_536
    text: int = 1_024
    depth: int = 16
    resources: int = 10_000
    origins: int = 100_000
    url: int = 8 * 1024
    header_bytes: int = 32 * 1024
    header_count: int = 64
    stall: float = 60.0
    streams: int = 16


LIMITS = Limits()
"""The defaults."""


def exceeded(what: str, found: int, most: int) -> LimitExceeded:
    """The error for something that is larger than it may be."""
    return LimitExceeded(f"{what} of {found:,} is beyond the limit of {most:,}")


def check_most(what: str, found: int, most: int) -> None:
    """Raise LimitExceeded when ``found`` is more than ``most``."""
    if found > most:
        raise exceeded(what, found, most)
