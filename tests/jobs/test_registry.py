"""Peers and tasks as the site keeps them, on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tallystick.core.policies import FieldPolicy, Method, Policy, Resolution
from tallystick.errors import UsageError
from tallystick.jobs.lease_table import LeaseTable
from tallystick.jobs.log import LogEntry, Mode, Result
from tallystick.jobs.log_table import LogTable
from tallystick.jobs.registry import Registry
from tallystick.jobs.schedule import Cron, Every
from tallystick.jobs.tasks import Peer, Progress, Run, Task

HUB = Peer("hub", "https://hub.example.org/", user="anna", credential="hub")
MINUTES = Every(timedelta(minutes=10))


@pytest.fixture
def registry(ledger):
    made = Registry(ledger, chance=lambda: 0.0)
    made.add_peer(HUB)
    return made


def test_a_peer_comes_back_as_it_was_entered(registry):
    assert registry.peer("hub") == HUB
    known = replace(
        HUB,
        identifier="abc",
        synchronise_identifiers=True,
        last_connected=datetime(2026, 1, 2, tzinfo=UTC),
        datasets=("relief", "roads"),
    )
    registry.save_peer(known)
    assert registry.peers() == [known]


def test_a_peer_that_was_removed_while_it_was_worked_with_stays_removed(registry):
    registry.remove_peer("hub")
    registry.save_peer(replace(HUB, identifier="abc"))
    assert registry.peers() == []


def test_a_task_comes_back_as_it_was_entered(registry):
    task = Task(
        "orders",
        "hub",
        "orders",
        Mode.PULL,
        Policy(
            frozenset({Method.CREATE}),
            FieldPolicy(Resolution.THIS),
            FieldPolicy(Resolution.NEWER, {"phone": Resolution.OTHER}),
        ),
        False,
        {"orders": "total gt 10"},
        Cron("*/5 * * * *", "Europe/Zurich"),
        timedelta(days=1),
        True,
        timedelta(seconds=7),
        -1,
    )
    registry.add_task(task)
    assert registry.task("orders") == task
    registry.change_task(replace(task, mode=Mode.BOTH, schedule=MINUTES))
    assert registry.tasks("hub") == [replace(task, mode=Mode.BOTH, schedule=MINUTES)]


@pytest.mark.parametrize(
    ("call", "message"),
    (
        (lambda r: r.peer("none"), "no peer 'none'"),
        (lambda r: r.task("none"), "no task 'none'"),
        (lambda r: r.add_peer(HUB), "a peer 'hub' already"),
        (lambda r: r.add_peer(Peer("other", HUB.url)), "is the peer 'hub' already"),
        (lambda r: r.add_task(Task("t", "none", "orders")), "no peer 'none'"),
        (lambda r: r.remove_peer("none"), "no peer"),
        (lambda r: r.remove_task("none"), "no task"),
        (lambda r: r.change_task(Task("t", "hub", "orders")), "no task"),
        (lambda r: r.add_peer(Peer("a b", "https://x/")), "cannot be the name"),
        (lambda r: r.add_peer(Peer("x", " ")), "no URL"),
    ),
)
def test_what_cannot_be_is_said_and_changes_nothing(registry, call, message):
    with pytest.raises(UsageError, match=message):
        call(registry)
    assert registry.peers() == [HUB]
    assert registry.tasks() == []


def test_a_resource_has_one_task_with_a_peer(registry):
    registry.add_task(Task("one", "hub", "orders"))
    with pytest.raises(UsageError, match="'one' synchronizes orders with hub already"):
        registry.add_task(Task("two", "hub", "orders"))


def test_removing_a_peer_removes_its_tasks_and_its_log(registry):
    registry.add_task(Task("one", "hub", "orders", schedule=MINUTES))
    LeaseTable(registry.ledger).claim("one", "worker")
    log = LogTable(registry.ledger)
    for peer in ("hub", "else"):
        log.append(LogEntry(registry.now(), peer, "orders", "pull", "outgoing", None, Result.SUCCESS), "r1", "one")
    registry.keep_offer("hub", "orders")
    assert registry.offer("hub") == "orders"
    assert registry.remove_peer("hub") == ["one"]
    assert registry.offer("hub") == ""
    assert registry.peers() == registry.tasks() == []
    assert LeaseTable(registry.ledger).current("one") is None
    assert [item.entry.repository for item in log.entries()] == ["else"]


def test_a_new_task_is_due_at_once_and_after_a_run_when_its_schedule_says(registry, clock):
    task = Task("one", "hub", "orders", schedule=MINUTES)
    registry.add_task(task)
    assert registry.due("one") == registry.now()
    run = Run("r1", registry.now(), "one", Result.SUCCESS, registry.now())
    with registry.ledger.engine.write():
        registry.ended(task, run)
    assert registry.due("one") == run.stamp + timedelta(minutes=10)
    assert registry.progress("one") == Progress(run.stamp, run.stamp, None, 0)


def test_failures_put_a_task_off_and_a_success_forgives_them(registry, clock):
    task = Task("one", "hub", "orders", schedule=Every(timedelta(seconds=1)))
    registry.add_task(task)
    pauses = []
    for result in (Result.ERROR, Result.FATAL, Result.ERROR, Result.SUCCESS):
        now = registry.now()
        with registry.ledger.engine.write():
            registry.ended(task, Run("r", now, "one", result, now))
        pauses.append((registry.due("one") - now).total_seconds())
    assert pauses == [15, 30, 60, 1]


@pytest.mark.parametrize(
    "task",
    (
        Task("one", "hub", "orders"),
        Task("one", "hub", "orders", schedule=MINUTES, enabled=False),
        Task("one", "hub", "orders", Mode.NONE, schedule=MINUTES),
    ),
)
def test_tasks_without_a_schedule_and_those_switched_off_are_never_due(registry, task):
    registry.add_task(task)
    assert registry.due("one") is None
    assert LeaseTable(registry.ledger).claim_due("worker") is None


def test_changing_a_task_keeps_what_is_known_of_its_runs(registry):
    task = Task("one", "hub", "orders", schedule=MINUTES)
    registry.add_task(task)
    now = registry.now()
    with registry.ledger.engine.write():
        registry.ended(task, Run("r1", now, "one", Result.SUCCESS, now, full=True))
    registry.change_task(replace(task, schedule=Every(timedelta(hours=1))))
    assert registry.progress("one") == Progress(now, now, now, 0)
    assert registry.due("one") == now + timedelta(hours=1)


def test_log_entries_are_found_by_run_peer_and_task_newest_first(registry):
    log = LogTable(registry.ledger)
    for run, peer, task in (("r1", "hub", "one"), ("r2", "hub", "two"), ("r3", "else", "one")):
        entry = LogEntry(registry.now(), peer, "orders", "push", "outgoing", "x", Result.ERROR, True, "down")
        log.append(entry, run, task)
    assert [item.run for item in log.entries()] == ["r3", "r2", "r1"]
    assert [item.run for item in log.entries(peer="hub")] == ["r2", "r1"]
    assert [item.run for item in log.entries(task="one", limit=1)] == ["r3"]
    (found,) = log.entries(run="r2")
    assert (found.number, found.task, found.entry.remote, found.entry.result) == (2, "two", True, Result.ERROR)
    assert found.entry.time == registry.now()
