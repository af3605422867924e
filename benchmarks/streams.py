"""Change streams: delivery, from a commit in another process to the sink, events over HTTP, idle subscribers.

    python benchmarks/streams.py [--smoke] [--only deliver,wake,http,idle] [--postgresql URL]

Prints JSON. Beside each figure stands its floor from the same run: the bare queries under a delivery, PostgreSQL's bare
LISTEN/NOTIFY under a notification. PostgreSQL is left out where no server answers.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import queue
import resource
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tallystick
from tallystick.protocols.native.events import RemoteChanges

ROWS = 100_000
WRITES = 300
PAUSE_S = 0.02
SUBSCRIBERS = 1000
IDLE_S = 15.0
TABLE = "CREATE TABLE person (id VARCHAR(20) PRIMARY KEY, name VARCHAR(50), age BIGINT)"
POSTGRESQL = os.environ.get("TALLYSTICK_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")

WRITER = """
import sys, time
url, count, pause, notify = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
if url.startswith("postgresql"):
    import psycopg
    connection = psycopg.connect(url, autocommit=True)
    sql = "INSERT INTO person VALUES (%s, 'x', 1)"
else:
    import sqlite3
    connection = sqlite3.connect(url, isolation_level=None, timeout=30)
    sql = "INSERT INTO person VALUES (?, 'x', 1)"
for number in range(count):
    time.sleep(pause)
    if notify:
        connection.execute(f"NOTIFY bare, '{number}'")
    else:
        connection.execute(sql, (f"w{number}",))
    print(time.monotonic_ns(), flush=True)
"""


class Importer:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def update(self, change: Any, flags: Any) -> None:
        self.count += 1


def best(call: Callable[[], int], times: int) -> float:
    """Things a second: the best of some runs, because the machine is shared."""
    rates = []
    for _ in range(times):
        gc.collect()
        began = time.perf_counter()
        count = call()
        rates.append(count / (time.perf_counter() - began))
    return round(max(rates))


# Delivery ------------------------------------------------------------------------------------------------------


def deliver_rows(url: str, connect: Callable[[], Any], rows: int, times: int) -> dict[str, float]:
    """Delivery of every row of a table to an importer, and the floor: the ledger and the rows read and dropped."""
    connection = connect()
    connection.execute(TABLE)
    mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
    cursor = connection.cursor()
    cursor.execute("BEGIN")
    cursor.executemany(
        f"INSERT INTO person VALUES ({mark}, {mark}, {mark})", ((f"k{n:06}", f"name {n}", n) for n in range(rows))
    )
    cursor.execute("COMMIT")
    connection.close()
    with tallystick.open(url) as site:
        site.track()
        person = site.resource("person")

        def delivered() -> int:
            importer = Importer()
            person.deliver(importer)
            return importer.count

        def read() -> int:
            seq, count = 0, 0
            while found := person.tracked.rows.after(seq, 1 << 62, 1024):
                seq, count = found[-1][0].seq, count + len(found)
            return count

        def used() -> int:
            return sum(1 for change in person.changes() if change.content and change.state)

        return {
            "changes_per_second": best(delivered, times),
            "floor_bare_reads_per_second": best(read, times),
            "with_content_and_state_of_each_per_second": best(used, times),
            "nothing_new_ms": nothing_new(person),
        }


def nothing_new(person: Any) -> float:
    """Milliseconds of a delivery when nothing happened."""
    state = person.state
    taken = []
    for _ in range(50):
        began = time.perf_counter()
        person.deliver(Importer(), state)
        taken.append(time.perf_counter() - began)
    return round(statistics.median(taken) * 1000, 2)


# From commit to sink -------------------------------------------------------------------------------------------


def latencies(url: str, heard: queue.Queue[tuple[str, int]], count: int, notify: bool = False) -> dict[str, float]:
    """Milliseconds from a commit in another process (as it returned there) to ``heard``."""
    command = [sys.executable, "-c", WRITER, url, str(count), str(PAUSE_S), "notify" if notify else ""]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    committed = [int(line) for line in writer.stdout]
    writer.wait()
    writer.stdout.close()
    told: dict[str, int] = {}
    while len(told) < count:
        key, at = heard.get(timeout=30)
        told.setdefault(key, at)
    return percentiles((told[f"w{number}"] - at) / 1e6 for number, at in enumerate(committed))


def percentiles(taken: Iterable[float]) -> dict[str, float]:
    """The median and the 99th percentile of milliseconds."""
    ordered = sorted(taken)
    last = min(len(ordered) - 1, int(len(ordered) * 0.99))
    return {"p50_ms": round(statistics.median(ordered), 2), "p99_ms": round(ordered[last], 2)}


def wake(url: str, count: int) -> dict[str, float]:
    """From a commit in another process to a sink of this one."""
    heard: queue.Queue[tuple[str, int]] = queue.Queue()
    with tallystick.open(url) as site:
        site.subscribe(
            lambda notification: heard.put((notification.key, time.monotonic_ns())), "person", most=count * 2
        )
        return latencies(url, heard, count)


def bare_commit(path: str, count: int) -> dict[str, float]:
    """The floor: a durable commit of one row. A change gets its place in the order by such a one before it is told."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(TABLE)
    taken = []
    for number in range(count):
        time.sleep(PAUSE_S)
        began = time.perf_counter()
        connection.execute("INSERT INTO person VALUES (?, 'x', 1)", (f"w{number}",))
        taken.append((time.perf_counter() - began) * 1000)
    connection.close()
    return percentiles(taken)


