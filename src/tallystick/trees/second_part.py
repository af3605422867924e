"""The second part of large trees, brought into agreement by a process beside this one (DESIGN.md 4.10).

    second = SecondPart(sides, scope, cut)   it scans
    seen = second.seen()                     go_on(), or take_over() what it scanned
    second.exchange(vanished)                while both find their plans
    intent = second.intent()                 go_on(), or take_over()
    done = second.done()

Nothing is changed by it before the second ``go_on``. From then on it carries out and remembers its own part.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from tallystick.errors import StorageError
from tallystick.trees.cut import Cut
from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.guards import deletions
from tallystick.trees.merging import Side
from tallystick.trees.nodes import Directory, Leaf
from tallystick.trees.packed_actions import packed_actions
from tallystick.trees.part import Part, Sides
from tallystick.trees.plan import Action, Plan, Vanished, Verb
from tallystick.trees.processes import Channel, Companion
from tallystick.trees.scan import Scan
from tallystick.trees.scope import Scope

Scans = dict[Side, Scan]


class Seen(NamedTuple):
    """What the scans of a part found. ``plain``: no rules, leftovers, mounts or unreadable places among it."""

    plain: bool
    differing: int
    entries: int

    @classmethod
    def of(cls, scans: Mapping[Side, Scan]) -> Seen:
        """In these scans."""
        found = scans.values()
        plain = not any(scan.rules or scan.leftovers or scan.mounted or scan.unknown for scan in found)
        return cls(plain, sum(len(scan.changed) for scan in found), sum(scan.entries for scan in found))


class Intent(NamedTuple):
    """What is planned for a part.

    ``simple``: changes of single files, none of them in conflict, unreadable or renamed from the other part.
    ``deletions`` are the files that go on each side (None: nothing does), ``files`` and ``sizes`` what is written.
    """

    simple: bool
    deletions: dict[Side, int | None]
    files: int
    sizes: dict[Side, int]

    @classmethod
    def of(cls, part: Part, found: Plan) -> Intent:
        """In this plan of a part."""
        troubled = found.conflicts or found.blocked or found.unknown or part.failures
        simple = not troubled and all(map(_is_single, found.actions)) and not _crosses(part, found)
        written = {
            side: [
                action.node.size
                for action in found.of(side)
                if action.verb is Verb.PUT and isinstance(action.node, Leaf)
                if action.path not in part.moves(found, side)
            ]
            for side in Side
        }
        gone: dict[Side, int | None] = {}
        for side in Side:
            deleting = [action for action in found.of(side) if action.deletes]
            gone[side] = deletions(deleting, part.moves(found, side)) if deleting else None
        sizes = {side: sum(each) for side, each in written.items()}
        return cls(simple, gone, sum(map(len, written.values())), sizes)


class Done(NamedTuple):
    """What was done in a part."""

    actions: bytes
    """Packed: a caller that does not ask for them spares taking them apart."""
    files: int
    bytes: int
    removals: int
    failed: dict[str, StorageError]
    warnings: list[tuple[str, str, str]]


class SecondPart:
    """The other process, seen from the first one. Raises what the other one raises, from whatever is asked next."""

    def __init__(self, sides: Sides, scope: Scope, cut: Cut) -> None:
        self.cut = cut
        self._companion = Companion(partial(_accompany, sides, scope, cut))
        self._channel = self._companion.channel

    def seen(self) -> Seen:
        """What it has scanned, when it has."""
        found: Seen = self._channel.receive()
        return found

    def go_on(self) -> None:
        """Let it find its plan, or carry it out."""
        self._channel.send(True)

    def take_over(self) -> Scans:
        """Let it end instead; what it has scanned is for this process to go on with."""
        try:
            self._channel.send(False)
            found: Scans = self._channel.receive()
        finally:
            self.end()
        return found

    def exchange(self, vanished: Mapping[Side, Vanished]) -> Mapping[Side, Vanished]:
        """Tell it what vanished here, and get what vanished there."""
        found: Mapping[Side, Vanished] = self._channel.receive()
        self._channel.send(vanished)
        return found

    def intent(self) -> Intent:
        """What it has planned."""
        found: Intent = self._channel.receive()
        return found

    def done(self) -> Done:
        """What it has done, remembered by now."""
        found: Done = self._channel.receive()
        return found

    def end(self) -> None:
        """Wait for it; before it was told to carry anything out it does nothing."""
        self._companion.end()


def _accompany(sides: Sides, scope: Scope, cut: Cut, channel: Channel) -> None:
    """The work of the other process."""
    scans: Scans = {}
    for side, end in sides.ends.items():
        assert isinstance(end, DirectoryEnd)
        sides.noted[side].keep_to(cut.span)
        scans[side] = end.refresh_part(sides.noted[side], scope, cut)
        end.adopt(sides.noted[side], scans[side])
    channel.send(Seen.of(scans))
    if not channel.receive():
        channel.send(scans)
        return

    def exchange(vanished: Mapping[Side, Vanished]) -> Mapping[Side, Vanished]:
        channel.send(vanished)
        found: Mapping[Side, Vanished] = channel.receive()
        return found

    part = Part(sides, scans, scope, cut, first=False)
    found = part.prepare(exchange)
    channel.send(Intent.of(part, found))
    if not channel.receive():
        channel.send(scans)
        return
    report = part.report(found)
    part.carry_out(found, report)
    part.remember({})
    actions = packed_actions(found.actions) if found.actions else b""
    channel.send(Done(actions, report.files, report.bytes, report.removals, report.failed, report.warnings))


def _is_single(action: Action) -> bool:
    return not isinstance(action.node, Directory) and not isinstance(action.replaces, Directory)


def _crosses(part: Part, found: Plan) -> bool:
    """True when something of the other part may have been renamed into this one."""
    for side in Side:
        gone = part.elsewhere[side.other]
        if gone and any(
            isinstance(action.node, Leaf) and action.node.digest in gone and action.path not in part.moves(found, side)
            for action in found.of(side)
            if action.verb is Verb.PUT
        ):
            return True
    return False
