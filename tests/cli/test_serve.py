"""What serve says when it begins, and what it refuses."""

import signal
import subprocess
import sys

import pytest


@pytest.fixture
def said(tmp_path):
    """Starts ``tallystick serve`` and gives the lines of its first words."""

    def call(lines, *words):
        command = [sys.executable, "-m", "tallystick", "serve", *words, "--port", "0"]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            found = [process.stderr.readline() for _ in range(lines)]
            process.send_signal(signal.SIGTERM)
            found.extend(process.stderr)
        return found

    return call


def test_serving_a_database_of_which_nothing_is_tracked_says_so(said, people):
    first, second = said(2, "a.db")
    assert first.startswith("serving a.db at http://127.0.0.1:")
    assert "nothing is tracked there" in second
    assert "tallystick track a.db" in second


def test_serving_a_tracked_database_says_where_and_no_more(said, run, people):
    run("track", "a.db")
    assert len(said(1, "a.db")) == 1


def test_serving_other_protocols_says_what_to_call_the_site_there(said, run, people):
    run("track", "a.db")
    base = "https://hub.example.org/sdata"
    words = ("a.db", "--sdata", "--base-url", base, "--application", "erp", "--contract", "crm", "--eden", "/relief")
    first, *others = said(3, *words)
    address = first.split()[-1].rstrip("/")
    assert [line.strip() for line in others] == [f"and as sdata+{base}/erp/crm/-", f"and as eden+{address}/relief"]


def test_a_key_without_a_certificate_is_refused(run, people):
    done = run("serve", "a.db", "--key", "key.pem")
    assert (done.code, "--certificate" in done.err) == (2, True)


def test_a_certificate_that_cannot_be_read_is_refused(run, people):
    done = run("serve", "a.db", "--certificate", "nowhere.pem", "--key", "nowhere.pem")
    assert (done.code, "nowhere.pem cannot be used" in done.err) == (2, True)