def bare_postgresql_commit(url: str, count: int) -> dict[str, float]:
    """The floor: a durable commit of one row on PostgreSQL. Each change is given its place in the order by one."""
    import psycopg

    taken = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE floor (id TEXT PRIMARY KEY)")
        for number in range(count):
            time.sleep(PAUSE_S)
            began = time.perf_counter()
            connection.execute("INSERT INTO floor VALUES (%s)", (f"w{number}",))
            taken.append((time.perf_counter() - began) * 1000)
    return percentiles(taken)


def bare_notify(url: str, count: int) -> dict[str, float]:
    """The floor: LISTEN/NOTIFY without anything of ours."""
    import psycopg

    heard: queue.Queue[tuple[str, int]] = queue.Queue()
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("LISTEN bare")

    def listen() -> None:
        for notice in connection.notifies(stop_after=count):
            heard.put((f"w{notice.payload}", time.monotonic_ns()))
            if notice.payload == str(count - 1):
                return

    thread = threading.Thread(target=listen)
    thread.start()
    found = latencies(url, heard, count, notify=True)
    thread.join()
    connection.close()
    return found


# Over HTTP -----------------------------------------------------------------------------------------------------


@contextmanager
def served(url: str) -> Iterator[tuple[str, int]]:
    """``tallystick serve`` in a process of its own: its address and process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tallystick.cli.main", "serve", url, "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    server.stderr.readline()
    try:
        yield f"http://127.0.0.1:{port}/", server.pid
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()


def events(url: str, count: int) -> dict[str, float]:
    """From a commit in another process to a client of a third one's events."""
    heard: queue.Queue[tuple[str, int]] = queue.Queue()
    ready = threading.Event()
    with served(url) as (address, _):
        with tallystick.open(url) as site:
            state = site.state("person")
        remote = RemoteChanges(address, ["person"], state, follow=True)

        def listen() -> None:
            ready.set()
            for number, event in enumerate(remote, 1):
                heard.put((event.data["key"], time.monotonic_ns()))
                if number == count:
                    return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        ready.wait()
        time.sleep(1)
        found = latencies(url, heard, count)
        thread.join(5)
        return found


