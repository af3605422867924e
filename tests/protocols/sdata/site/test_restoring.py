"""Served sites whose database comes back from a backup, and jobs that nobody asks for any more (spec 3, 9.9)."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

import tallystick
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.sdata.codec.digest_messages import read_digest_message
from tallystick.protocols.sdata.errors import ProviderBusy
from tallystick.protocols.sdata.site.store import SiteStore
from tallystick.protocols.sdata.store import Job, JobKind, JobState

ROWS = ("INSERT INTO account (id, name) VALUES (1, 'Acme'), (2, 'Bolt'), (3, 'Coil')",)
NAMES = "SELECT name FROM account ORDER BY 1"


def down(served) -> None:
    """As for a backup or a restore: nobody has the file open."""
    served.stop()
    served.site.close()


def up(served) -> None:
    served.site = tallystick.open(served.url)
    served.start()


def backup(served, to: Path) -> None:
    down(served)
    shutil.copy(served.url, to)
    up(served)


def restore(served, saved: Path) -> None:
    """Another file under the same name, as every restore makes one."""
    down(served)
    fresh = saved.with_suffix(".again")
    shutil.copy(saved, fresh)
    for ending in ("", "-wal", "-shm"):
        Path(served.url + ending).unlink(missing_ok=True)
    fresh.replace(served.url)
    up(served)


def own_tick(served) -> int:
    digest = read_digest_message(served.get("accounts/$syncDigest").body)
    return digest.tick(digest.origin)


def test_a_restored_site_gives_nothing_before_it_has_heard_its_peers_and_loses_nothing(
    serving, tmp_path, agreement, one_pass
):
    one, other = serving("one", *ROWS), serving("other")
    agreement(one, other)
    backup(one, tmp_path / "saved")
    one.sql("UPDATE account SET name='after the backup' WHERE id=1", "INSERT INTO account (name) VALUES ('Dune')")
    agreement(one, other)
    before = own_tick(one)
    other.sql("DELETE FROM account WHERE name='Bolt'")
    restore(one, tmp_path / "saved")
    one.sql("INSERT INTO account (name) VALUES ('after the restore')")
    asked = one.send("POST", "accounts/$syncSource?trackingID=G", other.get("accounts/$syncDigest").body)
    answered = one.get("accounts/$syncSource('G')")
    assert (asked.status, answered.status) == (202, 503)
    assert "retry-after" in answered.headers
    assert one_pass(other, one).refused == 0
    assert [row[0] for row in one.sql(NAMES)] == ["Coil", "Dune", "after the backup", "after the restore"]
    agreement(one, other)
    assert one.sql(NAMES) == other.sql(NAMES)
    assert own_tick(one) > before + 2**19, "no tick is given twice, not even one that only the lost store knew"
    assert [report.entries for report in agreement(one, other)] == [0] * 6


def test_two_sites_restored_at_once_wait_for_each_other_until_an_administrator_ends_it(serving, tmp_path, agreement):
    one, other = serving("one", *ROWS), serving("other")
    agreement(one, other)
    for served in (one, other):
        backup(served, tmp_path / f"saved {served.port}")
    one.sql("UPDATE account SET name='one' WHERE id=1")
    other.sql("UPDATE account SET name='other' WHERE name='Bolt'")
    agreement(one, other)
    for served in (one, other):
        restore(served, tmp_path / f"saved {served.port}")
    one.sql("UPDATE account SET name='one again' WHERE id=1")
    with pytest.raises(ProviderBusy):
        agreement(one, other, ("accounts",))
    assert one.send("PUT", "accounts/$syncDigest", one.get("accounts/$syncDigest").body).status == 200
    agreement(one, other, ("accounts",))
    assert one.sql(NAMES) == other.sql(NAMES) == [("Bolt",), ("Coil",), ("one again",)], "edits lost by both are lost"
    assert [report.entries for report in agreement(one, other, ("accounts",))] == [0, 0]


def test_jobs_that_nobody_asks_for_expire_with_all_they_keep(serving, engine):
    served = serving("site", *ROWS, engine=engine)
    pool = Pool(lambda: tallystick.open(served.url).replica)
    store = SiteStore(pool, served.dataset, "site", "urn:tallystick:contract:site")
    kind = store.refreshed().kind("accounts")
    assert kind is not None
    now = time.time()
    jobs = [
        Job(id=name, resource_kind="accounts", kind=JobKind.SOURCE, created=at, changed=at)
        for name, at in (("old", now - 1000), ("new", now))
    ]
    for job in jobs:
        assert store.add_job(job)[1]
        assert store.freeze(kind, job, store.digest(kind)._replace(entries={})) == 3
        store.change_job(
            Job(id=job.id, resource_kind="accounts", kind=job.kind, state=JobState.DONE, changed=job.changed)
        )
    pool.close()
    served.site.ledger.engine.execute(
        "UPDATE tally_sdata_job SET changed=? WHERE id='old'", (int((now - 1000) * 1000),)
    )
    pool = Pool(lambda: tallystick.open(served.url).replica)
    store = SiteStore(pool, served.dataset, "site", "urn:tallystick:contract:site")
    assert store.expire_jobs(now - 500) == 1
    assert store.job("accounts", JobKind.SOURCE, "old") is None
    assert store.was_dropped("accounts", JobKind.SOURCE, "old")
    assert store.frozen(kind, jobs[1], 1, 10).total == 3
    assert served.sql("SELECT DISTINCT id FROM tally_sdata_part") == [("new",)]
    assert (served.get("accounts/$syncSource('old')").status, store.expire_jobs(now - 500)) == (410, 0)
    pool.close()
