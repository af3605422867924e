"""``tallystick sync``, ``verify`` and ``repair``."""

from __future__ import annotations

import pytest


def test_sync_creates_the_second_end_and_says_what_it_did(run, people):
    done = run("sync", "a.db", "b.db")
    assert done.code == 0
    assert "now tracked: people" in done.out
    assert "2 records" in done.out
    assert people("b.db", "SELECT count(*) FROM people") == [(2,)]
    assert "nothing to do" in run("sync", "a.db", "b.db").out


def test_json_holds_the_whole_report(run, people):
    report = run("sync", "a.db", "b.db", "--json", "--run-name", "nightly").json
    assert report["pushed"]["people"] == {"created": 2}
    assert report["run"] == "nightly"
    assert report["records"] == 2
    assert run("log", "a.db", "--json").json[0]["name"] == "nightly"


def test_a_dry_run_moves_nothing(run, people):
    run("sync", "a.db", "b.db")
    people("a.db", "UPDATE people SET age=31 WHERE id='p1'", "DELETE FROM people WHERE id='p2'")
    announced = run("sync", "a.db", "b.db", "--dry-run", "--json").json
    assert announced["a.db -> b.db"]["people"] == {"changes": 1, "deletions": 1}
    assert people("b.db", "SELECT age FROM people ORDER BY id") == [(30,), (40,)]


def test_conflicts_that_wait_are_exit_code_1_until_somebody_decides(run, people):
    run("sync", "a.db", "b.db")
    people("a.db", "UPDATE people SET age=1 WHERE id='p1'")
    people("b.db", "UPDATE people SET age=2 WHERE id='p1'")
    assert run("sync", "a.db", "b.db", "--conflict", "ask").code == 1
    assert run("conflicts", "list", "a.db", "--json").json == [
        {"resource": "people", "row": "p1", "versions": 2, "waits": True, "key": "p1"}
    ]
    versions = run("conflicts", "show", "a.db", "people", "p1", "--json").json
    assert sorted(version["content"]["age"] for version in versions) == [1, 2]
    take = next(version["version"] for version in versions if version["content"]["age"] == 2)
    assert run("conflicts", "resolve", "a.db", "people", "p1", "--take", str(take)).code == 0
    assert run("sync", "a.db", "b.db", "--conflict", "ask").code == 0
    assert people("a.db", "SELECT age FROM people WHERE id='p1'") == [(2,)]
    log = run("conflicts", "list", "a.db", "--log", "--json").json
    assert [entry["content"]["age"] for entry in log] == [1]
    assert run("conflicts", "undo", "a.db", str(log[0]["id"])).code == 0
    assert people("a.db", "SELECT age FROM people WHERE id='p1'") == [(1,)]


def test_conflicts_are_shown_and_decided_by_the_names_of_columns(run, database):
    database("a.db", 'CREATE TABLE visit (id TEXT PRIMARY KEY, "First_Name" TEXT, note TEXT)')
    database("a.db", "INSERT INTO visit VALUES ('v', 'A', 'kept')")
    run("sync", "a.db", "b.db")
    for name, value in (("a.db", "B"), ("b.db", "C")):
        database(name, f"UPDATE visit SET \"First_Name\"='{value}'")
    assert run("sync", "a.db", "b.db", "--conflict", "ask").code == 1
    shown = run("conflicts", "show", "a.db", "visit", "v", "--json").json
    assert {one["content"]["First_Name"] for one in shown} == {"B", "C"}
    wrong = run("conflicts", "resolve", "a.db", "visit", "v", "--content", '{"frist_name": "D"}')
    assert (wrong.code, "First_Name" in wrong.err) == (2, True)
    assert run("conflicts", "resolve", "a.db", "visit", "v", "--content", '{"First_Name": "D"}').code == 0
    assert run("sync", "a.db", "b.db", "--conflict", "ask").code == 0
    assert database("b.db", 'SELECT "First_Name", note FROM visit') == [("D", "kept")]


def test_a_field_policy_decides_for_that_field(run, people):
    run("sync", "a.db", "b.db")
    people("a.db", "UPDATE people SET age=1, full_name='A' WHERE id='p1'")
    people("b.db", "UPDATE people SET age=2, full_name='B' WHERE id='p1'")
    run("sync", "a.db", "b.db", "--conflict", "other", "--conflict", "people.full_name=this")
    for name in ("a.db", "b.db"):
        assert people(name, "SELECT full_name, age FROM people WHERE id='p1'") == [("A", 2)]


def test_held_deletions_are_exit_code_4_and_named_with_the_flag_that_lets_them_through(run, people):
    rows = ", ".join(f"('n{number}', 'n', {number})" for number in range(50))
    people("a.db", f"INSERT INTO people VALUES {rows}")
    run("sync", "a.db", "b.db")
    people("a.db", "DELETE FROM people WHERE full_name='n'")
    done = run("sync", "a.db", "b.db")
    assert done.code == 4
    assert "--allow-deletes 50" in done.err
    assert run("sync", "a.db", "b.db", "--allow-deletes", "50").code == 0
    assert people("b.db", "SELECT count(*) FROM people") == [(2,)]


