"""``tallystick sync`` with an Eden site: a served one, over HTTP."""

from __future__ import annotations

import base64
import secrets

import pytest

from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.users import add
from tallystick.sync.local import LocalReplica
from tallystick.web.app import PROVIDERS
from tallystick.web.eden import eden
from tallystick.web.server import running

SCHEMA = (
    "CREATE TABLE gis_location (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE org_organisation (id INTEGER PRIMARY KEY, name TEXT NOT NULL, year INTEGER, "
    "location_id INTEGER REFERENCES gis_location(id))",
    "CREATE TABLE org_office (id INTEGER PRIMARY KEY, name TEXT NOT NULL, "
    "organisation_id INTEGER NOT NULL REFERENCES org_organisation(id) ON DELETE CASCADE)",
    "INSERT INTO gis_location VALUES (1, 'Geneva')",
    "INSERT INTO org_organisation VALUES (1, 'Relief & Co', 1999, 1), (2, 'Two', NULL, NULL)",
    "INSERT INTO org_office VALUES (1, 'HQ', 1)",
)
ONE = ("--only", "org_organisation")
NAMES = "SELECT name, year FROM org_organisation ORDER BY name"


@pytest.fixture
def hub(tmp_path, database, run):
    """The address of a served site with two organisations."""
    database("hub.db", *SCHEMA)
    run("track", "hub.db")
    with running(str(tmp_path / "hub.db"), providers=(*PROVIDERS, eden())) as address:
        yield "eden+" + address.rstrip("/") + "/eden"


def test_tables_are_created_as_the_peer_describes_them(hub, run, database):
    done = run("sync", hub, "field.db", "--only", "org_organisation", "--create")
    assert done.code == 0, done.err
    assert "created: org_organisation, org_office, gis_location" in done.out
    joined = "SELECT o.name, p.name, f.name FROM org_organisation o, gis_location p, org_office f "
    assert database("field.db", joined + "WHERE o.location_id=p.id AND f.organisation_id=o.id") == [
        ("Relief & Co", "Geneva", "HQ")
    ]


def test_edits_go_both_ways_until_nothing_is_left_to_do(hub, run, database):
    run("sync", "field.db", hub, "--only", "org_organisation", "--create")
    database(
        "field.db", "UPDATE org_organisation SET year=2001 WHERE name='Two'", "DELETE FROM org_office WHERE name='HQ'"
    )
    database("hub.db", "INSERT INTO org_organisation(name) VALUES ('Three')")
    for _ in range(2):
        assert run("sync", "field.db", hub, "--only", "org_organisation").code == 0
    expected = [("Relief & Co", 1999), ("Three", None), ("Two", 2001)]
    assert database("field.db", NAMES) == database("hub.db", NAMES) == expected
    assert "nothing to do" in run("sync", "field.db", hub, "--only", "org_organisation").out


def test_every_record_of_a_table_that_was_just_made_is_sent_when_it_is_edited(hub, run, database):
    run("sync", "field.db", hub, *ONE, "--create")
    for number, name in enumerate(("Relief & Co", "Two")):
        database("field.db", f"UPDATE org_organisation SET year={2001 + number} WHERE name='{name}'")
        assert run("sync", "field.db", hub, *ONE).code == 0
    assert database("hub.db", NAMES) == [("Relief & Co", 2001), ("Two", 2002)]


def test_new_records_may_refer_to_rows_older_than_tracking_from_both_sides(hub, run, database):
    run("sync", "field.db", hub, *ONE, "--create")
    for name in ("field.db", "hub.db"):
        geneva = "(SELECT id FROM gis_location WHERE name='Geneva')"
        database(name, f"INSERT INTO org_organisation(name, location_id) VALUES ('New in {name}', {geneva})")
    for _ in range(2):
        assert run("sync", "field.db", hub, *ONE).code == 0
    database("hub.db", "UPDATE org_organisation SET location_id=NULL WHERE name='New in field.db'")
    for _ in range(2):
        assert run("sync", "field.db", hub, *ONE).code == 0
    joined = "SELECT o.name, p.name FROM org_organisation o LEFT JOIN gis_location p ON p.id=o.location_id ORDER BY 1"
    assert (
        database("field.db", joined)
        == database("hub.db", joined)
        == [
            ("New in field.db", None),
            ("New in hub.db", "Geneva"),
            ("Relief & Co", "Geneva"),
            ("Two", None),
        ]
    )


