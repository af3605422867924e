"""Text made safe for XML. Characters that XML 1.0 cannot carry at all become U+FFFD (docs/sdata.md, *Limits*)."""

from __future__ import annotations

import re
from functools import lru_cache

from tallystick.errors import ValueRejected

_UNWRITABLE = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_IN_TEXT = re.compile(f"[&<>\r{_UNWRITABLE}]")
_IN_ATTRIBUTE = re.compile(f'[&<>"\r\n\t{_UNWRITABLE}]')
_REPLACED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
_NAME = re.compile(r"[^\W\d][\w.\-]*")

_search_text = _IN_TEXT.search


def escape(text: str) -> str:
    """``text`` as element content."""
    return text if _search_text(text) is None else _IN_TEXT.sub(_replace, text)


def escape_attribute(text: str) -> str:
    """``text`` as the value of an attribute in double quotes."""
    return text if _IN_ATTRIBUTE.search(text) is None else _IN_ATTRIBUTE.sub(_replace, text)


def _replace(match: re.Match[str]) -> str:
    return _REPLACED.get(match.group(), "\ufffd")


@lru_cache(maxsize=8192)
def checked_name(name: str) -> str:
    """``name``, which must be an XML name without a colon.

    Raises ValueRejected: write columns that are no XML names under the names `schema.xml_name` gives them.
    """
    if _NAME.fullmatch(name) is None:
        raise ValueRejected(f"{name[:60]!r} is no XML element name", hint="use schema.xml_name for such properties")
    return name
