"""Transfers that are cut go on by chunk: up and down, within a run and in the next one."""

import os
import time

import pytest

from tallystick.content.bundles import bundles_of, unpack
from tallystick.content.chunking import Chunk, hash_of
from tallystick.contexts.end import ContextEnd
from tallystick.errors import PeerUnreachable
from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.options import Options
from tallystick.trees.pair import Pair
from tallystick.trees.state import State

from .conftest import file_of, shown


@pytest.fixture
def run(tmp_path, context):
    """Synchronizes the directory ``tree`` through a host."""
    (tmp_path / "tree").mkdir()

    def work(host):
        ends = DirectoryEnd(str(tmp_path / "tree"), time.time_ns), ContextEnd(host, context.name)
        pair = Pair(*ends, State(tmp_path / "state"), time.time_ns)
        try:
            return pair.run(Options(durable=False))
        finally:
            pair.close()

    return work


class Cut:
    """A host whose streams are cut after some bundles, so many times; counts chunks."""

    def __init__(self, host, times, after):
        self.host, self.times, self.after = host, times, after
        self.sent, self.fetched = [], []

    def __getattr__(self, name):
        return getattr(self.host, name)

    def _cut(self, bundles, counted):
        try:
            for number, bundle in enumerate(bundles):
                if self.times and number == self.after:
                    self.times -= 1
                    raise PeerUnreachable("the connection was cut")
                counted += [chunk.hash for chunk in unpack(bundle)]
                yield bundle
        finally:
            getattr(bundles, "close", lambda: None)()

    def send(self, identifier, bundles):
        self.host.send(identifier, self._cut(bundles, self.sent))

    def stage(self, identifier, run, page, changes, bundles=()):
        self.host.stage(identifier, run, page, changes, self._cut(bundles, self.sent))

    def publish(self, identifier, expected, changes, run="", pages=0, bundles=()):
        return self.host.publish(identifier, expected, changes, run, pages, self._cut(bundles, self.sent))

    def fetch(self, identifier, hashes):
        return self._cut(self.host.fetch(identifier, hashes), self.fetched)


def test_an_upload_that_is_cut_goes_on_where_it_was(hosting, run, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    (tmp_path / "tree" / "big").write_bytes(os.urandom(12 << 20))
    for number in range(50):
        (tmp_path / "tree" / f"f{number}").write_bytes(os.urandom(1000))
    host = Cut(hosting(), 2, 4)

    report = run(host)

    assert report.failed == {}
    assert len(host.sent) <= len(set(host.sent)) + 2 * 4
    assert run(hosting()).actions == []


def test_what_was_sent_before_an_upload_failed_is_not_sent_again_by_the_next(hosting, context):
    chunks = [Chunk(hash_of(data), data) for data in (os.urandom(900_000) for _ in range(8))]
    host = hosting()

    with pytest.raises(PeerUnreachable):
        Cut(host, 1, 5).send(context.id, bundles_of(chunks))
    host.close()

    again = hosting()
    for _ in range(100):  # a server may notice a moment later that its client is gone
        missing = again.missing(context.id, [chunk.hash for chunk in chunks])
        if len(missing) <= 4:
            break
        time.sleep(0.05)
    again.close()
    assert 3 <= len(missing) <= 4


def test_a_download_that_is_cut_goes_on_where_it_was(hosting, host, context, run, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    contents = {f"f{number}": os.urandom(700_000) for number in range(12)}
    host.publish(context.id, "*", [(f"/{name}", file_of(host, context, data)) for name, data in contents.items()])
    cut = Cut(hosting(), 3, 3)

    report = run(cut)

    assert report.failed == {}
    assert shown(tmp_path / "tree") == contents
    assert len(cut.fetched) <= len(set(cut.fetched)) + 3


def test_a_download_gives_up_when_nothing_comes(hosting, host, context, run, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    host.publish(context.id, "*", [("/f", file_of(host, context, b"content"))])

    with pytest.raises(PeerUnreachable):
        run(Cut(hosting(), 99, 0))
    assert shown(tmp_path / "tree") == {}
    run(hosting())

    assert shown(tmp_path / "tree") == {"f": b"content"}
