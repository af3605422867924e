"""Errors under the names programs catch: the original's own, and MAPI's (spec ics C11, 2, 3.4).

Errors of the house that the original raises as MAPI errors are raised as both, so that either name catches them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tallystick.compat.MAPI.Struct import (
    MAPIError,
    MAPIErrorCollision,
    MAPIErrorDiskError,
    MAPIErrorInvalidParameter,
    MAPIErrorNetworkError,
    MAPIErrorNoAccess,
    MAPIErrorNoSupport,
    MAPIErrorNotFound,
)
from tallystick.errors import (
    AccessDenied,
    PeerUnreachable,
    StateInvalidError,
    StateScopeError,
    StorageError,
    StorageLocked,
    TallystickError,
)
from tallystick.stores.errors import (
    ArgumentError,
    ConfigError,
    DuplicateError,
    LogonError,
    NotFoundError,
    NotSupportedError,
    StateRequiredError,
    StoreError,
    UnknownRegistrationError,
)

Error = StoreError


class _Both(MAPIError):
    """A MAPI error that is an error of the house as well."""

    def __init__(self, message: str, hint: str = "") -> None:
        MAPIError.__init__(self, None, f"{message}; {hint}" if hint else message)
        self.message = message
        self.hint = hint


class AccessDeniedError(_Both, MAPIErrorNoAccess, AccessDenied):
    """The caller may not do that."""


class ObjectGoneError(_Both, MAPIErrorNotFound, NotFoundError):
    """The object was deleted."""


class ForeignStateError(_Both, MAPIErrorCollision, StateScopeError):
    """A state of another folder, or of another kind of synchronization."""


class InvalidStateError(_Both, MAPIErrorInvalidParameter, StateInvalidError):
    """Not a state, or a damaged one."""


class MissingStateError(_Both, MAPIErrorNoSupport, StateRequiredError):
    """A server can only be synchronized from a state on."""


class UnregisteredStateError(_Both, MAPIErrorDiskError, UnknownRegistrationError):
    """A state that was never given out."""


class UnreachableError(_Both, MAPIErrorNetworkError, StorageLocked):
    """The site's database cannot be used now. Try again."""


class UnusableError(_Both, MAPIErrorDiskError, StorageError):
    """The site's database cannot be used."""


_FACES: tuple[tuple[type[TallystickError], type[_Both]], ...] = (
    (AccessDenied, AccessDeniedError),
    (StateRequiredError, MissingStateError),
    (UnknownRegistrationError, UnregisteredStateError),
    (StateScopeError, ForeignStateError),
    (StateInvalidError, InvalidStateError),
    (StorageLocked, UnreachableError),
    (PeerUnreachable, UnreachableError),
    (StorageError, UnusableError),
)


@contextmanager
def as_mapi() -> Iterator[None]:
    """Errors of the house as those that programs written for the original catch."""
    try:
        yield
    except TallystickError as error:
        if isinstance(error, MAPIError):
            raise
        for known, face in _FACES:
            if isinstance(error, known):
                raise face(error.message, error.hint) from error
        raise


__all__ = [
    "AccessDeniedError",
    "ArgumentError",
    "ConfigError",
    "DuplicateError",
    "Error",
    "ForeignStateError",
    "InvalidStateError",
    "LogonError",
    "MissingStateError",
    "NotFoundError",
    "NotSupportedError",
    "ObjectGoneError",
    "UnreachableError",
    "UnregisteredStateError",
    "UnusableError",
    "as_mapi",
]
