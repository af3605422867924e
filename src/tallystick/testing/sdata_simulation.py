"""Random histories of SData endpoints, to see what the rules of agreement keep (spec/sdata.md 9.8).

    python -m tallystick.testing.sdata_simulation --seeds 1000 --nodes 3 --priorities mixed --restores 0

Every history is a pure function of its seed. Two to five endpoints edit, delete, push and synchronize in a mesh or a
star; pages fail, entries fail, passes are cut off, endpoints restart and are restored from backups; then passes run
without trouble until nothing moves. A history is judged by three questions: do all ends hold the same data, does a
further pass send nothing, and was every edit kept, built upon or decided in a conflict that somebody saw.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tallystick.protocols.sdata.codec.digests import SyncState
from tallystick.protocols.sdata.errors import TickGap
from tallystick.protocols.sdata.rules.application import Incoming, apply_page
from tallystick.protocols.sdata.rules.conflicts import Verdict
from tallystick.protocols.sdata.rules.progress import assign, restore_ended
from tallystick.protocols.sdata.rules.selection import Head, select
from tallystick.protocols.sdata.rules.standing import Page, Standing, new_standing, restored


@dataclass(frozen=True, slots=True)
class Settings:
    """One kind of history. Rates are probabilities per entry (``failures``) or per pass (``aborts``)."""

    nodes: int = 2
    star: bool = False
    mixed: bool = False
    records: int = 4
    events: int = 60
    page: int = 2
    failures: float = 0.1
    aborts: float = 0.15
    restarts: float = 0.05
    pushes: float = 0.1
    restores: int = 0
    tied_stamps: bool = True


class Version(NamedTuple):
    """A content, by the number of the edit that made it, and the edits it builds on."""

    number: int
    deleted: bool
    past: frozenset[int]


class Held(NamedTuple):
    """What an endpoint holds of one resource."""

    state: SyncState
    version: Version


@dataclass(slots=True)
class Node:
    """One endpoint: its rules' standing and its data, both in one backup unit."""

    standing: Standing
    held: dict[str, Held] = field(default_factory=dict)

    def copy(self) -> Node:
        """A backup: what a restore brings back."""
        return Node(self.standing, dict(self.held))


class Outcome(NamedTuple):
    """How a history ended."""

    converged: bool
    quiet: bool
    lost: int
    conflicts: int


