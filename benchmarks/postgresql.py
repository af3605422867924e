"""What the PostgreSQL engine costs: capture on the application's side, rows and ledger on ours. Prints JSON.

    python benchmarks/postgresql.py [URL of a server that may create a database]

Figures of one run are comparable with each other only. Costs of capture are given as wall time and as CPU time of the
server process, which other load on the machine disturbs less.
"""

from __future__ import annotations

import json
import os
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tallystick.core.values import content_hash
from tallystick.site.applying import Entry
from tallystick.site.capture import track
from tallystick.site.engines.postgresql import PostgreSQLEngine
from tallystick.site.ledger import Ledger
from tallystick.site.stamping import stamp

SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"
ROWS = 2_000 if "--smoke" in sys.argv else 100_000
PAGE = 2_000
TABLE = (
    "CREATE TABLE record (id BIGINT PRIMARY KEY, "
    + ", ".join(f"text{n} TEXT" for n in range(7))
    + ", number1 BIGINT, number2 BIGINT, ratio DOUBLE PRECISION, at TIMESTAMPTZ) WITH (fillfactor = 50)"
)
FILL = (
    "INSERT INTO record SELECT i, "
    + ", ".join(f"repeat(md5((i + {n})::text), 2)" for n in range(7))
    + f", i, i * 2, i / 3.0, '2026-01-01' FROM generate_series(1, {ROWS}) i"
)
PAYLOAD = "0123456789abcdef" * 4


def main() -> None:
    named = [word for word in sys.argv[1:] if word != "--smoke"]
    server = named[0] if named else os.environ.get("TALLYSTICK_TEST_POSTGRESQL", SERVER)
    name = "tally_bench_" + secrets.token_hex(4)
    url = urlsplit(server)._replace(path="/" + name).geturl()
    with psycopg.connect(server, autocommit=True) as maintenance:
        maintenance.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())
        try:
            print(json.dumps({"capture": capture(url), "rows": rows(url), "pass": passes(url)}, indent=2))
        finally:
            maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def capture(url: str) -> dict[str, Any]:
    """What capture adds to the application's statements, microseconds a row."""
    application = psycopg.connect(url, autocommit=True)
    application.execute(TABLE.encode())
    application.execute(FILL.encode())
    bare = _statements(application)
    engine = PostgreSQLEngine(url)
    ledger = Ledger.create(engine)
    start = time.perf_counter()
    with ledger.write():
        track(ledger)
    tracking = time.perf_counter() - start
    tracked = _statements(application)
    engine.close()
    application.close()
    added = {
        key: {kind: round(tracked[key][kind] - cost, 2) for kind, cost in bare[key].items() if kind in tracked[key]}
        for key in bare
    }
    return {"track_s": round(tracking, 2), "bare": bare, "tracked": tracked, "added": added}


def _statements(application: psycopg.Connection[Any]) -> dict[str, dict[str, float]]:
    bulk = f"UPDATE record SET number1 = number1 + 1 WHERE id <= {ROWS}"
    copies = f"INSERT INTO record SELECT id + {ROWS}, text0 FROM record WHERE id <= {ROWS}"
    gone = f"DELETE FROM record WHERE id > {ROWS}"

    def single() -> None:
        with application.transaction():
            for number in range(1, 2001):
                application.execute("UPDATE record SET number1 = number1 + 1 WHERE id = %s", (number,))

    def tidy() -> None:
        application.execute("VACUUM record")
        if application.execute("SELECT to_regclass('tally.mark')").fetchone() != (None,):
            application.execute("TRUNCATE tally.mark")

    def run(statement: str) -> Callable[[], None]:
        return lambda: (application.execute(statement.encode()), None)[1]

    return {
        "update_bulk": _cost(application, run(bulk), tidy, ROWS),
        "insert_bulk": _cost(
            application, run(copies), lambda: (tidy(), application.execute(gone.encode()), tidy())[0], ROWS
        ),
        "delete_bulk": _cost(
            application,
            run(gone),
            lambda: (application.execute(gone.encode()), tidy(), application.execute(copies.encode()), tidy())[0],
            ROWS,
        ),
        "update_single": _cost(application, single, tidy, 2000),
    }


