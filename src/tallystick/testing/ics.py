"""Plays recorded synchronizations through the compatibility face and compares what comes out.

    python -m tallystick.testing.ics RECORDING.jsonl [--site SITE]

A recording has one scenario per line: operations on folders and items, states that were read, and synchronizations
with the callbacks they made, in order, and whether the state stayed the same. Everything is compared but two things:
the order among deletions of the same flags within one synchronization, and names of folders that were never renamed,
which recordings do not carry. Exits with 1 if anything differs, with 2 if the recording cannot be played.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tallystick.compat import kopano
from tallystick.errors import TallystickError, UsageError

Event = list[Any]
Step = dict[str, Any]

_BEGIN = datetime(2020, 6, 1, 12)
"""Local time that ``begin_days`` counts from."""
_DELIVERY = datetime(2020, 6, 1, 13)
"""Local time that ``day`` counts from."""


class Mismatch(NamedTuple):
    """A step that did not come out as recorded."""

    seed: Any
    number: int
    """Of the step, from 0."""
    step: Step
    got: str

    def __str__(self) -> str:
        return f"scenario {self.seed}, step {self.number}: {json.dumps(self.step)}\n  came out as {self.got}"


class Report(NamedTuple):
    """What a recording came to."""

    counts: Counter[str]
    mismatches: list[Mismatch]


class _Recorder:
    """An importer that writes down what it is told, with the recording's labels."""

    def __init__(self, player: Player, hierarchy: bool) -> None:
        self._player = player
        self._hierarchy = hierarchy
        self.events: list[Event] = []

    def update(self, told: Any, flags: int = 0) -> None:
        label = self._player.label
        if self._hierarchy:
            self.events.append(["update", label(told), label(told.parent), told.name])
        else:
            self.events.append(["update", label(told), flags, told.subject, label(told.folder), told.read])

    def delete(self, told: Any, flags: int) -> None:
        self.events.append(["delete", self._player.label(told), flags])

    def read(self, told: Any, status: bool) -> None:
        self.events.append(["read", self._player.label(told), status])


class Player:
    """Plays one scenario below a fresh folder of ``store``."""

    def __init__(self, server: kopano.Server, store: kopano.Store) -> None:
        self._server = server
        self._store = store
        self._folders: dict[str, Any] = {}
        self._items: dict[str, Any] = {}
        self._states: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._renamed: set[str] = set()
        self._made = 0

    def label(self, told: Any) -> str:
        """The recording's name for an object; its sourcekey if it has none."""
        sourcekey: str = told.sourcekey
        return self._labels.get(sourcekey, sourcekey)

    def play(self, step: Step) -> str | None:
        """Do one step; None if it came out as recorded, else what came out. Raises KeyError for unknown labels."""
        action: Callable[[Step], str | None] | None = getattr(self, f"_{step['op']}", None)
        if action is None:
            raise UsageError(f"recordings have no operation {step['op']!r}", hint="see the format of recordings")
        return action(step)

    # operations ------------------------------------------------------------------------------------------------

    def _keep(self, kept: dict[str, Any], label: str, made: Any) -> None:
        kept[label] = made
        self._labels[made.sourcekey] = label

    def _create_folder(self, step: Step) -> None:
        above = self._store.subtree if step["parent"] is None else self._folders[step["parent"]]
        self._made += 1
        name = f"replayed {self._made}" if step["parent"] else f"replayed {secrets.token_hex(8)}"
        self._keep(self._folders, step["id"], above.create_folder(name))

    def _rename_folder(self, step: Step) -> None:
        self._renamed.add(step["id"])
        self._folders[step["id"]].name = step["name"]

    def _move_folder(self, step: Step) -> None:
        folder = self._folders[step["id"]]
        folder.parent.move(folder, self._folders[step["parent"]])

    def _delete_folder(self, step: Step) -> None:
        folder = self._folders[step["id"]]
        folder.parent.delete(folder, soft=step["soft"])

    def _create_item(self, step: Step) -> None:
        delivered = {"received": _DELIVERY + timedelta(days=step["day"])} if step.get("day") is not None else {}
        folder = self._folders[step["folder"]]
        self._keep(self._items, step["id"], folder.create_item(subject=step["subject"], **delivered))

    def _save(self, step: Step) -> None:
        self._items[step["id"]].subject = step["subject"]

    def _set_read(self, step: Step) -> None:
        self._items[step["id"]].read = step["value"]

    def _delete(self, step: Step) -> None:
        item = self._items[step["id"]]
        item.folder.delete(item, soft=step["soft"])

    def _move(self, step: Step) -> None:
        item = self._items[step["id"]]
        self._keep(self._items, step["new_id"], item.folder.move(item, self._folders[step["folder"]])[0])

    def _copy(self, step: Step) -> None:
        item = self._items[step["id"]]
        self._keep(self._items, step["new_id"], item.folder.copy(item, self._folders[step["folder"]])[0])

    def _state(self, step: Step) -> None:
        scope = self._server if step["scope"] == "server" else self._folders[step["on"]]
        self._states[step["to"]] = scope.state

    def _sync(self, step: Step) -> str | None:
        given = None if step["from"] is None else self._states[step["from"]]
        recorder = _Recorder(self, step["scope"] == "hierarchy")
        state = self._synchronize(step, recorder, given)
        same = state == given
        self._states[step["to"]] = state
        events = comparable(recorder.events, self._renamed)
        if events == comparable(step["events"], self._renamed) and same == step["same"]:
            return None
        return json.dumps({"same": same, "events": events})

    def _synchronize(self, step: Step, recorder: _Recorder, given: str | None) -> str:
        days = step.get("begin_days")
        begin = None if days is None else _BEGIN + timedelta(days=days)
        if step["scope"] == "server":
            return self._server.sync(recorder, given or "", begin=begin)
        folder: kopano.Folder = self._folders[step["on"]]
        if step["scope"] == "hierarchy":
            return folder.sync_hierarchy(recorder, given)
        return folder.sync(recorder, given, begin=begin)


