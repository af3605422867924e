"""Directories and a context brought into agreement by the planner: on a site here, on PostgreSQL, and over HTTP."""

import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing, nullcontext

import pytest

from tallystick.contexts.delivering import Delivery
from tallystick.contexts.end import ContextEnd
from tallystick.contexts.entries import FileEntry
from tallystick.contexts.http.client import RemoteHost
from tallystick.contexts.local import LocalHost
from tallystick.contexts.opening import again_while_moved
from tallystick.contexts.problems import VersionMoved
from tallystick.contexts.uploading import Upload
from tallystick.errors import PeerUnreachable
from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.merging import Reconcile
from tallystick.trees.noted_side import NotedSide
from tallystick.trees.pair import Pair
from tallystick.trees.plan import Half
from tallystick.trees.problems import RootChanged
from tallystick.trees.state import State
from tallystick.web.server import running

from .conftest import file_of, mounted, shown, tree


@pytest.fixture
def mount(tmp_path, hosting, context):
    return lambda name, prefix="": mounted(tmp_path, hosting, name, context.name, prefix)


def fill(root):
    (root / "a.txt").write_text("hello")
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "sub" / "b.txt").write_bytes(b"b" * 1000)
    (root / "sub" / "deep" / "big").write_bytes(os.urandom(5 << 20))
    (root / "sub" / "tool").write_text("#!/bin/sh")
    (root / "sub" / "tool").chmod(0o755)
    (root / "sub" / "link").symlink_to("b.txt")
    (root / "empty").mkdir()
    (root / "nothing").touch()


def test_a_tree_goes_up_and_comes_down_as_it_was(mount):
    one, two = mount("one"), mount("two")
    fill(one.root)

    up, down = one.run(), two.run()

    assert shown(two.root) == shown(one.root)
    assert (two.root / "sub" / "tool").stat().st_mode & 0o777 == 0o755
    assert (two.root / "a.txt").stat().st_mtime_ns == (one.root / "a.txt").stat().st_mtime_ns
    assert up.files == down.files == 6
    for quiet in (one.run(), two.run()):
        assert (quiet.actions, quiet.failed) == ([], {})


def test_edits_renames_and_deletions_travel_both_ways_and_renames_move_no_content(mount, host, context):
    one, two = mount("one"), mount("two")
    fill(one.root)
    one.run()
    two.run()
    (two.root / "a.txt").write_text("edited")
    (two.root / "sub" / "deep" / "big").rename(two.root / "moved")
    (two.root / "sub" / "b.txt").unlink()
    (one.root / "nothing").write_text("something")

    moved = two.run()
    one.run()
    two.run()

    assert moved.bytes == len("edited")
    assert shown(one.root) == shown(two.root)
    assert (one.root / "nothing").read_text() == (two.root / "nothing").read_text() == "something"
    assert "/sub/b.txt" not in tree(host, context)


def test_true_conflicts_keep_both_everywhere(mount):
    one, two = mount("one"), mount("two")
    (one.root / "f.txt").write_text("base")
    one.run()
    two.run()
    (one.root / "f.txt").write_text("first")
    (two.root / "f.txt").write_text("second")

    for each in (one, two, one, two):
        each.run()

    assert shown(one.root) == shown(two.root)
    assert sorted(shown(one.root).values()) == [b"first", b"second"]
    assert (one.root / "f.txt").read_text() == "first"


def test_a_directory_becomes_a_file_and_back(mount):
    one, two = mount("one"), mount("two")
    (one.root / "x").mkdir()
    (one.root / "x" / "inner").write_text("inner")
    (one.root / "y").write_text("y")
    one.run()
    two.run()
    shutil.rmtree(one.root / "x")
    (one.root / "x").write_text("file now")
    (one.root / "y").unlink()
    (one.root / "y").mkdir()
    (one.root / "y" / "inner").write_text("below")

    one.run(confirm_deletions=True)
    two.run(confirm_deletions=True)

    assert shown(two.root) == shown(one.root)
    assert (two.root / "x").read_text() == "file now"


