"""What goes wrong with SData messages and passes; every error names the message or element and the way on."""

from __future__ import annotations

from typing import ClassVar

from tallystick.errors import LimitExceeded, PeerError, PeerProtocolError


class MalformedMessage(PeerProtocolError):
    """A message that is not what SData allows; nothing of it was applied. A provider answers it with 400."""

    code = "sdata-malformed"
    default_hint = "correct the message and send it again under the same trackingID"


class DoctypeRefused(MalformedMessage):
    """A document type declaration: entities, external ones above all, are never read (DESIGN.md 8)."""

    code = "sdata-doctype"
    default_hint = "send the message without its DOCTYPE"


class EncodingRefused(MalformedMessage):
    """Bytes that are not UTF-8, or say that they are not (spec 1)."""

    code = "sdata-encoding"
    default_hint = "send the message as UTF-8"


class UnknownNamespace(MalformedMessage):
    """The right element in the wrong namespace, or in none."""

    code = "sdata-namespace"
    default_hint = "use the namespaces of SData 1.1"


class TickGap(MalformedMessage):
    """An immediate feed skips ticks that the target has not seen (spec 9.5). Push no more; let catch-up close it."""

    code = "sdata-gap"
    default_hint = "run a catch-up pass; it brings the missing changes"


class MessageTooLarge(LimitExceeded):
    """More bytes, entries or nesting than this end reads in one message. Nothing of it was applied."""

    code = "sdata-too-large"
    default_hint = "send smaller pages, or raise the limit at the receiving end"


class BadUrl(MalformedMessage):
    """A URL that does not follow the scheme of spec 2."""

    code = "sdata-url"
    default_hint = "write it like /sdata/application/contract/dataset/kind('key')"


class PassStopped(PeerError):
    """A provider failed a step of a pass as a whole: nothing later was sent, and both jobs were deleted (9.6).

    ``status`` is the HTTP status that stopped it, 0 when there was none.
    """

    code = "sdata-pass-stopped"
    default_hint = "read the diagnosis, mend its cause and run again: the next pass resumes by itself"

    def __init__(self, message: str, *, status: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class OriginRefused(PeerError):
    """A provider sent us to another origin by Location or next link; such addresses are not fetched (DESIGN.md 8)."""

    code = "sdata-origin"
    default_hint = "correct the provider's base URL, or name the other origin as trusted"


class ProviderBusy(PeerError):
    """The provider asked for patience longer than we have (503, or a job that never ends). Run again later."""

    code = "sdata-busy"
    transient: ClassVar[bool] = True
    default_hint = "run the same command again later"
