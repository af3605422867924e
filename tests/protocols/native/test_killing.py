"""kill -9 of either process in the middle of a synchronization: resumed, equal, nothing lost."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import PERSON, fill, no_wait

from tallystick.errors import PeerError
from tallystick.protocols.native.replica import RemoteReplica
from tallystick.sync.agreement import Plan, agree

pytestmark = pytest.mark.slow

ROWS = 12_000
SERVE = """
import sys
from tallystick.web import serve
serve(sys.argv[1], port=int(sys.argv[2]), ready=lambda url: print(url, flush=True))
"""
SYNC = """
import sys
from tallystick import api
from tallystick.sync.agreement import Plan, agree
one, other = api.end(sys.argv[1], create=True), api.end(sys.argv[2], create=True)
print("ready", flush=True)
agree(one, other, Plan())
print("done", flush=True)
"""


def started(program: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of the program, once it has said its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def killed(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    assert process.stdout is not None
    process.stdout.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def in_agreement(a, b) -> bool:
    query = "SELECT id, name, age, photo, score FROM person ORDER BY id"
    return a.contents() == b.contents() and a.rows(query) == b.rows(query)


@pytest.fixture
def ends(place):
    """Two places: the first has rows, the second, which is empty, is for another process to serve."""
    a, b = place("a", PERSON), place("b", PERSON)
    fill(a, ROWS)
    return a, b


@pytest.mark.parametrize("push", (True, False), ids=("pushing", "pulling"))
def test_a_server_that_is_killed_again_and_again_loses_nothing(ends, push):
    a, b = ends
    served, other = (b, a) if push else (a, b)
    chance, port, kills = random.Random(7), free_port(), 0
    while True:
        server = started(SERVE, served.path, port)
        remote = RemoteReplica(f"http://127.0.0.1:{port}/", attempts=1, wait=no_wait)
        killer = subprocess.Popen(["sh", "-c", f"sleep {chance.uniform(0.03, 0.35):.3f}; kill -9 {server.pid}"])
        try:
            agree(other.local, remote, Plan())
            done = True
        except PeerError:
            done = False
            kills += 1
        killer.wait()
        killed(server)
        remote.close()
        if done or kills >= 12:
            break
    assert kills > 0
    server = started(SERVE, served.path, port)
    remote = RemoteReplica(f"http://127.0.0.1:{port}/")
    agree(other.local, remote, Plan())
    assert agree(other.local, remote, Plan()).records == 0
    remote.close()
    killed(server)
    assert len(b.rows("SELECT 1 FROM person")) == ROWS
    assert in_agreement(a, b)


@pytest.mark.parametrize("push", (True, False), ids=("pushing", "pulling"))
def test_a_client_that_is_killed_again_and_again_loses_nothing(ends, push):
    a, b = ends
    served, other = (b, a) if push else (a, b)
    served.serve()
    chance, kills = random.Random(11), 0
    for _ in range(12):
        client = started(SYNC, other.path, served.url)
        time.sleep(chance.uniform(0.02, 0.3))
        if client.poll() is not None:
            killed(client)
            break
        killed(client)
        kills += 1
    assert kills > 0
    remote = served.serve()
    agree(other.local, remote, Plan())
    assert agree(other.local, remote, Plan()).records == 0
    remote.close()
    assert len(b.rows("SELECT 1 FROM person")) == ROWS
    assert in_agreement(a, b)


def test_a_server_that_comes_back_in_time_is_not_even_noticed(ends):
    """The client waits with back-off while the server starts again."""
    a, b = ends
    port = free_port()
    server = started(SERVE, b.path, port)
    restart = (
        f"sleep 0.15; kill -9 {server.pid}; sleep 0.2; exec {sys.executable} -c "
        f"'import sys; from tallystick.web import serve; serve(sys.argv[1], port={port}, ready=print)' {b.path}"
    )
    second = subprocess.Popen(["sh", "-c", restart], stdout=subprocess.DEVNULL)
    remote = RemoteReplica(f"http://127.0.0.1:{port}/", attempts=8)
    try:
        agree(a.local, remote, Plan())
    finally:
        remote.close()
        killed(server)
        second.kill()
        second.wait()
    assert in_agreement(a, b)


def test_the_server_ends_when_it_is_told_to(place, tmp_path: Path):
    a = place("a", PERSON)
    server = started(SERVE, a.path, 0)
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) in (0, -signal.SIGTERM)
    assert server.stdout is not None
    server.stdout.close()
