"""``tallystick datasets``: a data set that one site hosts and another pulls, over HTTP."""

from __future__ import annotations

import base64
import secrets

import pytest

from tallystick.web.eden import eden
from tallystick.web.server import running

SCHEMA = (
    "CREATE TABLE gis_road (id INTEGER PRIMARY KEY, name TEXT NOT NULL, status TEXT)",
    "CREATE TABLE gis_bridge (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
)
ROADS = "INSERT INTO gis_road(name, status) VALUES ('North', 'open'), ('South', 'closed')"
BRIDGES = "INSERT INTO gis_bridge(name) VALUES ('Old bridge')"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())


@pytest.fixture
def host(run, database):
    """hub.db with roads and bridges, and an empty field.db."""
    database("hub.db", *SCHEMA, ROADS, BRIDGES)
    database("field.db", *SCHEMA)
    run("track", "hub.db")
    run("track", "field.db")


@pytest.fixture
def served(host, run, tmp_path):
    """field.db has the served hub.db as a peer, and a task for its data set ``roads``."""
    with running(str(tmp_path / "hub.db"), providers=[eden("/eden")]) as address:
        url = f"eden+{address}eden"
        assert run("peers", "add", "field.db", "hub", url, "--dataset", "roads").code == 0
        assert run("tasks", "add", "field.db", "roads", "--peer", "hub", "--mode", "pull").code == 0
        yield


def names(database, table="gis_road"):
    return [name for (name,) in database("field.db", f"SELECT name FROM {table} ORDER BY name")]


def pull(run):
    done = run("tasks", "run", "field.db", "roads", "--json")
    return done.json[0]["result"], done.json[0]["message"]


def test_a_hosted_data_set_is_pulled_by_its_code(served, run, database):
    hosted = run("datasets", "add", "hub.db", "roads", "--table", "gis_road", "--where", "gis_road: ~.status=open")
    assert hosted.code == 0, hosted.err
    assert pull(run)[0] == "success"
    assert (names(database), names(database, "gis_bridge")) == (["North"], [])
    database("hub.db", "INSERT INTO gis_road(name, status) VALUES ('East', 'open'), ('West', 'closed')")
    assert pull(run)[0] == "success"
    assert names(database) == ["East", "North"]


def test_the_first_pull_begins_with_the_archive_and_goes_on_from_there(served, run, database):
    run("datasets", "add", "hub.db", "roads", "--table", "gis_road", "--table", "gis_bridge")
    written = run("datasets", "archive", "hub.db", "roads", "--json")
    assert (written.code, written.json["bytes"] > 200) == (0, True)
    # what is gone since is in the archive still: so it was the archive that was read
    database("hub.db", "DELETE FROM gis_road WHERE name='South'", "UPDATE gis_bridge SET name='New bridge'")
    pull(run)
    assert names(database) == ["North", "South"]
    pull(run)
    assert (names(database), names(database, "gis_bridge")) == (["North"], ["New bridge"])


def test_what_changed_between_the_archive_and_its_first_pull_arrives(served, run, database):
    run("datasets", "add", "hub.db", "roads", "--table", "gis_road")
    database("hub.db", "INSERT INTO gis_road(name, status) VALUES ('East', 'open'), ('West', 'open')")
    run("datasets", "archive", "hub.db", "roads")
    database(
        "hub.db", "UPDATE gis_road SET name='Far East' WHERE name='East'", "DELETE FROM gis_road WHERE name='West'"
    )
    pull(run)
    assert names(database) == ["East", "North", "South", "West"]
    pull(run)
    assert names(database) == ["Far East", "North", "South"]
    assert run("conflicts", "list", "field.db", "--all", "--json").json == []


def test_a_data_set_that_ended_leaves_the_records_and_is_pulled_no_more(served, run, database):
    run("datasets", "add", "hub.db", "roads", "--table", "gis_road")
    run("datasets", "archive", "hub.db", "roads")
    pull(run)
    assert run("datasets", "remove", "hub.db", "roads").code == 0
    database("hub.db", "INSERT INTO gis_road(name, status) VALUES ('East', 'open')")
    pull(run)
    assert names(database) == ["North", "South"]
    assert run("datasets", "list", "hub.db", "--json").json == []
    again = run("datasets", "add", "hub.db", "roads", "--table", "gis_road")
    assert again.code == 0, again.err
    pull(run)
    assert names(database) == ["East", "North", "South"]


def test_data_sets_are_listed(host, run):
    run("datasets", "add", "hub.db", "roads", "--table", "gis_road", "--name", "All roads")
    run("datasets", "add", "hub.db", "all", "--table", "gis_road", "--table", "gis_bridge")
    run("datasets", "archive", "hub.db", "all")
    assert run("datasets", "list", "hub.db", "--json").json == [
        {"code": "all", "name": "all", "tables": ["gis_bridge", "gis_road"], "archive": True},
        {"code": "roads", "name": "All roads", "tables": ["gis_road"], "archive": False},
    ]
    listed = run("datasets", "list", "hub.db").out
    assert "All roads" in listed


@pytest.mark.parametrize(
    ("words", "message"),
    (
        (("add", "hub.db", "a/b", "--table", "gis_road"), "cannot be the code"),
        (("add", "hub.db", "roads", "--table", "gis_river"), "no table gis_river"),
        (("add", "hub.db", "taken", "--table", "gis_road"), "hosted here already"),
        (("add", "hub.db", "roads"), "--table"),
        (("add", "hub.db", "roads", "--table", "gis_road", "--where", "gis_bridge: ~.name=x"), "does not hold"),
        (("add", "hub.db", "roads", "--table", "gis_road", "--where", "gis_road: name=x"), "ignored by Eden"),
        (("archive", "hub.db", "none"), "no data set 'none'"),
        (("remove", "hub.db", "none"), "data sets: taken"),
    ),
)
def test_what_cannot_be_hosted_is_said_and_nothing_is_kept(host, run, words, message):
    run("datasets", "add", "hub.db", "taken", "--table", "gis_road")
    done = run("datasets", *words)
    assert (done.code, message in done.err) == (2, True), done.err
    assert [one["code"] for one in run("datasets", "list", "hub.db", "--json").json] == ["taken"]
