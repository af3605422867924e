"""SData figures: codec and whole passes. Prints one JSON object.

python benchmarks/sdata.py            # everything
python benchmarks/sdata.py codec      # feed writing and parsing alone
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tallystick.protocols.sdata.digests import SyncState
from tallystick.protocols.sdata.entries import Entry
from tallystick.protocols.sdata.feeds import FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.payloads import Payload

ENDPOINT = "http://127.0.0.1:5493/sdata/crm/crm/-/accounts"
NAMESPACE = "http://schemas.example/crm/1"


def entry(number: int, width: int) -> Entry:
    """A sync entry whose payload has four short fields and one of ``width`` characters."""
    fields = {
        "name": f"Brightwater {number}",
        "website": None,
        "creditLimit": "7500.00",
        "notes": "x" * width,
    }
    payload = Payload("account", NAMESPACE, fields, uuid=f"3b9f6a52-1c8d-4e07-a5f4-{number:012d}")
    return Entry(
        id=f"{ENDPOINT}('{number}')",
        title=f"Brightwater {number}",
        updated="2026-03-02T07:41:18Z",
        method="PUT",
        state=SyncState(ENDPOINT, number, "2026-03-02T07:41:18Z"),
        payload=payload,
    )


def rate(action: Callable[[], Any], count: int, repeats: int = 5) -> int:
    """Items per second: the median of ``repeats`` runs."""
    times = []
    for _ in range(repeats):
        gc.collect()
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return round(count / statistics.median(times))


def codec(count: int = 20_000) -> dict[str, Any]:
    """Feed writing and parsing, pages of 500, for messages of about 700 and 1,000 bytes an entry."""
    figures = {}
    for label, width in (("short", 10), ("long", 350)):
        entries = [entry(number, width) for number in range(count)]
        head = FeedHead(id=ENDPOINT, title="accounts")
        pages = [entries[start : start + 500] for start in range(0, count, 500)]
        bodies = [write_feed(head, page) for page in pages]
        figures[label] = {
            "bytes_per_entry": round(sum(map(len, bodies)) / count),
            "written_per_second": rate(lambda: [write_feed(head, page) for page in pages], count),  # noqa: B023
            "parsed_per_second": rate(lambda: deque(map(read_feed, bodies), maxlen=0), count),  # noqa: B023
        }
    return figures


if __name__ == "__main__":
    print(json.dumps({"codec": codec()}, indent=2))