def test_permissions_travel_alone(mount):
    one, two = mount("one"), mount("two")
    (one.root / "f").write_text("x")
    one.run()
    two.run()
    (two.root / "f").chmod(0o700)

    assert two.run().bytes == 0
    one.run()

    assert (one.root / "f").stat().st_mode & 0o777 == 0o700


def test_an_upload_that_somebody_else_was_faster_than_plans_again(mount, host, context, monkeypatch):
    one = mount("one")
    (one.root / "mine").write_text("mine")

    def overtaken(self, *given):
        host.publish(context.id, "*", [("/theirs", file_of(host, context, b"theirs"))])
        return place(self, *given)

    place = ContextEnd.place
    with monkeypatch.context() as patching:
        patching.setattr(ContextEnd, "place", overtaken)
        with pytest.raises(VersionMoved):
            one.run()
    again_while_moved(one.run, lambda _: None)

    assert list(tree(host, context)) == ["/mine", "/theirs"]
    assert shown(one.root) == {"mine": b"mine", "theirs": b"theirs"}


def test_nothing_is_replaced_here_before_it_is_certain_that_it_was_saved_there(mount, host, context, monkeypatch):
    one, two = mount("one"), mount("two")
    (one.root / "f").write_text("agreed")
    for each in (one, two):
        each.run()
    for each in (two, one):
        (each.root / "f").write_text(each.root.name)
    two.run()

    def overtaken(self, *given):
        time.sleep(0.2)
        host.publish(context.id, "*", [("/theirs", file_of(host, context, b"theirs"))])
        return publish(self, *given)

    publish = Upload.publish
    with monkeypatch.context() as patching:
        patching.setattr(Upload, "publish", overtaken)
        with pytest.raises(VersionMoved):
            one.run()
    assert shown(one.root) == {"f": b"one"}

    again_while_moved(one.run, lambda _: None)
    assert sorted(shown(one.root).values()) == [b"one", b"theirs", b"two"]


def test_a_publication_whose_run_was_stopped_is_not_tried_again(hosting, tmp_path, context, monkeypatch):
    host, stopped, attempts = hosting(), threading.Event(), []
    if not host.concurrent:
        host.close()
        pytest.skip("here publications are made at once")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_text("content")

    def cut(*given):
        attempts.append(given)
        stopped.wait(10)
        raise PeerUnreachable("the connection was cut")

    def stop(*_):
        raise KeyboardInterrupt

    close = Delivery.close
    monkeypatch.setattr(Delivery, "close", lambda self: (close(self), stopped.set()))
    monkeypatch.setattr(host, "publish", cut)
    monkeypatch.setattr(State, "remember", stop)
    ends = DirectoryEnd(str(tmp_path / "tree"), time.time_ns), ContextEnd(host, context.name)
    pair = Pair(*ends, State(tmp_path / "state"), time.time_ns)
    with pytest.raises(KeyboardInterrupt):
        pair.run()
    pair.close()

    assert len(attempts) == 1


def test_two_mounts_of_one_context_are_disjoint_subtrees(mount, host, context):
    one, two, whole = mount("one", "/work"), mount("two", "/data/in"), mount("whole")
    (one.root / "f").write_text("one")
    (two.root / "f").write_text("two")

    for each in (one, two, whole, one, two):
        each.run()

    assert list(tree(host, context)) == ["/data", "/data/in", "/data/in/f", "/work", "/work/f"]
    assert shown(one.root) == {"f": b"one"}
    assert shown(two.root) == {"f": b"two"}
    assert (whole.root / "data" / "in" / "f").read_text() == "two"


def test_three_machines_agree_and_one_that_was_away_past_retention_revives_nothing(mount, hosting, host, context):
    one, two, away = mount("one"), mount("two"), mount("away")
    for name in ("kept", "deleted", "edited away", "edited here", "both"):
        (one.root / name).write_text(name)
    for each in (one, two, away):
        each.run()
    (one.root / "deleted").unlink()
    (one.root / "edited away").unlink()
    (two.root / "edited here").write_text("new here")
    (two.root / "both").write_text("theirs")
    (away.root / "edited away").write_text("mine")
    (away.root / "both").write_text("mine too")
    one.run()
    two.run()
    forget_deletions(host, context)

    for each in (away, one, two, away):
        each.run()

    assert shown(away.root) == shown(one.root) == shown(two.root)
    found = shown(one.root)
    assert "deleted" not in found
    assert found["edited away"] == b"mine"
    assert found["edited here"] == b"new here"
    assert sorted(content for name, content in found.items() if name.startswith("both")) == [b"mine too", b"theirs"]


