"""Directories on this machine: Tallystick beside rsync, rclone, unison and syncthing. Prints one JSON document.

    python benchmarks/trees.py                            the rows of many small files
    python benchmarks/trees.py --only first no_change     some rows
    python benchmarks/trees.py --only durable             onto a disk: --disk says where
    python benchmarks/trees.py --only million memory      what takes long
    python benchmarks/trees.py --peers                    beside rsync only
    python benchmarks/trees.py --smoke                    everything once, tiny, without syncthing

Every row runs the tools in turns on the same trees; figures are medians, and what counts is ``to_rsync``, the ratio in
the same run. On a busy machine ``processor_to_rsync`` says more: processor time of all processes together. Trees grow
in memory (/dev/shm) so that disks do not decide, but for ``durable``. Peers that are not installed or fail are left
out and said so; in the row of first synchronizations they run once. Tools are whole processes, but for syncthing (see
trees_syncthing.py). The rows over HTTP are in trees_http.py.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import trees_data as data
from trees_syncthing import Syncthing
from trees_tools import Rclone, Rsync, Tallystick, Tool, Unison, Used, agree, measured

Figures = dict[str, Any]
TOOLS: dict[str, type[Tool]] = {
    "tallystick": Tallystick,
    "rsync": Rsync,
    "rclone": Rclone,
    "unison": Unison,
    "syncthing": Syncthing,
}
PEERS = ("rclone", "unison", "syncthing")


@dataclass
class Setting:
    """What is measured: where trees grow, how many of what, how often, with which peers.

    ``ready`` are the tools that have a copy of the small files already, ``left_out`` those that failed, and why.
    """

    ground: Path
    disk: Path
    files: int
    directories: int
    entries: int
    big: int
    runs: int
    peers: Sequence[str]
    ready: list[Tool] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def tools(self, *more: str) -> list[Tool]:
        """This project's, rsync and the named ones, as far as they are installed."""
        names = ("tallystick", "rsync", *more)
        return [TOOLS[name](name, self.ground) for name in names if name == "tallystick" or shutil.which(name)]

    def run(self, tool: Tool, source: Path) -> Used | None:
        """One run; a peer that fails is left out from then on."""
        if tool.name in self.left_out:
            return None
        try:
            return tool.run(source)
        except (OSError, RuntimeError, subprocess.SubprocessError) as problem:
            if tool.name not in PEERS:
                raise
            self.left_out[tool.name] = str(problem)[:300]
            return None


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
    tools = setting.tools(*setting.peers)
    found = compared(setting, tools, source, setting.runs, after=Tool.forget)
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
    """A later synchronization, after a change that every tool has to carry over; one row after the other."""
    source = setting.ground / "many"
    if not setting.ready:
        grown(setting)
        setting.ready = setting.tools(*setting.peers)
        for tool in setting.ready:
            setting.run(tool, source)
    for tool in setting.ready:
        setting.run(tool, source)  # what the row before has changed, or was noted a moment after it was written
    samples: dict[str, list[Used]] = {tool.name: [] for tool in setting.ready}
    for number in range(runs):
        if change is not None:
            change(source, share, number + 1)
        for tool in turned(setting.ready, number):
            used = setting.run(tool, source)
            samples[tool.name] += [] if used is None else [used]
    sound = [tool for tool in setting.ready if tool.name not in setting.left_out]
    return {**summary(samples), "agree": {tool.name: agree(source, tool.target) for tool in sound}}


def durable(setting: Setting) -> Figures:
    """A first synchronization onto a disk that must survive a power cut; every run into a new place."""
    source = grown(setting)
    place = Path(tempfile.mkdtemp(prefix="tallystick-durable-", dir=setting.disk))
    try:
        tools = replace(setting, ground=place).tools()
        for tool in tools:
            tool.durable = True  # type: ignore[attr-defined]
        return compared(setting, tools, source, max(1, setting.runs - 1), after=lambda tool: None)
    finally:
        shutil.rmtree(place)


def memory(setting: Setting) -> Figures:
    """Four large files: what they cost in memory and time."""
    source = setting.ground / "big"
    data.grow_big(source, 4, setting.big)
    found = compared(setting, setting.tools(), source, 1, after=Tool.forget)
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
LATER = ("no_change", "renamed", "changed", "deleted")
"""Rows that go on with the same trees."""
USUAL = ("first", *LATER)


# Comparing ---------------------------------------------------------------------------------------


def grown(setting: Setting) -> Path:
    """The tree of many small files, made anew."""
    source = setting.ground / "many"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    data.grow_many(source, setting.files, setting.directories)
    return source


def compared(setting: Setting, tools: list[Tool], source: Path, runs: int, after: Callable[[Tool], None]) -> Figures:
    """All tools in turns into new places, ``runs`` times; peers once."""
    samples: dict[str, list[Used]] = {tool.name: [] for tool in tools}
    for number in range(runs):
        for tool in turned(tools, number):
            if number and tool.name in PEERS:
                continue
            tool.fresh()
            used = setting.run(tool, source)
            samples[tool.name] += [] if used is None else [used]
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
    ours = found["seconds"]["tallystick"]
    found["to_peers"] = {name: round(ours / found["seconds"][name], 3) for name in PEERS if name in found["seconds"]}
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


def new_ground(stack: ExitStack, place: str) -> Path:
    """A new directory in which trees may grow, until the stack ends."""
    fast = place if Path(place).is_dir() else None
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tallystick-trees-", dir=fast)))


def main() -> None:
    """Measure, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--smoke", action="store_true", help="everything once, tiny")
    options.add_argument("--only", nargs="+", choices=sorted(MEASURES), help="these rows")
    options.add_argument("--files", type=int, default=50_000)
    options.add_argument("--entries", type=int, default=1_000_000)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--peers", nargs="*", choices=PEERS, help="which ones beside rsync; all of them by default")
    options.add_argument("--ground", default="/dev/shm", help="where trees grow")
    options.add_argument("--disk", default=".", help="a directory on a disk, for the durable row")
    given = options.parse_args()
    wanted = given.only or (list(MEASURES) if given.smoke else USUAL)
    peers = given.peers if given.peers is not None else PEERS[:2] if given.smoke else PEERS
    size = (given.files, 2000, given.entries, 512 << 20, given.runs)
    if given.smoke:
        size = (200, 20, 1010, 1 << 20, 1)
    document: Figures = {"machine": platform.processor() or platform.machine(), "python": platform.python_version()}
    with ExitStack() as stack:
        shared = Setting(new_ground(stack, given.ground), Path(given.disk), *size, peers)
        stack.callback(lambda: [tool.close() for tool in shared.ready])
        for name in wanted:
            with ExitStack() as own:
                setting = shared if name in LATER else replace(shared, ground=new_ground(own, given.ground), ready=[])
                document[name] = MEASURES[name](setting)
            print(f"{name}: {json.dumps(document[name])}", file=sys.stderr)
        document["left_out"] = shared.left_out
    document["targets"] = [
        {"claim": target.claim, "bound": target.bound, "measured": value, "reached": value <= target.bound}
        for target in TARGETS
        if (value := looked_up(document, target.path)) is not None
    ]
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
