"""What can go wrong with stored content, each with the way on."""

from __future__ import annotations

from tallystick.errors import PeerProtocolError, StorageCorrupt, StorageError


class ChunkMissing(StorageError):
    """A store was asked for a chunk that it does not hold. Whoever has the content can store it again."""

    code = "ChunkMissing"
    default_hint = "run tallystick verify --deep at the end that lost it, then synchronize again"

    def __init__(self, name: bytes | str, *, hint: str | None = None, code: str | None = None) -> None:
        """``name`` is the chunk, or the message in which another end named it."""
        message = name if isinstance(name, str) else f"[ChunkMissing] no content is stored for {name.hex()}"
        super().__init__(message, hint=hint, code=code)
        self.name = b"" if isinstance(name, str) else name


class ChunkDamaged(StorageCorrupt):
    """What was read back for a chunk is not what its name says."""

    code = "ChunkDamaged"
    default_hint = "send it again from a directory that has the file: tallystick repair DIR https://host/contexts/NAME"


class BundleInvalid(PeerProtocolError):
    """Bytes that are no bundle of chunks, or one whose content does not match its names. Nothing of it was stored."""

    code = "BundleInvalid"


class HeadMoved(StorageError):
    """Somebody else has published a newer version. Read it, plan again, try again."""

    code = "HeadMoved"
    transient = True
    default_hint = "read the new version and try again"