def forget_deletions(host, context):
    """The site remembers no deletion of the context any more."""
    ledger = getattr(host, "ledger", None)
    if ledger is None:
        pytest.skip("what a site forgets cannot be told over HTTP")
    with ledger.write():
        tracked = ledger.resource(f"contexts/{context.id}")
        ledger.engine.execute("DELETE FROM tally_record WHERE resource=? AND (flags & 1) = 1", (tracked.number,))
        tracked.horizon = tracked.seq
        tracked.dirty = True


def test_downloading_half_never_writes_the_context_and_uploading_half_never_the_directory(mount, host, context):
    one = mount("one")
    (one.root / "mine").write_text("mine")
    host.publish(context.id, "*", [("/theirs", file_of(host, context, b"theirs"))])

    one.run(half=Half.DOWNLOAD)
    assert list(tree(host, context)) == ["/theirs"]
    assert shown(one.root) == {"mine": b"mine", "theirs": b"theirs"}
    host.publish(context.id, "*", [("/later", file_of(host, context, b"later"))])
    one.run(half=Half.UPLOAD)
    assert list(tree(host, context)) == ["/later", "/mine", "/theirs"]
    assert "later" not in shown(one.root)


def test_a_mirror_makes_the_context_equal(mount, host, context):
    one = mount("one")
    (one.root / "mine").write_text("mine")
    host.publish(context.id, "*", [("/theirs/x", file_of(host, context, b"theirs"))])

    one.run(mode=Reconcile.MIRROR, confirm_deletions=True)

    assert list(tree(host, context)) == ["/mine"]


def test_ignored_files_stay_out_of_both(mount, host, context):
    one, two = mount("one"), mount("two")
    (one.root / ".tallyignore").write_text("*.log\n")
    (one.root / "a.log").write_text("a")
    (one.root / "a.txt").write_text("a")
    host.publish(context.id, "*", [("/b.log", file_of(host, context, b"b"))])

    one.run()
    two.run()

    assert "a.log" in shown(one.root)
    assert "b.log" not in shown(one.root)
    assert sorted(shown(two.root)) == [".tallyignore", "a.txt"]
    assert list(tree(host, context)) == ["/.tallyignore", "/a.txt", "/b.log"]


def test_a_context_that_was_made_anew_is_not_taken_for_the_old_one(mount, host, context):
    one = mount("one")
    (one.root / "f").write_text("x")
    one.run()
    host.delete(context.id)
    host.create(context.name)

    with pytest.raises(RootChanged):
        one.run()
    one.run(accept_root=True)

    assert shown(one.root) == {"f": b"x"}


def test_a_database_goes_up_with_its_journal(mount, tmp_path):
    one, two = mount("one"), mount("two")
    database = sqlite3.connect(one.root / "live.db")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE t (a)")
    database.execute("INSERT INTO t VALUES (1)")
    database.commit()
    one.run()
    database.close()

    two.run()

    assert sorted(shown(two.root)) == ["live.db", "live.db-wal"]
    copy = sqlite3.connect(two.root / "live.db")
    assert copy.execute("SELECT a FROM t").fetchall() == [(1,)]
    copy.close()


def test_what_cannot_be_read_back_whole_is_never_put_in_place(mount, host, context):
    """A digest that its chunks do not make: no reader takes the file, and everything else goes on."""
    entry = file_of(host, context, os.urandom(3 << 20))
    wrong = FileEntry(entry.kind, entry.mode, entry.size, entry.mtime, bytes(32), entry.chunks)
    host.publish(context.id, "*", [("/wrong", wrong), ("/right", file_of(host, context, b"right"))])
    one = mount("one")

    report = one.run()

    assert list(report.failed) == ["wrong"]
    assert shown(one.root) == {"right": b"right"}


