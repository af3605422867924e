"""Errors by the names and numbers that MAPI gives them."""

from __future__ import annotations

from typing import ClassVar


class MAPIError(Exception):
    """An error with a number, ``hr``; ``desc`` is what happened."""

    number: ClassVar[int] = 0x80004005

    def __init__(self, hr: int | None = None, desc: str | None = None) -> None:
        Exception.__init__(self, hr, desc)
        self.hr = self.number if hr is None else hr
        self.desc = desc

    def __str__(self) -> str:
        return f"MAPI error {self.hr:X} ({self.desc or type(self).__name__})"

    def __repr__(self) -> str:
        return str(self)


class MAPIErrorCallFailed(MAPIError):
    """Something failed."""

    number = 0x80004005


class MAPIErrorNoAccess(MAPIError):
    """The caller may not do that."""

    number = 0x80070005


class MAPIErrorNotEnoughMemory(MAPIError):
    """Out of memory."""

    number = 0x8007000E


class MAPIErrorInvalidParameter(MAPIError):
    """An argument that means nothing."""

    number = 0x80070057


class MAPIErrorNoSupport(MAPIError):
    """Not offered."""

    number = 0x80040102


class MAPIErrorInvalidEntryid(MAPIError):
    """Not an address."""

    number = 0x80040107


class MAPIErrorInvalidObject(MAPIError):
    """Not, or no longer, an object."""

    number = 0x80040108


class MAPIErrorObjectChanged(MAPIError):
    """Somebody else changed it meanwhile."""

    number = 0x80040109


class MAPIErrorObjectDeleted(MAPIError):
    """It was deleted."""

    number = 0x8004010A


class MAPIErrorBusy(MAPIError):
    """Try again later."""

    number = 0x8004010B


class MAPIErrorNotFound(MAPIError):
    """There is no such thing."""

    number = 0x8004010F


class MAPIErrorLogonFailed(MAPIError):
    """Unknown user or wrong password."""

    number = 0x80040111


class MAPIErrorNetworkError(MAPIError):
    """The server cannot be reached, or is busy for too long."""

    number = 0x80040115


class MAPIErrorDiskError(MAPIError):
    """The server's database refuses."""

    number = 0x80040116


class MAPIErrorTooBig(MAPIError):
    """Larger than allowed."""

    number = 0x80040305


class MAPIErrorUnconfigured(MAPIError):
    """Not set up."""

    number = 0x8004011C


class MAPIErrorCollision(MAPIError):
    """The name, or the number, is taken by something else."""

    number = 0x80040604


class MAPIErrorNotInitialized(MAPIError):
    """Not ready."""

    number = 0x80040605
