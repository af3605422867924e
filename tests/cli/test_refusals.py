"""What is refused leaves nothing behind: no ledger, no tracking, no file, no other journal mode."""

import pytest

PATIENTS = (
    "CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT, phone TEXT)",
    "CREATE TABLE notes (code TEXT PRIMARY KEY, body TEXT)",
    "CREATE TABLE loose (a, b)",
    "INSERT INTO patients VALUES (1, 'Ana', '1'), (2, 'Bo', '2')",
)


@pytest.fixture
def clinic(database):
    database("clinic.db", *PATIENTS)
    return database


def everything(database, name):
    return sorted(database(name, "SELECT name FROM sqlite_master")), database(name, "PRAGMA journal_mode")


WRONG = (
    ("--conflict", "patient=this"),
    ("--conflict", "patients.fone=this"),
    ("--update", "patients.fone=this"),
    ("--only", "nope"),
    ("--only", "loose"),
    ("--exclude", "nope"),
    ("--where", "nope: name eq 'x'"),
    ("--where", "patients: nam eq 'x'"),
    ("--where", "patients: name eq 1 2"),
    ("--identity", "natural:nope"),
    ("--identity", "natural:body"),
    ("--identity", "natural:,"),
    ("--trust", "MPXM-I4KY-W5B2-24RX-Y2HB"),
    ("--ref", "patients.nope=notes"),
    ("--ref", "nope.name=notes"),
    ("--map", "clinic.patients=nope.patients"),
)


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_refused_sync_makes_no_second_database_and_tracks_nothing(run, clinic, tmp_path, words):
    before = everything(clinic, "clinic.db")
    done = run("sync", "clinic.db", "new.db", *words)
    assert done.code == 2, done
    assert done.err.startswith("tallystick: ")
    assert everything(clinic, "clinic.db") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clinic.db"]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_refused_sync_leaves_an_untracked_second_database_alone(run, clinic, words):
    clinic("other.db", *PATIENTS)
    before = everything(clinic, "other.db")
    assert run("sync", "clinic.db", "other.db", *words).code == 2
    assert everything(clinic, "other.db") == before
    assert everything(clinic, "clinic.db") == before


def test_a_mapping_of_a_column_that_the_second_end_lacks_is_refused_before_anything_is_tracked(run, clinic):
    clinic("other.db", *PATIENTS)
    before = everything(clinic, "other.db")
    done = run("sync", "clinic.db", "other.db", "--map", "patients.phone=patients.telephone")
    assert (done.code, "telephone" in done.err) == (2, True)
    assert everything(clinic, "other.db") == everything(clinic, "clinic.db") == before


def test_a_peer_that_cannot_be_reached_leaves_the_first_database_as_it_was(run, clinic):
    before = everything(clinic, "clinic.db")
    assert run("sync", "clinic.db", "http://127.0.0.1:9/").code == 3
    assert everything(clinic, "clinic.db") == before


def test_an_eden_site_that_cannot_be_reached_leaves_nothing_either(run, clinic, tmp_path):
    before = everything(clinic, "clinic.db")
    assert run("sync", "eden+http://127.0.0.1:9/eden", "new.db", "--only", "t", "--create").code == 3
    assert run("sync", "eden+http://127.0.0.1:9/eden", "clinic.db", "--only", "patients").code == 3
    assert everything(clinic, "clinic.db") == before
    assert [path.name for path in tmp_path.iterdir()] == ["clinic.db"]


def test_users_that_were_added_stay_when_a_later_command_is_refused(run, clinic, tmp_path):
    (tmp_path / "password").write_text("longsecret\n")
    run("users", "add", "clinic.db", "anna", "--password-file", "password")
    assert run("sync", "clinic.db", "new.db", "--only", "nope").code == 2
    assert run("users", "list", "clinic.db", "--json").json == [{"name": "anna", "role": "sync"}]


def test_one_database_is_not_synchronized_with_itself(run, clinic):
    before = everything(clinic, "clinic.db")
    done = run("sync", "clinic.db", "sqlite:///clinic.db")
    assert (done.code, "the same site" in done.err) == (2, True)
    assert everything(clinic, "clinic.db") == before


def test_a_dry_run_makes_no_second_database_and_tells_what_would_be_sent(run, clinic, tmp_path):
    done = run("sync", "clinic.db", "new.db", "--dry-run", "--json")
    assert done.json["clinic.db -> new.db"]["patients"] == {"changes": 2, "deletions": 0}
    assert not (tmp_path / "new.db").exists()


def test_a_second_database_in_a_directory_that_is_not_there_is_a_usage_error(run, clinic, tmp_path):
    done = run("sync", "clinic.db", "nowhere/new.db")
    assert (done.code, "there is no directory" in done.err) == (2, True)


