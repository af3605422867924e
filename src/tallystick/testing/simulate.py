"""Random histories of sites, judged by the laws of agreement (DESIGN.md 4.9).

    python -m tallystick.testing.simulate --seeds 100000
    python -m tallystick.testing.simulate --start 4711 --seeds 1 --trace
    python -m tallystick.testing.simulate --seeds 1000 --bug state-ahead

Every seed is one history: two to five sites on the real rules of ``tallystick.core`` edit, synchronize page by page
over a network that loses, doubles and cuts off, with clocks that are wrong; their files are copied, restored and
purged; then everything settles and the laws are checked. The same seed gives the same history. Exit code 0: no law was
broken; 1: some were, and the seeds are printed; 2: usage.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from tallystick.testing.simulated_bugs import BUGS, planted
from tallystick.testing.simulated_world import Violation, World

CHUNK = 250


class Broken(NamedTuple):
    """A seed whose history broke a law."""

    seed: int
    message: str


class Totals(NamedTuple):
    """What a number of histories did."""

    counts: Counter[str]
    broken: list[Broken]


def simulate(start: int, seeds: int, bug: str = "", stop: bool = False) -> Totals:
    """Run the histories of ``seeds`` seeds from ``start`` on in this process, with a planted bug if one is named.

    With ``stop`` it ends after the first history that breaks a law.
    """
    totals = Totals(Counter(), [])
    planting: AbstractContextManager[None] = planted(bug) if bug else nullcontext()
    with planting:
        for seed in range(start, start + seeds):
            message = one_history(seed, totals.counts)
            if message:
                totals.broken.append(Broken(seed, message))
                if stop:
                    break
    return totals


def one_history(seed: int, counts: Counter[str]) -> str:
    """Run one history and add what happened to ``counts``. Returns the law that it broke, or nothing."""
    world = World(seed)
    try:
        world.run()
    except Violation as violation:
        return str(violation)
    except Exception as error:
        return f"defect: {type(error).__name__}: {error}"
    finally:
        counts.update(world.counts)
    return ""


def simulate_all(start: int, seeds: int, bug: str = "", processes: int = 0) -> Iterator[Totals]:
    """Run many histories in several processes; totals of one chunk after the other, in the order of seeds."""
    chunks = [(first, min(CHUNK, start + seeds - first), bug) for first in range(start, start + seeds, CHUNK)]
    processes = min(processes or os.cpu_count() or 1, len(chunks))
    if processes <= 1:
        yield from (simulate(*chunk) for chunk in chunks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_chunk, chunks)


def _chunk(chunk: tuple[int, int, str]) -> Totals:
    return simulate(*chunk)


def trace(seed: int, bug: str = "") -> list[str]:
    """The events of one history, a line each; the last one says what became of it."""
    lines: list[str] = []
    with planted(bug) if bug else nullcontext():
        world = World(seed, lines.append)
        try:
            world.run()
        except Violation as violation:
            return [*lines, f"broken: {violation}"]
    return [*lines, "every law holds"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    given = _parser().parse_args(arguments)
    if given.trace:
        lines = [line for seed in range(given.start, given.start + given.seeds) for line in trace(seed, given.bug)]
        print("\n".join(lines))
        return int(any(line.startswith("broken") for line in lines))
    began = time.monotonic()
    counts: Counter[str] = Counter()
    broken: list[Broken] = []
    for totals in simulate_all(given.start, given.seeds, given.bug, given.processes):
        counts.update(totals.counts)
        broken.extend(totals.broken)
    _report(counts, broken, time.monotonic() - began, given.json)
    return int(bool(broken))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tallystick.testing.simulate", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000, help="how many histories (default: 1000)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--trace", action="store_true", help="print every event")
    parser.add_argument("--bug", choices=sorted(BUGS), default="", help="plant a bug: the laws should notice it")
    parser.add_argument("--json", action="store_true", help="print totals as JSON")
    parser.add_argument("--processes", type=int, default=0, help="how many processes (default: one per processor)")
    return parser


def _report(counts: Counter[str], broken: Sequence[Broken], seconds: float, as_json: bool) -> None:
    if as_json:
        found = [{"seed": one.seed, "law": one.message} for one in broken]
        print(json.dumps({"totals": dict(sorted(counts.items())), "broken": found, "seconds": round(seconds, 1)}))
        return
    for name, count in sorted(counts.items()):
        print(f"{count:>12,} {name}")
    for one in broken[:20]:
        print(f"seed {one.seed}: {one.message}")
    print(f"{len(broken)} histories broke a law; {seconds:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
