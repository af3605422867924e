"""``startIndex`` and ``count`` (spec 7 *Paging*)."""

from __future__ import annotations

from tallystick.protocols.sdata.codec.diagnoses import SDataCode
from tallystick.protocols.sdata.errors import BadUrl
from tallystick.protocols.sdata.provider.calls import Call, Refusal


def page_asked(call: Call) -> tuple[int, int]:
    """The 1-based start and the size of the page asked for; sizes are capped, 0 is an empty page with totals (E3).

    Raises a Refusal with 400 for anything that is no number; ``startIndex=0`` is read as 1.
    """
    try:
        start = call.arguments.number("startIndex", 1)
        count = call.arguments.number("count", call.page_size)
    except BadUrl as error:
        raise Refusal(400, error.message, sdata=SDataCode.BAD_QUERY_PARAMETER) from error
    return max(start or 1, 1), min(call.page_size if count is None else count, call.largest_page)
