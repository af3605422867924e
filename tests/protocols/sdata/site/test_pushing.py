"""Immediate mode: what changes at a served site is at its targets without anybody running a pass."""

from __future__ import annotations

import time

import tallystick
from tallystick.jobs.pushing import Pusher
from tallystick.protocols.native.pool import Pool

ROWS = ("INSERT INTO account (id, name) VALUES (1, 'Acme'), (2, 'Bolt')",)


def names(served):
    return [row[0] for row in served.sql("SELECT name FROM account ORDER BY 1")]


def test_each_change_is_pushed_by_itself_and_a_gap_is_closed_by_a_pass(serving, engine):
    one, other = serving("one", *ROWS), serving("other", engine=engine)
    pusher = Pusher(Pool(lambda: tallystick.open(one.url).replica), f"sdata+{other.dataset}")
    assert pusher.push().pushed == 2
    one.sql("UPDATE account SET name='Acme Ltd' WHERE id=1")
    assert pusher.push() == (1, ())
    assert pusher.push() == (0, ())
    one.sql("UPDATE account SET name='Acme plc' WHERE id=1")
    one.get("accounts?count=1")
    one.sql("UPDATE account SET name='Acme SE' WHERE id=1", "DELETE FROM account WHERE id=2")
    assert pusher.push() == (0, ("accounts",)), "a tick is missing, which only a pass can bring"
    assert names(other) == ["Acme SE"]
    pusher.close()
    pusher._pool.close()


def test_many_changes_go_by_a_pass(serving):
    one, other = serving("one"), serving("other")
    pusher = Pusher(Pool(lambda: tallystick.open(one.url).replica), f"sdata+{other.dataset}/accounts")
    one.sql(*[f"INSERT INTO account (name) VALUES ('{number}')" for number in range(30)])
    assert pusher.push() == (0, ("accounts",))
    assert len(names(other)) == 30
    pusher.close()
    pusher._pool.close()


def test_a_served_site_pushes_what_its_application_writes(serving):
    other = serving("other")
    one = serving("one", *ROWS, push=(f"sdata+{other.dataset}",))
    one.sql("INSERT INTO account (name) VALUES ('new')")
    deadline = time.monotonic() + 60
    while "new" not in names(other) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert names(other) == ["Acme", "Bolt", "new"]
