"""Whether somebody looks on: what decides between questions and meters, and silence."""

from __future__ import annotations

from typing import TextIO


def on_terminal(*streams: TextIO | None) -> bool:
    """True when all of the streams are terminals. One that was closed before the command began is None."""
    return all(stream is not None and stream.isatty() for stream in streams)
