"""What can go wrong with a session, each with the way on (spec contexts A.3, B.9)."""

from __future__ import annotations

from tallystick.errors import GuardStopped, StorageError, TallystickError, UsageError


class NotBound(UsageError):
    """No binding of the session has this context or path. List the bindings."""

    code = "NotBound"
    default_hint = "see session.context.list_bindings()"


class SessionReleased(UsageError):
    """The session has ended. Create another one."""

    code = "SessionReleased"
    default_hint = "create another session"


class SessionPaused(UsageError):
    """The session is paused: it keeps its files and does nothing. Resume it first."""

    code = "SessionPaused"
    default_hint = "call session.resume()"


class SessionFailed(StorageError):
    """A session could not be set up: a context could not be mounted or its first download failed."""

    code = "SessionFailed"
    default_hint = "mend what the message names and create the session again; nothing was removed anywhere"


class ReleaseFailed(GuardStopped):
    """What a session held could not be uploaded. Its files are kept."""

    code = "ReleaseFailed"
    default_hint = "mend what the message names and release again, or give the files up with force=True"


def message_of(problem: TallystickError) -> str:
    """The text of a problem in the form ``[Code] Message``."""
    return problem.message if problem.message.startswith("[") else f"[{problem.code}] {problem.message}"