def test_a_deletion_takes_the_components_along(hub, run, database):
    run("sync", "field.db", hub, "--only", "org_organisation", "--create")
    database("hub.db", "DELETE FROM org_office", "DELETE FROM org_organisation WHERE name='Relief & Co'")
    assert run("sync", "field.db", hub, "--only", "org_organisation").code == 0
    assert database("field.db", NAMES) == [("Two", None)]
    assert database("field.db", "SELECT count(*) FROM org_office") == [(0,)]


def test_a_dry_run_says_what_would_come_and_go_and_changes_nothing(hub, run, database):
    run("sync", "field.db", hub, *ONE, "--create")
    database(
        "hub.db",
        "INSERT INTO org_organisation(name) VALUES ('Three'), ('Four')",
        "DELETE FROM org_organisation WHERE name='Two'",
        "DELETE FROM org_office",
    )
    database("field.db", "UPDATE org_organisation SET year=2001 WHERE name='Relief & Co'")
    before = database("field.db", NAMES), database("hub.db", NAMES)
    for _ in range(2):  # it moves no watermark either
        found = run("sync", "field.db", hub, *ONE, "--dry-run", "--json")
        assert found.code == 0, found.err
        assert found.json == {
            f"{hub} -> field.db": {
                "org_organisation": {"changes": 2, "deletions": 1, "created": 2},
                "org_office": {"changes": 0, "deletions": 1},
            },
            f"field.db -> {hub}": {
                "org_organisation": {"changes": 1, "deletions": 0},
                "org_office": {"changes": 0, "deletions": 0},
            },
        }
    assert (database("field.db", NAMES), database("hub.db", NAMES)) == before
    done = run("sync", "field.db", hub, *ONE, "--json")
    assert done.json["tables"]["org_organisation"]["pulled"]["created"] == 2
    assert "nothing would be sent" in run("sync", "field.db", hub, *ONE, "--dry-run").out


def test_a_dry_run_registers_nobody_and_creates_nothing(hub, run, database, tmp_path):
    database("field.db", "CREATE TABLE unrelated (id INTEGER PRIMARY KEY)")
    found = run("sync", hub, "field.db", *ONE, "--create", "--dry-run", "--json")
    assert found.json[f"{hub} -> field.db"] == {"org_organisation": {"changes": 2, "deletions": 0, "created": 2}}
    assert database("field.db", "SELECT name FROM sqlite_master WHERE name LIKE 'org%'") == []
    assert database("hub.db", "SELECT count(*) FROM tally_eden_repository") == [(0,)]
    lacking = run("sync", hub, "field.db", *ONE, "--dry-run")
    assert (lacking.code, "--create" in lacking.err) == (2, True)
    nowhere = run("sync", hub, "none.db", *ONE, "--create", "--dry-run")
    assert nowhere.code != 0
    assert not (tmp_path / "none.db").exists()


def conflicting(hub, run, database):
    """Both sites edit a record that is younger than tracking: its versions tell a conflict, not its times."""
    database("hub.db", "INSERT INTO org_organisation(name) VALUES ('Both')")
    run("sync", "field.db", hub, *ONE, "--create")
    for name, year in (("hub.db", 2001), ("field.db", 2002)):
        database(name, f"UPDATE org_organisation SET year={year} WHERE name='Both'")


@pytest.mark.parametrize("policy", ("this", "other", "newer"))
def test_a_dry_run_follows_the_policies_as_the_run_does(hub, run, database, policy):
    conflicting(hub, run, database)
    options = (*ONE, "--update", policy, "--conflict", policy)
    before = database("field.db", "SELECT count(*) FROM tally_conflict"), database("field.db", NAMES)
    expected = run("sync", "field.db", hub, *options, "--dry-run", "--json").json[f"{hub} -> field.db"]
    assert (database("field.db", "SELECT count(*) FROM tally_conflict"), database("field.db", NAMES)) == before
    done = run("sync", "field.db", hub, *options, "--json").json["tables"]["org_organisation"]["pulled"]
    assert expected["org_organisation"].get("updated", 0) == done.get("taken", 0)
    assert expected["org_organisation"]["conflicts"] == 1


