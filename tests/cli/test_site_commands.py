"""Commands about one site."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tallystick
from tallystick.cli.main import COMMANDS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_its_usage(run, name):
    done = run(name, "--help")
    assert done.code == 0
    assert "Usage" in done.out


def test_help_loads_no_command():
    code = "import sys\nfrom tallystick.cli.main import main\ntry:\n main(['--help'])\nexcept SystemExit:\n pass\n"
    code += (
        "print([m for m in sys.modules if m.startswith(('tallystick.site', 'tallystick.sync', 'sqlalchemy', 'lxml'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_track_status_and_untrack(run, people):
    assert run("track", "a.db", "--json").json == [
        {"table": "people", "resource": "people", "identity": "natural", "records": 2}
    ]
    assert run("track", "a.db").out == "nothing new to track\n"
    status = run("status", "a.db", "--json").json
    assert status["resources"][0]["records"] == 2
    assert status["untracked"] == []
    assert run("untrack", "a.db").code == 0
    assert people("a.db", "SELECT count(*) FROM sqlite_master WHERE name LIKE 'tally%'") == [(0,)]


def test_changes_go_on_from_a_state(run, people):
    run("track", "a.db")
    first = [line for line in run("changes", "a.db", "people", "--json").out.splitlines() if line]
    assert len(first) == 2
    import json

    state = json.loads(first[-1])["state"]
    assert run("changes", "a.db", "people", "--since", state, "--json").out == ""
    people("a.db", "DELETE FROM people WHERE id='p1'")
    (line,) = run("changes", "a.db", "people", "--since", state, "--json").out.splitlines()
    assert json.loads(line)["deleted"] is True


def test_a_state_of_another_scope_is_refused_with_the_way_on(run, people):
    run("track", "a.db")
    people("a.db", "CREATE TABLE other (id TEXT PRIMARY KEY)")
    run("track", "a.db")
    state = run("changes", "a.db", "other").err.split()[-1]
    done = run("changes", "a.db", "people", "--since", state)
    assert done.code != 0
    assert "other resources" in done.err


def test_parked_changes_are_listed_retried_and_dropped(run, people):
    people("b.db", "CREATE TABLE people (id TEXT PRIMARY KEY, full_name TEXT, age INTEGER CHECK (age < 35))")
    done = run("sync", "a.db", "b.db")
    assert done.code == 1
    (parked,) = run("parked", "list", "b.db", "--json").json
    assert parked["key"] == "p2"
    assert "CHECK" in parked["reason"]
    assert run("parked", "retry", "b.db").code == 1
    assert run("parked", "drop", "b.db", "people", "p2").code == 0
    assert run("parked", "list", "b.db", "--json").json == []
    assert run("parked", "list", "b.db", "--declined", "--json").json[0]["key"] == "p2"


def test_what_an_importer_refused_is_listed(run, people):
    class Importer:
        def update(self, change, flags):
            raise ValueError(f"no room for {change.key}")

        def delete(self, change, flags):
            pass

    run("track", "a.db")
    with tallystick.open("a.db") as site:
        site.deliver(Importer(), consumer="index")
    listed = run("parked", "list", "a.db")
    assert "index" in listed.out
    assert "no room for p1" in listed.out
    assert {one["kind"] for one in run("parked", "list", "a.db", "--json").json} == {"refused"}


def test_users_come_and_go(run, people, tmp_path):
    run("track", "a.db")
    (tmp_path / "secret").write_text("correct horse\n")
    assert run("users", "add", "a.db", "anna", "--role", "sync", "--password-file", "secret").code == 0
    assert run("users", "list", "a.db", "--json").json == [{"name": "anna", "role": "sync"}]
    assert "correct horse" not in str(people("a.db", "SELECT * FROM tally_user"))
    assert run("users", "remove", "a.db", "anna").code == 0
    assert run("users", "remove", "a.db", "anna").code == 2


def test_purge_forgets_what_everybody_knows(run, people):
    run("track", "a.db")
    people("a.db", "INSERT INTO people VALUES ('p3', 'C', 1)")
    run("status", "a.db")
    run("changes", "a.db")
    people("a.db", "DELETE FROM people WHERE id='p3'")
    run("changes", "a.db")
    done = run("purge", "a.db", "--older-than", "0h", "--json")
    assert done.code == 0
    assert done.json[0]["tombstones"] == 1
