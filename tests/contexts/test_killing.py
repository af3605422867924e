"""kill -9 of a served site in the middle of uploads: readers see a whole old or a whole new tree (spec contexts S5)."""

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from functools import partial

import pytest

from tallystick import api
from tallystick.contexts.files import Span, stored_file
from tallystick.contexts.http.client import RemoteHost
from tallystick.contexts.local import LocalHost
from tallystick.errors import TallystickError

from .conftest import mounted, tree

SERVE = """
import sys, time
from tallystick.web.server import running
with running(sys.argv[1]) as address:
    print(address, flush=True)
    time.sleep(600)
"""
FILES = 40


@pytest.mark.parametrize("seed", range(3))
def test_a_site_that_is_killed_while_it_publishes_shows_whole_uploads_only(tmp_path, seed):
    """Every upload gives all files one new content: what a reader sees are whole uploads, and nothing beside them.

    That the site may have published before it was killed, without saying so, makes no conflict with what comes next.
    """
    chance = random.Random(seed)
    with api.open(tmp_path / "site.db", create=True):
        pass
    root = tmp_path / "tree"
    root.mkdir()
    for turn in range(4):
        for number in range(FILES):
            (root / f"{number}").write_text(f"turn {turn} of {seed} for {number % 3} " + "x" * 2000)
        killed = chance.random() < 0.8
        _upload(tmp_path, killed, chance.uniform(0.0, 0.5))
        assert set(_turns(tmp_path / "site.db").values()) <= {FILES}
    _upload(tmp_path, False, 0)
    assert _turns(tmp_path / "site.db") == {"3": FILES}


def _turns(database):
    """How many files a reader sees of every turn."""
    return Counter(content.split()[1] for content in _contents(database).values())


def _upload(tmp_path, killed, after):
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path / "site.db")], stdout=subprocess.PIPE, text=True
    )
    try:
        address = server.stdout.readline().strip()
        hosting = partial(RemoteHost, address, attempts=1, wait=lambda _: None)
        with closing(hosting()) as host:
            host.create("work")
        if killed:
            threading.Timer(after, server.send_signal, (signal.SIGKILL,)).start()
        try:
            report = mounted(tmp_path, hosting, "tree", "work").run()
            assert killed or report.failed == {}
        except TallystickError:
            assert killed
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def _contents(database):
    with api.open(database) as site:
        host = LocalHost(site.ledger, "here")
        try:
            context = host.find("work")
            found = {}
            for key in tree(host, context):
                stored = stored_file(host, context.id, key)
                found[key] = b"".join(stored.pieces(host, Span(0, stored.size, False))).decode()
            return found
        finally:
            host.close()
