"""Workers as real processes: no task is run twice at a time, a killed one is taken over, SIGTERM ends cleanly."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta

import psycopg
import pytest

from tallystick import api
from tallystick.errors import UsageError
from tallystick.jobs.lease_table import LeaseTable
from tallystick.jobs.log import Mode
from tallystick.jobs.log_table import LogTable
from tallystick.jobs.registry import Registry
from tallystick.jobs.schedule import Every
from tallystick.jobs.tasks import Peer, Task
from tallystick.jobs.worker import Worker

WORKER = """
import dataclasses, os, signal, sys, time
from datetime import timedelta
import tallystick.jobs.leases as leases
leases.GRACE = timedelta(seconds=0.3)
from tallystick import api
from tallystick.jobs import worker
from tallystick.jobs.worker import Worker

site, journal, hold = sys.argv[1], sys.argv[2], float(sys.argv[3])
worker.POLL_S = 0.2
ends = api.ends(site)

def note(sign, peer):
    with open(journal, "a") as opened:
        opened.write(f"{sign} {peer} {os.getpid()}\\n")

def connect(peer, password):
    note("+", peer.name)
    end = ends.connect(peer, password)
    close = end.close

    def closing():
        note("-", peer.name)
        close()

    end.close = closing
    time.sleep(hold)
    return end

