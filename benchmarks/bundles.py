"""Sites that agree through a directory, against the same records synchronized directly in the same run. Prints JSON."""

from __future__ import annotations

import argparse
import base64
import json
import os
import resource
import secrets
import sqlite3
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from tallystick import api
from tallystick.jobs.bundles import exchange, signing_key
from tallystick.protocols.bundle.codec.signing import fingerprint
from tallystick.sync.plan import Plan

TABLE = "CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, city TEXT, age INTEGER, note TEXT)"


def filled(path: Path, records: int) -> None:
    """A database with so many people."""
    connection = sqlite3.connect(path)
    connection.execute(TABLE)
    rows = ((f"{n:032x}", f"Person {n}", f"City {n % 997}", n % 90, f"note {n} " * 8) for n in range(records))
    connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()


def timed(call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measured(directory: Path, records: int) -> dict[str, float]:
    """One run: direct, then through a stick."""
    filled(directory / "a.db", records)
    found: dict[str, float] = {}
    with api.open(directory / "a.db") as a:
        found["track_s"] = timed(a.track)
        with api.open(directory / "direct.db", create=True) as direct:
            found["direct_s"] = timed(lambda: a.sync(direct, Plan(direction="push")))
        stick = directory / "stick"
        stick.mkdir()
        with api.open(directory / "b.db", create=True) as b:
            prints = [fingerprint(signing_key(site.ledger).public) for site in (a, b)]

            def visit(site):
                return api.logged_agree(site.replica, exchange(f"files+dir:{stick}", prints), Plan())

            visit(b)
            found["write_s"] = timed(lambda: visit(a))
            found["stick_bytes"] = sum(path.stat().st_size for path in stick.rglob("*") if path.is_file())
            found["take_s"] = timed(lambda: visit(b))
            visit(a)
            visit(b)
            quiet = [timed(partial(visit, site)) for site in (a, b, a, b, a)]
            found["quiet_ms"] = statistics.median(quiet) * 1000
            assert a.verify(b).agree
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="a small run that only shows that it works")
    given = parser.parse_args()
    records, runs = (300, 1) if given.smoke else (given.records, given.runs)
    os.environ.setdefault("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())
    measures = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as place:
            measures.append(measured(Path(place), records))
    medians = {name: statistics.median(one[name] for one in measures) for name in measures[0]}
    direct = medians["direct_s"]
    print(
        json.dumps(
            {
                "records": records,
                "runs": runs,
                "direct_per_s": round(records / direct),
                "written_per_s": round(records / medians["write_s"]),
                "taken_per_s": round(records / medians["take_s"]),
                "write_and_take_to_direct": round((medians["write_s"] + medians["take_s"]) / direct, 2),
                "bytes_per_record": round(medians["stick_bytes"] / records, 1),
                "quiet_visit_ms": round(medians["quiet_ms"], 1),
                "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