class Fetching:
    """A host that counts the bytes of bundles that come from it."""

    def __init__(self, host):
        self._host = host
        self.bytes = 0

    def __getattr__(self, name):
        return getattr(self._host, name)

    def fetch(self, identifier, hashes):
        for bundle in self._host.fetch(identifier, hashes):
            self.bytes += len(bundle)
            yield bundle


def test_copies_of_what_is_here_already_are_not_fetched(hosting, name, context, tmp_path):
    one, two = (mounted(tmp_path, hosting, which, name) for which in ("one", "two"))
    content, large = os.urandom(20_000), os.urandom(3_000_000)
    (one.root / "a").write_bytes(content)
    (one.root / "large").write_bytes(large)
    one.run()
    two.run()
    (one.root / "d").mkdir()
    (one.root / "d" / "copy").write_bytes(content)
    (one.root / "copy of large").write_bytes(large)
    (one.root / "new").write_bytes(b"new" * 10)
    os.utime(one.root / "d" / "copy", ns=(5, 1_600_000_000_123_456_789))
    one.run()

    counted = []
    fetching = mounted(tmp_path, lambda: counted.append(Fetching(hosting())) or counted[-1], "two", name)
    fetching.run()
    assert shown(two.root) == shown(one.root)
    assert (two.root / "d" / "copy").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert counted[0].bytes < 1000


def test_a_copy_of_what_is_not_here_any_more_is_fetched(hosting, name, context, tmp_path, monkeypatch):
    one, two = (mounted(tmp_path, hosting, which, name) for which in ("one", "two"))
    content = os.urandom(20_000)
    (one.root / "a").write_bytes(content)
    one.run()
    two.run()
    (one.root / "copy").write_bytes(content)
    one.run()
    (two.root / "elsewhere").write_bytes(b"something else")
    monkeypatch.setattr(NotedSide, "holders", lambda self, digests: dict.fromkeys(digests, "elsewhere"))
    two.run()
    assert (two.root / "copy").read_bytes() == content


@pytest.mark.parametrize("served", (False, True))
@pytest.mark.parametrize("compressed", (False, True))
def test_content_that_is_damaged_where_it_is_stored_takes_no_other_file_along(
    site, local, tmp_path, served, compressed
):
    context = local.create("work")
    with running(str(tmp_path / "site.db")) if served else nullcontext() as address:
        hosting = (lambda: RemoteHost(address)) if served else (lambda: LocalHost(site.ledger, "here"))
        one = mounted(tmp_path, hosting, "one", context.name)
        # Files that compress stand in frames, which are lost as a whole; others in the pack as they are.
        contents = {f"f{number}": os.urandom(3000) for number in range(30)}
        if compressed:
            contents |= {f"z{number}": b"%d" % number * 3000 for number in range(3)}
        for name, content in contents.items():
            (one.root / name).write_bytes(content)
        one.run()
        for pack in (tmp_path / "site.db.content").rglob("*"):
            if pack.is_file() and contents["f7"] in (whole := pack.read_bytes()):
                pack.chmod(0o644)
                pack.write_bytes(whole.replace(contents["f7"], contents["f7"][:-1] + bytes([contents["f7"][-1] ^ 1])))
        two = mounted(tmp_path, hosting, "two", context.name)
        report = two.run()
        again = two.run()

    assert list(report.failed) == list(again.failed) == ["f7"]
    assert "ChunkDamaged" in str(report.failed["f7"])
    assert shown(two.root) == {name: content for name, content in contents.items() if name != "f7"}


def test_a_memory_that_lacks_a_directory_of_the_context_is_put_aside(mount, tmp_path):
    one, two = mount("one"), mount("two")
    fill(one.root)
    one.run()
    two.run()
    with closing(sqlite3.connect(tmp_path / "two.state")) as database, database:
        database.execute("DELETE FROM listing WHERE side = 1 AND path = ?", (b"sub",))
    (one.root / "sub" / "more").write_text("more")
    (one.root / "a.txt").write_text("edited")
    (two.root / "sub" / "own").write_text("own")

    one.run()
    report = two.run()

    assert [code for code, _, _ in report.warnings] == ["damaged"]
    assert not two.run().actions
    one.run()
    assert shown(one.root) == shown(two.root)
    assert (two.root / "sub" / "more").exists()
    assert (one.root / "sub" / "own").exists()
