"""The hosts of a served site, which its threads borrow."""

import os
import sqlite3

from tallystick import api
from tallystick.contexts.http.client import RemoteHost
from tallystick.contexts.local import LocalHost
from tallystick.web.server import running


def test_a_database_that_is_replaced_while_it_is_served_is_served_from_then_on(tmp_path):
    for name in ("site.db", "restored.db"):
        with api.open(tmp_path / name, create=True) as site:
            LocalHost(site.ledger, "here").create(name.partition(".")[0])
    with running(str(tmp_path / "site.db")) as address:
        host = RemoteHost(address, attempts=1)
        assert [context.name for context in host.contexts()] == ["site"]

        sqlite3.connect(tmp_path / "site.db").execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        os.replace(tmp_path / "restored.db", tmp_path / "site.db")
        for left in ("site.db-wal", "site.db-shm"):
            (tmp_path / left).unlink(missing_ok=True)

        assert [context.name for context in host.contexts()] == ["restored"]
        assert host.create("new").name == "new"
        host.close()
    with api.open(tmp_path / "site.db") as site:
        assert [one.name for one in LocalHost(site.ledger, "here").contexts()] == ["restored", "new"]
