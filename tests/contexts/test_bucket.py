"""A tree in a bare bucket, on an S3 server that runs here."""

import os
import time
import uuid
from contextlib import suppress
from types import SimpleNamespace

import pytest

from tallystick.content.bucket import BucketHead
from tallystick.content.problems import HeadMoved
from tallystick.contexts import bucket
from tallystick.contexts.entries import DIRECTORY, FileEntry
from tallystick.contexts.healing import heal
from tallystick.contexts.opening import again_while_moved, open_end, open_trees
from tallystick.contexts.problems import EntryRejected, VersionMoved
from tallystick.errors import ConfigurationError, StorageError
from tallystick.trees.opening import Wishes
from tallystick.trees.verifying import unreadable

from .conftest import file_of, shown, tree

pytest.importorskip("obstore")


@pytest.fixture(scope="module")
def endpoint():
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def url(endpoint, monkeypatch, tmp_path):
    """A prefix of a bucket that nobody else uses."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="trees")
    client.close()
    return f"s3://trees/{uuid.uuid4().hex}"


@pytest.fixture
def host(url):
    from tallystick.contexts.bucket import BucketHost

    found = BucketHost(url)
    yield found
    found.close()


def mount(tmp_path, url, name):
    root = tmp_path / name

    def run():
        opened = open_trees(str(root), url, None, time.time_ns)
        try:
            return again_while_moved(lambda: opened.run(Wishes(durable=False, allowed=None)), lambda _: None)
        finally:
            opened.close()

    root.mkdir()
    return SimpleNamespace(root=root, run=run)


def test_directories_agree_through_a_bucket(url, tmp_path):
    one, two = mount(tmp_path, url, "one"), mount(tmp_path, url, "two")
    (one.root / "sub").mkdir()
    (one.root / "sub" / "f").write_text("hello")
    (one.root / "big").write_bytes(os.urandom(3 << 20))
    (one.root / "link").symlink_to("sub/f")

    one.run()
    two.run()
    assert shown(two.root) == shown(one.root)
    (two.root / "sub" / "f").write_text("edited")
    (one.root / "big").unlink()
    for each in (two, one, two):
        each.run()

    assert shown(two.root) == shown(one.root)
    assert (one.root / "sub" / "f").read_text() == "edited"
    assert (one.run().actions, two.run().actions) == ([], [])


def test_a_bucket_that_is_not_there_is_named(url, tmp_path):
    there = mount(tmp_path, url.replace("trees", "elsewhere"), "one")
    (there.root / "f").write_text("x")

    with pytest.raises(ConfigurationError, match="no such bucket"):
        there.run()


def test_the_second_of_two_publications_from_one_version_is_told_so(host):
    context = host.create("x")
    host.publish(context.id, context.version, [("/a", file_of(host, context, b"a"))])

    with pytest.raises(VersionMoved):
        host.publish(context.id, context.version, [("/b", file_of(host, context, b"b"))])

    assert list(tree(host, context)) == ["/a"]


def test_what_makes_no_tree_is_refused(host):
    context = host.create("x")
    entry = file_of(host, context, b"a")
    host.publish(context.id, "*", [("/d/f", entry)])

    for changes in ([("/d", None)], [("/d/f/below", entry)], [("/../x", entry)]):
        with pytest.raises(EntryRejected):
            host.publish(context.id, "*", changes)
    host.publish(context.id, "*", [("/e", FileEntry(DIRECTORY, 0o755))])
    assert [item.key for item in host.folder(context.id, "", 0, 10).entries] == ["/d", "/e"]
    host.clear(context.id)
    assert tree(host, context) == {}


def test_old_manifests_and_their_content_go_after_retention(host):
    context = host.create("x")
    clock = [time.time_ns()]
    host.clock = host.store.clock = lambda: clock[0]
    entry = file_of(host, context, b"gone" * 100)
    host.publish(context.id, "*", [("/gone", entry)])
    host.publish(context.id, "*", [("/gone", None), ("/kept", file_of(host, context, b"kept"))])
    clock[0] += 20 * 86_400 * 10**9
    host.sweep()
    assert host.missing(context.id, entry.hashes) == []

    clock[0] += 20 * 86_400 * 10**9
    removed = 0
    for _ in range(3):
        removed += host.sweep().removed
        clock[0] += 2 * 86_400 * 10**9

    assert removed
    assert host.missing(context.id, entry.hashes) == entry.hashes
    assert list(tree(host, context)) == ["/kept"]


def test_earlier_manifests_are_the_history_of_a_bucket(host):
    context = host.create("tree")
    first, second = file_of(host, context, b"first"), file_of(host, context, b"second")
    for content in (first, second, None):
        host.publish(context.id, "*", [("/d/a", content)])

    found = host.history(context.id, "/d", 10)

    assert [(item.key, item.entry.digest) for item in found] == [("/d/a", second.digest), ("/d/a", first.digest)]
    assert [item.entry.digest for item in host.history(context.id, "", 1)] == [second.digest]


def test_what_only_a_site_has_says_so(host):
    context = host.create("x")
    for call in (
        lambda: host.create("x", quota_bytes=5),
        lambda: host.rename(context.id, "y"),
        lambda: host.signed_url(context.id, "/a", "GET"),
        lambda: host.set_rules(context.id, "", []),
        lambda: host.delete(context.id),
    ):
        with pytest.raises(ConfigurationError):
            call()


def test_a_bucket_is_listed_and_swept_like_a_site(url, host, capsys):
    from tallystick.cli.main import main

    context = host.create("x")
    host.publish(context.id, "*", [("/d/f", file_of(host, context, b"content"))])
    for words, expected in (
        (("files", url, host.name, "/d"), "/d/f"),
        (("get", url, host.name, "/d/f"), "content"),
        (("sweep", url), "packs removed: 0"),
    ):
        with pytest.raises(SystemExit) as left:
            main(["contexts", *words])
        assert left.value.code in (0, None)
        assert expected in capsys.readouterr().out


def test_commands_synchronize_with_a_bucket_and_sites_keep_their_content_in_one(url, tmp_path, capsys):
    from tallystick.cli.main import main

    def run(*words):
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        return left.value.code or 0

    content = os.urandom(300_000)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "f").write_bytes(content)
    assert run("sync", tmp_path / "one", url) == 0
    assert run("sync", url, tmp_path / "two") == 0
    assert shown(tmp_path / "two") == {"f": content}

    site = tmp_path / "site.db"
    assert run("contexts", "create", site, "ws", "--store", f"{url}-content") == 0
    assert run("contexts", "put", site, "ws", tmp_path / "one" / "f", "/f") == 0
    assert run("contexts", "get", site, "ws", "/f", tmp_path / "copy") == 0
    assert (tmp_path / "copy").read_bytes() == content
    assert not list(tmp_path.glob("site.db.content/**/*"))
    assert run("contexts", "create", site, "ws", "--store", tmp_path / "elsewhere") != 0


@pytest.mark.parametrize("problem", (StorageError("the connection died"), HeadMoved("what a repeated request gets")))
def test_a_publication_whose_answer_was_lost_is_known_again(url, tmp_path, monkeypatch, problem):
    one, two = mount(tmp_path, url, "one"), mount(tmp_path, url, "two")
    (one.root / "f").write_text("one")
    one.run()
    (one.root / "f").write_text("two")

    def swap(self, expected, value):
        real(self, expected, value)
        raise problem

    real = BucketHead.swap
    with monkeypatch.context() as patching, suppress(StorageError):
        patching.setattr(BucketHead, "swap", swap)
        one.run()
    (one.root / "f").write_text("three")

    for each in (one, two):
        assert not each.run().plan.conflicts
    assert shown(one.root) == shown(two.root) == {"f": b"three"}


def test_the_head_of_a_bucket_remembers_the_last_publications_only(host, monkeypatch):
    monkeypatch.setattr(bucket, "RUNS", 2)
    context = host.create(host.name)
    made = [host.publish(context.id, "*", [(f"/{run}", FileEntry(DIRECTORY, 0o755))], run) for run in ("a", "b", "c")]
    assert [host.published(context.id, run) for run in ("a", "b", "c", "d")] == ["", *made[1:], ""]


@pytest.mark.parametrize("harm", ("damaged", "gone"))
def test_content_that_a_bucket_lost_is_sent_again(endpoint, url, tmp_path, harm):
    import boto3

    one = mount(tmp_path, url, "one")
    (one.root / "lost").write_bytes(os.urandom(5000))
    (one.root / "kept").write_text("in the same pack, or another one")
    one.run()
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    for found in client.list_objects_v2(Bucket="trees", Prefix=url.rpartition("/")[2])["Contents"]:
        if "/packs/" in found["Key"] and harm == "damaged":
            client.put_object(Bucket="trees", Key=found["Key"], Body=bytes(found["Size"]))
        elif "/packs/" in found["Key"]:
            client.delete_object(Bucket="trees", Key=found["Key"])
    client.close()

    end, source = open_end(url, time.time_ns), open_end(str(one.root), time.time_ns)
    try:
        lost = unreadable(end)
        assert "lost" in lost
        assert heal(end, source, lost) == []
    finally:
        end.close()
        source.close()
    two = mount(tmp_path, url, "two")
    two.run()
    assert shown(two.root) == shown(one.root)
