"""Diagnoses: what went wrong, told to the caller (spec 12 *Errors*; K 3.10)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec
from lxml import etree

from tallystick.protocols.sdata.codec.documents import Limits, children, expect_root, parse_document, text_of
from tallystick.protocols.sdata.codec.escaping import escape
from tallystick.protocols.sdata.codec.names import SDATA


class Severity(StrEnum):
    """How bad it is. Written in lower case (C21), read in any."""

    INFO = "info"
    WARNING = "warning"
    TRANSIENT = "transient"
    ERROR = "error"
    FATAL = "fatal"


class SDataCode(StrEnum):
    """The codes of K 3.10."""

    BAD_URL_SYNTAX = "BadUrlSyntax"
    BAD_QUERY_PARAMETER = "BadQueryParameter"
    APPLICATION_NOT_FOUND = "ApplicationNotFound"
    APPLICATION_UNAVAILABLE = "ApplicationUnavailable"
    DATASET_NOT_FOUND = "DatasetNotFound"
    DATASET_UNAVAILABLE = "DatasetUnavailable"
    CONTRACT_NOT_FOUND = "ContractNotFound"
    RESOURCE_KIND_NOT_FOUND = "ResourceKindNotFound"
    BAD_WHERE_SYNTAX = "BadWhereSyntax"
    APPLICATION_DIAGNOSIS = "ApplicationDiagnosis"


class Diagnosis(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One diagnosis. ``code`` is an SDataCode or, from other providers, any text; ``payload_path`` an XPath."""

    severity: Severity = Severity.ERROR
    code: str = SDataCode.APPLICATION_DIAGNOSIS
    message: str = ""
    application_code: str = ""
    stack_trace: str = ""
    payload_path: str = ""


_ELEMENTS = {
    "sdataCode": "code",
    "applicationCode": "application_code",
    "message": "message",
    "stackTrace": "stack_trace",
    "payloadPath": "payload_path",
}
_DIAGNOSIS = f"{{{SDATA}}}diagnosis"
_DIAGNOSES = f"{{{SDATA}}}diagnoses"


def read_diagnosis(element: etree._Element) -> Diagnosis:
    """The diagnosis in ``element``; severities in any case, unknown ones as errors."""
    found: dict[str, str] = {}
    severity = Severity.ERROR
    for name, child in children(element, SDATA):
        if name == "severity":
            text = text_of(child).lower()
            severity = Severity(text) if text in Severity.__members__.values() else Severity.ERROR
        elif name in _ELEMENTS:
            found[_ELEMENTS[name]] = text_of(child)
    return Diagnosis(severity=severity, **found)


def read_diagnoses(data: bytes) -> tuple[Diagnosis, ...]:
    """The diagnoses of an error response, whether wrapped in ``diagnoses`` or one bare ``diagnosis``.

    Raises MalformedMessage when the body is neither.
    """
    root = parse_document(data, Limits(size=4 * 1024 * 1024))
    if expect_root(root, _DIAGNOSES, _DIAGNOSIS) == _DIAGNOSIS:
        return (read_diagnosis(root),)
    return tuple(read_diagnosis(child) for name, child in children(root, SDATA) if name == "diagnosis")


def write_diagnoses(diagnoses: Sequence[Diagnosis]) -> bytes:
    """The body of an error response (``application/xml``)."""
    inner = "".join(f" <diagnosis>\n{_elements(found, '', '  ')} </diagnosis>\n" for found in diagnoses)
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<diagnoses xmlns="{SDATA}">\n{inner}</diagnoses>\n'
    return text.encode()


def write_diagnosis(diagnosis: Diagnosis) -> str:
    """The diagnosis as an element of an entry or feed, whose prefix ``sdata`` must be in scope."""
    return f"<sdata:diagnosis>{_elements(diagnosis, 'sdata:', None)}</sdata:diagnosis>"


def _elements(diagnosis: Diagnosis, prefix: str, indent: str | None) -> str:
    values = [("severity", diagnosis.severity.value)]
    values += [(name, getattr(diagnosis, attribute)) for name, attribute in _ELEMENTS.items()]
    start, end = ("", "") if indent is None else (indent, "\n")
    return "".join(f"{start}<{prefix}{name}>{escape(value)}</{prefix}{name}>{end}" for name, value in values if value)
