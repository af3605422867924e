"""What waits is named as people know it: by the primary key of its row, and by what it says."""

import pytest

TABLE = "CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT, phone TEXT UNIQUE)"


@pytest.fixture
def clinics(run, database):
    """Two sites that gave one number to two patients with one phone, and both changed patient 2, who came later."""
    database("a.db", TABLE, "INSERT INTO patients VALUES (1, 'Ana', '1')")
    run("sync", "a.db", "b.db")
    database("a.db", "INSERT INTO patients VALUES (2, 'Bo', '2')")
    run("sync", "a.db", "b.db")
    database("a.db", "UPDATE patients SET name = 'BoA' WHERE id = 2", "INSERT INTO patients VALUES (3, 'Cy', '7')")
    database("b.db", "UPDATE patients SET name = 'BoB' WHERE id = 2", "INSERT INTO patients VALUES (3, 'Di', '7')")
    assert run("sync", "a.db", "b.db", "--conflict", "ask").code == 1
    return database


def test_a_parked_change_is_listed_with_what_it_says(run, clinics):
    (parked,) = run("parked", "list", "a.db", "--json").json
    assert (parked["row"], parked["content"]) == (None, {"name": "Di", "phone": "7"})
    assert "name=Di phone=7" in run("parked", "list", "a.db").out


def test_a_parked_change_of_a_row_that_is_here_is_listed_and_dropped_by_its_number(run, clinics):
    refuse = "BEFORE UPDATE ON patients WHEN new.phone = '22' BEGIN SELECT raise(abort, 'not this one'); END"
    clinics("a.db", f"CREATE TRIGGER refuse {refuse}")
    clinics("b.db", "UPDATE patients SET phone = '22' WHERE id = 2")
    run("sync", "a.db", "b.db", "--conflict", "other")
    waiting = {one["row"]: one for one in run("parked", "list", "a.db", "--json").json}
    assert waiting["2"]["content"] == {"name": "BoB", "phone": "22"}
    assert waiting["2"]["key"] != "2"
    assert run("parked", "drop", "a.db", "patients", "2").code == 0
    assert "2" not in {one["row"] for one in run("parked", "list", "a.db", "--json").json}


def test_a_conflict_is_listed_shown_and_decided_by_the_number_of_its_row(run, clinics):
    (waiting,) = run("conflicts", "list", "a.db", "--json").json
    assert (waiting["row"], waiting["waits"], waiting["versions"]) == ("2", True, 2)
    assert waiting["key"] != "2"
    shown = run("conflicts", "show", "a.db", "patients", "2", "--json").json
    assert {one["content"]["name"] for one in shown} == {"BoA", "BoB"}
    assert shown == run("conflicts", "show", "a.db", "patients", waiting["key"], "--json").json
    assert run("conflicts", "resolve", "a.db", "patients", "2", "--content", '{"name": "Bob"}').code == 0
    assert clinics("a.db", "SELECT name, phone FROM patients WHERE id = 2") == [("Bob", "2")]
    assert run("conflicts", "list", "a.db", "--json").json == []


def test_one_conflict_at_two_sites_is_counted_once(run, clinics):
    done = run("sync", "a.db", "b.db", "--json").json
    assert (done["undecided"], done["parked"]) == (1, 2)
    assert "1 conflicts wait for a decision: tallystick conflicts list a.db" in run("sync", "a.db", "b.db").out


def test_what_differs_is_named_by_its_row_too(run, clinics):
    (waiting,) = run("conflicts", "list", "a.db", "--json").json
    assert f"2 ({waiting['key']})" in run("verify", "a.db", "b.db").out
