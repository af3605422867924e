"""What capture costs the application that writes, and what tracking a table costs once."""

from __future__ import annotations

import sqlite3
import statistics
import time
from contextlib import closing
from typing import Any

import records_data as data
import records_processes as processes
from records_passes import Figures, Setting, track

import tallystick

SINGLE = 500
"""Updates of the row-by-row figure, each a durable transaction of its own."""
_BULK = "UPDATE person SET age = age + 1"
_ONE = "UPDATE person SET age = age + 1 WHERE id = "


def tracking(setting: Setting) -> Figures:
    """``track`` on a filled table, in process and as a command, beside one scan of the table."""
    inside, command, scans = [], [], []
    for _ in range(setting.runs):
        with setting.place() as place:
            path = data.copy(setting.source(), place / "a.db")
            with closing(data.connect(path)) as connection:
                start = time.perf_counter()
                connection.execute("SELECT * FROM person").fetchall()
                scans.append(time.perf_counter() - start)
            with tallystick.open(path) as site:
                start = time.perf_counter()
                site.track()
                inside.append(time.perf_counter() - start)
            command.append(processes.tallystick("track", str(data.copy(setting.source(), place / "b.db"))).wall_s)
    seconds = statistics.median(inside)
    return {
        "records": setting.records,
        "seconds": round(seconds, 3),
        "command_s": round(statistics.median(command), 3),
        "scan_s": round(statistics.median(scans), 3),
        "us_per_row": round(seconds / setting.records * 1e6, 2),
    }


def capture_sqlite(setting: Setting) -> Figures:
    """One bulk UPDATE of every row, and updates one by one, with capture and without, in turns."""
    with setting.place() as place:
        bare, captured = (data.copy(setting.source(), place / name) for name in ("bare.db", "captured.db"))
        track(captured)
        with closing(data.connect(bare)) as one, closing(data.connect(captured)) as other:
            keys = [key for (key,) in one.execute("SELECT id FROM person LIMIT ?", (2 * SINGLE,))]
            bulk = [(_bulk(one), _bulk(other)) for _ in range(setting.runs + 1)][1:]
            return {**_added(setting, bulk), "row_by_row": _one_by_one(setting, one, other, keys)}


def _bulk(connection: sqlite3.Connection) -> float:
    _forget_marks(connection)
    start = time.perf_counter()
    connection.execute(_BULK)
    return time.perf_counter() - start


def _one_by_one(
    setting: Setting, one: sqlite3.Connection, other: sqlite3.Connection, keys: list[str]
) -> dict[str, float]:
    """The median commit, in turns because a disk is not as fast at all times, and a share of what follows when the log
    has 1,000 pages: SQLite copies them to their places.

    A commit logs one page, with capture two: ``other`` copies after half of the ``keys``, ``one`` after all.
    The first 1,000 pages make the logs as long as they stay, which takes longer: they do not count.
    """
    commits: tuple[list[float], list[float]] = [], []
    copying: tuple[list[float], list[float]] = [], []
    for connection in (one, other):
        connection.execute("PRAGMA wal_autocheckpoint=0")
        _forget_marks(connection)
    for leg in range(-2, 2 * setting.runs):
        if leg == 0:
            for times in (*commits, *copying):
                times.clear()
        for number, key in enumerate(keys[leg % 2 :: 2]):
            for side in (0, 1) if number % 2 else (1, 0):
                commits[side].append(_singly((one, other)[side], key))
        copying[1].append(_copied(other) / len(keys) * 2)
        if leg % 2:
            copying[0].append(_copied(one) / len(keys))
    bare, captured = (statistics.median(commits[side]) + statistics.median(copying[side]) for side in (0, 1))
    return {
        "percent": round((captured / bare - 1) * 100, 1),
        "bare_us_per_row": round(bare * 1e6, 1),
        "captured_us_per_row": round(captured * 1e6, 1),
        "bare_copying_us_per_row": round(statistics.median(copying[0]) * 1e6, 1),
        "captured_copying_us_per_row": round(statistics.median(copying[1]) * 1e6, 1),
    }