def test_a_dry_run_names_conflicts_and_what_would_be_refused(hub, run, database):
    conflicting(hub, run, database)
    database("hub.db", "INSERT INTO org_organisation(name, year) VALUES ('Three', 1)")
    database("field.db", "CREATE TRIGGER late BEFORE INSERT ON org_organisation WHEN new.year<1800 BEGIN "
             "SELECT raise(ABORT, 'too early'); END")  # fmt: skip
    found = run("sync", "field.db", hub, *ONE, "--dry-run")
    assert (found.code, "conflicts" in found.out, "refused" in found.out) == (1, True, True)
    assert run("sync", "field.db", hub, *ONE).code == 1


@pytest.mark.parametrize(("gone", "there"), (("hub.db", False), ("field.db", True)))
def test_a_dry_run_says_what_the_guard_would_hold_back(hub, run, database, gone, there):
    run("sync", "field.db", hub, *ONE, "--create")
    database(gone, "DELETE FROM org_office", "DELETE FROM org_organisation")
    found = run("sync", "field.db", hub, *ONE, "--dry-run")
    assert (found.code, "would hold back" in found.err) == (4, True)
    assert f"2 of {'there' if there else 'here'}: org_organisation" in found.err
    allowed = run("sync", "field.db", hub, *ONE, "--dry-run", "--allow-deletes", "all", "--json")
    assert allowed.code == 0
    side = f"field.db -> {hub}" if there else f"{hub} -> field.db"
    assert allowed.json[side]["org_organisation"]["deletions"] == 2


def test_a_dry_run_says_where_too_many_local_edits_would_lose(hub, run, database):
    run("sync", "field.db", hub, *ONE, "--create")
    many = " UNION ALL ".join(f"SELECT 'org{number}'" for number in range(30))
    database("hub.db", f"INSERT INTO org_organisation(name) {many}")
    run("sync", "field.db", hub, *ONE)
    database("field.db", "UPDATE org_organisation SET year=1990")
    database("hub.db", "UPDATE org_organisation SET year=1991")
    found = run("sync", "field.db", hub, *ONE, "--conflict", "other", "--update", "other", "--dry-run")
    assert (found.code, "would be stopped" in found.err) == (4, True), found.err
    assert run("sync", "field.db", hub, *ONE, "--conflict", "other", "--update", "other").code == 4


@pytest.mark.parametrize(("gone", "there"), (("hub.db", False), ("field.db", True)))
def test_the_guard_holds_deletions_back_and_exit_code_4_says_so(hub, run, database, gone, there):
    run("sync", "field.db", hub, *ONE, "--create")
    database(gone, "DELETE FROM org_office", "DELETE FROM org_organisation")
    other = "field.db" if gone == "hub.db" else "hub.db"
    for _ in range(2):
        held = run("sync", "field.db", hub, *ONE)
        assert held.code == 4
        assert f"2 of {'there' if there else 'here'}: org_organisation" in held.err
        assert "--allow-deletes 2 or all" in held.err
        assert dict(database(other, NAMES)).keys() == {"Relief & Co", "Two"}
    assert run("sync", "field.db", hub, *ONE, "--allow-deletes", "all").code == 0
    assert database(other, NAMES) == []
    assert database(other, "SELECT count(*) FROM org_office") == [(0,)]


def test_a_table_that_is_called_differently_is_mapped(hub, run, database):
    database("field.db", "CREATE TABLE organisations (id INTEGER PRIMARY KEY, title TEXT, year INTEGER)")
    done = run(
        *("sync", "field.db", hub, "--only", "org_organisation"),
        *("--map", "organisations=org_organisation", "--map", "organisations.title=org_organisation.name"),
    )
    assert done.code == 0, done.err
    assert database("field.db", "SELECT title, year FROM organisations ORDER BY title") == [
        ("Relief & Co", 1999),
        ("Two", None),
    ]


def test_a_table_that_is_not_here_is_named_with_the_ways_out(hub, run):
    done = run("sync", "field.db", hub, "--only", "org_organisation")
    assert (done.code, "--create" in done.err, "--map" in done.err) == (2, True, True)