def comparable(events: Iterable[Event], renamed: Iterable[str]) -> list[Event]:
    """``events`` with deletions of the same flags in one order, and without names of folders never renamed."""
    listed = [list(event) for event in events]
    known = set(renamed)
    for event in listed:
        if event[0] == "update" and len(event) == 4 and event[1] not in known:
            event[3] = None
    deletions: dict[Any, Iterator[Event]] = {}
    for flags in {event[2] for event in listed if event[0] == "delete"}:
        deletions[flags] = iter(sorted(event for event in listed if event[0] == "delete" and event[2] == flags))
    return [next(deletions[event[2]]) if event[0] == "delete" else event for event in listed]


def replay(lines: Iterable[str], server: kopano.Server, store: kopano.Store) -> Report:
    """Play every scenario in ``lines``. Raises UsageError for what is no recording."""
    report = Report(Counter(), [])
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                scenario = json.loads(line)
                _play_scenario(scenario["seed"], scenario["steps"], Player(server, store), report)
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(f"line {number} is no scenario: {error!r}", hint="check the recording") from error
    return report


def _play_scenario(seed: Any, steps: list[Step], player: Player, report: Report) -> None:
    report.counts["scenarios"] += 1
    for number, step in enumerate(steps):
        report.counts["steps"] += 1
        if step["op"] == "sync":
            report.counts["syncs"] += 1
            report.counts.update(f"{event[0]} events" for event in step["events"])
        try:
            got = player.play(step)
        except UsageError:
            raise
        except TallystickError as error:
            report.mismatches.append(Mismatch(seed, number, step, f"an error, which ends the scenario: {error}"))
            return
        if got is not None:
            report.mismatches.append(Mismatch(seed, number, step, got))


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 if everything came out as recorded, 1 if not, 2 if the recording cannot be played."""
    parser = argparse.ArgumentParser(prog="python -m tallystick.testing.ics", description=__doc__.splitlines()[0])
    parser.add_argument("recording", help="a file with one scenario per line")
    parser.add_argument("--site", metavar="SITE", help="path or URL of the site to play on; else one is thrown away")
    given = parser.parse_args(arguments)
    try:
        with (
            open(given.recording, encoding="utf-8") as lines,
            TemporaryDirectory(prefix="tallystick-ics-") as directory,
            kopano.server(server_socket=given.site or f"{directory}/site.db") as server,
        ):
            report = _on_fresh_store(lines, server)
    except (OSError, UsageError) as error:
        print(error, file=sys.stderr)
        return 2
    for mismatch in report.mismatches:
        print(mismatch)
    told = ", ".join(f"{count} {what}" for what, count in report.counts.items())
    print(f"{told}: {len(report.mismatches)} mismatches")
    return 1 if report.mismatches else 0


def _on_fresh_store(lines: Iterable[str], server: kopano.Server) -> Report:
    """Play on the store of a user who is removed afterwards."""
    user = server.create_user(f"replay-{secrets.token_hex(8)}")
    store = user.store
    assert isinstance(store, kopano.Store)
    try:
        return replay(lines, server, store)
    finally:
        server.remove_store(store)
        server.remove_user(user.name)


if __name__ == "__main__":
    sys.exit(main())
