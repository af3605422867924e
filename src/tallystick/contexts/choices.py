"""The closed choices of a context policy: members and wire values (spec contexts A.1)."""

from __future__ import annotations

from enum import Enum

HOURS_A_DAY = 24


class UploadStrategy(Enum):
    """When files go up by themselves."""

    UPLOAD_BEFORE_RESOURCE_RELEASE = "UploadBeforeResourceRelease"


class DownloadStrategy(Enum):
    """How files come down by themselves."""

    DOWNLOAD_ASYNC = "DownloadAsync"


class UploadMode(Enum):
    """How the store lays files out: each by itself, or packed into archives."""

    FILE = "File"
    ARCHIVE = "Archive"


class Lifecycle(Enum):
    """How long unmodified files are kept."""

    LIFECYCLE_1DAY = "Lifecycle_1Day"
    LIFECYCLE_3DAYS = "Lifecycle_3Days"
    LIFECYCLE_5DAYS = "Lifecycle_5Days"
    LIFECYCLE_10DAYS = "Lifecycle_10Days"
    LIFECYCLE_15DAYS = "Lifecycle_15Days"
    LIFECYCLE_30DAYS = "Lifecycle_30Days"
    LIFECYCLE_90DAYS = "Lifecycle_90Days"
    LIFECYCLE_180DAYS = "Lifecycle_180Days"
    LIFECYCLE_360DAYS = "Lifecycle_360Days"
    LIFECYCLE_FOREVER = "Lifecycle_Forever"

    @property
    def days(self) -> int | None:
        """Days of 24 hours until a file expires; None for never."""
        digits = "".join(character for character in self.value if character.isdigit())
        return int(digits) if digits else None


def wire_values(choice: type[Enum]) -> str:
    """All wire values of an enum, in order, for messages."""
    return ", ".join(str(member.value) for member in choice)
