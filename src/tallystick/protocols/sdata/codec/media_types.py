"""Content types in and out (spec 1): exact when written, lenient when read."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Form(StrEnum):
    """The two forms of a message body."""

    XML = "xml"
    JSON = "json"


_XML_TYPES: Final = (
    "",
    "application/atom+xml",
    "application/xml",
    "text/xml",
    "text/plain",
    "application/octet-stream",
)
_JSON_TYPES: Final = ("application/json", "text/json", "application/vnd.sage.sdata+json")


def essence(content_type: str) -> str:
    """The type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def body_form(content_type: str) -> Form | None:
    """How a posted body is read: by its root element, whatever ``type=`` says, when it is XML or has no type at all.

    None for a type that SData does not use (415).
    """
    kind = essence(content_type)
    if kind in _JSON_TYPES:
        return Form.JSON
    return Form.XML if kind in _XML_TYPES or kind.endswith("+xml") else None


def answer_form(accept: str, format_argument: str) -> Form | None:
    """How the caller wants the answer: the ``format`` argument, else ``Accept``, else Atom. None for another format."""
    wanted = format_argument.strip().lower()
    if wanted:
        names = {"json": Form.JSON, "atom": Form.XML, "xml": Form.XML, "atomfeed": Form.XML, "atomentry": Form.XML}
        return names.get(wanted) or (
            {**dict.fromkeys(_JSON_TYPES, Form.JSON)}.get(essence(wanted)) or body_form(wanted)
        )
    for choice in accept.split(","):
        kind = essence(choice)
        if kind in _JSON_TYPES:
            return Form.JSON
        if kind in _XML_TYPES[1:4]:
            return Form.XML
    return Form.XML
