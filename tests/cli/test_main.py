"""The command as a process of its own: what it says and leaves with, however its streams end."""

import os
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "tallystick"]
READING = (
    ["contexts", "list", "site.db"],
    ["contexts", "list", "site.db", "--json"],
    ["contexts", "get", "site.db", "work", "/file", "-"],
    ["status", "site.db"],
)


@pytest.fixture
def site(tmp_path):
    """A directory with the database of a site that holds one file."""
    (tmp_path / "file").write_text("content")
    for words in (["create", "site.db", "work"], ["put", "site.db", "work", "file", "/file"]):
        subprocess.run([*COMMAND, "contexts", *words], check=True, capture_output=True, cwd=tmp_path)
    return tmp_path


def test_what_was_said_arrives_and_functions_at_exit_are_called():
    words = "import atexit, sys; atexit.register(print, 'at exit'); sys.argv = ['tallystick', '--version']\n"
    code = f"{words}from tallystick.cli.main import run; run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("tallystick")
    assert done.stdout.endswith("at exit\n")


@pytest.mark.parametrize(("words", "code"), ((["sync", "only-one"], 2), (["sync", "/none/a", "/none/b"], 2)))
def test_the_exit_code_is_that_of_the_command(words, code, tmp_path):
    done = subprocess.run([sys.executable, "-m", "tallystick.cli.main", *words], capture_output=True, cwd=tmp_path)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr


def test_a_reader_that_went_away_is_no_error(site):
    (site / "a").mkdir()
    reading, writing = os.pipe()
    os.close(reading)
    for words in (["sync", "a", "b", "--state", "memory"], ["--help"], ["--version"], *READING):
        done = subprocess.run([*COMMAND, *words], stdout=writing, stderr=subprocess.PIPE, cwd=site)
        assert (done.returncode, done.stderr) == (0, b""), words
    os.close(writing)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "words", (["--version"], ["--help"], ["sync", "--help"], ["sync", "a", "b", "--state", "memory"], *READING)
)
def test_what_cannot_be_written_is_said_once_with_a_code_of_its_own(site, words):
    (site / "a").mkdir()
    for place, mode, why in (("/dev/full", "wb", b"No space left on device"), ("/dev/null", "rb", b"Bad file")):
        with open(place, mode) as stream:
            done = subprocess.run([*COMMAND, *words], stdout=stream, stderr=subprocess.PIPE, cwd=site)
        assert done.returncode == 3
        assert done.stderr.startswith(b"tallystick: standard output cannot be written: " + why)
        assert done.stderr.count(b"\n") == 1


def test_what_was_done_before_its_output_failed_stays_done(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("content")
    with open("/dev/null", "rb") as unwritable:
        subprocess.run(
            [*COMMAND, "sync", "a", "b", "--state", "memory"],
            stdout=unwritable,
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        )
    assert (tmp_path / "b" / "file").read_text() == "content"


@pytest.mark.parametrize("closed", ("<&-", "2>&-", "<&- >&- 2>&-"))
def test_a_stream_that_was_closed_before_the_command_began_is_no_error(closed, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").write_text("content")
    command = f"exec {sys.executable} -m tallystick.cli.main sync one two --state memory {closed}"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True).returncode == 0
    assert (tmp_path / "two" / "file").read_text() == "content"
