"""Hearing of changes of a context: here, at a served site, and while a server stops."""

import threading
import time

import pytest

from tallystick.contexts.entries import DIRECTORY, FileEntry
from tallystick.contexts.http.client import RemoteHost
from tallystick.contexts.watching import ContextWatch
from tallystick.errors import PeerUnreachable
from tallystick.web.server import running

from .conftest import file_of

LONG = 20


def publish(host, context, key="/a"):
    return host.publish(context.id, "*", [(key, FileEntry(DIRECTORY, 0o755))])


def test_another_version_than_the_known_one_is_answered_at_once(host, context):
    assert host.changed(context.id, "", LONG).version == context.version
    version = publish(host, context)
    assert host.changed(context.name, context.version, LONG).version == version


def test_nothing_new_is_answered_when_the_time_is_over(host, context):
    assert host.changed(context.id, context.version, 0).version == context.version
    assert host.changed(context.id, context.version, 1).version == context.version


def test_who_waits_hears_of_what_somebody_else_publishes(hosting, host, context):
    found = []

    def wait():
        mine = hosting()
        found.append(mine.changed(context.id, context.version, LONG).version)
        mine.close()

    # A host here belongs to the thread that opened its database: then the other side is the one that waits.
    if not isinstance(host, RemoteHost):
        timer = threading.Timer(0.3, lambda: None)
        timer.start()
        version = publish(host, context)
        assert host.changed(context.id, context.version, LONG).version == version
        return
    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.3)  # let it wait; where it does not yet, it is answered at once
    version = publish(host, context)
    waiting.join(LONG)
    assert found == [version]


def test_those_who_wait_are_answered_when_the_server_stops(site, local, tmp_path):
    context = local.create("work")
    answered = []
    with running(str(tmp_path / "site.db")) as address:
        host = RemoteHost(address, attempts=1)
        began = threading.Event()

        def wait():
            began.set()
            try:
                answered.append(host.changed("work", context.version, LONG).version)
            except PeerUnreachable:
                answered.append("cut")

        waiting = threading.Thread(target=wait)
        waiting.start()
        began.wait()
        time.sleep(0.5)
    waiting.join(LONG)
    host.close()
    assert answered in ([context.version], ["cut"])


@pytest.fixture
def served(site, local, tmp_path):
    with running(str(tmp_path / "site.db")) as address:
        yield lambda: RemoteHost(address, attempts=1)


def heard(watch):
    """Wait until the watch has heard something."""
    for _ in range(400):
        if watch.heard():
            return True
        time.sleep(0.05)
    return False


def test_a_watch_hears_of_the_context_as_it_is_and_of_every_change(served, local):
    context = local.create("work")
    watch = ContextWatch(served, "work")
    try:
        assert heard(watch)
        assert not watch.heard()
        local.publish(context.id, "*", [("/a", file_of(local, context, b"A"))])
        assert heard(watch)
    finally:
        watch.close()


def test_a_watch_waits_for_a_context_that_is_not_there_yet(served, local, monkeypatch):
    monkeypatch.setattr("tallystick.contexts.watching.RETRY_SECONDS", 0.05)
    watch = ContextWatch(served, "later")
    try:
        assert not watch.heard()
        local.create("later")
        assert heard(watch)
    finally:
        watch.close()
