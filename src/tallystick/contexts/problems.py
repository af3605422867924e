"""What can go wrong with a context, each with the way on (spec contexts A.2, B.10)."""

from __future__ import annotations

from tallystick.errors import StorageError, StorageFull, UsageError, ValueRejected


class ContextNotFound(UsageError):
    """There is no context of this name or identifier at the site. List those that are there."""

    code = "ContextNotFound"
    default_hint = "see: tallystick contexts list SITE"

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message, hint=hint, code=code)

    @classmethod
    def of(cls, name: str) -> ContextNotFound:
        """The error for a name or identifier that nothing has."""
        return cls(f"[ContextNotFound] there is no context {name!r}")


class NameExists(UsageError):
    """Another context has this name. Choose another one."""

    code = "NameExists"
    default_hint = "choose a name that no other context has"


class FileNotHeld(UsageError):
    """A context holds no file of this key. List its folder."""

    code = "FileNotFound"
    default_hint = "see: tallystick contexts files SITE CONTEXT FOLDER"


class VersionMoved(StorageError):
    """Somebody else has published to the context meanwhile. Read what is new, plan again, try again (C1)."""

    code = "VersionMoved"
    transient = True
    default_hint = "run the same command again: it takes the newer version into account"


class PagesLost(StorageError):
    """Pages that an upload had laid aside are not there any more: it took too long. Nothing was published."""

    code = "PagesLost"
    transient = True
    default_hint = "run the same command again: content that was sent is not sent again"

    @classmethod
    def of(cls, found: int, laid_aside: int) -> PagesLost:
        """The error for a run of which so many pages were found."""
        return cls(f"[PagesLost] of {laid_aside} pages that the upload laid aside {found} are there")


class EntryRejected(ValueRejected):
    """A file entry from outside that cannot be: its path, size, hash, mode or chunks. Nothing was published."""

    code = "EntryRejected"
    default_hint = "correct the entry that is named"


class QuotaExceeded(StorageFull):
    """A context would hold more bytes or entries than it may. Nothing was published."""

    code = "QuotaExceeded"
    default_hint = "remove files, or raise the quota: tallystick contexts create SITE NAME --quota BYTES"


class LinkExpired(ValueRejected):
    """A signed URL that is over, or was not signed for this. Ask for a new one."""

    code = "LinkExpired"
    default_hint = "ask for a new URL"


class ClearanceTimeoutError(StorageError):
    """A context was not cleared in time. It goes on being cleared; ask for its status (A.2)."""

    code = "ClearanceTimeout"
    transient = True
    default_hint = "ask for the status later, or give it more time"
