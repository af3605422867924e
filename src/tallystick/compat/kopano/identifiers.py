"""How identifiers and states are written: one choice for the whole program, as the original has it (spec ics 2)."""

from __future__ import annotations

from tallystick.stores.errors import ArgumentError
from tallystick.stores.states import Form, from_text, to_text

_chosen = Form.HEX


def set_bin_encoding(encoding: str) -> None:
    """Write identifiers and states as ``hex`` (the default) or ``base64`` from now on. Raises ArgumentError."""
    global _chosen
    try:
        _chosen = Form(encoding)
    except ValueError:
        raise ArgumentError(f"unknown encoding {encoding!r}", hint="use 'hex' or 'base64'") from None


def encode(raw: bytes) -> str:
    """Bytes as text."""
    return to_text(raw, _chosen)


def decode(text: str | bytes) -> bytes:
    """Text as bytes. Raises binascii.Error."""
    return from_text(text, _chosen)
