"""How a command ends: exit codes, and what is said about errors that nobody foresaw."""

import subprocess
import sys

import pytest


@pytest.fixture
def failing(monkeypatch):
    """Makes opening a database fail with an error."""

    def call(error):
        def opening(*words, **options):
            raise error

        monkeypatch.setattr("tallystick.api.open", opening)

    return call


def test_an_error_that_nobody_foresaw_is_exit_code_5_without_a_traceback(run, failing):
    failing(ZeroDivisionError("nobody thought of that"))
    done = run("status", "a.db")
    assert (done.code, done.out) == (5, "")
    assert "internal error: ZeroDivisionError: nobody thought of that" in done.err
    assert "--debug" in done.err
    assert "Traceback" not in done.err


def test_with_debug_an_unforeseen_error_shows_where_it_happened(run, failing):
    failing(ZeroDivisionError("nobody thought of that"))
    done = run("status", "a.db", "--debug")
    assert (done.code, "Traceback" in done.err) == (5, True)


def test_debug_behind_two_hyphens_belongs_to_the_command_that_is_run(run, failing):
    failing(ZeroDivisionError("nobody thought of that"))
    assert "Traceback" not in run("status", "--", "a.db", "--debug").err


def test_a_file_that_may_not_be_read_is_named(run, failing):
    failing(PermissionError(13, "Permission denied", "/srv/a.db"))
    done = run("status", "a.db")
    assert (done.code, "/srv/a.db: Permission denied" in done.err) == (2, True)


def test_being_stopped_is_exit_code_130_and_says_that_nothing_is_lost(run, failing):
    failing(KeyboardInterrupt())
    done = run("status", "a.db")
    assert (done.code, "run it again to go on" in done.err) == (130, True)


def test_a_reader_that_goes_away_ends_a_listing_quietly(run, people, tmp_path):
    people("a.db", "CREATE TABLE many (id INTEGER PRIMARY KEY, note TEXT)")
    people(
        "a.db",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        "INSERT INTO many SELECT i, 'a note that is long enough to fill a pipe' FROM n",
    )
    run("track", "a.db")
    command = [sys.executable, "-m", "tallystick", "changes", "a.db", "many"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
