"""SData figures: codec and whole passes. Prints one JSON object.

python benchmarks/sdata.py            # everything
python benchmarks/sdata.py codec      # feed writing and parsing alone
python benchmarks/sdata.py first      # a full pass of 50,000 entries between two served sites
python benchmarks/sdata.py later      # passes with nothing and little new between sites of 10^6 records
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdata_sites import Server, copied, cpu, free_port, named, peak, served, site

import tallystick
from tallystick.protocols.sdata.codec.digests import SyncState
from tallystick.protocols.sdata.codec.entries import Entry
from tallystick.protocols.sdata.codec.feeds import FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.payloads import Field, Payload
from tallystick.protocols.sdata.engine import PassReport, run_pass
from tallystick.protocols.sdata.remote_jobs import Remote, Run
from tallystick.protocols.sdata.transport import HttpTransport

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


# Whole passes between served sites ------------------------------------------------------------------------------


def first(count: int = 50_000) -> dict[str, Any]:
    """A full pass between two served sites, engine in this process: all three speak HTTP on loopback."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [site(Path(directory) / name, rows) for name, rows in (("source.db", count), ("target.db", 0))]
        with _serving(paths) as servers:
            processes = {"source": servers[0].process.pid, "target": servers[1].process.pid, "engine": os.getpid()}
            before = {name: cpu(which) for name, which in processes.items()}
            start = time.perf_counter()
            report = _pass(servers[0], servers[1], 0)
            seconds = time.perf_counter() - start
            used = {name: round(cpu(which) - before[name], 2) for name, which in processes.items()}
            assert report.applied == count, report
            return {
                "entries": count,
                "pages": report.pages,
                "entries_per_second": round(count / seconds),
                "floor_entries_per_second": round(count / _floor(count)),
                "cpu_seconds": used,
                "peak_rss_mb": {name: peak(which) for name, which in processes.items()},
            }


def _floor(count: int) -> float:
    """Seconds that the same feeds take to be written and parsed once, without ledger, HTTP or results."""
    entries = [entry(number, 10) for number in range(count)]
    head = FeedHead(id=ENDPOINT, title="accounts")
    start = time.perf_counter()
    for first_one in range(0, count, 500):
        read_feed(write_feed(head, entries[first_one : first_one + 500]))
    return time.perf_counter() - start


def later(count: int = 1_000_000, changed: int = 100) -> dict[str, Any]:
    """Passes between two sites that hold the same: with nothing new, and with ``changed`` updates."""
    with tempfile.TemporaryDirectory() as directory:
        ports = [free_port(), free_port()]
        source = site(Path(directory) / "source.db", count)
        named(source, ports[0])
        target = copied(source, Path(directory) / "target.db")
        with _serving([source, target], ports) as servers:
            _pass(servers[0], servers[1], 0)
            quiet = [_timed(servers, number)[0] for number in range(1, 10)]
            deltas = []
            for number in range(10, 15):
                with tallystick.open(source) as opened:
                    opened.ledger.engine.execute(
                        "UPDATE account SET name=name || '.' WHERE id % ? = 0", (max(count // changed, 1),)
                    )
                seconds, report = _timed(servers, number)
                assert report.entries == report.applied == min(changed, count), report
                deltas.append(seconds)
            return {
                "records": count,
                "no_change_ms": round(statistics.median(quiet) * 1000, 1),
                f"delta_of_{changed}_ms": round(statistics.median(deltas) * 1000, 1),
                "no_change_ms_all": [round(seconds * 1000, 1) for seconds in quiet],
                "requests_of_a_pass_ms": round(_requests(servers[0]) * 1000, 1),
            }


def _requests(server: Server, requests: int = 5) -> float:
    """The floor of a quiet pass: its five requests, each as cheap as this server answers anything."""
    transport = HttpTransport(server.root)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(requests):
            transport.request("GET", f"{server.root}/versions", {})
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@contextmanager
def _serving(paths: list[Path], ports: list[int] | None = None) -> Iterator[list[Server]]:
    servers: list[Server] = []
    try:
        for path, port in zip(paths, ports or [free_port(), free_port()], strict=True):
            servers.append(served(path, port))
        yield servers
    finally:
        for server in servers:
            server.process.terminate()
            server.process.wait(30)


def _pass(source: Server, target: Server, number: int) -> PassReport:
    ends = [Remote(server.endpoint, HttpTransport(server.root)) for server in (source, target)]
    return run_pass(ends[0], ends[1], Run("benchmark", str(number)))


def _timed(servers: list[Server], number: int) -> tuple[float, PassReport]:
    ends = [Remote(server.endpoint, HttpTransport(server.root)) for server in servers]
    start = time.perf_counter()
    report = run_pass(ends[0], ends[1], Run("benchmark", str(number)))
    return time.perf_counter() - start, report


def main() -> None:
    """Print the figures asked for."""
    wanted = [word for word in sys.argv[1:] if word != "--smoke"]
    smoke = "--smoke" in sys.argv
    figures: dict[str, Any] = {}
    if not wanted or "codec" in wanted:
        figures["codec"] = codec(500) if smoke else codec()
    if not wanted or "first" in wanted:
        figures["first"] = first(200) if smoke else first()
    if not wanted or "later" in wanted:
        figures["later"] = later(1000, 10) if smoke else later()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
