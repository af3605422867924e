"""The public face from Python: open, track, sync, verify, changes, and the hook for conflicts."""

import sqlite3
from contextlib import closing

import pytest

import tallystick
from tallystick import Plan, Policy, Resolution
from tallystick.errors import ConfigurationError, SchemaError, UsageError

TABLE = "CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT, phone TEXT)"


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Runs SQL in a file of the test's directory, as an application would."""
    monkeypatch.chdir(tmp_path)

    def run(name, *statements):
        with closing(sqlite3.connect(tmp_path / name)) as connection, connection:
            return [connection.execute(statement).fetchall() for statement in statements][-1]

    run("clinic.db", TABLE, "INSERT INTO patients VALUES ('a', 'Ana', '1'), ('b', 'Bo', '2')")
    return run


@pytest.fixture
def contested(execute):
    """Two databases that changed one name each on their own."""
    with tallystick.open("clinic.db") as site:
        site.sync("hub.db")
    execute("clinic.db", "UPDATE patients SET name = 'AnaC' WHERE id = 'a'")
    execute("hub.db", "UPDATE patients SET name = 'AnaH' WHERE id = 'a'")
    return execute


def name(execute, database):
    return execute(database, "SELECT name FROM patients WHERE id = 'a'")[0][0]


def tables(execute, database):
    return [row[0] for row in execute(database, "SELECT name FROM sqlite_master WHERE type = 'table'")]


def test_a_database_that_is_not_there_is_not_made_unless_that_is_said(execute, tmp_path):
    with pytest.raises(ConfigurationError, match="no database"):
        tallystick.open("new.db")
    with tallystick.open("new.db", create=True) as site:
        assert site.resources() == []
    assert (tmp_path / "new.db").exists()


def test_opening_what_has_to_be_tracked_makes_no_ledger(execute):
    with pytest.raises(ConfigurationError, match="not tracked"):
        tallystick.open("clinic.db", tracked=True)
    assert tables(execute, "clinic.db") == ["patients"]
    with tallystick.open("clinic.db") as site:
        site.track()
    with tallystick.open("clinic.db", tracked=True) as site:
        assert [one.name for one in site.resources()] == ["patients"]


def test_an_error_at_the_first_opening_leaves_no_ledger(execute):
    with pytest.raises(SchemaError), tallystick.open("clinic.db") as site:
        site.track("nope")
    assert tables(execute, "clinic.db") == ["patients"]


def test_another_end_is_named_or_given(execute):
    with tallystick.open("clinic.db") as site:
        assert site.sync("hub.db").records == 2
        with tallystick.open("hub.db") as hub:
            assert site.sync(hub).records == 0
            assert site.sync(hub.replica).records == 0
            assert hub.resources()  # what was given stays open


def test_a_refused_synchronization_leaves_no_other_database(execute, tmp_path):
    with tallystick.open("clinic.db") as site:
        with pytest.raises(UsageError, match="nope"):
            site.sync("hub.db", Plan(only=("nope",)))
        assert not (tmp_path / "hub.db").exists()
        assert site.sync("hub.db").records == 2


def test_agreement_is_proved_with_a_named_or_a_given_end(execute):
    with tallystick.open("clinic.db") as site:
        site.sync("hub.db")
        assert site.verify("hub.db").agree
        execute("hub.db", "UPDATE patients SET name = 'x' WHERE id = 'a'")
        verdict = site.verify("hub.db", deep=True)
        assert [one.both for one in verdict.differences] == [("a",)]
        with tallystick.open("hub.db") as hub:
            assert not site.verify(hub).agree


def test_an_end_that_is_not_tracked_cannot_be_compared(execute):
    execute("other.db", TABLE)
    with tallystick.open("clinic.db") as site:
        site.track()
        for compare in (site.verify, site.repair):
            with pytest.raises(ConfigurationError, match="not tracked"):
                compare("other.db")
    assert tables(execute, "other.db") == ["patients"]


def test_repair_takes_what_bypassed_capture(execute):
    with tallystick.open("clinic.db") as site:
        site.sync("hub.db")
        triggers = execute("clinic.db", "SELECT name FROM sqlite_master WHERE type = 'trigger'")
        execute("clinic.db", *(f'DROP TRIGGER "{row[0]}"' for row in triggers), "UPDATE patients SET phone = '9'")
        site.repair("hub.db")
    assert execute("hub.db", "SELECT DISTINCT phone FROM patients") == [("9",)]


def test_changes_go_on_from_a_state(execute):
    with tallystick.open("clinic.db") as site:
        site.track()
        state = site.state()
        assert list(site.changes(state)) == []
        execute("clinic.db", "UPDATE patients SET phone = '3' WHERE id = 'b'", "DELETE FROM patients WHERE id = 'a'")
        found = {change.key: (change.deleted, change.content) for change in site.changes(state)}
        assert found == {"a": (True, None), "b": (False, {"name": "Bo", "phone": "3"})}


@pytest.mark.parametrize(
    ("ruling", "shown"),
    (
        (Resolution.THIS, "AnaC"),
        (Resolution.OTHER, "AnaH"),
        (Policy(conflict=tallystick.FieldPolicy(Resolution.OTHER)), "AnaH"),
    ),
    ids=("this", "other", "policy"),
)
def test_a_hook_decides_conflicts_for_both_ends(contested, ruling, shown):
    asked = []

    def hook(conflict):
        asked.append(conflict)
        return ruling

    with tallystick.open("clinic.db") as site:
        report = site.sync("hub.db", onconflict=hook)
        assert (report.waiting, len(asked) > 0) == (0, True)
        assert site.verify("hub.db").agree
    assert name(contested, "clinic.db") == name(contested, "hub.db") == shown


def test_a_hook_that_says_nothing_leaves_it_to_the_policy(contested):
    plan = Plan(policies={"": Policy(conflict=tallystick.FieldPolicy(Resolution.ASK))})
    with tallystick.open("clinic.db") as site:
        assert site.sync("hub.db", plan, onconflict=lambda conflict: None).undecided == 1
        assert [(one.resource, one.key, one.row) for one in site.conflicts()] == [("patients", "a", "a")]
        site.resolve("patients", "a", {"name": "Anna", "phone": "1"})
        site.sync("hub.db")
    assert name(contested, "hub.db") == "Anna"


def test_a_plan_can_be_used_again_and_its_runs_have_names_of_their_own(execute):
    plan = Plan()
    with tallystick.open("clinic.db") as site:
        first = site.sync("hub.db", plan)
        execute("clinic.db", "UPDATE patients SET phone = '4'")
        second = site.sync("hub.db", plan)
        assert plan.run == ""
        assert [run.name for run in site.log()] == [second.run, first.run]
        assert first.run != second.run


def test_a_run_is_logged_as_long_as_it_took(execute):
    with tallystick.open("clinic.db") as site:
        report = site.sync("hub.db")
        (run,) = site.log()
        assert run.finished - run.started >= int(report.seconds * 1000)


def test_untracking_puts_the_database_back_as_it_was(execute):
    before = execute("clinic.db", "SELECT type, name, sql FROM sqlite_master ORDER BY name")
    with tallystick.open("clinic.db") as site:
        site.sync("hub.db")
        site.untrack()
    assert execute("clinic.db", "SELECT type, name, sql FROM sqlite_master ORDER BY name") == before
    assert execute("clinic.db", "PRAGMA journal_mode") == [("delete",)]
