"""Passes between two processes over loopback HTTP: first syncs, quiet ones, increments, conflicts, memory."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import records_data as data
import records_processes as processes
from records_floor import Client, log_changes

import tallystick
from tallystick.protocols.native.replica import RemoteReplica
from tallystick.site.reading import PAGE_ROWS

CHANGED = 1000
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """How to measure: records, repetitions, the PostgreSQL server, and a directory for what is made once."""

    records: int
    runs: int
    server: str
    directory: Path

    def source(self) -> Path:
        """A database of ``records`` rows that is not tracked."""
        path = self.directory / f"source-{self.records}.db"
        return path if path.exists() else data.fill(path, self.records)

    def tracked(self) -> Path:
        """The same, tracked. It must be used where it is: a copy of a tracked file is a new site."""
        path = self.directory / f"tracked-{self.records}.db"
        if not path.exists():
            track(data.copy(self.source(), path))
        return path

    def tracked_copy(self, path: Path) -> Path:
        """A copy of ``source`` that was tracked on its own."""
        track(data.copy(self.source(), path))
        return path

    @contextmanager
    def place(self) -> Iterator[Path]:
        """A directory for one run."""
        with tempfile.TemporaryDirectory(dir=self.directory) as name:
            yield Path(name)


def track(path: Path) -> None:
    """Track a database and leave one file of it."""
    with tallystick.open(path) as site:
        site.track()
    _one_file(path)


def _one_file(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def empty(path: Path) -> str:
    """A new, empty SQLite database."""
    with closing(data.connect(path)):
        return str(path)


@contextmanager
def pair(here: Path, there: str) -> Iterator[tuple[tallystick.Site, RemoteReplica, processes.Server]]:
    """The site ``here`` in this process, and ``there`` served by another one."""
    with processes.serving(processes.site(there)) as server, tallystick.open(here) as site:
        remote = RemoteReplica(server.address)
        try:
            yield site, remote, server
        finally:
            remote.close()


# First synchronization ------------------------------------------------------------------------------------------


def first_sync_sqlite(setting: Setting) -> Figures:
    """Into an empty SQLite site, pushed and pulled, beside the floor in the same runs."""
    found: dict[str, list[tuple[float, float, float]]] = {"push": [], "pull": [], "floor": []}
    for _ in range(setting.runs):
        with setting.place() as place:
            found["floor"].append(_floor_first(setting, str(place / "floor.db")))
            found["push"].append(_push_first(setting, empty(place / "b.db")))
            found["pull"].append(_pull_first(setting, place))
    return _rates(setting, found)


def first_sync_postgresql(setting: Setting) -> Figures:
    """Into an empty PostgreSQL site, pushed, beside the floor in the same runs."""
    found: dict[str, list[tuple[float, float, float]]] = {"push": [], "floor": []}
    for _ in range(setting.runs):
        with data.postgresql(setting.server) as url:
            found["floor"].append(_floor_first(setting, url))
        with data.postgresql(setting.server) as url:
            found["push"].append(_push_first(setting, url))
    return _rates(setting, found)


def _push_first(setting: Setting, target: str) -> tuple[float, float, float]:
    with pair(setting.tracked(), target) as (site, remote, server):
        return processes.used(server, lambda: _whole(setting, site.sync(remote)))


def _pull_first(setting: Setting, place: Path) -> tuple[float, float, float]:
    with pair(Path(empty(place / "c.db")), str(setting.tracked())) as (site, remote, server):
        return processes.used(server, lambda: _whole(setting, site.sync(remote)))


def _whole(setting: Setting, report: Any) -> None:
    total = report.total()
    if total.created != setting.records or total.parked or total.conflicts:
        raise RuntimeError(f"a first sync of {setting.records} records did {total}")


def _floor_first(setting: Setting, target: str) -> tuple[float, float, float]:
    with processes.serving(processes.floor(target)) as server:
        client = Client(setting.source(), server.address, PAGE_ROWS)
        try:
            return processes.used(server, client.send_all)
        finally:
            client.close()


def _rates(setting: Setting, found: dict[str, list[tuple[float, float, float]]]) -> Figures:
    figures: Figures = {"records": setting.records}
    for name, runs in found.items():
        wall, mine, theirs = (statistics.median(column) for column in zip(*runs, strict=True))
        figures[name] = {
            "records_per_s": round(setting.records / wall),
            "best_records_per_s": round(setting.records / min(run[0] for run in runs)),
            "here_cpu_us_per_record": round(mine / setting.records * 1e6, 1),
            "there_cpu_us_per_record": round(theirs / setting.records * 1e6, 1),
        }
        if name != "floor":
            ratios = [run[0] / floor[0] for run, floor in zip(runs, found["floor"], strict=True)]
            figures[name]["times_floor"] = round(statistics.median(ratios), 2)
    figures["records_per_s"] = max(figures[name]["records_per_s"] for name in found if name != "floor")
    return figures


def first_sync_equal(setting: Setting) -> Figures:
    """Two copies that were tracked apart: agreement is proved, nothing is sent.

    ``bytes`` are those of sites that have met nobody before, whatever was measured earlier. The same site meets one
    copy after the other: ``bytes_per_site_met`` is what every site that it has met adds.
    """
    walls, sizes = [], []
    with setting.place() as place:
        here = setting.tracked_copy(place / "a.db")
        for number in range(setting.runs):
            there = setting.tracked_copy(place / f"b{number}.db")
            with pair(here, str(there)) as (site, remote, _):
                wall, report = _timed(lambda: site.sync(remote))
                walls.append(wall)
                sizes.append(_bytes(remote))
                if report.records or not site.verify(remote).agree:
                    raise RuntimeError(f"equal copies moved {report.records} records")
            there.unlink()
    figures: Figures = {"seconds": round(statistics.median(walls), 4), "bytes": sizes[0]}
    if len(sizes) > 1:
        figures["bytes_per_site_met"] = round((sizes[-1] - sizes[0]) / (len(sizes) - 1))
    return figures


# Later passes ---------------------------------------------------------------------------------------------------


def later(setting: Setting) -> Figures:
    """On one pair that is in agreement: passes of nothing, of 1,000 updates, of 1,000 conflicts."""
    with setting.place() as place:
        here, there = setting.tracked_copy(place / "a.db"), empty(place / "b.db")
        with pair(here, there) as (site, remote, _):
            _whole(setting, site.sync(remote))
            figures = {
                "records": setting.records,
                "no_change": _no_change(setting, site, remote),
                "incremental": _incremental(setting, site, remote, here),
                "conflicts": _conflicts(setting, site, remote, here, Path(there)),
            }
            if not site.verify(remote).agree:
                raise RuntimeError("the ends do not agree")
        figures["incremental"]["floor_ms"] = floor = _floor_incremental(setting, place)
        figures["incremental"]["times_floor"] = round(figures["incremental"]["ms"] / floor, 2)
        return figures


def _no_change(setting: Setting, site: tallystick.Site, remote: RemoteReplica) -> Figures:
    site.sync(remote)
    before, count = _bytes(remote), 10 * setting.runs
    walls = [_timed(lambda: site.sync(remote))[0] for _ in range(count)]
    return {"ms": _ms(walls), "bytes": round((_bytes(remote) - before) / count)}


def _incremental(setting: Setting, site: tallystick.Site, remote: RemoteReplica, here: Path) -> Figures:
    changed = min(CHANGED, setting.records // 4)
    walls, before = [], _bytes(remote)
    for number in range(setting.runs + 1):
        data.edit(here, changed, number % 3 * changed, f"edit {number}")
        wall, report = _timed(lambda: site.sync(remote))
        walls.append(wall)
        if report.total().updated != changed:
            raise RuntimeError(f"{changed} updates did {report.total()}")
    size = round((_bytes(remote) - before) / len(walls))
    return {"changed": changed, "ms": _ms(walls[1:]), "first_ms": _ms(walls[:1]), "bytes": size}


def _conflicts(setting: Setting, site: tallystick.Site, remote: RemoteReplica, here: Path, there: Path) -> Figures:
    changed = min(CHANGED, setting.records // 4)
    walls = []
    for number in range(setting.runs + 1):
        data.edit(here, changed, 0, f"here {number}")
        data.edit(there, changed, 0, f"there {number}")
        wall, report = _timed(lambda: site.sync(remote))
        walls.append(wall)
        if report.total().conflicts < changed:
            raise RuntimeError(f"{changed} conflicts did {report.total()}")
    return {"changed": changed, "first_ms": _ms(walls[:1]), "ms": _ms(walls[1:])}


def _floor_incremental(setting: Setting, place: Path) -> float:
    source = data.copy(setting.source(), place / "floor.db")
    log_changes(source)
    changed = min(CHANGED, setting.records // 4)
    with processes.serving(processes.floor(str(data.copy(setting.source(), place / "target.db")))) as server:
        client = Client(source, server.address, PAGE_ROWS)
        walls = []
        try:
            for number in range(setting.runs + 1):
                data.edit(source, changed, number % 3 * changed, f"edit {number}")
                walls.append(_timed(client.send_changed)[0])
        finally:
            client.close()
    return _ms(walls[1:])


# Memory ---------------------------------------------------------------------------------------------------------


def memory(setting: Setting) -> Figures:
    """The most memory that both processes had in a first sync, pushed and pulled by the command."""
    with setting.place() as place:
        there = empty(place / "b.db")
        with processes.serving(processes.site(there)) as server:
            sending = processes.weighed("sync", str(setting.tracked()), server.address, "--json")
            taking = server.stop()
        with processes.serving(processes.site(there)) as server:
            pulling = processes.weighed("sync", empty(place / "c.db"), server.address, "--json")
            giving = server.stop()
    found = {
        "push_here_mb": sending.peak_mb,
        "push_there_mb": taking.peak_mb,
        "pull_here_mb": pulling.peak_mb,
        "pull_there_mb": giving.peak_mb,
    }
    return {"records": setting.records, "mb": round(max(found.values())), **{k: round(v) for k, v in found.items()}}


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def _ms(walls: list[float]) -> float:
    return round(statistics.median(walls) * 1000, 2)


def _bytes(remote: RemoteReplica) -> int:
    return remote.traffic.sent + remote.traffic.received
