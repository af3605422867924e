"""Content and changes on their way: what travels when, what is laid aside, what a failure leaves."""

import os

import pytest

from tallystick.content.chunking import Chunk, hash_of
from tallystick.contexts import delivering
from tallystick.contexts.delivering import Delivery, publish_pages
from tallystick.contexts.entries import DIRECTORY, FILE, FileEntry
from tallystick.errors import PeerUnreachable

from .conftest import tree


@pytest.fixture
def delivery(host, context):
    found = Delivery(host, context.id)
    yield found
    found.close()


def chunk_of(size):
    data = os.urandom(size)
    return Chunk(hash_of(data), data)


def file_in(chunk):
    return FileEntry(FILE, 0o644, len(chunk.data), 0, chunk.hash)


def test_what_little_is_sent_is_published_with_no_page_laid_aside(delivery, host, context):
    chunk = chunk_of(100)
    delivery.offer(chunk)
    delivery.change([("/a", file_in(chunk))])
    delivery.finish()

    version = delivery.publish(context.version)

    assert delivery.pages == 0
    assert list(tree(host, context)) == ["/a"]
    assert version == host.find(context.id).version != context.version
    assert host.missing(context.id, [chunk.hash]) == []


def test_nothing_to_change_is_no_publication(delivery, host, context):
    delivery.finish()

    assert delivery.publish(context.version) == context.version
    assert host.find(context.id).version == context.version


def test_loads_lay_their_changes_aside_while_the_rest_is_read(delivery, host, context):
    chunks = [chunk_of(3 << 20) for _ in range(7)]
    for number, chunk in enumerate(chunks):
        delivery.change([(f"/f{number}", file_in(chunk))])
        delivery.offer(chunk)

    delivery.finish()

    assert delivery.pages == 3
    assert tree(host, context) == {}
    delivery.publish(context.version, [("/more", FileEntry(DIRECTORY, 0o755))])
    assert list(tree(host, context)) == [*(f"/f{number}" for number in range(7)), "/more"]


def test_what_is_under_way_or_held_is_not_sent_again(delivery, host, context, monkeypatch):
    sent = []
    send = host.send
    monkeypatch.setattr(host, "send", lambda name, bundles: send(name, _noted(bundles, sent)))
    chunk, other = chunk_of(4 << 20), chunk_of(4 << 20)
    for _ in range(2):
        for one in (chunk, other, chunk):
            delivery.offer(one)
    delivery.finish()

    assert sum(sent) < 9 << 20


def test_a_context_that_held_nothing_is_not_asked_what_is_missing(host, context, monkeypatch):
    asked, sent = [], []
    missing, send = host.missing, host.send
    monkeypatch.setattr(host, "missing", lambda name, hashes: asked.extend(hashes) or missing(name, hashes))
    monkeypatch.setattr(host, "send", lambda name, bundles: send(name, _noted(bundles, sent)))
    chunks = [chunk_of(4 << 20) for _ in range(6)]
    delivery = Delivery(host, context.id, holds=context.holds)
    for chunk in (*chunks[:3], *chunks[:3]):
        delivery.offer(chunk)
    delivery.finish()
    assert (context.holds, host.find(context.id).holds) == (False, True)
    assert asked == []
    assert sum(sent) < 13 << 20

    monkeypatch.setattr(delivering, "REMEMBERED", 0)
    delivery.offer(chunks[3])
    delivery.finish()
    for chunk in chunks:
        delivery.offer(chunk)
    delivery.finish()
    delivery.close()

    assert set(asked) == {chunk.hash for chunk in chunks}
    assert missing(context.id, [chunk.hash for chunk in chunks]) == []
    assert sum(sent) < 25 << 20


def test_what_the_host_said_to_lack_is_not_asked_for_again_unless_it_was_cut(host, context, monkeypatch):
    monkeypatch.setattr(delivering.time, "sleep", lambda _: None)
    known, other = chunk_of(100), chunk_of(100)
    asked, missing, publish = [], host.missing, host.publish
    monkeypatch.setattr(host, "missing", lambda name, hashes: asked.append(list(hashes)) or missing(name, hashes))
    cuts = iter([True])

    def cut(*arguments):
        if next(cuts, False):
            raise PeerUnreachable("the connection was cut")
        return publish(*arguments)

    monkeypatch.setattr(host, "publish", cut)
    delivery = Delivery(host, context.id, {known.hash})
    for name, chunk in (("/known", known), ("/other", other)):
        delivery.offer(chunk)
        delivery.change([(name, file_in(chunk))])
    delivery.publish(context.version)
    delivery.close()

    assert asked == [[other.hash], [known.hash, other.hash]]
    assert list(tree(host, context)) == ["/known", "/other"]


def _noted(bundles, sent):
    for bundle in bundles:
        sent.append(len(bundle))
        yield bundle


def test_many_changes_go_in_pages_and_become_visible_at_once(host, context):
    changes = [(f"/d{number:05}", FileEntry(DIRECTORY, 0o755)) for number in range(delivering.STAGED + 5)]

    publish_pages(host, context.id, context.version, changes)

    assert list(tree(host, context)) == [key for key, _ in changes]


@pytest.mark.parametrize(("verb", "size"), (("send", 4 << 20), ("stage", 4 << 20), ("publish", 100)))
def test_what_is_cut_goes_on_and_what_always_is_ends_the_upload(delivery, host, context, monkeypatch, verb, size):
    monkeypatch.setattr(delivering.time, "sleep", lambda _: None)
    work, cuts = getattr(host, verb), iter([True, True, False])

    def cut(*arguments):
        if next(cuts, True):
            raise PeerUnreachable("the connection was cut")
        return work(*arguments)

    def deliver(chunk):
        if verb != "send":
            delivery.change([(f"/{chunk.hash.hex()}", file_in(chunk))])
        delivery.offer(chunk)
        delivery.finish()
        if verb == "publish":
            delivery.publish(context.version)

    monkeypatch.setattr(host, verb, cut)
    chunk, never = chunk_of(size), chunk_of(size)
    deliver(chunk)
    assert host.missing(context.id, [chunk.hash]) == []

    with pytest.raises(PeerUnreachable):
        deliver(never)
    assert host.missing(context.id, [never.hash]) == [never.hash]


def test_a_publication_whose_answer_was_lost_is_not_made_twice(delivery, host, context, monkeypatch):
    monkeypatch.setattr(delivering.time, "sleep", lambda _: None)
    publish = host.publish

    made = []

    def lose(*arguments):
        made.append(publish(*arguments))
        if len(made) < 3:
            raise PeerUnreachable("the answer was lost")
        return made[-1]

    monkeypatch.setattr(host, "publish", lose)
    chunk = chunk_of(100)
    delivery.offer(chunk)
    delivery.change([("/a", file_in(chunk))])

    assert delivery.publish(context.version) == host.find(context.name).version
    assert len(made) == 3
    assert len(set(made)) == 1
    assert list(tree(host, context)) == ["/a"]
