"""The command as a process of its own: what it says and leaves with, however its streams end."""

import os
import subprocess
import sys

import pytest

VERSION = [sys.executable, "-m", "tallystick.cli.main", "--version"]


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


def test_a_reader_that_went_away_is_no_error(tmp_path):
    (tmp_path / "a").mkdir()
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "tallystick.cli.main", "sync", "a", "b", "--state", "memory"]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, cwd=tmp_path)
    os.close(writing)
    assert done.returncode == 0
    assert done.stderr == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_what_cannot_be_written_is_an_error():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(VERSION, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode != 0
    assert b"No space left" in done.stderr


@pytest.mark.parametrize("closed", ("<&-", "2>&-", "<&- >&- 2>&-"))
def test_a_stream_that_was_closed_before_the_command_began_is_no_error(closed, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").write_text("content")
    command = f"exec {sys.executable} -m tallystick.cli.main sync one two --state memory {closed}"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True).returncode == 0
    assert (tmp_path / "two" / "file").read_text() == "content"
