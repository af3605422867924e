"""Following changes, here and at served sites, and webhooks, from the command line."""

import http.server
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from functools import partial

import pytest

import tallystick
from tallystick.streams.carriers import carrier
from tallystick.streams.hints import ANYTHING
from tallystick.web import running
from tallystick.web.app import PROVIDERS
from tallystick.web.providers import events


@pytest.fixture(autouse=True)
def key(monkeypatch, tmp_path):
    monkeypatch.setenv("TALLYSTICK_KEY_FILE", str(tmp_path / "key"))


@pytest.fixture
def tracked(run, people):
    run("track", "a.db")


def test_served_changes_read_like_local_ones(run, tracked, tmp_path):
    local = run("changes", "a.db", "people", "--json")
    with running(tmp_path / "a.db") as address:
        served = run("changes", address, "people", "--json")
        assert run("changes", address, "nowhere").code == 2
    assert served.out == local.out != ""


def test_following_shows_what_another_program_writes(tracked, database, tmp_path):
    database("a.db", "CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT)")
    with tallystick.open(tmp_path / "a.db") as site:
        site.track("notes")
    command = [
        sys.executable,
        "-m",
        "tallystick.cli.main",
        "changes",
        "a.db",
        "notes",
        "--follow",
        "--limit",
        "2",
        "--json",
    ]
    follower = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=os.environ)
    for key in "xy":
        database("a.db", f"INSERT INTO notes VALUES ('{key}', 'hello')")
        line = json.loads(follower.stdout.readline())
        assert (line["key"], line["content"]) == (key, {"text": "hello"})
    follower.stdout.close()
    assert follower.wait(20) == 0


def test_following_a_served_site(tracked, database, tmp_path):
    with running(tmp_path / "a.db") as address:
        command = [
            sys.executable,
            "-m",
            "tallystick.cli.main",
            "changes",
            address,
            "people",
            "--follow",
            "--limit",
            "3",
        ]
        follower = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=os.environ)
        assert [follower.stdout.readline() for _ in "12"]
        database("a.db", "DELETE FROM people WHERE rowid=1")
        assert follower.stdout.readline().endswith("deleted\n")
        follower.stdout.close()
        assert follower.wait(20) == 0


def test_followers_are_woken_through_a_carrier_that_a_served_site_tells(tracked, database, tmp_path, carrier_url):
    """The listener has nothing but the carrier; the follower of the command line is given it."""
    with tallystick.open(tmp_path / "a.db") as site:
        listener = carrier(carrier_url, site.id)
    providers = [partial(events, hints=carrier_url) if one is events else one for one in PROVIDERS]
    command = [sys.executable, "-m", "tallystick.cli.main", "changes", "a.db", "people", "--json"]
    command += ["--follow", "--hints", carrier_url, "--limit", "3"]
    with running(tmp_path / "a.db", providers=providers):
        follower = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=os.environ)
        assert [json.loads(follower.stdout.readline())["key"] for _ in "12"] == ["p1", "p2"]
        heard = []
        while ANYTHING not in heard:  # the server watches from now on
            heard += listener.wait(20)
        database("a.db", "DELETE FROM people WHERE id='p1'")
        while not any(hint.resource == "people" for hint in heard):
            heard += listener.wait(20)
        assert json.loads(follower.stdout.readline())["deleted"]
        follower.stdout.close()
        assert follower.wait(20) == 0
    listener.close()


@pytest.mark.parametrize("how", ("replaced", "interrupted"))
def test_a_follower_that_ends_says_where_it_stands(tracked, database, tmp_path, run, how):
    command = [sys.executable, "-m", "tallystick.cli.main", "changes", "a.db", "people", "--follow"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    database("b.db", "CREATE TABLE people (id TEXT PRIMARY KEY, full_name TEXT, age INTEGER)")
    follower = subprocess.Popen(command, cwd=tmp_path, env=os.environ, **pipes)
    assert [follower.stdout.readline() for _ in "12"]
    if how == "replaced":
        os.replace(tmp_path / "b.db", tmp_path / "a.db")
    else:
        follower.send_signal(signal.SIGINT)
    _, told = follower.communicate(timeout=30)
    state, message = filter(None, told.splitlines())
    assert follower.returncode == (3 if how == "replaced" else 130)
    assert ("a.db was replaced" if how == "replaced" else "stopped") in message
    if how == "interrupted":
        database("a.db", "DELETE FROM people WHERE id='p1'")
        assert run("changes", "a.db", "people", "--since", state.split()[1]).out == "people p1 deleted\n"


def test_hints_are_for_those_who_follow_a_database(run, tracked, tmp_path):
    assert "--follow" in run("changes", "a.db", "--hints", "redis://127.0.0.1:1").err
    assert run("changes", "http://127.0.0.1:1/", "--follow", "--hints", "redis://127.0.0.1:1").code == 2


@pytest.mark.parametrize("command", (("changes", "a.db", "--follow"), ("serve", "a.db", "--port", "0")))
def test_a_carrier_that_is_not_there_is_told_at_once(run, tracked, command):
    done = run(*command, "--hints", "redis://127.0.0.1:1")
    assert (done.code, "127.0.0.1:1 cannot be reached" in done.err) == (2, True)


def test_a_difference_can_be_asked_for(run, tracked, database):
    state = run("changes", "a.db", "people").err.split()[-1]
    assert run("changes", "a.db", "--since", state).code == 2
    assert run("changes", "a.db", "--since", state, "--resync").code == 0


def test_webhooks_are_added_listed_and_removed(run, tracked):
    made = run("webhooks", "add", "a.db", "http://127.0.0.1:1/hook", "--resource", "people", "--json").json
    assert made["secret"].startswith("whsec_")
    (listed,) = run("webhooks", "list", "a.db", "--json").json
    assert (listed["url"], listed["resources"], listed["enabled"]) == ("http://127.0.0.1:1/hook", ["people"], True)
    assert "whsec_" not in run("webhooks", "list", "a.db").out
    assert run("webhooks", "add", "a.db", "ftp://nowhere").code == 2
    assert run("webhooks", "log", "a.db", "1").code == 0
    assert run("webhooks", "retry", "a.db", "1").code == 0
    assert run("webhooks", "remove", "a.db", "1").code == 0
    assert run("webhooks", "remove", "a.db", "1").code == 2


class Receiver(http.server.BaseHTTPRequestHandler):
    got: queue.Queue

    def do_POST(self):
        self.got.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize("way", ("serve", "run"))
def test_webhooks_are_delivered_by_what_serves_or_runs_the_site(run, tracked, tmp_path, way):
    Receiver.got = queue.Queue()
    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        assert run("webhooks", "add", "a.db", address, "--from-beginning").code == 0
        if way == "serve":
            with running(tmp_path / "a.db"):
                told = Receiver.got.get(timeout=30)
        else:
            run("run", "a.db", "--once")
            told = Receiver.got.get(timeout=30)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert {change["resource"] for change in told["changes"]} == {"people"}
    (line,) = run("webhooks", "log", "a.db", "1", "--json").json
    assert line["status"] == 204