def test_a_dry_run_says_what_the_guard_would_hold_back_and_exits_as_the_run_would(run, people):
    rows = ", ".join(f"('n{number}', 'n', {number})" for number in range(50))
    people("a.db", f"INSERT INTO people VALUES {rows}")
    run("sync", "a.db", "b.db")
    people("a.db", "DELETE FROM people WHERE full_name='n'")
    told = run("sync", "a.db", "b.db", "--dry-run")
    assert told.code == 4
    assert "the guard would hold back deletions (50 of b.db: people)" in told.err
    assert "--allow-deletes 50" in told.err
    counted = run("sync", "a.db", "b.db", "--dry-run", "--json")
    assert counted.json["a.db -> b.db"]["people"] == {"changes": 0, "deletions": 50, "held": 50}
    for allowed in (("--allow-deletes", "50"), ("--strategy", "create,update")):
        done = run("sync", "a.db", "b.db", "--dry-run", *allowed)
        assert (done.code, done.err) == (0, "")


def test_only_exclude_where_and_direction_limit_what_travels(run, people):
    people("a.db", "CREATE TABLE notes (id TEXT PRIMARY KEY)", "INSERT INTO notes VALUES ('n')")
    run("sync", "a.db", "b.db", "--only", "people", "--where", "people: age gt 35", "--direction", "push")
    assert people("b.db", "SELECT id FROM people") == [("p2",)]
    assert run("sync", "a.db", "b.db", "--exclude", "people").code == 0
    assert people("b.db", "SELECT id FROM notes") == [("n",)]


def test_a_dry_run_tells_what_a_first_contact_would_send(run, people, database):
    database("b.db", "CREATE TABLE other (id TEXT PRIMARY KEY)", "INSERT INTO other VALUES ('x')")
    told = run("sync", "a.db", "b.db", "--dry-run", "--json").json
    assert told["a.db -> b.db"] == {"people": {"changes": 2, "deletions": 0}}
    assert told["b.db -> a.db"] == {"other": {"changes": 1, "deletions": 0}}
    assert database("b.db", "SELECT name FROM sqlite_master WHERE name='people'") == []


def test_a_mistyped_mapping_leaves_nothing_behind(run, database):
    database("a.db", "CREATE TABLE kunden (id TEXT PRIMARY KEY, ort TEXT)", "INSERT INTO kunden VALUES ('k1', 'Bern')")
    database("b.db", "CREATE TABLE customers (id TEXT PRIMARY KEY, city TEXT)")
    tables = ("--map", "kunden=customers")
    wrong = run("sync", "a.db", "b.db", *tables, "--map", "kunden.ort=customers.stadt")
    assert (wrong.code, "customers.stadt" in wrong.err) == (2, True)
    assert run("sync", "a.db", "b.db", *tables, "--map", "kunden.ort=customers.city").code == 0
    assert database("b.db", "SELECT city FROM customers") == [("Bern",)]
    late = run("sync", "a.db", "b.db", "--map", "kunden.ort=customers.id")
    assert (late.code, "untrack" in late.err) == (2, True)


def test_names_can_be_mapped(run, people):
    people("b.db", "CREATE TABLE persons (id TEXT PRIMARY KEY, title TEXT, age INTEGER)")
    done = run("sync", "a.db", "b.db", "--map", "people=persons", "--map", "people.full_name=persons.title")
    assert done.code == 0
    assert people("b.db", "SELECT title FROM persons ORDER BY id") == [("Ann",), ("Bob",)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    (
        (("sync", "a.db"), 2, "Missing argument"),
        (("sync", "a.db", "nope://x"), 2, "no end that tallystick knows"),
        (("sync", "missing.db", "a.db"), 2, "there is no database"),
        (("sync", "a.db", "b.db", "--conflict", "sometimes"), 2, "use one of this, other"),
        (("sync", "a.db", "b.db", "--conflict", "people="), 2, "is no policy"),
        (("sync", "a.db", "b.db", "--strategy", "destroy"), 2, "create, update, delete, merge"),
        (("sync", "a.db", "b.db", "--only", "ghosts"), 2, "no table or resource 'ghosts'"),
        (("sync", "a.db", "b.db", "--conflict", "poeple=this"), 2, "'poeple', which is no table or resource"),
        (("sync", "a.db", "b.db", "--conflict", "people.agee=this"), 2, "'agee', which 'people' does not have"),
        (("sync", "a.db", "b.db", "--update", "poeple=this"), 2, "'poeple'"),
        (("sync", "a.db", "b.db", "--map", "people=persons"), 2, "no table 'persons' at the second end"),
        (("sync", "a.db", "b.db", "--where", "people age gt 1"), 2, "is not NAME: EXPR"),
        (("sync", "a.db", "b.db", "--where", "people: height gt 1"), 2, "table 'people' has no column 'height'"),
        (("sync", "a.db", "b.db", "--allow-deletes", "some"), 2, "neither a number nor all"),
        (("sync", "a.db", "b.db", "--identity", "guess"), 2, "natural:COLUMN"),
        (("sync", "a.db", "http://127.0.0.1:1/"), 3, "127.0.0.1"),
        (("sync", "a.db", "a.db"), 2, "same"),
        (("frobnicate",), 2, "No such command"),
        (("conflicts", "resolve", "a.db", "people", "p1"), 2, "exactly one"),
        (("purge", "a.db", "--older-than", "soon"), 2, "90d"),
    ),
)
def test_mistakes_are_named_without_a_traceback(run, people, words, code, said):
    run("track", "a.db")
    done = run(*words)
    assert done.code == code
    assert said in done.err + done.out
    assert "Traceback" not in done.err


