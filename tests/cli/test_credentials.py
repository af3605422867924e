"""Passwords come from a file, the environment or a terminal, and a command never waits for one that nobody can give."""

import io
import os
import pty
import subprocess
import sys

import pytest

ASKING = (
    ("users", "add", "a.db", "anna"),
    ("peers", "add", "a.db", "hub", "https://hub.example.org/", "--user", "anna"),
)


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_without_a_terminal_a_password_that_is_missing_is_a_usage_error(run, people, monkeypatch, words):
    monkeypatch.setattr("sys.stdin", io.StringIO("longsecret\nlongsecret\n"))
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert "--password-file" in done.err
    assert "TALLYSTICK_PASSWORD" in done.err


def test_a_password_comes_from_standard_input_where_that_is_said(run, people, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("longsecret\n"))
    assert run("users", "add", "a.db", "anna", "--password-file", "-").code == 0


def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(people, tmp_path):
    mine, theirs = pty.openpty()
    command = [sys.executable, "-m", "tallystick", "users", "add", "a.db", "anna"]
    environment = {name: value for name, value in os.environ.items() if name != "TALLYSTICK_PASSWORD"}
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        for question in (b"Password:", b"confirmation:"):
            while question not in shown:
                shown += os.read(mine, 1000)
            os.write(mine, b"longsecret\n")
        assert process.wait(60) == 0
        while b"anna may sync" not in shown:
            shown += os.read(mine, 1000)
    os.close(mine)
    assert b"longsecret" not in shown


def test_who_is_named_without_a_password_is_refused_with_the_way_to_give_one(run, people, tmp_path):
    from tallystick.web.server import running

    (tmp_path / "password").write_text("longsecret\n")
    run("users", "add", "a.db", "anna", "--password-file", "password")
    with running(tmp_path / "a.db") as address:
        named = address.replace("//", "//anna@")
        refused = run("sync", "b.db", named)
        assert refused.code == 2  # there is no b.db
        refused = run("sync", named, "b.db")
        assert (refused.code, "--password-file" in refused.err) == (3, True)
        assert not (tmp_path / "b.db").exists()
        assert run("sync", named, "b.db", "--password-file", "password").code == 0


def test_who_may_only_read_pulls_what_is_tracked_and_is_told_what_is_not(run, people, tmp_path):
    from tallystick.web.server import running

    (tmp_path / "password").write_text("longsecret\n")
    run("track", "a.db")
    people("a.db", "CREATE TABLE later (id TEXT PRIMARY KEY)")
    people("mine.db", "CREATE TABLE own (id TEXT PRIMARY KEY)")
    run("users", "add", "a.db", "rita", "--role", "read", "--password-file", "password")
    with running(tmp_path / "a.db") as address:
        named = address.replace("//", "//rita@")
        pulled = run("sync", "mine.db", named, "--direction", "pull", "--password-file", "password")
        assert pulled.code == 0, pulled
        assert "left out: later: not tracked at" in pulled.out
        assert people("mine.db", "SELECT count(*) FROM people") == [(2,)]
        pushed = run("sync", named, "other.db", "--direction", "push", "--password-file", "password")
        assert pushed.code == 0, pushed
        assert people("other.db", "SELECT count(*) FROM people") == [(2,)]
        refused = run("sync", "mine.db", named, "--password-file", "password")
        assert (refused.code, "needs the role sync" in refused.err) == (3, True)
        asked = ("sync", "mine.db", named, "--direction", "pull", "--only", "later", "--password-file", "password")
        assert run(*asked).code == 3
    assert people("a.db", "SELECT count(*) FROM sqlite_master WHERE name = 'own'") == [(0,)]