made = Worker(dataclasses.replace(ends, connect=connect), term=timedelta(seconds=4))
signal.signal(signal.SIGTERM, lambda *_: made.stop.set())
made.run(once=len(sys.argv) > 4)
"""


class Site:
    """A site with tasks, whose workers are processes."""

    def __init__(self, url, tmp_path):
        self.url, self.tmp_path, self.journal = url, tmp_path, tmp_path / "journal"
        self.workers = []
        self.execute("CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT)", "INSERT INTO people VALUES ('a', 'Ann')")
        with api.open(url) as opened:
            opened.track("people")

    def execute(self, *statements):
        connection = (
            psycopg.connect(self.url, autocommit=True)
            if "://" in self.url
            else sqlite3.connect(self.url, isolation_level=None)
        )
        for statement in statements:
            connection.execute(statement)
        connection.close()

    def tasks(self, count, every=1.0):
        with api.open(self.url) as opened:
            registry = Registry(opened.ledger)
            for number in range(count):
                path = self.tmp_path / f"peer{number}.db"
                sqlite3.connect(path).execute("CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT)")
                registry.add_peer(Peer(f"p{number}", str(path)))
                registry.add_task(
                    Task(
                        f"t{number}",
                        f"p{number}",
                        "people",
                        Mode.PUSH,
                        schedule=Every(timedelta(seconds=every)),
                        jitter=timedelta(0),
                    )
                )

    def start(self, hold=0.0, once=False):
        command = [sys.executable, "-c", WORKER, self.url, str(self.journal), str(hold), *(["once"] if once else [])]
        made = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.workers.append(made)
        return made

    def notes(self):
        return [line.split() for line in self.journal.read_text().splitlines()] if self.journal.exists() else []

    def wait(self, until):
        """Wait for something that other processes do."""
        for _ in range(600):
            if until():
                return
            time.sleep(0.1)
        raise AssertionError("it did not happen within a minute")

    def end(self):
        for made in self.workers:
            made.send_signal(signal.SIGTERM)
        codes = [made.wait(30) for made in self.workers]
        errors = [made.stderr.read() for made in self.workers]
        for made in self.workers:
            made.stderr.close()
        self.workers = []
        return codes, errors

    def people(self, number):
        connection = sqlite3.connect(self.tmp_path / f"peer{number}.db")
        found = connection.execute("SELECT * FROM people").fetchall()
        connection.close()
        return found


def ended(made):
    """Gives the site, and leaves no process behind."""
    yield made
    for left in made.workers:
        left.kill()
        left.wait()
        left.stderr.close()


@pytest.fixture
def site(database, tmp_path):
    """A site on either engine."""
    yield from ended(Site(database, tmp_path))


@pytest.fixture
def sqlite_site(tmp_path):
    yield from ended(Site(str(tmp_path / "site.db"), tmp_path))


def never_two_at_once(notes):
    running = {}
    for sign, peer, process in notes:
        if sign == "+":
            assert running.get(peer, process) == process, f"{peer} was run by two workers at once"
            running[peer] = process
        else:
            running.pop(peer, None)
    return True


def test_several_workers_share_the_tasks_and_never_run_one_twice_at_a_time(site):
    site.tasks(4)
    for _ in range(3):
        site.start(hold=0.1)
    site.wait(lambda: len({peer for _, peer, _ in site.notes()}) == 4 and len(site.notes()) >= 24)
    codes, errors = site.end()
    assert codes == [0, 0, 0], errors
    assert never_two_at_once(site.notes())
    assert len({process for _, _, process in site.notes()}) >= 2
    assert all(site.people(number) == [("a", "Ann")] for number in range(4))
    with api.open(site.url) as opened:
        runs = [item for item in LogTable(opened.ledger).entries(limit=1000) if item.entry.mode == "run"]
        assert {item.entry.result.value for item in runs} == {"success"}
        assert len({item.run for item in runs}) == len(runs)


def test_the_task_of_a_killed_worker_is_taken_over_and_nobody_else_is_held_up(site):
    site.tasks(2)
    first = site.start(hold=30)
    site.wait(lambda: len(site.notes()) == 1)
    ((_, taken, _),) = site.notes()
    other = {"p0": "p1", "p1": "p0"}[taken]
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = site.start()
    site.wait(lambda: [other, str(second.pid)] in [note[1:] for note in site.notes()])
    site.wait(lambda: ["-", taken, str(second.pid)] in site.notes())
    _, errors = site.end()
    with api.open(site.url) as opened:
        assert LeaseTable(opened.ledger).current("t" + taken[1:]).number >= 2, errors
    assert site.people(int(taken[1:])) == [("a", "Ann")]


def test_a_worker_keeps_its_lease_through_a_run_that_is_longer_than_the_term(sqlite_site):
    sqlite_site.tasks(1, every=60)
    sqlite_site.start(hold=7)
    sqlite_site.wait(lambda: len(sqlite_site.notes()) == 1)
    second = sqlite_site.start()
    sqlite_site.wait(lambda: len(sqlite_site.notes()) >= 4)
    codes, errors = sqlite_site.end()
    assert codes == [0, 0], errors
    assert {process for _, _, process in sqlite_site.notes()} == {sqlite_site.notes()[0][2]}
    assert str(second.pid) not in {process for _, _, process in sqlite_site.notes()}


def test_once_runs_what_is_due_and_ends(sqlite_site):
    sqlite_site.tasks(2, every=60)
    assert sqlite_site.start(once=True).wait(60) == 0
    assert [sqlite_site.people(number) for number in range(2)] == [[("a", "Ann")]] * 2
    before = sqlite_site.notes()
    assert sqlite_site.start(once=True).wait(60) == 0
    assert sqlite_site.notes() == before


def test_sigterm_in_a_run_gives_the_lease_back_and_the_next_run_goes_on(sqlite_site):
    site = sqlite_site
    site.tasks(1)
    worker = Worker(api.ends(site.url))
    agree = worker.ends.agree

    def told(a, b, plan):
        before = plan.progress

        def progress(resource, records):
            os.kill(os.getpid(), signal.SIGTERM)
            before(resource, records)

        plan.progress = progress
        return agree(a, b, plan)

    former = signal.signal(signal.SIGTERM, lambda *_: worker.stop.set())
    try:
        stopping = Worker(_replaced(worker.ends, agree=told), stop=worker.stop)
        assert stopping.run_task("t0") is None
    finally:
        signal.signal(signal.SIGTERM, former)
    with api.open(site.url) as opened:
        assert LeaseTable(opened.ledger).current("t0").owner is None
        assert Registry(opened.ledger).progress("t0").started is None
    assert Worker(api.ends(site.url)).run_task("t0").result.value == "success"
    assert site.people(0) == [("a", "Ann")]


def _replaced(ends, **changes):
    from dataclasses import replace

    return replace(ends, **changes)


def test_a_worker_that_lost_its_lease_commits_nothing_more(sqlite_site):
    site = sqlite_site
    site.tasks(1)
    peer = sqlite3.connect(site.tmp_path / "peer0.db")
    peer.execute("INSERT INTO people VALUES ('b', 'Bob')")
    peer.commit()
    with api.open(site.url) as opened:
        registry = Registry(opened.ledger)
        registry.change_task(_replaced(registry.task("t0"), mode=Mode.PULL))
    ends = api.ends(site.url)

    def connect(peer, password):
        with api.open(site.url) as opened, opened.ledger.engine.write():
            table = LeaseTable(opened.ledger)
            held = table.current("t0")
            table._put(_replaced(held, owner="somebody else", number=held.number + 1))
        return ends.connect(peer, password)

    assert Worker(_replaced(ends, connect=connect)).run_task("t0") is None
    rows = sqlite3.connect(site.url).execute("SELECT id FROM people").fetchall()
    assert rows == [("a",)]


def test_a_task_that_somebody_runs_is_not_run_on_request(sqlite_site):
    site = sqlite_site
    site.tasks(1)
    with api.open(site.url) as opened:
        LeaseTable(opened.ledger).claim("t0", "somebody")
    with pytest.raises(UsageError, match="another worker runs the task 't0'"):
        Worker(api.ends(site.url)).run_task("t0")


def test_a_peer_that_is_away_is_an_error_and_tried_again_later(sqlite_site):
    site = sqlite_site
    with api.open(site.url) as opened:
        registry = Registry(opened.ledger, chance=lambda: 0.0)
        registry.add_peer(Peer("away", str(site.tmp_path / "nowhere" / "x.db")))
        registry.add_task(Task("t", "away", "people", schedule=Every(timedelta(seconds=1)), jitter=timedelta(0)))
    (run,) = Worker(api.ends(site.url)).run(once=True)
    assert run.result.value in ("error", "fatal")
    with api.open(site.url) as opened:
        registry = Registry(opened.ledger)
        assert registry.progress("t").failures == 1
        assert registry.due("t") >= run.ended + timedelta(seconds=14)
