"""The request of ``conclude``: the end of a pass, with its last page (docs/protocol.md, *Verbs*). Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from tallystick.core.pages import Page
from tallystick.protocols.native.codec import blocks, lines
from tallystick.protocols.native.codec.checks import check, check_apply
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import LIMITS, Limits
from tallystick.protocols.native.codec.messages import LINES, Acknowledging, SettingsForm, decode
from tallystick.protocols.native.codec.pages import decode_page
from tallystick.sync.replica import Closing, Meeting

_PARTS = (SettingsForm, Closing, Meeting)
_KINDS: dict[bytes, Any] = dict(zip((blocks.SETTINGS, blocks.CLOSING, blocks.MEETING), _PARTS, strict=True))


class Conclusion(NamedTuple):
    """What a source says at the end of a pass: how to take it, the closing, what it states, the last page if one."""

    settings: SettingsForm
    closing: Closing
    theirs: Meeting
    page: Page | None


def read_conclusion(kind: str, body: bytes, limits: Limits = LIMITS) -> Conclusion:
    """What a request of the media type ``kind`` says.

    Raises RequestError, LimitExceeded, FilterError, StateInvalidError.
    """
    found = list(lines.read_lines(body, limits)) if kind == LINES else _in_blocks(body, limits)
    settings, closing, theirs, page = (*found, None, None, None, None)[:4]
    if not (
        len(found) in (3, 4)
        and isinstance(settings, SettingsForm)
        and isinstance(closing, Closing)
        and isinstance(theirs, Meeting)
        and (page is None or isinstance(page, Page))
    ):
        raise RequestError("conclude takes settings, closing, meeting and at most one page, in this order")
    check(Acknowledging(closing, settings), limits)
    check(theirs, limits)
    if page is not None:
        check_apply(settings, page, limits)
    return Conclusion(settings, closing, theirs, page)


def _in_blocks(body: bytes, limits: Limits) -> list[object]:
    return [
        decode_page(raw, limits) if kind == blocks.PAGE else decode(_KINDS[kind], raw) if kind in _KINDS else None
        for kind, raw in blocks.split(body, limits)
    ]
