"""Who a client is to a served site (docs/protocol.md, *Authentication*)."""

from __future__ import annotations

from base64 import b64encode
from typing import NamedTuple


class Credentials(NamedTuple):
    """A user of the served site."""

    name: str
    password: str

    def header(self) -> str:
        """The value of ``Authorization``."""
        return "Basic " + b64encode(f"{self.name}:{self.password}".encode()).decode()

    def __repr__(self) -> str:
        return f"Credentials({self.name!r}, '***')"