def _singly(connection: sqlite3.Connection, key: str) -> float:
    start = time.perf_counter()
    connection.execute(_ONE + "?", (key,))
    return time.perf_counter() - start


def _copied(connection: sqlite3.Connection) -> float:
    start = time.perf_counter()
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return time.perf_counter() - start


def _forget_marks(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'tally_mark'").fetchone():
        connection.execute("DELETE FROM tally_mark")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def capture_postgresql(setting: Setting) -> Figures:
    """The same in PostgreSQL: two databases of one server in turns."""
    with data.postgresql(setting.server) as bare, data.postgresql(setting.server) as captured:
        one, other = _filled(setting, bare), _filled(setting, captured)
        with tallystick.open(captured) as site:
            site.track()
        try:
            keys = [key for (key,) in one.execute(b"SELECT id FROM person LIMIT %d" % SINGLE)]
            bulk = [(_bulk_there(one), _bulk_there(other)) for _ in range(setting.runs + 1)][1:]
            single = [(_singly_there(one, keys), _singly_there(other, keys)) for _ in range(setting.runs + 1)][1:]
        finally:
            one.close()
            other.close()
        plain, marked = (statistics.median(column) / len(keys) * 1e6 for column in zip(*single, strict=True))
        return {
            **_added(setting, bulk),
            "row_by_row": {
                "percent": round(statistics.median(other / one - 1 for one, other in single) * 100, 1),
                "bare_us_per_row": round(plain, 1),
                "captured_us_per_row": round(marked, 1),
            },
        }


def _filled(setting: Setting, url: str) -> Any:
    import psycopg

    connection = psycopg.connect(url, autocommit=True)
    types = data.COLUMNS.replace("INTEGER", "BIGINT").replace("REAL", "DOUBLE PRECISION")
    connection.execute(f"CREATE TABLE person ({types}) WITH (fillfactor = 50)".encode())
    with connection.cursor().copy("COPY person FROM STDIN") as copying:
        for row in data.rows(setting.records):
            copying.write_row(row)
    return connection


def _tidy(connection: Any) -> None:
    if connection.execute("SELECT to_regclass('tally.mark')").fetchone() != (None,):
        connection.execute("TRUNCATE tally.mark")
    connection.execute("VACUUM person")
    connection.execute("CHECKPOINT")


def _bulk_there(connection: Any) -> float:
    _tidy(connection)
    start = time.perf_counter()
    connection.execute(_BULK)
    return time.perf_counter() - start


def _singly_there(connection: Any, keys: list[str]) -> float:
    _tidy(connection)
    start = time.perf_counter()
    for key in keys:
        connection.execute(_ONE + "%s", (key,))
    return time.perf_counter() - start


def _added(setting: Setting, bulk: list[tuple[float, float]]) -> Figures:
    plain, marked = (statistics.median(column) for column in zip(*bulk, strict=True))
    added = statistics.median(other - one for one, other in bulk)
    return {
        "rows": setting.records,
        "bulk": {
            "us_per_row": round(added / setting.records * 1e6, 2),
            "bare_us_per_row": round(plain / setting.records * 1e6, 2),
            "captured_us_per_row": round(marked / setting.records * 1e6, 2),
        },
    }


def starting(setting: Setting) -> Figures:
    """What a command costs before it does anything, beside a bare interpreter."""
    with setting.place() as place:
        here, there = str(setting.tracked()), str(place / "b.db")
        processes.tallystick("sync", here, there, "--json")
        return {
            "help_ms": _start(setting, *processes.COMMAND, "--help"),
            "nothing_to_do_ms": _start(setting, *processes.COMMAND, "sync", here, there),
            "status_ms": _start(setting, *processes.COMMAND, "status", here),
            "python_ms": _start(setting, processes.COMMAND[0], "-c", "pass"),
        }


def _start(setting: Setting, *command: str) -> float:
    """Milliseconds of a command whose modules were compiled by the run before."""
    compiled = setting.directory / "compiled"
    walls = [processes.run(command, compiled).wall_s for _ in range(2 * setting.runs + 2)][1:]
    return round(statistics.median(walls) * 1000, 1)
