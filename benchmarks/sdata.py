"""SData figures: codec and whole passes. Prints one JSON object.

python benchmarks/sdata.py            # everything
python benchmarks/sdata.py codec      # feed writing and parsing alone
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tallystick.protocols.sdata.codec.digests import SyncState
from tallystick.protocols.sdata.codec.entries import Entry
from tallystick.protocols.sdata.codec.feeds import FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.payloads import Field, Payload

ENDPOINT = "http://127.0.0.1:5493/sdata/crm/crm/-/accounts"
NAMESPACE = "http://schemas.example/crm/1"


def entry(number: int, width: int, endpoint: str = ENDPOINT) -> Entry:
    """A sync entry with three short fields, one of them null, and one of ``width`` characters (none: left out)."""
    fields: dict[str, Field] = {"name": f"Brightwater {number}", "website": None, "creditLimit": "7500.00"}
    if width:
        fields["notes"] = "x" * width
    payload = Payload("account", NAMESPACE, fields, uuid=f"3b9f6a52-1c8d-4e07-a5f4-{number:012d}")
    return Entry(
        id=f"{endpoint}('{number}')",
        title=f"Brightwater {number}",
        updated="2026-03-02T07:41:18Z",
        method="PUT",
        state=SyncState(endpoint, number, "2026-03-02T07:41:18Z"),
        payload=payload,
    )


def rate(action: Callable[[], Any], count: int, repeats: int = 5) -> int:
    """Items per second of processor time, so that a busy machine does not count: the median of ``repeats`` runs."""
    times = []
    for _ in range(repeats):
        gc.collect()
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return round(count / statistics.median(times))


def codec(count: int = 20_000) -> dict[str, Any]:
    """Feed writing and parsing, pages of 500, entries of three sizes."""
    figures = {}
    for label, width, endpoint in (
        ("about 600 bytes", 0, "http://crm/sdata/a/crm/-/accounts"),
        ("about 650 bytes", 10, ENDPOINT),
        ("about 1000 bytes", 350, ENDPOINT),
    ):
        entries = [entry(number, width, endpoint) for number in range(count)]
        head = FeedHead(id=endpoint, title="accounts")
        pages = [entries[start : start + 500] for start in range(0, count, 500)]
        bodies = [write_feed(head, page) for page in pages]
        figures[label] = {
            "bytes_per_entry": round(sum(map(len, bodies)) / count),
            "written_per_second": rate(lambda: [write_feed(head, page) for page in pages], count),  # noqa: B023
            "parsed_per_second": rate(lambda: deque(map(read_feed, bodies), maxlen=0), count),  # noqa: B023
        }
    return figures


# Whole passes ---------------------------------------------------------------------------------------------------


def serve(application: str, port: int, count: int, width: int) -> None:
    """A provider over a store in memory, in this process, until it is ended."""
    import uvicorn

    from tallystick.core.values import Logical
    from tallystick.protocols.sdata.codec.kinds import Contract, Kind, Property
    from tallystick.protocols.sdata.memory import MemoryStore
    from tallystick.protocols.sdata.provider import Dataset, Provider, sdata_application

    properties = (
        Property(name="name"),
        Property(name="website"),
        Property(name="creditLimit", type=Logical.DECIMAL),
        Property(name="notes"),
    )
    kinds = (Kind(name="accounts", element="account", properties=properties),)
    base = f"http://127.0.0.1:{port}/sdata"
    store = MemoryStore(f"{base}/{application}/crm/-", Contract(name="crm", namespace=NAMESPACE, kinds=kinds))
    for number in range(count):
        payload = entry(number, width).payload
        assert payload is not None
        store.create(kinds[0], payload)
    gc.collect()
    gc.freeze()
    provider = Provider(base, [Dataset(application, "crm", "-", store)])
    uvicorn.run(sdata_application(provider), host="127.0.0.1", port=port, log_level="error")


def passes(count: int = 50_000, width: int = 10) -> dict[str, Any]:
    """A full pass provider -> engine -> provider over loopback, then passes with nothing new."""
    import subprocess
    import sys
    import urllib.request

    from tallystick.protocols.sdata.engine import run_pass
    from tallystick.protocols.sdata.remote_jobs import Remote, Run
    from tallystick.protocols.sdata.transport import HttpTransport

    ports = {"books": 5493, "shop": 5494}
    counts = {"books": count, "shop": 0}
    servers = [
        subprocess.Popen([sys.executable, __file__, "serve", name, str(port), str(counts[name]), str(width)])
        for name, port in ports.items()
    ]
    try:
        remotes = []
        for name, port in ports.items():
            root = f"http://127.0.0.1:{port}"
            _wait_for(f"{root}/sdata", urllib.request.urlopen)
            remotes.append(Remote(f"{root}/sdata/{name}/crm/-/accounts", HttpTransport(root)))
        processes = {"source": servers[0].pid, "target": servers[1].pid, "engine": os.getpid()}
        before = {name: _cpu(which) for name, which in processes.items()}
        start = time.perf_counter()
        report = run_pass(remotes[0], remotes[1], Run("benchmark", "1"))
        seconds = time.perf_counter() - start
        assert report.applied == count, report
        quiet = []
        for number in range(7):
            start = time.perf_counter()
            run_pass(remotes[0], remotes[1], Run("benchmark", str(number + 2)))
            quiet.append(time.perf_counter() - start)
        return {
            "store": "memory",
            "entries": count,
            "pages": report.pages,
            "entries_per_second": round(count / seconds),
            "no_change_ms": round(statistics.median(quiet) * 1000, 1),
            "cpu_seconds": {name: round(_cpu(which) - before[name], 2) for name, which in processes.items()},
            "peak_rss_mb": {name: _peak(which) for name, which in processes.items()},
        }
    finally:
        for server in servers:
            server.terminate()
            server.wait(10)


def _wait_for(url: str, opened: Callable[[str], Any]) -> None:
    for _ in range(300):
        try:
            with opened(url):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url} did not come up")


def _cpu(process: int) -> float:
    with open(f"/proc/{process}/stat") as status:
        fields = status.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(process: int) -> int:
    with open(f"/proc/{process}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024)


def main() -> None:
    """Print the figures asked for."""
    import sys

    wanted = [word for word in sys.argv[1:] if word != "--smoke"]
    if wanted[:1] == ["serve"]:
        serve(wanted[1], int(wanted[2]), int(wanted[3]), int(wanted[4]))
        return
    smoke = "--smoke" in sys.argv
    figures: dict[str, Any] = {}
    if not wanted or "codec" in wanted:
        figures["codec"] = codec(500) if smoke else codec()
    if not wanted or "passes" in wanted:
        figures["passes"] = passes(200) if smoke else passes()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
