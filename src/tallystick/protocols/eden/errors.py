"""What can be wrong with a message of the Eden protocol (spec: sections 5 to 8 and 17)."""

from __future__ import annotations

from tallystick.errors import AccessError, LimitExceeded, PeerProtocolError, ValueRejected


class DocumentError(ValueRejected):
    """An S3XML or S3JSON document that cannot be read as a whole. Nothing of it was imported."""

    code = "eden-document"
    default_hint = "send a well-formed S3XML or S3JSON document"


class DoctypeRefused(DocumentError):
    """The document has a document type declaration; entities and external files are never read."""

    code = "eden-doctype"
    default_hint = "send the document without <!DOCTYPE ...>"


class DocumentTooLarge(LimitExceeded):
    """More bytes, or more fields in one record, than this end accepts."""

    code = "eden-too-large"
    default_hint = "send fewer records at once, or raise the limit at the receiving end"


class DocumentTooDeep(LimitExceeded):
    """Records nested in records, or values in values, deeper than this end accepts."""

    code = "eden-too-deep"
    default_hint = "send component records as records of their own"


class FieldRejected(ValueRejected):
    """One value that its field does not take. Rejects its record; the others of the document are imported."""

    code = "eden-field"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class TimeFormatError(ValueRejected):
    """A time that is not exactly ``YYYY-MM-DDTHH:MM:SS`` where the protocol allows nothing else (section 8)."""

    code = "eden-time"
    default_hint = "write times as YYYY-MM-DDTHH:MM:SS in UTC, without zone and fraction"


class RegistrationRequired(AccessError):
    """A push from a repository that this site does not know (section 5). Register it first."""

    code = "eden-registration"
    default_hint = "register at this site first: tallystick peers register"


class UnreadableReply(PeerProtocolError):
    """The peer's answer is not the JSON or S3XML that the protocol promises."""

    code = "eden-reply"
