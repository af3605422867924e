"""Records: how fast two databases agree, beside a floor measured in the same run. Prints one JSON document.

    python benchmarks/records.py                 everything at 100,000 records (minutes)
    python benchmarks/records.py --large         and what is claimed at 1,000,000
    python benchmarks/records.py --smoke         everything once, tiny
    python benchmarks/records.py --only later --records 20000

Figures are medians. Other load moves absolute ones by half and more; what holds is ``times_floor``, the ratio to the
floor (records_floor.py: the same rows, wire and commits with nothing kept or proved) in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import records_capture as capture
import records_passes as passes
from records_passes import Figures, Setting

SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"
MILLION = 1_000_000
MEASURES: dict[str, Callable[[Setting], Figures]] = {
    "first_sync_sqlite": passes.first_sync_sqlite,
    "first_sync_postgresql": passes.first_sync_postgresql,
    "first_sync_equal": passes.first_sync_equal,
    "later": passes.later,
    "capture_sqlite": capture.capture_sqlite,
    "capture_postgresql": capture.capture_postgresql,
    "memory": passes.memory,
    "starting": capture.starting,
    "tracking": capture.tracking,
}
NEEDS_POSTGRESQL = frozenset(("first_sync_postgresql", "capture_postgresql"))
LARGE = ("later", "memory")


class Target(NamedTuple):
    """A figure that must be reached: where it stands in the document, the bound, whether it is a lower one."""

    claim: str
    path: str
    bound: float
    least: bool = False


TARGETS = (
    Target("first sync into an empty SQLite site, records/s", "first_sync_sqlite.records_per_s", 45_000, True),
    Target("first sync into PostgreSQL, records/s", "first_sync_postgresql.records_per_s", 30_000, True),
    Target("first sync of equal copies, s", "first_sync_equal.seconds", 0.2),
    Target("first sync of equal copies, bytes", "first_sync_equal.bytes", 1024),
    Target("no-change pass, ms", "later.no_change.ms", 5),
    Target("no-change pass, bytes", "later.no_change.bytes", 1024),
    Target("1,000 changed of 10^5, ms", "later.incremental.ms", 80),
    Target("1,000 conflicts the first time, ms", "later.conflicts.first_ms", 300),
    Target("1,000 conflicts after, ms", "later.conflicts.ms", 300),
    Target("capture, SQLite, bulk, us/row", "capture_sqlite.bulk.us_per_row", 2),
    Target("capture, SQLite, row by row, %", "capture_sqlite.row_by_row.percent", 10),
    Target("capture, PostgreSQL, bulk, us/row", "capture_postgresql.bulk.us_per_row", 3),
    Target("tallystick --help, ms", "starting.help_ms", 80),
    Target("a command with nothing to do, ms", "starting.nothing_to_do_ms", 200),
    Target("tallystick track on 100,000 rows, s", "tracking.seconds", 1.5),
    Target("no-change pass at 10^6, ms", "large.later.no_change.ms", 5),
    Target("1,000 changed of 10^6, ms", "large.later.incremental.ms", 80),
    Target("1,000 changed of 10^6 to that of 10^5", "large.incremental_ratio", 1.3),
    Target("memory in the first sync of 10^6, MB", "large.memory.mb", 150),
)


def main() -> None:
    """Measure what is asked for and print the document. Exits with 1 when a measure failed."""
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as name:
        setting = Setting(asked.records, asked.runs, asked.server, Path(name))
        document: Figures = {"machine": _machine(), "records": asked.records, "runs": asked.runs}
        chosen = asked.only or list(MEASURES)
        document |= {measure: _measured(measure, setting) for measure in MEASURES if measure in chosen}
        if asked.large:
            million = replace(setting, records=MILLION, runs=max(3, setting.runs // 2))
            document["large"] = {measure: _measured(measure, million) for measure in LARGE if measure in chosen}
            document["large"]["incremental_ratio"] = _ratio(document)
    document["targets"] = [_judged(target, document) for target in TARGETS if _found(document, target.path) is not None]
    print(json.dumps(document, indent=2))
    sys.exit(any("error" in part for part in _parts(document)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How fast two databases agree. Prints JSON.")
    parser.add_argument("--smoke", action="store_true", help="tiny and once: does everything run?")
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="only this measure (repeatable)")
    parser.add_argument("--records", type=int, help="records (default 100000)")
    parser.add_argument("--runs", type=int, help="repetitions, of which medians are taken (default 5)")
    parser.add_argument("--large", action="store_true", help="also at 1,000,000 records")
    parser.add_argument("--server", default=os.environ.get("TALLYSTICK_TEST_POSTGRESQL", SERVER))
    asked = parser.parse_args()
    asked.records = asked.records or (300 if asked.smoke else 100_000)
    asked.runs = asked.runs or (1 if asked.smoke else 5)
    return asked


def _measured(name: str, setting: Setting) -> Figures:
    print(f"{name}, {setting.records:,} records", file=sys.stderr)
    if name in NEEDS_POSTGRESQL and (reason := _unreachable(setting.server)):
        return {"skipped": reason}
    start = time.perf_counter()
    try:
        return {**MEASURES[name](setting), "took_s": round(time.perf_counter() - start, 1)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _unreachable(server: str) -> str:
    try:
        import psycopg

        psycopg.connect(server, connect_timeout=3).close()
    except Exception as error:
        return f"no PostgreSQL server that lets us in: {str(error).strip()[:200]}"
    return ""


def _machine() -> Figures:
    return {
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
    }


def _found(document: Figures, path: str) -> Any:
    part: Any = document
    for name in path.split("."):
        part = part.get(name) if isinstance(part, dict) else None
    return part


def _ratio(document: Figures) -> float | None:
    small, large = (_found(document, f"{part}later.incremental.ms") for part in ("", "large."))
    return round(large / small, 2) if small and large else None


def _judged(target: Target, document: Figures) -> Figures:
    reached = _found(document, target.path)
    met = reached >= target.bound if target.least else reached <= target.bound
    return {"claim": target.claim, "bound": target.bound, "reached": reached, "met": met}


def _parts(document: Figures) -> list[Figures]:
    found = [part for part in document.values() if isinstance(part, dict)]
    return found + [part for part in document.get("large", {}).values() if isinstance(part, dict)]


if __name__ == "__main__":
    main()