def test_a_filter_decides_at_the_peer(hub, run, database):
    done = run(
        *("sync", "field.db", hub, "--only", "org_organisation", "--create"),
        *("--where", "org_organisation: ~.name__like=Relief*"),
    )
    assert done.code == 0, done.err
    assert database("field.db", NAMES) == [("Relief & Co", 1999)]


def test_a_filter_that_eden_would_ignore_is_refused(hub, run):
    done = run("sync", "field.db", hub, "--only", "org_organisation", "--where", "org_organisation: name=x")
    assert (done.code, "ignored by Eden" in done.err) == (2, True)


@pytest.mark.parametrize(("words", "expected"), ((("--direction", "push"), 2), (("--direction", "pull"), 3)))
def test_push_is_from_the_first_end_to_the_second(hub, run, database, words, expected):
    run("sync", "field.db", hub, "--only", "org_organisation", "--create")
    database("field.db", "INSERT INTO org_organisation(name) VALUES ('Mine')")
    database("hub.db", "INSERT INTO org_organisation(name) VALUES ('Theirs')")
    run("sync", "field.db", hub, "--only", "org_organisation", *words)
    here = len(database("field.db", NAMES))
    assert here == (3 if words[1] == "push" else 4)
    assert len(database("hub.db", NAMES)) == (4 if words[1] == "push" else 3)


@pytest.mark.parametrize(("order", "kept"), ((("field.db", 0), "Mine"), ((0, "field.db"), "Theirs")))
def test_this_is_the_first_named_end_in_both_directions(hub, run, database, order, kept):
    ends = [hub if end == 0 else end for end in order]
    run("sync", *ends, "--only", "org_organisation", "--create")
    database("field.db", "UPDATE org_organisation SET name='Mine' WHERE name='Two'")
    database("hub.db", "UPDATE org_organisation SET name='Theirs' WHERE name='Two'")
    for _ in range(2):
        policies = ("--update", "this", "--conflict", "this")
        assert run("sync", *ends, "--only", "org_organisation", *policies).code == 0
    assert kept in dict(database("field.db", NAMES))
    assert kept in dict(database("hub.db", NAMES))


def test_the_report_is_there_as_json_and_the_log_knows_the_run(hub, run):
    done = run("sync", hub, "field.db", "--only", "org_organisation", "--create", "--json", "--run-name", "first")
    assert done.json["tables"]["org_organisation"] == {
        "pulled": {"created": 4},
        "pushed": 0,
        "issues": [],
        "error": None,
    }


def test_a_record_that_is_refused_is_named_and_costs_no_other(hub, run, database):
    database(
        "field.db",
        "CREATE TABLE org_organisation (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'Two'), year INTEGER)",
    )
    done = run("sync", "field.db", hub, "--only", "org_organisation", "--map", "org_organisation=org_organisation")
    assert done.code == 1
    assert "CHECK" in done.err
    assert database("field.db", NAMES) == [("Relief & Co", 1999)]


def test_users_and_their_passwords_are_asked_for(hub, run, tmp_path, monkeypatch):
    replica = LocalReplica.open(SQLiteEngine(tmp_path / "hub.db"), "hub")
    add(replica.ledger, "sync", "a long secret", "sync")
    add(replica.ledger, "reader", "a long secret", "read")
    replica.close()
    with running(str(tmp_path / "hub.db"), providers=(*PROVIDERS, eden())) as address:
        named = address.rstrip("/").replace("http://", "eden+http://{}@") + "/eden"
        words = ("--only", "org_organisation", "--create")
        monkeypatch.setenv("TALLYSTICK_PASSWORD", "a long secret")
        assert run("sync", named.format("sync"), "one.db", *words).code == 0
        refused = run("sync", named.format("reader"), "two.db", *words)
        assert (refused.code, "did not register" in refused.err) == (3, True)
        monkeypatch.setenv("TALLYSTICK_PASSWORD", "wrong")
        assert run("sync", named.format("sync"), "three.db", *words).code == 3


