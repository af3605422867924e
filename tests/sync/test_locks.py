"""An application never waits for us longer than for the commit of one page (DESIGN.md 4.3)."""

from __future__ import annotations

import sqlite3

import pytest
from items import agree_deeply
from postgresql_ends import workshop_of

from tallystick.site import reading
from tallystick.testing.contract import settle, sync

PAGES = 6
ROWS = 40


class Application:
    """Writes into a database, and gives up rather than wait for a lock."""

    def __init__(self, end):
        self.number = 0
        if isinstance(end.connection, sqlite3.Connection):
            self.connection, self.mark = sqlite3.connect(end.path, isolation_level=None, timeout=0), "?"
        else:
            import psycopg

            self.connection, self.mark = psycopg.connect(end.url, autocommit=True), "%s"
            self.connection.execute("SET lock_timeout = '1ms'")

    def write(self):
        self.number += 1
        self.connection.execute(f"UPDATE t SET v='written' WHERE id={self.mark}", (f"k{self.number:04}",))
        self.connection.execute(f"INSERT INTO t VALUES ({self.mark}, 'new')", (f"n{id(self)} {self.number}",))


@pytest.mark.parametrize("kinds", ("sqlite sqlite", "postgresql postgresql", "sqlite postgresql"))
def test_between_two_pages_applications_write_at_both_ends_without_waiting(
    kinds, postgresql_pool, tmp_path, monkeypatch
):
    monkeypatch.setattr(reading, "PAGE_ROWS", ROWS)
    take, give = postgresql_pool
    taken = []

    def database():
        taken.append(take())
        return taken[-1]

    for ends in workshop_of(database, tmp_path, *kinds.split()):
        rows = ", ".join(f"('k{n:04}', 'old')" for n in range(PAGES * ROWS))
        a = ends.end("a", "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)", f"INSERT INTO t VALUES {rows}")
        b = ends.end("b", "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)")
        applications = [Application(a), Application(b)]
        applied = b.replica.apply

        def apply(page, settings, applied=applied, applications=applications):
            done = applied(page, settings)
            for one in applications:
                one.write()
            return done

        b.replica.apply = apply
        sync(a, b, direction="push")
        b.replica.apply = applied
        between = applications[0].number
        assert between >= PAGES - 1
        settle(a, b)
        assert a.rows("SELECT * FROM t ORDER BY id") == b.rows("SELECT * FROM t ORDER BY id")
        assert b.rows("SELECT count(*) FROM t") == [(PAGES * ROWS + 2 * between,)]
        agree_deeply(a, b)
        for one in applications:
            one.connection.close()
    for url in taken:
        give(url)
