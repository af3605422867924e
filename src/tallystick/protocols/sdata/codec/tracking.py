"""The tracking payload of a running job (spec 4)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from tallystick.protocols.sdata.codec.documents import Limits, children, expect_root, parse_document, text_of
from tallystick.protocols.sdata.codec.escaping import escape
from tallystick.protocols.sdata.codec.names import SDATA

SHORTEST_POLL = 100
LONGEST_POLL = 10_000
DEFAULT_POLL = 500
"""Milliseconds between two polls when the provider names none, or none that makes sense."""


class Tracking(msgspec.Struct, frozen=True):
    """How far a job is: ``progress`` in percent, times in seconds, ``polling_millis`` until the next poll."""

    phase: str = ""
    phase_detail: str = ""
    progress: Decimal = Decimal("0.0")
    elapsed_seconds: int = 0
    remaining_seconds: int = 0
    polling_millis: int = DEFAULT_POLL

    @property
    def delay(self) -> float:
        """Seconds to wait before the next poll, within 0.1 to 10; outside of that it is the default, as E1 does."""
        sensible = SHORTEST_POLL <= self.polling_millis <= LONGEST_POLL
        return (self.polling_millis if sensible else DEFAULT_POLL) / 1000


def read_tracking(data: bytes) -> Tracking:
    """The tracking payload in ``data``: numbers as decimals, every element optional (C20).

    Raises UnknownNamespace or MalformedMessage when the root element is not ``tracking``.
    """
    root = parse_document(data, Limits(size=1024 * 1024))
    expect_root(root, f"{{{SDATA}}}tracking")
    found = {name: text_of(child) for name, child in children(root, SDATA)}
    return Tracking(
        phase=found.get("phase", ""),
        phase_detail=found.get("phaseDetail", ""),
        progress=_number(found.get("progress"), Decimal("0.0")),
        elapsed_seconds=int(_number(found.get("elapsedSeconds"), Decimal(0))),
        remaining_seconds=int(_number(found.get("remainingSeconds"), Decimal(0))),
        polling_millis=int(_number(found.get("pollingMillis"), Decimal(DEFAULT_POLL))),
    )


def _number(text: str | None, default: Decimal) -> Decimal:
    try:
        value = Decimal(text or "")
    except InvalidOperation:
        return default
    return value if value.is_finite() and abs(value) < 10**12 else default


def write_tracking(tracking: Tracking) -> bytes:
    """The body of a 202 (``application/xml``): all six elements, integers as integers, the right namespace (C9)."""
    progress = tracking.progress.quantize(Decimal("0.1"))
    return f"""<?xml version="1.0" encoding="utf-8"?>
<tracking xmlns="{SDATA}">
 <phase>{escape(tracking.phase)}</phase>
 <phaseDetail>{escape(tracking.phase_detail)}</phaseDetail>
 <progress>{progress}</progress>
 <elapsedSeconds>{tracking.elapsed_seconds}</elapsedSeconds>
 <remainingSeconds>{tracking.remaining_seconds}</remainingSeconds>
 <pollingMillis>{tracking.polling_millis}</pollingMillis>
</tracking>
""".encode()
