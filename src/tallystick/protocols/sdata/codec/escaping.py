"""Text made safe for XML. Characters that XML 1.0 cannot carry at all become U+FFFD (docs/sdata.md, *Limits*)."""

from __future__ import annotations

import re
from functools import lru_cache

from tallystick.errors import ValueRejected

_UNWRITABLE = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_IN_TEXT = re.compile(f"[&<>\r{_UNWRITABLE}]")
_IN_ATTRIBUTE = re.compile(f'[&<>"\r\n\t{_UNWRITABLE}]')
_REPLACED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
NAME_START = (
    "A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c-\u200d\u2070-\u218f\u2c00-\u2fef"
    "\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
"""The characters, as a regular expression's set, that an XML name may begin with; the colon is left out."""
NAME_REST = NAME_START + "\\-.0-9\xb7\u0300-\u036f\u203f-\u2040"
"""The characters that an XML name may go on with."""
_NAME = re.compile(f"[{NAME_START}][{NAME_REST}]*")

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
