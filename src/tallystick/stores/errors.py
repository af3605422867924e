"""What the object model raises, beside the errors of the whole house."""

from __future__ import annotations

from tallystick.errors import StateError, TallystickError


class StoreError(TallystickError):
    """Something about servers, users, stores, folders or items that cannot be done."""

    code = "store"
    exit_code = 2
    default_hint = ""


class NotFoundError(StoreError):
    """There is no such user, store, folder or item, or it was deleted."""

    code = "not-found"


class DuplicateError(StoreError):
    """The name is taken."""

    code = "duplicate"


class NotSupportedError(StoreError):
    """This object, or the way it was opened, does not offer that."""

    code = "not-supported"


class ArgumentError(StoreError):
    """Arguments that do not go together, or have no meaning here."""

    code = "argument"


class LogonError(StoreError):
    """Unknown user, wrong password, or no site to log on to."""

    code = "logon"


class ConfigError(StoreError):
    """A configuration file that cannot be used."""

    code = "config"


class StateRequiredError(StateError):
    """A synchronization that cannot start from nothing."""

    code = "state-required"
    default_hint = "take the state of now first, synchronize each folder, then go on from that state"


class UnknownRegistrationError(StateError):
    """A state whose synchronization nobody registered, and that says nothing else either."""

    code = "unknown-registration"
