"""Leases in the database: one worker per task, dead ones do not block, sleepers are fenced off."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tallystick.jobs.lease_table import LeaseTable
from tallystick.jobs.leases import GRACE, TERM, LeaseLost
from tallystick.jobs.log import Result
from tallystick.jobs.registry import Registry
from tallystick.jobs.schedule import Every
from tallystick.jobs.tasks import Peer, Run, Task


@pytest.fixture
def registry(ledger):
    made = Registry(ledger, chance=lambda: 0.0)
    made.add_peer(Peer("hub", "https://hub.example.org/"))
    for name in ("one", "two"):
        made.add_task(Task(name, "hub", name, schedule=Every(timedelta(minutes=10))))
    return made


@pytest.fixture
def table(registry):
    return LeaseTable(registry.ledger)


def test_workers_get_different_tasks_and_then_none(table):
    first, second = table.claim_due("w1"), table.claim_due("w2")
    assert {first.task, second.task} == {"one", "two"}
    assert table.claim_due("w3") is None
    assert table.claim("one", "w3") is None


def test_the_task_that_waits_longest_goes_first(registry, table, clock):
    clock.forward(60)
    for name in ("one", "two"):
        run = Run("r", registry.now(), name, Result.SUCCESS, registry.now())
        with registry.ledger.engine.write():
            registry.ended(registry.task(name), run)
        clock.forward(60)
    clock.forward(3600)
    assert table.claim_due("w").task == "one"


def test_a_dead_workers_task_is_free_after_its_lease_and_the_grace(table, clock):
    for name in ("one", "two"):
        table.claim(name, "dead")
    clock.forward((TERM + GRACE).total_seconds() - 1)
    assert table.claim_due("w2") is None
    clock.forward(1)
    taken = table.claim_due("w2")
    assert (taken.task, taken.number) == ("one", 2)


def test_a_renewed_lease_lasts(table, clock):
    held = table.claim("one", "w1")
    for _ in range(5):
        clock.forward(TERM.total_seconds() - 1)
        held = table.renew(held)
    assert table.claim("one", "w2") is None


def test_a_sleeper_can_neither_renew_nor_write(table, clock):
    slept = table.claim("one", "w1")
    clock.forward((TERM + GRACE).total_seconds())
    table.claim("one", "w2")
    with pytest.raises(LeaseLost), table.ledger.engine.write():
        table.check(slept)
    with pytest.raises(LeaseLost):
        table.renew(slept)
    with table.ledger.engine.write():
        table.release(slept)
    assert table.current("one").owner == "w2"


def test_a_released_task_can_be_taken_and_keeps_its_number(table):
    held = table.claim("one", "w1")
    with table.ledger.engine.write():
        table.check(held)
        table.release(held)
    assert table.claim("one", "w2").number == 2


def test_the_next_due_moment_counts_a_dead_workers_lease(registry, table, clock):
    assert table.next_due() == registry.now()
    ends = [table.claim(name, "dead").until for name in ("one", "two")]
    assert table.next_due() == min(ends) + GRACE
