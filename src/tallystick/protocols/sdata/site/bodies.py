"""Messages kept in a site's database: XML shrinks to a few hundredths, and what is kept the disk writes twice."""

from __future__ import annotations

import sys
from typing import Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVEL: Final = 1


def packed(body: bytes) -> bytes:
    """A message as it is kept; nothing for an empty one."""
    return zstd.compress(body, _LEVEL) if body else b""


def unpacked(kept: bytes) -> bytes:
    """The message that `packed` was given."""
    return zstd.decompress(kept) if kept else b""