READING = (
    ("status",),
    ("changes",),
    ("conflicts", "list"),
    ("parked", "list"),
    ("parked", "retry"),
    ("log",),
    ("users", "list"),
    ("peers", "list"),
    ("tasks", "list"),
    ("webhooks", "list"),
)


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_reading_a_database_that_is_not_tracked_says_so_and_makes_no_ledger(run, clinic, words):
    before = everything(clinic, "clinic.db")
    done = run(*words, "clinic.db")
    assert (done.code, "clinic.db is not tracked" in done.err, done.out) == (2, True, "")
    assert everything(clinic, "clinic.db") == before


@pytest.mark.parametrize("word", ("verify", "repair"))
def test_comparing_a_database_that_is_not_tracked_says_so_and_makes_no_ledger(run, clinic, word):
    clinic("other.db", *PATIENTS)
    before = everything(clinic, "clinic.db")
    done = run(word, "clinic.db", "other.db")
    assert (done.code, "clinic.db is not tracked" in done.err) == (2, True)
    assert everything(clinic, "clinic.db") == everything(clinic, "other.db") == before


@pytest.mark.parametrize("words", (("track", "clinic.db", "nope"), ("track", "clinic.db", "loose")), ids=" ".join)
def test_a_table_that_cannot_be_tracked_leaves_no_ledger(run, clinic, words):
    before = everything(clinic, "clinic.db")
    assert run(*words).code == 2
    assert everything(clinic, "clinic.db") == before


@pytest.mark.parametrize(
    "words",
    (("status",), ("track",), ("untrack",), ("log",), ("users", "list"), ("purge", "--older-than", "9d"), ("serve",)),
    ids=" ".join,
)
def test_what_needs_the_database_itself_says_so_of_a_served_site(run, words):
    done = run(*words, "http://127.0.0.1:9/")
    assert (done.code, "is a served site, and this needs the database itself" in done.err) == (2, True)


def test_what_a_second_end_did_not_track_yet_is_reported(run, clinic):
    run("track", "clinic.db")
    assert run("sync", "clinic.db", "new.db", "--json").json["tracked"] == ["notes", "patients"]


def test_a_fingerprint_that_cannot_be_one_is_refused(run, clinic, tmp_path):
    (tmp_path / "stick").mkdir()
    done = run("sync", "clinic.db", "files+dir:stick", "--trust", "MPXM-I4KY-W5B2-24RX")
    assert (done.code, "is no fingerprint" in done.err) == (2, True)
    assert list((tmp_path / "stick").iterdir()) == []


def test_a_postgresql_url_without_a_database_is_refused(run, clinic, monkeypatch):
    monkeypatch.delenv("PGDATABASE", raising=False)
    done = run("sync", "clinic.db", "postgresql://postgres@127.0.0.1:5432/")
    assert (done.code, "names no database" in done.err) == (2, True)


def test_the_log_tells_refusals_of_the_peer_from_those_of_this_site(run, clinic):
    run("track", "clinic.db")
    run("sync", "clinic.db", "http://127.0.0.1:9/", "--run-name", "far")
    run("sync", "clinic.db", "new.db", "--only", "nope", "--run-name", "near")
    told = {one["name"]: (one["outcome"], one["where"]) for one in run("log", "clinic.db", "--json").json}
    assert told == {"far": ("error", "remote"), "near": ("error", "local")}


def test_the_log_of_a_task_tells_refusals_of_the_peer_too(run, clinic):
    run("peers", "add", "clinic.db", "hub", "http://127.0.0.1:9/")
    run("tasks", "add", "clinic.db", "all", "--peer", "hub")
    assert run("tasks", "run", "clinic.db", "all").code == 3
    told = run("log", "clinic.db", "--json").json
    assert {(one["outcome"], one["where"]) for one in told if one["outcome"] != "success"} == {("error", "remote")}


@pytest.mark.parametrize("name", ("", ":memory:"))
def test_a_database_that_would_not_last_is_no_end(run, clinic, tmp_path, name):
    done = run("sync", "clinic.db", name)
    assert (done.code, "is no database that lasts" in done.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["clinic.db"]


def test_a_run_that_failed_has_a_name_in_the_log(run, clinic):
    run("track", "clinic.db")
    run("sync", "clinic.db", "http://127.0.0.1:9/")
    (logged,) = run("log", "clinic.db", "--json").json
    assert logged["name"]


def test_with_debug_the_traceback_is_shown_and_the_exit_code_stays(run, clinic):
    done = run("--debug", "sync", "clinic.db", "http://127.0.0.1:9/")
    assert done.code == 3
    assert "Traceback (most recent call last)" in done.err
    assert "Traceback" not in run("sync", "clinic.db", "http://127.0.0.1:9/").err


def test_tables_without_a_key_are_named_where_they_would_have_been_wanted(run, clinic):
    assert run("sync", "clinic.db", "new.db", "--only", "notes", "--json").json["unkeyed"] == []
    assert run("sync", "clinic.db", "new.db", "--exclude", "loose", "--json").json["unkeyed"] == []
    assert run("sync", "clinic.db", "new.db", "--json").json["unkeyed"] == ["loose"]
