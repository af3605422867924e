"""A process that is killed in a pull or push loses nothing: the next run takes what is left, and nothing twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tallystick import api
from tallystick.jobs.eden import eden_store
from tallystick.jobs.eden_peers import EdenLink, Wish
from tallystick.jobs.tasks import Peer
from tallystick.web import running
from tallystick.web.eden import eden

TABLE = "CREATE TABLE org_sector (id INTEGER PRIMARY KEY, name TEXT NOT NULL)"
MANY = "INSERT INTO org_sector(name) WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x<600) "
PROGRAM = """
import os, signal, sys
from tallystick import api
from tallystick.jobs.eden import eden_store
from tallystick.jobs.eden_peers import EdenLink, Wish
from tallystick.jobs.tasks import Peer
from tallystick.protocols.eden.site import peers, store

path, url, where = sys.argv[1:]
module, name = {"watermark": (peers.Peers, "save_task"), "commit": (store.SiteStore, "apply")}[where]
real = getattr(module, name)
calls = 0

def killed(self, *given, **named):
    global calls
    calls += 1
    if where == "commit":
        real(self, *given, **named)  # durable, and nobody hears of it
    if where == "commit" or calls > 1:  # the first one only notes the task
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *given, **named)

with api.open(path) as site:
    link = EdenLink(eden_store(site.replica, keep_secrets=False), Peer("hub", url), None)
    link.register()
    setattr(module, name, killed)
    link.synchronize(["org_sector"], Wish())
"""


def execute(path, *statements):
    connection = sqlite3.connect(path)
    rows = []
    for statement in statements:
        rows = connection.execute(statement).fetchall()
    connection.commit()
    connection.close()
    return rows


def names(path):
    return [name for (name,) in execute(path, "SELECT name FROM org_sector ORDER BY name")]


@pytest.mark.parametrize("where", ("watermark", "commit"))
def test_a_kill_between_the_records_and_the_watermark_costs_a_look_and_no_record(tmp_path, where):
    here, there = str(tmp_path / "here.db"), str(tmp_path / "there.db")
    execute(there, TABLE, MANY + "SELECT 'theirs ' || x FROM n")
    execute(here, TABLE)
    for path in (here, there):
        with api.open(path) as site:
            site.track()
    execute(here, MANY + "SELECT 'ours ' || x FROM n")
    with running(there, providers=[eden("/eden")]) as address:
        url = f"eden+{address}eden"
        dead = subprocess.run(
            [sys.executable, "-c", PROGRAM, here, url, where],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            timeout=120,
            cwd=Path(__file__).parent,
            check=False,
        )
        assert dead.returncode == -signal.SIGKILL
        with api.open(here) as site:
            link = EdenLink(eden_store(site.replica, keep_secrets=False), Peer("hub", url), None)
            for _ in range(3):  # what the second one sent comes back once, unchanged
                done = link.synchronize(["org_sector"], Wish())
                assert not done.failed
                assert not done.waiting
            last = done.tables["org_sector"]
            assert (last.pulled, last.pushed) == ({}, 0)
            number = link.store.catalog.known("org_sector").tracked.number
            dots = site.ledger.engine.query("SELECT origin, tick FROM tally_record WHERE resource=?", (number,))
            assert len(set(dots)) == len(dots) == 1200
    assert names(here) == names(there)
    assert len(names(here)) == 1200
