"""Directories on this machine: Tallystick beside rsync, rclone and unison, whole processes. Prints one JSON document.

    python benchmarks/trees.py                            the rows of many small files
    python benchmarks/trees.py --only first no_change     some rows
    python benchmarks/trees.py --only durable             onto a disk: --disk says where
    python benchmarks/trees.py --only million memory      what takes long
    python benchmarks/trees.py --smoke                    everything once, tiny

Every row runs the tools in turns on the same trees; figures are medians, and what counts is ``to_rsync``, the ratio in
the same run. On a busy machine ``processor_to_rsync`` says more: processor time of all processes together. Trees grow
in memory (/dev/shm) so that disks do not decide, but for ``durable``. The rows over HTTP are in trees_http.py.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import trees_data as data
from trees_tools import Rsync, Tallystick, Tool, Used, agree, available, measured

Figures = dict[str, Any]


class Setting(NamedTuple):
    """What is measured: where trees grow, how many of what, how often, with which peers."""

    ground: Path
    disk: Path
    files: int
    directories: int
    entries: int
    big: int
    runs: int
    peers: tuple[str, ...]


class Target(NamedTuple):
    """A figure that must be reached."""

    claim: str
    path: str
    bound: float


TARGETS = (
    Target("first sync of small files, to rsync", "first.to_rsync", 1.3),
    Target("no change, to rsync", "no_change.to_rsync", 1.0),
    Target("10 % renamed, to rsync", "renamed.to_rsync", 1.0),
    Target("1 % changed, to rsync", "changed.to_rsync", 1.2),
    Target("5 % deleted, to rsync", "deleted.to_rsync", 1.2),
    Target("first sync onto a disk, durable, to rsync --fsync", "durable.to_rsync", 0.4),
    Target("memory of a process, first sync of small files, MB", "first.megabytes.tallystick", 100),
    Target("memory of a process, 2 GiB in 4 files, MB", "memory.megabytes.tallystick", 100),
    Target("1,000,000 entries, no change, s", "million.seconds.tallystick", 6),
    Target("1,000,000 entries, no change, MB", "million.megabytes.tallystick", 600),
)


def first(setting: Setting) -> Figures:
    """A first synchronization into a directory that is not there."""
    source = grown(setting)
    tools = available(("tallystick", "rsync", *setting.peers), setting.ground)
    found = compared(tools, source, setting.runs, before=Tool.fresh, after=Tool.forget)
    tools[0].fresh()
    tools[0].run(source)
    found["agree"] = agree(source, tools[0].target)
    return found


def no_change(setting: Setting) -> Figures:
    """Nothing to do."""
    return later(setting, None, 0, setting.runs + 4)


def changed(setting: Setting) -> Figures:
    """1 % of the files have other content."""
    return later(setting, data.edit, 0.01, setting.runs + 2)


def renamed(setting: Setting) -> Figures:
    """10 % of the files have other names."""
    return later(setting, data.rename, 0.1, setting.runs + 2)


def deleted(setting: Setting) -> Figures:
    """5 % of the files are gone."""
    return later(setting, data.delete, 0.05, setting.runs)


def later(setting: Setting, change: Callable[[Path, float, int], int] | None, share: float, runs: int) -> Figures:
    """A later synchronization, after a change that every tool has to carry over."""
    source = grown(setting)
    tools = available(("tallystick", "rsync", *setting.peers), setting.ground)
    for tool in tools:
        tool.run(source)
        tool.run(source)
    samples: dict[str, list[Used]] = {tool.name: [] for tool in tools}
    for number in range(runs):
        if change is not None:
            change(source, share, number + 1)
        for tool in turned(tools, number):
            samples[tool.name].append(tool.run(source))
    return {**summary(samples), "agree": all(agree(source, tool.target) for tool in tools[:2])}


def durable(setting: Setting) -> Figures:
    """A first synchronization onto a disk that must survive a power cut; every run into a new place."""
    source = grown(setting)
    place = Path(tempfile.mkdtemp(prefix="tallystick-durable-", dir=setting.disk))
    try:
        tools: list[Tool] = [Tallystick("tallystick", place), Rsync("rsync", place)]
        for tool in tools:
            tool.durable = True  # type: ignore[attr-defined]
        return compared(tools, source, max(1, setting.runs - 1), before=Tool.fresh, after=lambda tool: None)
    finally:
        shutil.rmtree(place)


def memory(setting: Setting) -> Figures:
    """Four large files: what they cost in memory and time."""
    source = setting.ground / "big"
    data.grow_big(source, 4, setting.big)
    tools = available(("tallystick", "rsync"), setting.ground)
    found = compared(tools, source, 1, before=Tool.fresh, after=Tool.forget)
    shutil.rmtree(source)
    return found


def million(setting: Setting) -> Figures:
    """Nothing to do in a tree of very many entries."""
    source = setting.ground / "entries"
    source.mkdir()
    entries = data.grow_entries(source, setting.entries)
    tool = Tallystick("tallystick", setting.ground)
    copied = tool.run(source)
    tool.run(source)
    samples: dict[str, list[Used]] = {"tallystick": [tool.run(source) for _ in range(3)], "rsync": []}
    if shutil.which("rsync"):
        command = ["rsync", "-a", "--delete", f"{source}/", f"{tool.target}/"]
        samples["rsync"] = [measured(command, setting.ground) for _ in range(3)]
    tool.forget()
    shutil.rmtree(source)
    return {**summary(samples), "entries": entries, "first": copied._asdict()}


MEASURES: dict[str, Callable[[Setting], Figures]] = {
    "first": first,
    "no_change": no_change,
    "renamed": renamed,
    "changed": changed,
    "deleted": deleted,
    "durable": durable,
    "memory": memory,
    "million": million,
}
USUAL = ("first", "no_change", "renamed", "changed", "deleted")


# Comparing ---------------------------------------------------------------------------------------


def grown(setting: Setting) -> Path:
    """The tree of many small files, made anew."""
    source = setting.ground / "many"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    data.grow_many(source, setting.files, setting.directories)
    return source


def compared(
    tools: list[Tool], source: Path, runs: int, before: Callable[[Tool], None], after: Callable[[Tool], None]
) -> Figures:
    """All tools in turns, ``runs`` times."""
    samples: dict[str, list[Used]] = {tool.name: [] for tool in tools}
    for number in range(runs):
        for tool in turned(tools, number):
            before(tool)
            samples[tool.name].append(tool.run(source))
            after(tool)
    return summary(samples)


def turned(tools: list[Tool], number: int) -> list[Tool]:
    """The tools in another order every time: nobody always goes first."""
    return tools[number % len(tools) :] + tools[: number % len(tools)]


def summary(samples: dict[str, list[Used]]) -> Figures:
    """Medians by tool, and the ratio to rsync run by run, in time and in processor time."""
    found: Figures = {
        "seconds": {
            name: round(statistics.median(used.seconds for used in listed), 3)
            for name, listed in samples.items()
            if listed
        },
        "processor_seconds": {
            name: round(statistics.median(used.processor for used in listed), 3)
            for name, listed in samples.items()
            if listed
        },
        "megabytes": {
            name: round(max(used.megabytes for used in listed), 1) for name, listed in samples.items() if listed
        },
        "runs": len(samples["tallystick"]),
    }
    if samples.get("rsync"):
        pairs = zip(samples["tallystick"], samples["rsync"], strict=True)
        found["to_rsync"] = round(statistics.median(ours.seconds / theirs.seconds for ours, theirs in pairs), 3)
        pairs = zip(samples["tallystick"], samples["rsync"], strict=True)
        found["processor_to_rsync"] = round(
            statistics.median(ours.processor / theirs.processor for ours, theirs in pairs), 3
        )
    return found


def looked_up(document: Figures, path: str) -> float | None:
    """The figure at a dotted path; None when it was not measured."""
    found: Any = document
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def main() -> None:
    """Measure, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--smoke", action="store_true", help="everything once, tiny")
    options.add_argument("--only", nargs="+", choices=sorted(MEASURES), help="these rows")
    options.add_argument("--files", type=int, default=50_000)
    options.add_argument("--entries", type=int, default=1_000_000)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--peers", nargs="*", default=[], choices=("rclone", "unison"), help="beside rsync")
    options.add_argument("--ground", default="/dev/shm", help="where trees grow")
    options.add_argument("--disk", default=".", help="a directory on a disk, for the durable row")
    given = options.parse_args()
    wanted = given.only or (list(MEASURES) if given.smoke else USUAL)
    fast = given.ground if Path(given.ground).is_dir() else None
    document: Figures = {"machine": platform.processor() or platform.machine(), "python": platform.python_version()}
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="tallystick-trees-", dir=fast) as ground:
            size = (given.files, 2000, given.entries, 512 << 20, given.runs)
            if given.smoke:
                size = (200, 20, 1010, 1 << 20, 1)
            setting = Setting(Path(ground), Path(given.disk), *size, tuple(given.peers))
            document[name] = MEASURES[name](setting)
            print(f"{name}: {json.dumps(document[name])}", file=sys.stderr)
    document["targets"] = [
        {"claim": target.claim, "bound": target.bound, "measured": value, "reached": value <= target.bound}
        for target in TARGETS
        if (value := looked_up(document, target.path)) is not None
    ]
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