def _cost(
    application: psycopg.Connection[Any], run: Callable[[], None], before: Callable[[], None], rows: int
) -> dict[str, float]:
    walls, processors = [], []
    pid = application.info.backend_pid
    for _ in range(7):
        before()
        application.execute("CHECKPOINT")
        processor, wall = _processor_s(pid), time.perf_counter()
        run()
        walls.append(time.perf_counter() - wall)
        processors.append(_processor_s(pid) - processor)
    result = {"wall_us": round(min(walls) / rows * 1e6, 2)}
    if processors[0]:
        result["cpu_us"] = round(statistics.median(processors) / rows * 1e6, 2)
    return result


def _processor_s(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rows(url: str) -> dict[str, Any]:
    """Rows and ledger entries a second, in pages of one transaction each."""
    engine = PostgreSQLEngine(url)
    ledger = Ledger(engine)
    tracked = ledger.resource("record")
    with ledger.write():
        stamp(ledger)
    result: dict[str, Any] = {"scan_per_s": _rate(lambda: sum(1 for _ in tracked.rows.scan()), ROWS)}

    def read() -> None:
        position = 0
        while found := tracked.rows.after(position, 1 << 62, PAGE):
            position = found[-1][0].seq

    with engine.read():
        result["after_per_s"] = _rate(read, ROWS)
        some = [(number,) for number in range(1, ROWS, 50)]
        result["values_of_2000_ms"] = _milliseconds(lambda: tracked.rows.values(some))
        keys = [str(number) for number in range(1, ROWS, 50)]
        result["by_keys_of_2000_ms"] = _milliseconds(lambda: tracked.rows.by_keys(keys))
    result |= _writing(ledger, tracked, url)
    engine.close()
    return result


def _writing(ledger: Ledger, tracked: Any, url: str) -> dict[str, Any]:
    engine = ledger.engine
    made = [((ROWS * 2 + n,), ("2026-01-01 00:00:00+00", n, n, n / 3.0, *[PAYLOAD] * 7)) for n in range(ROWS)]
    assert len(made[0][1]) == len(tracked.definition.fields)
    order = [item.column for item in tracked.definition.fields]
    assert order[0] == "at", order
    entries = [
        Entry(
            seq,
            f"k{seq}",
            address[0],
            seq,
            1,
            seq,
            seq,
            content_hash("k", tracked.definition.names, values),
            None,
            0,
            None,
        )
        for seq, (address, values) in enumerate(made, 10_000_000)
    ]

    def insert() -> None:
        for start in range(0, ROWS, PAGE):
            with ledger.write(), engine.capture_off():
                tracked.rows.insert(made[start : start + PAGE])
                tracked.rows.put(entries[start : start + PAGE], ())

    result: dict[str, Any] = {"insert_and_put_per_s": _rate(insert, ROWS)}

    def update() -> None:
        for start in range(0, ROWS, PAGE):
            with ledger.write(), engine.capture_off():
                tracked.rows.update(made[start : start + PAGE])

    result["update_per_s"] = _rate(update, ROWS)

    def delete() -> None:
        for start in range(0, ROWS, PAGE):
            with ledger.write(), engine.capture_off():
                tracked.rows.delete([address for address, _ in made[start : start + PAGE]])

    result["delete_per_s"] = _rate(delete, ROWS)
    return result


def passes(url: str) -> dict[str, Any]:
    """What every pass pays: an empty write, a stamping of nothing, one of 100,000 marks."""
    engine = PostgreSQLEngine(url)
    ledger = Ledger(engine)

    def idle() -> None:
        with ledger.write():
            stamp(ledger)

    idle()
    result: dict[str, Any] = {"idle_stamping_ms": _milliseconds(idle), "structure_ms": _milliseconds(engine.structure)}
    application = psycopg.connect(url, autocommit=True)
    application.execute(f"UPDATE record SET number1 = number1 + 1 WHERE id <= {ROWS}".encode())
    application.close()
    with engine.read():
        result["marks_of_100000_ms"] = _milliseconds(lambda: engine.marks({1: ledger.resource("record").definition}))
    start = time.perf_counter()
    idle()
    result["stamping_of_100000_ms"] = round((time.perf_counter() - start) * 1000, 1)
    engine.close()
    return result


def _rate(run: Callable[[], Any], rows: int) -> int:
    start = time.perf_counter()
    run()
    return round(rows / (time.perf_counter() - start))


def _milliseconds(run: Callable[[], Any]) -> float:
    times = []
    for _ in range(9):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1000, 2)


if __name__ == "__main__":
    main()
