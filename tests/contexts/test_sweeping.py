"""What a context forgets, and when: recycle rules, history, content."""

import pytest

from tallystick.content.directory import DirectoryStore
from tallystick.contexts.entries import EXPIRED
from tallystick.contexts.host import Rule
from tallystick.contexts.local import LocalHost
from tallystick.contexts.problems import PagesLost, QuotaExceeded
from tallystick.contexts.sweeping import sweep

from .conftest import file_of, mounted, send, shown, tree

DAY_MS = 86_400_000


@pytest.fixture
def clocked(site, tmp_path, monkeypatch):
    """A host whose clock goes on by days."""
    start = site.ledger.now()
    passed = [0.0]
    monkeypatch.setattr(site.ledger, "now", lambda: start + int(passed[0] * DAY_MS))
    store = DirectoryStore(tmp_path / "content", lambda: site.ledger.now() * 1_000_000, durable=False)
    host = LocalHost(site.ledger, "here", store)
    host.pass_days = lambda days: passed.__setitem__(0, passed[0] + days)
    yield host
    host.close()


@pytest.fixture
def context(clocked):
    return clocked.create("ws")


def test_an_expired_file_is_gone_at_once_for_everybody_and_from_history(clocked, context):
    for content in (b"one", b"two"):
        clocked.publish(context.id, "*", [("/tmp/f", file_of(clocked, context, content))])
    clocked.publish(context.id, "*", [("/kept", file_of(clocked, context, b"k"))])
    version = clocked.find("ws").version
    clocked.set_rules(context.id, "", [Rule("/tmp", "Lifecycle_1Day")])

    clocked.pass_days(0.999)
    assert "/tmp/f" in tree(clocked, context)
    clocked.pass_days(0.002)

    assert clocked.entries(context.id, ["/tmp/f"]) == {}
    assert tree(clocked, context, version)["/tmp/f"].kind == EXPIRED
    assert clocked.find("ws").files == 1
    assert clocked.ledger.engine.query("SELECT count(*) FROM tally_history") == [(0,)]


def test_what_was_replaced_or_removed_lives_in_history_no_longer_than_its_rule_says(clocked, context):
    clocked.set_rules(context.id, "", [Rule("/tmp", "Lifecycle_1Day")])
    for content in (b"one", b"two"):
        entry = file_of(clocked, context, content)
        clocked.publish(context.id, "*", [(key, entry) for key in ("/tmp/gone", "/tmp/new", "/kept")])
        clocked.pass_days(0.4)
    clocked.publish(context.id, "*", [("/tmp/gone", None)])
    told = lambda: [(kept.key, kept.entry.size) for kept in clocked.history(context.id, "", 10)]  # noqa: E731
    assert sorted({key for key, _ in told()}) == ["/kept", "/tmp/gone", "/tmp/new"]
    assert len(told()) == 4

    clocked.pass_days(0.3)
    assert [kept.key for kept in clocked.history(context.id, "/tmp", 10)] == ["/tmp/gone"]
    clocked.pass_days(0.4)
    assert [key for key, _ in told()] == ["/kept"]
    sweep(clocked.ledger, clocked.store)
    assert clocked.ledger.engine.query("SELECT key FROM tally_history") == [("/kept",)]


def test_writing_equal_content_does_not_restart_the_clock_and_new_content_does(clocked, context):
    clocked.set_rules(context.id, "", [Rule("", "Lifecycle_1Day")])
    entry = file_of(clocked, context, b"same")
    clocked.publish(context.id, "*", [("/same", entry), ("/new", entry)])
    clocked.pass_days(0.6)
    clocked.publish(
        context.id,
        "*",
        [("/same", file_of(clocked, context, b"same", 0o600)), ("/new", file_of(clocked, context, b"n"))],
    )
    clocked.pass_days(0.6)

    assert [key for key, found in tree(clocked, context).items() if found.kind != EXPIRED] == ["/new"]


def test_an_expired_file_stays_in_mounts_until_it_is_edited(clocked, context, tmp_path):
    clocked.set_rules(context.id, "", [Rule("", "Lifecycle_1Day")])
    mount = mounted(tmp_path, lambda: LocalHost(clocked.ledger, "here", clocked.store), "one", "ws")
    for name in ("unedited", "edited"):
        (mount.root / name).write_text(name)
    mount.run()
    clocked.pass_days(2)
    clocked._store = DirectoryStore(tmp_path / "content", lambda: clocked.ledger.now() * 1_000_000, durable=False)
    (mount.root / "edited").write_text("edited again")

    for _ in range(2):
        report = mount.run()
        clocked._store = DirectoryStore(tmp_path / "content", lambda: clocked.ledger.now() * 1_000_000, durable=False)

    assert report.actions == []
    assert shown(mount.root) == {"unedited": b"unedited", "edited": b"edited again"}
    assert [key for key, found in tree(clocked, context).items() if found.kind != EXPIRED] == ["/edited"]


def test_content_goes_when_neither_files_nor_history_need_it_and_never_before(clocked, context):
    content = b"content" * 1000
    digest, _ = send(clocked, context, content)
    clocked.publish(context.id, "*", [("/f", file_of(clocked, context, content))])
    clocked.publish(context.id, "*", [("/f", None)])
    for days in (2, 2, 20):
        clocked.pass_days(days)
        sweep(clocked.ledger, clocked.store)
        assert clocked.missing(context.id, [digest]) == []

    clocked.pass_days(10)
    first = sweep(clocked.ledger, clocked.store)
    assert (first.forgotten, first.chunks) == (1, 1)
    assert clocked.missing(context.id, [digest]) == [digest]
    clocked.pass_days(2)
    assert sweep(clocked.ledger, clocked.store).collected.removed == 1


def test_what_an_upload_has_sent_and_not_published_yet_stays(clocked, context):
    entry = file_of(clocked, context, b"in flight")
    for _ in range(3):
        clocked.pass_days(0.3)
        sweep(clocked.ledger, clocked.store)

    clocked.publish(context.id, "*", [("/f", entry)])

    assert b"".join(clocked.fetch(context.id, entry.hashes))


def test_content_that_a_staged_page_needs_stays_until_the_page_is_forgotten(clocked, context):
    entry = file_of(clocked, context, b"old, and referred to again")
    clocked.pass_days(3)
    clocked.stage(context.id, "run", 0, [("/a", entry)])

    sweep(clocked.ledger, clocked.store)
    clocked.publish(context.id, "*", [], "run", 1)

    assert b"".join(clocked.fetch(context.id, entry.hashes))
    clocked.stage(context.id, "late", 0, [("/b", entry)])
    clocked.pass_days(3)
    sweep(clocked.ledger, clocked.store)
    with pytest.raises(PagesLost):
        clocked.publish(context.id, "*", [], "late", 1)


def test_names_of_publications_are_forgotten_with_the_history(clocked, context):
    clocked.publish(context.id, "*", [("/a", file_of(clocked, context, b"a"))], "run")
    clocked.pass_days(29)
    sweep(clocked.ledger, clocked.store)
    assert clocked.published(context.id, "run")
    clocked.pass_days(2)
    sweep(clocked.ledger, clocked.store)
    assert not clocked.published(context.id, "run")


def test_what_was_never_published_counts_until_it_is_forgotten(clocked):
    context = clocked.create("small", quota_bytes=1000)
    file_of(clocked, context, b"a" * 900)
    clocked.pass_days(1.1)
    with pytest.raises(QuotaExceeded):
        file_of(clocked, context, b"b" * 900)
    sweep(clocked.ledger, clocked.store)
    file_of(clocked, context, b"b" * 900)