@pytest.mark.parametrize("second", ("a.db/sub.db", "nowhere/b.db"))
def test_a_path_that_cannot_be_is_named(run, people, second):
    done = run("sync", "a.db", second)
    assert done.code in (2, 3)
    assert second.partition("/")[0] in done.err
    assert "report" not in done.err


def test_a_name_that_is_nowhere_changes_nothing(run, people):
    before = people("a.db", "SELECT name FROM sqlite_master ORDER BY name")
    assert run("sync", "a.db", "b.db", "--only", "ghosts").code == 2
    assert run("sync", "a.db", "b.db", "--conflict", "ghosts=this").code == 2
    run("untrack", "a.db")
    assert people("a.db", "SELECT name FROM sqlite_master ORDER BY name") == before


def test_a_table_without_a_primary_key_is_left_out_by_name(run, people):
    people("a.db", "CREATE TABLE loose (line TEXT)")
    first = run("sync", "a.db", "b.db")
    assert (first.code, "left out, because they have no primary key: loose" in first.out) == (0, True)
    assert "loose" not in run("sync", "a.db", "b.db").out
    assert "no primary key: loose" in run("status", "a.db").out
    named = run("sync", "a.db", "b.db", "--only", "loose")
    assert (named.code, "has no primary key" in named.err) == (2, True)


def test_a_file_that_is_no_database_is_named(run, people, tmp_path):
    (tmp_path / "bad.db").write_bytes(b"this is not a database, it is a text" * 100)
    done = run("sync", "a.db", "bad.db")
    assert done.code != 0
    assert "bad.db" in done.err


def test_verify_does_not_call_nothing_an_agreement(run, people):
    people("b.db", "CREATE TABLE other (id TEXT PRIMARY KEY)")
    run("track", "a.db")
    run("track", "b.db")
    done = run("verify", "a.db", "b.db")
    assert done.code == 1
    assert "nothing was compared" in done.out
    assert run("verify", "a.db", "b.db", "--json").json["agree"] is False


def test_verify_is_0_only_when_both_agree(run, people):
    run("sync", "a.db", "b.db")
    assert run("verify", "a.db", "b.db", "--deep").code == 0
    people("a.db", "UPDATE people SET age=99 WHERE id='p1'")
    done = run("verify", "a.db", "b.db")
    assert done.code == 1
    assert "p1" in done.out
    assert run("verify", "a.db", "b.db", "--json").json["agree"] is False


def test_repair_takes_what_bypassed_capture(run, people):
    run("sync", "a.db", "b.db")
    people(
        "a.db",
        "INSERT INTO tally_applying VALUES (1)",
        "UPDATE people SET age=77 WHERE id='p1'",
        "DELETE FROM tally_applying",
    )
    assert run("verify", "a.db", "b.db", "--deep").code == 1
    assert run("repair", "a.db", "b.db").code == 0
    assert people("b.db", "SELECT age FROM people WHERE id='p1'") == [(77,)]
    assert run("verify", "a.db", "b.db", "--deep").code == 0


def test_edits_that_win_their_conflict_do_not_stop_a_run(run, database):
    """Only what loses is a loss: the guard looks at that."""
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x<40)"
    database(
        "a.db", "CREATE TABLE p (id TEXT PRIMARY KEY, name TEXT)", f"INSERT INTO p {numbers} SELECT 'k'||x, 'n' FROM n"
    )
    run("sync", "a.db", "b.db")
    database("a.db", "UPDATE p SET name='a'")
    database("b.db", "UPDATE p SET name='b'")
    won = run("sync", "a.db", "b.db", "--conflict", "this", "--direction", "pull")
    assert won.code == 0, won.err
    assert database("a.db", "SELECT DISTINCT name FROM p") == [("a",)]
    lost = run("sync", "b.db", "a.db", "--conflict", "other", "--direction", "pull")
    assert (lost.code, "would lose a conflict" in lost.err) == (4, True)
    assert database("b.db", "SELECT DISTINCT name FROM p") == [("b",)]