@pytest.fixture
def guarded(run, database, tmp_path, monkeypatch):
    """The address of a site that lets ``sync`` in, whose password is in the file ``secret``."""
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())
    database("hub.db", *SCHEMA)
    run("track", "hub.db")
    replica = LocalReplica.open(SQLiteEngine(tmp_path / "hub.db"), "hub")
    add(replica.ledger, "sync", "a long secret", "sync")
    replica.close()
    (tmp_path / "secret").write_text("a long secret")
    with running(str(tmp_path / "hub.db"), providers=(*PROVIDERS, eden())) as address:
        yield address.rstrip("/").replace("http://", "eden+http://{}") + "/eden"


def test_a_peer_that_was_added_is_the_same_one_for_sync(guarded, run, database):
    database("field.db", *(one for one in SCHEMA if one.startswith("CREATE")))
    run("track", "field.db")
    run("peers", "add", "field.db", "relief", guarded.format("sync@"), "--password-file", "secret")
    run("tasks", "add", "field.db", "orgs", "--peer", "relief", "--resource", "org_organisation")
    done = run("sync", guarded.format(""), "field.db", *ONE, "--json")  # no user and no password: they are known
    assert done.code == 0, done.err
    assert done.json["tables"]["org_organisation"]["pulled"] == {"created": 4}
    (peer,) = run("peers", "list", "field.db", "--json").json
    assert peer["identifier"].startswith("urn:uuid:")  # sync registered it
    assert run("tasks", "run", "field.db", "orgs", "--json").json[0]["result"] in ("success", "warning")
    entries = run("log", "field.db", "--peer", "relief", "--json").json
    assert [one["message"] for one in entries if one["action"] == "pull/outgoing"] == ["nothing new", "4 created"]


def test_a_peer_that_is_added_after_sync_goes_on_where_sync_stopped(guarded, run, database):
    run("sync", guarded.format("sync@"), "field.db", *ONE, "--create", "--password-file", "secret")
    run("peers", "add", "field.db", "relief", guarded.format("sync@"), "--password-file", "secret")
    assert run("peers", "register", "field.db", "relief").code == 0
    run("tasks", "add", "field.db", "orgs", "--peer", "relief", "--resource", "org_organisation", "--mode", "pull")
    (done,) = run("tasks", "run", "field.db", "orgs", "--json").json
    assert "nothing new" in done["message"]


def test_a_peer_is_tested_without_a_login(guarded, run, database, tmp_path):
    database("field.db", SCHEMA[0])
    run("track", "field.db")
    (tmp_path / "wrong").write_text("nothing of the kind")
    run("peers", "add", "field.db", "relief", guarded.format("sync@"), "--password-file", "wrong")
    run("peers", "add", "field.db", "away", "eden+http://127.0.0.1:1/eden")
    assert run("peers", "test", "field.db", "relief").code == 3
    run("peers", "change", "field.db", "relief", "--password-file", "secret")
    assert run("peers", "test", "field.db", "relief").out == "relief: it answers\n"
    away = run("peers", "test", "field.db", "away")
    assert (away.code, "127.0.0.1:1" in away.err) == (3, True)


def test_the_password_of_a_peer_goes_with_it(guarded, run, database):
    run("sync", guarded.format("sync@"), "field.db", *ONE, "--create", "--password-file", "secret")
    run("peers", "add", "field.db", "relief", guarded.format("sync@"), "--password-file", "secret")
    run("peers", "register", "field.db", "relief")
    assert database("field.db", "SELECT name FROM tally_credential") == [("peer relief",)]
    run("peers", "remove", "field.db", "relief")
    assert database("field.db", "SELECT name FROM tally_credential") == []


@pytest.mark.parametrize(
    "words",
    (
        ("eden+http://host", "a.db"),
        ("eden+http://host/eden", "eden+http://other/eden"),
        ("eden+http://host/eden", "a.db", "--allow-deletes", "some"),
        ("eden+http://host/eden", "a.db", "--exclude", "x_y"),
        ("a.db", "b.db", "--create"),
    ),
)
def test_what_cannot_be_meant_is_a_usage_error(run, words):
    assert run("sync", *words).code == 2


def test_a_peer_that_is_not_there_is_said_so(run):
    done = run("sync", "a.db", "eden+http://127.0.0.1:9/eden", "--only", "org_organisation")
    assert (done.code, "cannot be reached" in done.err) == (3, True)
