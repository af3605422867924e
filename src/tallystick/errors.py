"""Everything that Tallystick raises on purpose: one hierarchy, each error with the way on.

An error says what happened and to which record, path or peer (``message``), what to do next (``hint``), how a
program recognizes it (``code``, which also travels on the wire), what a command exits with (``exit_code``) and
whether the same call may succeed later without anyone doing anything (``transient``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class TallystickError(Exception):
    """The root: catch it to catch everything that Tallystick raises on purpose.

    ``hint``, ``code`` and ``exit_code`` default to those of the class; pass a hint wherever the situation allows a
    better one. A message is a sentence without its full stop, a hint an instruction, both starting in lower case
    unless a name stands first.
    """

    code: str = "error"
    exit_code: int = 5
    transient: ClassVar[bool] = False
    default_hint: ClassVar[str] = "run the command again with --debug and report what it prints"

    def __init__(
        self, message: str, *, hint: str | None = None, code: str | None = None, exit_code: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        if code is not None:
            self.code = code
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(TallystickError):
    """A command or call that contradicts itself or names what does not exist. Correct the call."""

    code = "usage"
    exit_code = 2
    default_hint = "see tallystick --help"


class ConfigurationError(TallystickError):
    """Settings, credentials or an installation that cannot work as they are. Correct them."""

    code = "configuration"
    exit_code = 2
    default_hint = "correct the setting and start again"


# Peers ---------------------------------------------------------------------------------------------------------


class PeerError(TallystickError):
    """Something between us and the other end. Nothing is lost: the next run resumes after the last whole page."""

    code = "peer"
    exit_code = 3
    default_hint = "run the same command again: it resumes where it stopped"


class PeerUnreachable(PeerError):
    """No connection, a cut one, or no answer in time. Retry with back-off."""

    code = "peer-unreachable"
    transient = True
    default_hint = "check the address and that the peer is running, then run the same command again"


class PeerRefused(PeerError):
    """The peer answered and said no: credentials, role, or a request it does not take. Retrying alone is useless."""

    code = "peer-refused"
    default_hint = "check user, password and role for this peer"


class PeerProtocolError(PeerError):
    """The peer answered something that its protocol does not allow. Nothing of that answer was applied."""

    code = "peer-protocol"
    default_hint = "check that the address names the right service and that both ends run compatible versions"


class AccessError(TallystickError):
    """We are the served end and refuse a caller."""

    code = "access"
    exit_code = 3
    default_hint = "ask an administrator of the site for access"


class AuthenticationRequired(AccessError):
    """The caller gave no credentials, or wrong ones."""

    code = "authentication-required"
    default_hint = "send the name and password of a user of this site: https://NAME@HOST/ and --password-file"


class AccessDenied(AccessError):
    """The caller is known, but his role does not allow this on this resource."""

    code = "access-denied"


# What a run stops for ------------------------------------------------------------------------------------------


class GuardStopped(TallystickError):
    """A pass would delete or override more than the guards let through; the rest of it was applied (4.8)."""

    code = "guard-stopped"
    exit_code = 4
    default_hint = "look at what would be deleted, then let it through with --allow-deletes"


class IdentityDoubt(TallystickError):
    """Rows older than tracking share a key but not their content, too many for chance; none was merged (4.4)."""

    code = "identity-doubt"
    exit_code = 4
    default_hint = "say what equal keys mean here with --identity same, separate or natural:COLUMN,..."


# States (4.5) --------------------------------------------------------------------------------------------------


class StateError(TallystickError):
    """A state that cannot be continued from. Start without one, or reconcile."""

    code = "state"
    exit_code = 2
    default_hint = "start without a state"


class StateScopeError(StateError):
    """Made at another site, or for other resources or another filter."""

    code = "state-scope"


class StateExpiredError(StateError):
    """Deletions made since then have been purged."""

    code = "state-expired"


class StateFutureError(StateError):
    """From a history that this site has not lived through: it was restored or copied."""

    code = "state-future"


class StateInvalidError(StateError):
    """Not a state at all, or a damaged one."""

    code = "state-invalid"
    default_hint = "pass a state exactly as it was returned, or none"


# What is asked for, and what is sent -----------------------------------------------------------------------------


class SchemaError(TallystickError):
    """A table, field or type that cannot be synchronized as it is."""

    code = "schema"
    exit_code = 2
    default_hint = "change the table, or leave it out with --exclude"


class UnknownResource(SchemaError):
    """No resource of this name here, or it is not tracked."""

    code = "unknown-resource"
    default_hint = "list the tracked resources with tallystick status, add one with tallystick track"


class UnknownField(SchemaError):
    """The resource has no field of this name."""

    code = "unknown-field"
    default_hint = "use a field of the resource as tallystick status shows it"


class NoPrimaryKey(SchemaError):
    """A table whose rows nothing identifies cannot be kept in agreement."""

    code = "no-primary-key"
    default_hint = "give the table a primary key, or leave it out with --exclude"


class FilterError(TallystickError):
    """A filter that cannot be read, or that does not fit the resource."""

    code = "filter"
    exit_code = 2
    default_hint = "write it like: name eq 'x' and total gt 10"


class ValueRejected(TallystickError):
    """A value from outside that may not enter: wrong type, wrong form, a path that leaves its mount."""

    code = "value-rejected"
    exit_code = 2
    default_hint = "correct the value at its source"


class LimitExceeded(ValueRejected):
    """Larger, longer, deeper or more numerous than this end accepts. Nothing of it was applied."""

    code = "limit-exceeded"
    default_hint = "send less at once, or raise the limit at the receiving end"


# The ground we stand on ------------------------------------------------------------------------------------------


class StorageError(TallystickError):
    """The database, disk or object store of an end cannot be used. What was committed stays committed."""

    code = "storage"
    exit_code = 3
    default_hint = "mend the storage and run the same command again: it resumes where it stopped"


class StorageFull(StorageError):
    """No space left, or a quota reached."""

    code = "storage-full"
    default_hint = "free some space and run the same command again: it resumes where it stopped"


class StorageLocked(StorageError):
    """Another process kept its lock for longer than we wait."""

    code = "storage-locked"
    transient = True
    default_hint = "run the same command again when the other program has ended its transaction"


class StorageClosed(StorageError):
    """The database was closed by the program that uses it."""

    code = "storage-closed"
    default_hint = "open it again"


class StorageReplaced(StorageError):
    """The file of an open database was replaced or removed: what is read or written through it reaches nobody."""

    code = "storage-replaced"
    default_hint = "open the database again, and go on from the last state or the last agreement"


class StorageCorrupt(StorageError):
    """What was read back is not what was written. Stop writing there."""

    code = "storage-corrupt"
    default_hint = "restore a backup of this end, then run the same command again"


class InternalError(TallystickError):
    """We contradict ourselves: a defect of Tallystick, not of the data or the call."""

    code = "internal"


# ---------------------------------------------------------------------------------------------------------------


def error_classes() -> Iterator[type[TallystickError]]:
    """Every class of the hierarchy, the root first."""
    waiting: list[type[TallystickError]] = [TallystickError]
    while waiting:
        found = waiting.pop(0)
        yield found
        waiting.extend(found.__subclasses__())


def error_class(code: str) -> type[TallystickError] | None:
    """The class that ``code`` names on the wire; None for a code that this version does not know."""
    return next((found for found in error_classes() if found.code == code), None)