def idle(url: str, subscribers: int, seconds: float) -> dict[str, float]:
    """What a server with idle subscribers needs."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with served(url) as (address, process):
        parts = urlsplit(address)
        before = memory_mb(process)
        sockets = [_subscribed(str(parts.hostname), int(parts.port or 0)) for _ in range(subscribers)]
        time.sleep(2)
        began, used = time.perf_counter(), cpu_s(process)
        time.sleep(seconds)
        share = (cpu_s(process) - used) / (time.perf_counter() - began)
        found = {
            "subscribers": subscribers,
            "memory_mb": memory_mb(process),
            "memory_before_mb": before,
            "cpu_percent": round(share * 100, 2),
        }
        for one in sockets:
            one.close()
        return found


def _subscribed(host: str, port: int) -> socket.socket:
    made = socket.create_connection((host, port))
    made.sendall(f"GET /v1/events HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n\r\n".encode())
    got = b""
    while b"event: state" not in got:
        piece = made.recv(65536)
        if not piece:
            raise SystemExit(f"a subscriber was refused: {got!r}")
        got += piece
    return made


def memory_mb(process: int) -> float:
    """Resident memory."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def cpu_s(process: int) -> float:
    """Processor seconds so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---------------------------------------------------------------------------------------------------------------


@contextmanager
def postgresql_database(server: str) -> Iterator[str | None]:
    """A database of our own; None where there is no server."""
    try:
        import psycopg

        connection = psycopg.connect(server, autocommit=True, connect_timeout=3)
    except Exception:
        yield None
        return
    name = f"tally_bench_{uuid.uuid4().hex[:12]}"
    connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        yield urlsplit(server)._replace(path="/" + name).geturl()
    finally:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        connection.close()


def made(directory: str, name: str) -> str:
    """A tracked SQLite site with an empty table."""
    path = str(Path(directory) / name)
    connection = sqlite3.connect(path)
    connection.execute(TABLE)
    connection.commit()
    connection.close()
    with tallystick.open(path) as site:
        site.track()
    return path


def made_postgresql(url: str) -> str:
    """A tracked PostgreSQL site with an empty table."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE)
    with tallystick.open(url) as site:
        site.track()
    return url


def measure(chosen: set[str], smoke: bool, server: str) -> dict[str, Any]:
    """All figures that were asked for."""
    rows, writes, times = (2000, 10, 1) if smoke else (ROWS, WRITES, 5)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        if "deliver" in chosen:
            path = str(Path(directory) / "rows.db")
            found["deliver_sqlite"] = deliver_rows(
                path, lambda: sqlite3.connect(path, isolation_level=None), rows, times
            )
            with postgresql_database(server) as url:
                if url:
                    found["deliver_postgresql"] = deliver_rows(url, lambda: _psycopg(url), rows, times)
        if "wake" in chosen:
            found["wake_sqlite"] = wake(made(directory, "wake.db"), writes)
            found["wake_sqlite_floor_bare_commit"] = bare_commit(str(Path(directory) / "floor.db"), writes)
            with postgresql_database(server) as url:
                if url:
                    made_postgresql(url)
                    found["wake_postgresql"] = wake(url, writes)
                    found["wake_postgresql_floor_bare_notify"] = bare_notify(url, writes)
                    found["wake_postgresql_floor_bare_commit"] = bare_postgresql_commit(url, writes)
        if "http" in chosen:
            found["wake_sqlite_beside_http"] = wake(made(directory, "beside.db"), writes)
            found["http_sqlite"] = events(made(directory, "http.db"), writes)
        if "idle" in chosen:
            found["idle"] = idle(made(directory, "idle.db"), 20 if smoke else SUBSCRIBERS, 1 if smoke else IDLE_S)
    return found


def _psycopg(url: str) -> Any:
    import psycopg

    return psycopg.connect(url, autocommit=True)


# Items of the object model -------------------------------------------------------------------------------------


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a small run that shows that everything works")
    parser.add_argument("--only", default="deliver,wake,http,idle", help="which figures, joined by commas")
    parser.add_argument("--postgresql", default=POSTGRESQL, help="a server where a database may be created")
    given = parser.parse_args()
    found = measure({*given.only.split(",")}, given.smoke, given.postgresql)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