class History:
    """One random history; `run` plays it and judges its end."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings = settings
        self.random = random.Random(f"{seed}/{settings}")
        self.clock = 0
        self.numbers = 0
        self.versions: dict[int, Version] = {}
        self.losers: set[int] = set()
        self.excused: set[int] = set()
        self.conflicts = 0
        self.sent = 0
        self.passes = 0
        self.nodes = [
            Node(new_standing(f"http://n{n}/accounts", self._priority(), self._stamp())) for n in self._names()
        ]
        self.backups = [node.copy() for node in self.nodes]

    def _names(self) -> range:
        return range(self.settings.nodes)

    def _priority(self) -> int:
        return self.random.randint(1, 9) if self.settings.mixed else 5

    def _stamp(self) -> str:
        if not self.settings.tied_stamps or self.random.random() < 0.7:
            self.clock += 1
        return f"2026-01-01T{self.clock // 3600:02d}:{self.clock // 60 % 60:02d}:{self.clock % 60:02d}Z"

    # What happens -----------------------------------------------------------------------------------------------

    def edit(self, node: Node) -> str:
        """A local create, update or delete; what it was made on is its past."""
        uuid = f"u{self.random.randrange(self.settings.records)}"
        before = node.held.get(uuid)
        past = frozenset() if before is None else before.version.past | {before.version.number}
        self.numbers += 1
        deleted = before is not None and not before.version.deleted and self.random.random() < 0.25
        version = Version(self.numbers, deleted, past)
        self.versions[version.number] = version
        node.standing, state = assign(node.standing, self._stamp())
        node.held[uuid] = Held(state, version)
        return uuid

    def transfer(self, source: Node, target: Node, *, trouble: bool) -> bool:
        """One catch-up pass, page by page; False when it was cut off."""
        self.passes += 1
        digest = source.standing.digest
        heads = select(target.standing.digest, digest, [Head(uuid, held.state) for uuid, held in source.held.items()])
        frozen = [(head, source.held[head.uuid].version) for head in heads]
        size = self.settings.page
        pages = [frozen[start : start + size] for start in range(0, len(frozen), size)] or [[]]
        stop = (
            self.random.randrange(len(pages) + 1) if trouble and self.random.random() < self.settings.aborts else None
        )
        for number, entries in enumerate(pages):
            if number == stop:
                return False
            page = Page(
                digest,
                f"pass {self.passes}",
                start=number * size + 1,
                entries=len(entries),
                first=number == 0,
                last=number == len(pages) - 1,
            )
            self._take(target, page, entries, trouble=trouble)
            if trouble and self.random.random() < 0.3:
                self.edit(self.random.choice([source, target]))
        return True

    def push(self, source: Node, target: Node) -> None:
        """One local change, sent straight to a target; a gap is left to catch-up."""
        uuid = self.edit(source)
        held = source.held[uuid]
        page = Page(source.standing.digest, "", entries=1)
        try:
            self._take(target, page, [(Head(uuid, held.state), held.version)], trouble=True, immediate=True)
        except TickGap:
            return

    def _take(
        self,
        target: Node,
        page: Page,
        entries: list[tuple[Head, Version]],
        *,
        trouble: bool,
        immediate: bool = False,
    ) -> None:
        self.sent += len(entries)

        def current(uuid: str) -> SyncState | None:
            held = target.held.get(uuid)
            return None if held is None else held.state

        def attempt(index: int, verdict: Verdict) -> bool:
            if trouble and self.random.random() < self.settings.failures:
                return False
            head, version = entries[index]
            if verdict is Verdict.CONFLICT_WON:
                self._conflict(target.held[head.uuid].version, version)
            target.held[head.uuid] = Held(head.state, version)
            return True

        incoming = [Incoming(head.uuid, head.state) for head, _ in entries]
        standing, decided = apply_page(
            target.standing, page, incoming, current, attempt, self._stamp(), immediate=immediate
        )
        target.standing = standing
        for (head, version), decision in zip(entries, decided, strict=True):
            if decision.verdict is Verdict.CONFLICT_LOST:
                self._conflict(version, target.held[head.uuid].version)

    def _conflict(self, loser: Version, winner: Version) -> None:
        if loser.number != winner.number:
            self.conflicts += 1
            self.losers.add(loser.number)

    def restore(self, index: int) -> None:
        """An endpoint comes back from its last backup and follows the rule of spec 9.9.

        Edits that only the lost store knew are gone with it; no protocol brings them back.
        """
        survivors = [self.backups[index], *(self.nodes[peer] for peer in self._names() if peer != index)]
        held = {held.version.number for node in survivors for held in node.held.values()}
        self.excused |= self.versions.keys() - self._known(held | self.losers)
        node = self.nodes[index] = self.backups[index].copy()
        peers = [self.nodes[peer] for peer in self._peers(index)]
        node.standing = restored(node.standing, [peer.standing.digest for peer in peers])
        for peer in peers:
            self.transfer(peer, node, trouble=False)
        node.standing = restore_ended(node.standing, self._stamp())

    def _peers(self, index: int) -> list[int]:
        if not self.settings.star:
            return [peer for peer in self._names() if peer != index]
        return [0] if index else list(self._names())[1:]

    # The course of a history -------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """The whole history: troubled times, then quiet ones."""
        restores = self.settings.restores
        for _ in range(self.settings.events):
            index = self.random.randrange(self.settings.nodes)
            peer = self.random.choice(self._peers(index))
            chance = self.random.random()
            if chance < 0.5:
                self.edit(self.nodes[index])
            elif chance < 0.5 + self.settings.pushes:
                self.push(self.nodes[index], self.nodes[peer])
            elif chance < 0.95:
                self.transfer(self.nodes[index], self.nodes[peer], trouble=True)
            elif restores and self.random.random() < 0.5:
                restores -= 1
                self.restore(index)
            elif self.random.random() < 0.5:
                self.backups[index] = self.nodes[index].copy()
            if self.random.random() < self.settings.restarts:
                self._restart(self.nodes[index])
        self._settle()
        return self._judged()

    def _restart(self, node: Node) -> None:
        """What an endpoint keeps only while it runs is which passes are under way."""
        node.standing = _without_passes(node.standing)

    def _settle(self) -> None:
        for _ in range(4 * self.settings.nodes):
            for index in self._names():
                for peer in self._peers(index):
                    self.transfer(self.nodes[peer], self.nodes[index], trouble=False)

    def _judged(self) -> Outcome:
        contents = [{uuid: held.version.number for uuid, held in node.held.items()} for node in self.nodes]
        self.sent = 0
        for index in self._names():
            for peer in self._peers(index):
                self.transfer(self.nodes[peer], self.nodes[index], trouble=False)
        converged = all(content == contents[0] for content in contents)
        return Outcome(converged, self.sent == 0, len(self._lost(contents[0])), self.conflicts)

    def _lost(self, final: dict[str, int]) -> set[int]:
        return self.versions.keys() - self.excused - self._known({*final.values(), *self.losers})

    def _known(self, numbers: set[int]) -> set[int]:
        """These versions and all that they build on."""
        known = set(numbers)
        for number in numbers:
            known |= self.versions[number].past
        return known


def _without_passes(standing: Standing) -> Standing:
    return Standing(standing.digest, standing.counter, standing.failures, {}, standing.events, standing.restoring)


def simulate(settings: Settings, seeds: range) -> Counter[str]:
    """How many of the histories with these seeds diverged, went on sending, or lost an edit."""
    found: Counter[str] = Counter(histories=0, diverged=0, restless=0, lossy=0, conflicts=0)
    for seed in seeds:
        outcome = History(settings, seed).run()
        found["histories"] += 1
        found["diverged"] += not outcome.converged
        found["restless"] += not outcome.quiet
        found["lossy"] += outcome.lost > 0
        found["conflicts"] += outcome.conflicts
    return found


def main() -> None:
    """Play the histories that the command line asks for; print counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--topology", choices=("mesh", "star"), default="mesh")
    parser.add_argument("--priorities", choices=("equal", "mixed"), default="equal")
    parser.add_argument("--failures", type=float, default=0.1)
    parser.add_argument("--restores", type=int, default=0)
    parser.add_argument("--distinct-stamps", action="store_true")
    given = parser.parse_args()
    settings = replace(
        Settings(),
        nodes=given.nodes,
        star=given.topology == "star",
        mixed=given.priorities == "mixed",
        failures=given.failures,
        restores=given.restores,
        tied_stamps=not given.distinct_stamps,
    )
    print(json.dumps(simulate(settings, range(given.first, given.first + given.seeds))))


if __name__ == "__main__":
    main()
