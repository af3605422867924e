"""Errors on the wire: their form, their status, and back to the same class (docs/protocol.md, *Errors*). Pure."""

from __future__ import annotations

import msgspec

from tallystick.errors import (
    AccessDenied,
    AccessError,
    AuthenticationRequired,
    ConfigurationError,
    FilterError,
    GuardStopped,
    IdentityDoubt,
    LimitExceeded,
    PeerError,
    PeerProtocolError,
    PeerRefused,
    PeerUnreachable,
    SchemaError,
    StateError,
    StateExpiredError,
    StateInvalidError,
    StorageCorrupt,
    StorageError,
    StorageFull,
    TallystickError,
    UnknownField,
    UnknownResource,
    UsageError,
    ValueRejected,
    error_class,
)


class RequestError(TallystickError):
    """A request that the served end does not take. Correct the request; ``status`` is its HTTP status."""

    code = "malformed"
    exit_code = 3
    default_hint = "see docs/protocol.md for what this address takes"

    def __init__(
        self,
        message: str,
        *,
        code: str = "malformed",
        status: int = 400,
        hint: str | None = None,
        versions: list[str] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        self.versions = versions


class Busy(TallystickError):
    """The served end has as much to do as it takes at once. Repeat later."""

    code = "busy"
    exit_code = 3
    transient = True
    default_hint = "try again in a moment"


class TimedOut(TallystickError):
    """The client sent or took nothing for too long. Repeat."""

    code = "timeout"
    exit_code = 3
    transient = True
    default_hint = "send the whole request without pausing"


class ErrorForm(msgspec.Struct):
    """An error as sent. ``versions`` accompanies the code ``version``."""

    code: str
    message: str
    hint: str = ""
    retry: bool = False
    versions: list[str] | msgspec.UnsetType = msgspec.UNSET


_STATUS: tuple[tuple[type[TallystickError], int], ...] = (
    (AuthenticationRequired, 401),
    (AccessDenied, 403),
    (AccessError, 403),
    (Busy, 503),
    (TimedOut, 408),
    (UnknownResource, 404),
    (UnknownField, 400),
    (SchemaError, 422),
    (LimitExceeded, 413),
    (ValueRejected, 400),
    (StateExpiredError, 410),
    (StateInvalidError, 400),
    (StateError, 409),
    (FilterError, 400),
    (UsageError, 400),
    (PeerProtocolError, 400),
    (GuardStopped, 409),
    (IdentityDoubt, 409),
    (ConfigurationError, 409),
    (StorageFull, 507),
    (StorageCorrupt, 500),
    (StorageError, 503),
)
_decoder = msgspec.json.Decoder(ErrorForm)


def status_of(error: TallystickError) -> int:
    """The HTTP status of an error: 500 for what is nobody's fault but ours."""
    if isinstance(error, RequestError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def form_of(error: BaseException) -> ErrorForm:
    """The form of an error. Of what was not raised on purpose nothing but that is told: it may name data."""
    if not isinstance(error, TallystickError):
        return ErrorForm("internal", "the served site met an unexpected situation", "see the log of the served site")
    code = "malformed" if isinstance(error, PeerProtocolError) else error.code
    versions = (error.versions if isinstance(error, RequestError) else None) or msgspec.UNSET
    return ErrorForm(code, error.message, error.hint, error.transient, versions)


def encode_error(error: BaseException) -> bytes:
    """An error as a body."""
    return msgspec.json.encode(form_of(error))


def decode_error(status: int, body: bytes, peer: str) -> TallystickError:
    """The error that a peer's answer stands for: of the class that raised it there, where this version knows it.

    AccessError comes back as PeerRefused, and what the peer could not read as PeerProtocolError.
    """
    try:
        form = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _plain(status, peer)
    message = f"{peer}: {form.message[:2000]}"
    hint = form.hint[:2000] or None
    if form.retry and status >= 408 and status not in (507,):
        return _transient(form, message, hint)
    known = _class_of(form.code)
    if known is None or issubclass(known, RequestError | AccessError | PeerError):
        kind: type[PeerError] = PeerRefused if form.code not in ("malformed", "version") else PeerProtocolError
        kind = kind if status < 500 else PeerError
        return kind(message, hint=hint, code=form.code)
    if form.code == "internal":
        return PeerError(message, hint=hint, code=form.code)
    return known(message, hint=hint, code=form.code)


def _class_of(code: str) -> type[TallystickError] | None:
    """The class of a code, or of what it refines: ``filter-too-deep`` is a ``filter``."""
    while code:
        known = error_class(code)
        if known is not None:
            return known
        code = code.rpartition("-")[0]
    return None


def _transient(form: ErrorForm, message: str, hint: str | None) -> TallystickError:
    known = error_class(form.code)
    if known is not None and known.transient and not issubclass(known, Busy | TimedOut):
        return known(message, hint=hint)
    return PeerUnreachable(message, hint=hint, code=form.code)


def _plain(status: int, peer: str) -> TallystickError:
    """The error of an answer that is no error form: of a proxy, or of something that is no site."""
    if status in (502, 503, 504):
        return PeerUnreachable(f"{peer} answered {status}: the service behind it does not")
    if status in (401, 403):
        return PeerRefused(f"{peer} answered {status}, and not as a site does", hint="a proxy may want a login")
    return PeerProtocolError(f"{peer} answered {status}, and not as a site does")
