"""What programs written for the original import from its MAPI package: constants and errors, with the same values."""

from __future__ import annotations

from tallystick.compat.MAPI import Struct, Tags

__all__ = ["Struct", "Tags"]
