"""Peers and tasks of a site, in its database (spec/eden.md: section 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import random
from typing import Any

import msgspec

from tallystick.core.policies import Policy
from tallystick.errors import UsageError
from tallystick.jobs.log import Mode
from tallystick.jobs.log_table import LogTable
from tallystick.jobs.schedule import next_due, parse_schedule, retry_after, spread
from tallystick.jobs.tables import milliseconds, moment, require_tables
from tallystick.jobs.tasks import Peer, Progress, Run, Task, after_run
from tallystick.site.ledger import Ledger

_PEER = "name, url, identifier, account, credential, synchronise, connected, datasets"
_OFFER = "offer of peer "
_TASK = "name, peer, resource, settings, enabled"


class TaskForm(msgspec.Struct, omit_defaults=True):
    """What is kept of a task beside its names, as JSON. Lengths of time are seconds."""

    mode: Mode
    policy: Policy
    components: bool = True
    filters: dict[str, str] = {}
    schedule: str | None = None
    full_every: float | None = None
    jitter: float | None = None
    allowed: int = 0


@dataclass(slots=True)
class Registry:
    """Peers, their tasks, and how far those are. Writing methods have a transaction of their own.

    ``chance`` gives numbers from 0 up to 1 and spreads due times.
    """

    ledger: Ledger
    chance: Callable[[], float] = random

    def __post_init__(self) -> None:
        require_tables(self.ledger)

    def now(self) -> datetime:
        """The moment, by the site's clock."""
        return datetime.fromtimestamp(self.ledger.now() / 1000, UTC)

    # Peers

    def peers(self) -> list[Peer]:
        """Every peer, by name."""
        rows = self.ledger.engine.query(f"SELECT {_PEER} FROM tally_jobs_peer ORDER BY name")
        return [_peer(row) for row in rows]

    def peer(self, name: str) -> Peer:
        """The peer of that name. Raises UsageError when there is none."""
        rows = self.ledger.engine.query(f"SELECT {_PEER} FROM tally_jobs_peer WHERE name=?", (name,))
        if not rows:
            known = ", ".join(peer.name for peer in self.peers()) or "none"
            raise UsageError(f"there is no peer {name!r}", hint=f"peers: {known}; see: tallystick peers add --help")
        return _peer(rows[0])

    def has_peer(self, name: str) -> bool:
        """True when there is a peer of that name."""
        return bool(self.ledger.engine.query("SELECT 1 FROM tally_jobs_peer WHERE name=?", (name,)))

    def add_peer(self, peer: Peer) -> None:
        """Enter a peer. Raises UsageError where one of that name or URL is there already."""
        with self.ledger.engine.write():
            for other in self.peers():
                if other.name == peer.name:
                    raise UsageError(f"there is a peer {peer.name!r} already", hint="choose another name, or remove it")
                if other.url == peer.url:
                    raise UsageError(f"{peer.url} is the peer {other.name!r} already", hint="use that one")
            self._put_peer(peer)

    def save_peer(self, peer: Peer) -> None:
        """Write what is known of a peer. One that was removed meanwhile stays removed."""
        with self.ledger.engine.write():
            if self.has_peer(peer.name):
                self.ledger.engine.execute("DELETE FROM tally_jobs_peer WHERE name=?", (peer.name,))
                self._put_peer(peer)

    def identify(self, name: str, identifier: str) -> None:
        """Note what a peer calls itself; nothing where nobody added one of that name."""
        if self.has_peer(name):
            self.save_peer(replace(self.peer(name), identifier=identifier))

    def change_peer(self, peer: Peer) -> None:
        """Write a peer in place of the one of that name. Raises UsageError where there is none, or its URL is taken."""
        self.peer(peer.name)
        for other in self.peers():
            if other.name != peer.name and other.url == peer.url:
                raise UsageError(f"{peer.url} is the peer {other.name!r} already", hint="use that one")
        self.save_peer(peer)

    def remove_peer(self, name: str) -> list[str]:
        """Remove a peer with its tasks and its log; returns the names of the tasks. Raises UsageError."""
        self.peer(name)
        with self.ledger.engine.write():
            tasks = [task.name for task in self.tasks(name)]
            for task in tasks:
                self._drop_task(task)
            LogTable(self.ledger).forget(name)
            self.ledger.engine.execute("DELETE FROM tally_meta WHERE name=?", (_OFFER + name,))
            self.ledger.engine.execute("DELETE FROM tally_jobs_peer WHERE name=?", (name,))
        return tasks

    def offer(self, name: str) -> str:
        """What a peer said that it offers, in the words of its protocol; "" where it was never asked."""
        return self.ledger.meta(_OFFER + name)

    def keep_offer(self, name: str, offer: str) -> None:
        """Keep what a peer says that it offers."""
        if self.offer(name) != offer:
            with self.ledger.engine.write():
                self.ledger.put_meta(_OFFER + name, offer)

    def _put_peer(self, peer: Peer) -> None:
        self.ledger.engine.execute(
            f"INSERT INTO tally_jobs_peer({_PEER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                peer.name,
                peer.url,
                peer.identifier,
                peer.user,
                peer.credential,
                int(peer.synchronise_identifiers),
                milliseconds(peer.last_connected),
                ",".join(peer.datasets) or None,
            ),
        )

    # Tasks

    def tasks(self, peer: str = "") -> list[Task]:
        """Every task, or those of a peer, by name."""
        where, values = (" WHERE peer=?", (peer,)) if peer else ("", ())
        rows = self.ledger.engine.query(f"SELECT {_TASK} FROM tally_jobs_task{where} ORDER BY name", values)
        return [_task(row) for row in rows]

    def task(self, name: str) -> Task:
        """The task of that name. Raises UsageError when there is none."""
        rows = self.ledger.engine.query(f"SELECT {_TASK} FROM tally_jobs_task WHERE name=?", (name,))
        if not rows:
            known = ", ".join(task.name for task in self.tasks()) or "none"
            raise UsageError(f"there is no task {name!r}", hint=f"tasks: {known}; see: tallystick tasks add --help")
        return _task(rows[0])

    def add_task(self, task: Task) -> None:
        """Enter a task. Raises UsageError for an unknown peer, a name that is taken, or a second task for a pair."""
        self.peer(task.peer)
        with self.ledger.engine.write():
            for other in self.tasks():
                if other.name == task.name:
                    raise UsageError(f"there is a task {task.name!r} already", hint="change it, or choose another name")
                if (other.peer, other.resource) == (task.peer, task.resource):
                    raise UsageError(
                        f"the task {other.name!r} synchronizes {task.resource} with {task.peer} already",
                        hint=f"change it: tallystick tasks change SITE {other.name} ...",
                    )
            self._put_task(task, Progress())

    def change_task(self, task: Task) -> None:
        """Write a task in place of the one of that name; what is known of its runs stays. Raises UsageError."""
        self.task(task.name)
        with self.ledger.engine.write():
            progress = self.progress(task.name)
            self.ledger.engine.execute("DELETE FROM tally_jobs_task WHERE name=?", (task.name,))
            self._put_task(task, progress)

    def remove_task(self, name: str) -> None:
        """Remove a task. Raises UsageError when there is none."""
        self.task(name)
        with self.ledger.engine.write():
            self._drop_task(name)

    def _drop_task(self, name: str) -> None:
        self.ledger.engine.execute("DELETE FROM tally_jobs_task WHERE name=?", (name,))
        self.ledger.engine.execute("DELETE FROM tally_jobs_lease WHERE task=?", (name,))

    def _put_task(self, task: Task, progress: Progress) -> None:
        self.ledger.engine.execute(
            f"INSERT INTO tally_jobs_task({_TASK}, due, started, succeeded, complete, failures) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                task.name,
                task.peer,
                task.resource,
                msgspec.json.encode(_form(task)).decode(),
                int(task.enabled),
                milliseconds(self._due(task, progress)),
                milliseconds(progress.started),
                milliseconds(progress.succeeded),
                milliseconds(progress.full),
                progress.failures,
            ),
        )

    # Progress

    def progress(self, name: str) -> Progress:
        """How far a task is; a fresh one where it never ran."""
        sql = "SELECT started, succeeded, complete, failures FROM tally_jobs_task WHERE name=?"
        rows = self.ledger.engine.query(sql, (name,))
        if not rows:
            return Progress()
        started, succeeded, complete, failures = rows[0]
        return Progress(moment(started), moment(succeeded), moment(complete), failures)

    def due(self, name: str) -> datetime | None:
        """When a task is due next; None when it runs on request only or is switched off."""
        rows = self.ledger.engine.query("SELECT due FROM tally_jobs_task WHERE name=?", (name,))
        return moment(rows[0][0]) if rows else None

    def ended(self, task: Task, run: Run) -> Progress:
        """Note how a run of ``task`` ended, and when it is due next. Call inside ``write``."""
        progress = after_run(self.progress(task.name), run)
        self.ledger.engine.execute(
            "UPDATE tally_jobs_task SET due=?, started=?, succeeded=?, complete=?, failures=? WHERE name=?",
            (
                milliseconds(self._due(task, progress)),
                milliseconds(progress.started),
                milliseconds(progress.succeeded),
                milliseconds(progress.full),
                progress.failures,
                task.name,
            ),
        )
        return progress

    def _due(self, task: Task, progress: Progress) -> datetime | None:
        """The next moment of a task: its schedule, spread; after failures not before a pause that doubles."""
        if task.schedule is None or not task.enabled or task.mode is Mode.NONE:
            return None
        now = self.now()
        due = next_due(task.schedule, progress.started, now)
        if progress.started is not None:
            due = spread(task.schedule, due, self.chance, task.jitter)
        if progress.failures:
            due = max(due, now + retry_after(progress.failures, self.chance))
        return due


def _peer(row: tuple[Any, ...]) -> Peer:
    name, url, identifier, account, credential, synchronise, connected, datasets = row
    codes = tuple(datasets.split(",")) if datasets else ()
    return Peer(name, url, identifier, account, credential, bool(synchronise), moment(connected), codes)


def _form(task: Task) -> TaskForm:
    return TaskForm(
        task.mode,
        task.policy,
        task.components,
        dict(task.filters),
        None if task.schedule is None else str(task.schedule),
        None if task.full_every is None else task.full_every.total_seconds(),
        None if task.jitter is None else task.jitter.total_seconds(),
        task.allowed,
    )


def _task(row: tuple[Any, ...]) -> Task:
    name, peer, resource, settings, enabled = row
    form = msgspec.json.decode(settings, type=TaskForm)
    return Task(
        name,
        peer,
        resource,
        form.mode,
        form.policy,
        form.components,
        dict(form.filters),
        None if form.schedule is None else parse_schedule(form.schedule),
        None if form.full_every is None else timedelta(seconds=form.full_every),
        bool(enabled),
        None if form.jitter is None else timedelta(seconds=form.jitter),
        form.allowed,
    )
