"""Sites that agree through a directory: who is heard, what moves, when it is quiet."""

from __future__ import annotations

import os
import shutil
import sqlite3

import pytest

from tallystick import api
from tallystick.core.pages import Tally
from tallystick.errors import ConfigurationError, IdentityDoubt, StorageLocked, UsageError
from tallystick.jobs.bundles import exchange, signing_key, visit
from tallystick.protocols.bundle.codec.signing import fingerprint
from tallystick.sync.plan import Plan

from .conftest import PEOPLE


def files(directory):
    """Everything below the directory, with contents and times."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(directory.rglob("*")) if path.is_file()
    }


# Introduction


def test_nothing_is_taken_from_or_left_for_a_site_that_nobody_confirmed(workshop):
    a = workshop.place("a", PEOPLE, "INSERT INTO people(name) VALUES ('Ann')")
    b = workshop.place("b")
    alone = a.visit()
    assert a.fingerprint in alone.notes[0]
    report = b.visit()
    assert a.fingerprint in report.refused[0]
    assert b.visit(b).refused == report.refused  # somebody else's fingerprint helps nothing
    assert b.rows() == []
    assert a.visit().refused
    assert a.bundles(b) == []


def test_a_terminal_may_confirm_instead(workshop):
    a, b = workshop.place("a"), workshop.place("b")
    a.visit()
    asked = []

    def ask(name, fingerprint):
        asked.append((name, fingerprint))
        return len(asked) > 1

    for refused in (1, 0, 0):
        report = api.logged_agree(b.site.replica, exchange(f"files+dir:{b.directory}", ask=ask), Plan())
        assert len(report.refused) == refused
    assert asked == [("a.db", a.fingerprint)] * 2


def test_a_key_that_changed_is_refused_until_it_is_confirmed(pair, workshop):
    a, b = pair
    a.execute("INSERT INTO people(name) VALUES ('Bea')")
    with a.site.ledger.engine.write():
        a.site.ledger.engine.execute("DELETE FROM tally_credential")
    a.visit()
    report = b.visit()
    assert "has changed from" in report.refused[0]
    assert len(b.rows()) == 1
    b.visit(a)
    a.visit()
    b.visit()
    assert len(b.rows()) == 2


# What moves


def test_edits_and_deletions_go_both_ways(pair):
    a, b = pair
    a.execute("INSERT INTO people(name, age) VALUES ('Bea', 7)")
    b.execute("UPDATE people SET age=30 WHERE id=1")
    a.visit()
    b.visit()
    a.visit()
    assert a.rows() == b.rows() == [(1, "Ann", 30), (2, "Bea", 7)]
    b.execute("DELETE FROM people WHERE id=2")
    b.visit()
    a.visit()
    assert a.rows() == b.rows() == [(1, "Ann", 30)]
    assert a.site.verify(b.site.replica).agree


def test_the_directory_may_be_the_first_end_and_then_it_is_this(pair):
    a, b = pair
    a.execute("UPDATE people SET name='of a'")
    b.execute("UPDATE people SET name='of b'")
    a.visit()
    policies = {"": Plan().policies[""].__class__(conflict=_this())}
    report = api.logged_agree(exchange(f"files+dir:{b.directory}"), b.site.replica, Plan(policies=policies))
    assert b.rows() == [(1, "of a", None)]
    assert report.pushed["people"].conflicts == 1


def _this():
    from tallystick.core.policies import FieldPolicy, Resolution

    return FieldPolicy(Resolution.THIS)


def test_one_direction_only(pair):
    a, b = pair
    a.execute("INSERT INTO people(name) VALUES ('of a')")
    b.execute("INSERT INTO people(name) VALUES ('of b')")
    a.visit()
    b.visit(direction="pull")
    assert len(b.rows()) == 3
    assert b.bundles(a) == []
    b.execute("INSERT INTO people(name) VALUES ('more')")
    a.execute("INSERT INTO people(name) VALUES ('more')")
    a.visit()
    b.visit(direction="push")
    assert len(b.rows()) == 4
    assert len(b.bundles(a)) == 1


def test_three_sites_share_one_directory_and_settle(workshop):
    places = [
        workshop.place(name, PEOPLE, f"INSERT INTO people(id, name) VALUES ({n}, '{name}')")
        for n, name in enumerate(("a", "b", "c"), 1)
    ]
    workshop.acquainted(*places)
    for place in places:
        place.visit()
    assert places[0].rows() == places[1].rows() == places[2].rows()
    assert len(places[0].rows()) == 3
    before = files(workshop.directory)
    for place in places * 2:
        report = place.visit()
        assert (report.records, report.refused) == (0, [])
    assert files(workshop.directory) == before


def test_bundles_wait_one_after_another_and_go_when_they_are_acknowledged(pair):
    a, b = pair
    for name in ("one", "two", "three"):
        a.execute(f"INSERT INTO people(name) VALUES ('{name}')")
        a.visit()
    assert len(a.bundles(b)) == 3
    report = b.visit()
    assert report.records == 3
    assert len(a.bundles(b)) == 3  # only their own site removes them
    told = a.visit()
    assert [note for note in told.notes if "has taken bundle" in note] == [
        f"b.db has taken bundle {number}: 1 created" for number in (2, 3, 4)
    ]
    assert a.bundles(b) == []
    assert a.rows() == b.rows()


def test_what_was_not_acknowledged_is_written_again_when_the_stick_is_lost(pair, workshop):
    a, b = pair
    a.execute("INSERT INTO people(name) VALUES ('Bea')")
    a.visit()
    lost = a.bundles(b)
    for folder in lost:
        shutil.rmtree(folder)
    a.visit()
    assert a.bundles(b)
    assert a.bundles(b) != lost  # under a number that nobody has seen
    b.visit()
    assert a.rows() == b.rows()


def test_a_fresh_stick_carries_everything_that_is_not_acknowledged(pair, tmp_path):
    a, b = pair
    a.execute("INSERT INTO people(name) VALUES ('Bea')")
    a.visit()
    other = tmp_path / "another"
    other.mkdir()
    a.visit(directory=other)
    b.visit(directory=other)
    a.visit(directory=other)
    assert b.visit(directory=other).refused == []
    assert a.rows() == b.rows()
    b.visit()  # the first one arrives late
    assert a.rows() == b.rows()


def test_what_came_over_the_network_meanwhile_is_not_taken_twice(pair):
    a, b = pair
    a.execute("INSERT INTO people(name) VALUES ('Bea')")
    a.visit()
    a.site.sync(b.site.replica)
    report = b.visit()
    assert report.pulled.get("people", Tally()).written == 0
    assert a.visit().refused == []
    assert a.rows() == b.rows()


def test_a_postgresql_site_takes_and_leaves_like_any_other(workshop, postgresql_database):
    a = workshop.place("a", PEOPLE, "INSERT INTO people(name, age) VALUES ('Ann', 3), ('Bob', NULL)")
    url = f"files+dir:{workshop.directory}"
    with api.open(postgresql_database) as hub:
        shown = fingerprint(signing_key(hub.ledger).public)

        def visit_hub():
            return api.logged_agree(hub.replica, exchange(url, [a.fingerprint]), Plan())

        a.visit()
        visit_hub()
        api.logged_agree(a.site.replica, exchange(url, [shown]), Plan())
        assert visit_hub().notes[0] == "took bundle 1 of a.db: 2 records"
        assert hub.ledger.engine.query("SELECT id, name, age FROM people ORDER BY id") == a.rows()
        hub.ledger.engine.execute("UPDATE people SET age=4 WHERE id=2")
        visit_hub()
        a.visit()
        assert a.rows() == [(1, "Ann", 3), (2, "Bob", 4)]
        assert a.site.verify(hub.replica).agree


def test_equal_copies_send_nothing_when_they_know_of_each_other(workshop):
    rows = "INSERT INTO people VALUES (1, 'Ann', 3), (2, 'Bob', 4)"
    a, b = workshop.place("a", PEOPLE, rows), workshop.place("b", PEOPLE, rows)
    for place in (a, b):
        place.site.track()
        place.visit()
    for place in (a, b):
        place.visit(a, b)
    for place in (a, b, a, b):
        assert place.visit().refused == []
    assert a.rows() == b.rows() == [(1, "Ann", 3), (2, "Bob", 4)]
    assert a.site.verify(b.site.replica).agree


def test_filters_and_wishes_of_the_reader_are_kept_by_the_writer(workshop):
    a = workshop.place(
        "a",
        PEOPLE,
        "INSERT INTO people(name, age) VALUES ('old', 80), ('young', 8)",
        "CREATE TABLE notes (id TEXT PRIMARY KEY, body TEXT)",
    )
    b = workshop.place("b")
    plan = {"only": ("people",), "where": {"people": "age lt 10"}}
    a.visit()
    b.visit(a, **plan)
    a.visit(b)
    b.visit(**plan)
    assert b.rows("SELECT name FROM people") == [("young",)]
    assert {item.wire for item in b.site.resources()} == {"people"}


def test_a_bundle_with_more_than_is_wanted_is_left_until_the_writer_knows(workshop):
    a = workshop.place(
        "a", PEOPLE, "INSERT INTO people(name) VALUES ('Ann')", "CREATE TABLE notes (id TEXT PRIMARY KEY, body TEXT)"
    )
    b = workshop.place("b")
    b.visit()
    a.visit(b)
    report = b.visit(a, exclude=("notes",))
    assert "notes, which this run leaves out" in report.refused[0]
    assert b.rows() == []
    a.visit()
    assert b.visit(exclude=("notes",)).refused == []
    assert len(b.rows()) == 1


def test_a_bundle_whose_rest_came_on_another_road_is_cleared_away(pair):
    a, b = pair
    a.execute("INSERT INTO people(name) VALUES ('Bea')")
    a.visit()
    (folder,) = a.bundles(b)
    (folder / "manifest").unlink()
    a.site.sync(b.site.replica)
    assert b.visit().refused
    a.visit()
    assert a.bundles(b) == []
    assert b.visit().refused == []


def test_a_number_is_not_used_again_when_the_process_died_after_the_last_file(pair):
    a, b = pair
    a.execute("INSERT INTO people(name) VALUES ('Bea')")
    a.visit()
    with a.site.ledger.engine.write():
        a.site.ledger.put_meta(f"bundle.{b.site.id}", "1")  # as if it had died before it noted the number
    a.execute("INSERT INTO people(name) VALUES ('Cid')")
    a.visit()
    assert [folder.name for folder in a.bundles(b)] == ["000002", "000003"]
    assert b.visit().refused == []
    assert len(b.rows()) == 3


# Guards


def test_a_bundle_that_would_delete_everything_is_held_until_it_is_allowed(workshop):
    a = workshop.place("a", PEOPLE, *(f"INSERT INTO people(name) VALUES ('p{n}')" for n in range(5)))
    b = workshop.place("b")
    workshop.acquainted(a, b)
    a.execute("DELETE FROM people WHERE id<5", "UPDATE people SET age=1 WHERE id=5", "DELETE FROM people")
    a.execute("INSERT INTO people(id, name) VALUES (9, 'new')")
    a.visit()
    report = b.visit()
    assert report.held == {f"{b.site.name}: people": 5}
    assert len(b.rows()) == 6  # what is new came; nothing went
    assert a.visit().notes == []  # and nothing was acknowledged
    b.visit(allowed=-1)
    assert b.rows() == [(9, "new", None)] == a.rows()
    assert a.visit().notes != []


def test_what_leaves_the_filter_of_a_bundle_is_held_like_deletions(workshop):
    a = workshop.place("a", PEOPLE, *(f"INSERT INTO people(name, age) VALUES ('p{n}', 30)" for n in range(30)))
    b = workshop.place("b")
    wanted = {"where": {"people": "age gt 18"}, "delete_left": True}
    workshop.acquainted(a, b)
    for _ in range(2):
        b.visit(**wanted)
        a.visit(delete_left=True)
    b.visit(**wanted)
    assert len(b.rows()) == 30
    a.execute("UPDATE people SET age=6", "INSERT INTO people(id, name, age) VALUES (99, 'new', 40)")
    a.visit(delete_left=True)
    for _ in range(2):
        assert b.visit(**wanted).held == {f"{b.site.name}: people": 30}
        assert len(b.rows()) == 31  # what is new came; nothing went
    assert not b.visit(allowed=30, **wanted).held
    assert b.rows() == [(99, "new", 40)]
    assert len(a.rows()) == 31


def test_rows_that_share_an_integer_and_differ_stop_the_first_contact(workshop):
    a = workshop.place("a", PEOPLE, *(f"INSERT INTO people(name) VALUES ('a{n}')" for n in range(30)))
    b = workshop.place("b", PEOPLE, *(f"INSERT INTO people(name) VALUES ('b{n}')" for n in range(30)))
    b.site.track()
    b.visit()
    a.visit(b)
    with pytest.raises(IdentityDoubt, match="30 of 30 rows"):
        b.visit(a)
    assert b.rows()[0] == (1, "b0", None)
    b.visit(identity="same", allowed=-1)
    assert len(b.rows()) == 30
    with pytest.raises(UsageError, match="cannot be settled through a directory"):
        b.visit(identity="separate")


# Copies and restores


def test_a_site_restored_from_a_backup_loses_nothing(pair, tmp_path):
    a, b = pair
    b.site.ledger.engine.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(b.path, tmp_path / "backup.db")
    a.execute("INSERT INTO people(name) VALUES ('while away')")
    b.execute("INSERT INTO people(name) VALUES ('never backed up')")
    for place in (a, b, a):
        place.visit()
    b.close()
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"b.db{suffix}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", b.path)
    b.site = api.open(b.path)
    b.execute("INSERT INTO people(name) VALUES ('after the restore')")
    behind = b.visit()  # what it acknowledged once, it lacks now
    assert "continues from a bundle of a.db that has not been taken" in behind.refused[0]
    for _ in range(3):
        for place in (a, b):
            assert place.visit().refused == []
    assert sorted(row[1] for row in a.rows()) == ["Ann", "after the restore", "never backed up", "while away"]
    assert sorted(row[1] for row in b.rows()) == sorted(row[1] for row in a.rows())


def test_purged_deletions_are_made_up_for_by_comparison(pair):
    a, b = pair
    a.execute("INSERT INTO people(name) VALUES ('x'), ('y'), ('z')")
    a.visit()
    b.visit()
    a.visit()
    a.execute("DELETE FROM people WHERE name='y'")
    a.site.purge(-1)
    a.visit()
    report = b.visit()
    assert report.refused == []
    assert [row[1] for row in b.rows()] == ["Ann", "x", "z"]


# What cannot be


def test_a_directory_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(ConfigurationError, match="no directory"):
        exchange(f"files+dir:{tmp_path}/gone")
    assert not (tmp_path / "gone").exists()


def test_two_directories_have_nothing_to_say_to_each_other(workshop):
    one = exchange(f"files+dir:{workshop.directory}")
    with pytest.raises(UsageError, match="with a database of this machine"):
        visit(one, one, Plan())


def test_a_url_may_name_the_path_after_two_slashes(workshop):
    assert exchange(f"files+dir://{workshop.directory}").directory.path == workshop.directory


def test_a_second_process_of_the_same_site_waits_its_turn(pair):
    import fcntl

    a, _ = pair
    with open(a.folder / "lock", "rb") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        with pytest.raises(StorageLocked, match="another process visits"):
            a.visit()
    assert a.visit().refused == []


def test_links_are_not_followed(pair, tmp_path):
    a, b = pair
    a.execute("INSERT INTO people(name) VALUES ('Bea')")
    a.visit()
    (folder,) = a.bundles(b)
    part = folder / "0001.part"
    shutil.move(part, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", part)
    before = b.rows()
    with pytest.raises(Exception, match="cannot read"):
        b.visit()
    assert b.rows() == before


def test_what_a_visit_did_is_in_the_run_log(pair):
    a, b = pair
    a.execute("INSERT INTO people(name) VALUES ('Bea')")
    a.visit()
    b.visit(run="carried")
    (run,) = b.site.log("carried")
    assert (run.outcome, run.report["notes"]) == ("success", ["took bundle 2 of a.db: 1 records"])
    assert sqlite3.connect(b.path).execute("SELECT count(*) FROM people").fetchone() == (2,)
