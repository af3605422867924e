"""Nothing from outside is believed: sites that lie to a directory, and clients that lie to a site (DESIGN.md 8)."""

import asyncio
import http.client
import os
import random
import socket
import sys
import threading
import time
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import msgspec
import pytest

from tallystick import api
from tallystick.content.bundles import bundles_of
from tallystick.content.chunking import Chunk, hash_of
from tallystick.contexts.end import ContextEnd
from tallystick.contexts.entries import DIRECTORY, FILE, LINK, FileEntry
from tallystick.contexts.host import Manifest, Rule
from tallystick.contexts.http import wire
from tallystick.contexts.http.client import RemoteHost
from tallystick.contexts.http.streams import PIECE, Arriving
from tallystick.contexts.local import LocalHost
from tallystick.contexts.problems import QuotaExceeded
from tallystick.errors import PeerProtocolError, StorageFull, TallystickError, UsageError, ValueRejected
from tallystick.protocols.native.codec.errors import TimedOut
from tallystick.protocols.native.requests import Incoming
from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.options import Options
from tallystick.trees.pair import Pair
from tallystick.trees.reading import digest_of, link_digest
from tallystick.trees.state import State
from tallystick.web.server import running

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from .conftest import file_of, send, shown, tree

CONTENT = b"from far away"
FILES = FileEntry(FILE, 0o644, len(CONTENT), 0, digest_of(CONTENT))
FOLDER = FileEntry(DIRECTORY, 0o755)


def link(target):
    return FileEntry(LINK, 0o777, digest=link_digest(target), target=target)


def changed(entry, **given):
    return msgspec.structs.replace(entry, **given)


@pytest.fixture
def synchronize(tmp_path):
    """Synchronizes the directory ``outer/root`` with the context of a host."""
    root = tmp_path / "outer" / "root"
    root.mkdir(parents=True)
    (tmp_path / "outer" / "precious").write_text("precious")

    def work(host, name, prefix=""):
        ends = DirectoryEnd(str(root), time.time_ns), ContextEnd(host, name, prefix)
        pair = Pair(*ends, State(tmp_path / "state"), time.time_ns)
        try:
            return pair.run(Options(durable=False))
        finally:
            pair.close()

    return work


# Sites that lie -------------------------------------------------------------------------------------------------------


class Lying:
    """A host that tells of these entries, and otherwise of what there is."""

    def __init__(self, host, told):
        self.host, self.told = host, told

    def __getattr__(self, name):
        return getattr(self.host, name)

    def manifest(self, identifier, since="", prefix=""):
        return Manifest("ff.ff", True, iter([self.told]))

    def entries(self, identifier, keys):
        known = dict(self.told)
        return {key: known[key] for key in keys if key in known}


@pytest.mark.parametrize(
    "told",
    (
        [("/..", FOLDER), ("/../planted", FILES)],
        [("/../precious", FILES), ("/..", FOLDER)],
        [("/a", FOLDER), ("/a/../../planted", FILES)],
        [("/.", FOLDER), ("/./x", FILES)],
        [("//planted", FILES)],
        [("planted", FILES)],
        [("/a\0b", FILES)],
        [("/\ud800", FILES)],
        [("/" + "x" * 300, FILES)],
        [("/a" * 600, FILES)],
        [("/.tally-new-x", FILES)],
        [("/l", link("/etc/passwd"))],
        [("/l", link("../precious"))],
        [("/l", changed(link("x"), digest=link_digest("/etc/passwd")))],
        [("/l", link("..")), ("/l/planted", FILES)],
        [("/f", changed(FILES, mode=0o4777))],
        [("/d", changed(FOLDER, mode=0o1777))],
        [("/f", changed(FILES, mode=-1))],
        [("/f", changed(FILES, size=-5))],
        [("/f", changed(FILES, size=1 << 60))],
        [("/f", changed(FILES, mtime=(1 << 63) - 1))],
        [("/f", changed(FILES, digest=b"short"))],
        [("/f", changed(FILES, kind=99))],
    ),
)
def test_a_site_that_tells_of_what_cannot_be_is_refused_and_writes_nothing(local, synchronize, tmp_path, told):
    context = local.create("work")
    send(local, context, CONTENT)

    with pytest.raises(PeerProtocolError, match="cannot be"):
        synchronize(Lying(local, told), "work")

    assert shown(tmp_path / "outer") == {"precious": b"precious", "root": None}


@pytest.mark.parametrize(
    "entry",
    (changed(FILES, size=10**6), changed(FILES, digest=digest_of(b"something else")), changed(FILES, size=3)),
)
def test_a_file_that_is_not_what_the_site_told_is_never_put_in_place(local, synchronize, tmp_path, entry):
    send(local, local.create("work"), CONTENT)

    report = synchronize(Lying(local, [("/f", entry)]), "work")

    assert list(report.failed) == ["f"]
    assert shown(tmp_path / "outer" / "root") == {}


def test_a_link_that_leads_out_of_the_part_that_is_mounted_is_skipped_and_protected(local, synchronize, tmp_path):
    context = local.create("work")
    content = file_of(local, context, CONTENT)
    local.publish(context.id, "*", [("/a/f", content), ("/a/l", link("../b")), ("/b", content)])

    first, second = synchronize(local, "work", "/a"), synchronize(local, "work", "/a")

    assert shown(tmp_path / "outer" / "root") == {"f": CONTENT}
    assert [(code, path) for code, path, _ in first.warnings] == [("skipped", "l")]
    assert second.actions == []
    assert "/a/l" in tree(local, context)


class Mangling:
    """A transport whose answers are damaged somewhere, or have another length than they should."""

    def __init__(self, transport, chance):
        self.transport, self.chance = transport, chance

    def __getattr__(self, name):
        return getattr(self.transport, name)

    def send(self, request):
        reply = self.transport.send(request)
        if request.path.startswith("/contexts/") and self.chance.random() < 0.4:
            return Mangled(reply, self.chance)
        return reply


class Mangled:
    def __init__(self, reply, chance):
        self.reply, self.status, self.headers = reply, reply.status, dict(reply.headers)
        body = bytearray()
        while piece := reply.read(1 << 20):
            body += piece
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(body) + 1)
            change = chance.choice(("flip", "cut", "add", "noise"))
            if change == "flip" and place < len(body):
                body[place] ^= 1 << chance.randrange(8)
            elif change == "cut":
                del body[place:]
            elif change == "add":
                body[place:place] = chance.randbytes(chance.randrange(1, 40))
            elif change == "noise":
                body[place : place + 8] = chance.randbytes(8)
        self.body = bytes(body)

    def read(self, most):
        piece, self.body = self.body[:most], self.body[most:]
        return piece

    def close(self):
        self.reply.close()


def visible(root):
    """What a directory shows: what a run that stopped had staged is removed by the next one."""
    return {path: data for path, data in shown(root).items() if not path.startswith(".tally-")}


@pytest.mark.parametrize("seed", range(4))
def test_answers_that_were_mangled_do_no_harm_and_are_never_taken_for_content(site, tmp_path, synchronize, seed):
    """Whatever bytes come: an error that says what to do, or a report; and only content that somebody wrote."""
    chance = random.Random(seed)
    root = tmp_path / "outer" / "root"
    wanted = {f"d/{number}": chance.randbytes(chance.choice((10, 5000, 300_000))) for number in range(12)}
    with running(str(tmp_path / "site.db")) as address, closing(RemoteHost(address)) as plain:
        context = plain.create("work")
        plain.publish(context.id, "*", [(f"/{path}", file_of(plain, context, data)) for path, data in wanted.items()])
        (root / "mine").write_bytes(b"mine")
        wanted |= {"mine": b"mine", "d": None}
        for _ in range(15):
            host = RemoteHost(address, attempts=2, wait=lambda _: None)
            host.transport = Mangling(host.transport, chance)
            try:
                synchronize(host, "work")
            except TallystickError as problem:
                assert problem.hint  # noqa: PT017
            assert visible(root).items() <= wanted.items()
        synchronize(RemoteHost(address), "work")
        assert shown(root) == wanted
        assert {key[1:]: entry.digest for key, entry in tree(plain, context).items() if entry.kind == FILE} == {
            path: digest_of(data) for path, data in wanted.items() if data is not None
        }
    assert shown(tmp_path / "outer").keys() == {"precious", "root", *(f"root/{path}" for path in wanted)}


# Clients that lie -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    place = tmp_path_factory.mktemp("served")
    with api.open(place / "site.db", create=True):
        pass
    with running(str(place / "site.db")) as address:
        with closing(RemoteHost(address)) as host:
            host.create("work")
        yield address


def asked(address, method, path, body=None):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


MANY = "&".join(f"a{number}=1" for number in range(100))
RULES = msgspec.json.encode([{"path": f"/{number}", "lifecycle": "Lifecycle_1Day"} for number in range(2000)])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    (
        ("GET", "/contexts/work/files?start=%C2%B2", None),
        ("GET", "/contexts/work/files?start=-1", None),
        ("GET", f"/contexts/work/files?{MANY}", None),
        ("GET", "/contexts/work?unlike=x&wait=%C2%B2", None),
        ("GET", "/contexts/work/url?key=/..", None),
        ("GET", "/contexts/work/url?key=/%00", None),
        ("POST", "/contexts/work/url?key=/.tally-archive-1.zip", None),
        ("GET", "/contexts/..%2F", None),
        ("POST", "/contexts/", b"{"),
        ("POST", "/contexts/", b'{"name":"\xff"}'),
        ("POST", "/contexts/", b'{"name":"q","quota_bytes":-1}'),
        ("POST", "/contexts/", b'{"name":"q","quota_bytes":99999999999999999999999}'),
        ("POST", "/contexts/work/entries", b"\x91\xa1\xff"),
        ("POST", "/contexts/work/missing", b"short"),
        ("POST", "/contexts/work/fetch", b"x" * 32),
        ("POST", "/contexts/work/chunks", b"this is no bundle"),
        ("POST", "/contexts/work/stage?run=r&page=%C2%B2", wire.frame([])),
        ("POST", "/contexts/work/stage?run=r&page=0", b""),
        ("POST", "/contexts/work/stage?run=r&page=0", wire.frame([]) + b"this is no bundle"),
        ("POST", "/contexts/work/publish?expected=*", b"\0"),
        ("POST", "/contexts/work/publish?expected=*", wire.FRAME.pack(1 << 31, 1)),
        ("POST", "/contexts/work/publish?expected=*", wire.FRAME.pack(3, 7) + b"abc"),
        ("POST", "/contexts/work/publish?expected=*", wire.FRAME.pack(5, 0) + b"\x91\x92\xa1\xff\xc0"),
        ("POST", "/contexts/work/publish?expected=*", wire.frame([("/\uf8fe2f..", FOLDER)])),
        ("POST", "/contexts/work/publish?expected=*", wire.frame([("/\uf8fe00", FOLDER)])),
        ("PUT", "/contexts/work/rules", RULES),
        ("GET", "/files/x/f?expires=%C2%B2&signature=x&method=GET", None),
        ("GET", f"/files/x/f?{MANY}", None),
        ("PUT", "/files/", b"x"),
    ),
)  # fmt: skip
def test_a_request_that_cannot_be_is_refused_with_a_reason(served, method, path, body):
    status, answer = asked(served, method, path, body)

    assert 400 <= status < 500
    assert msgspec.json.decode(answer)["hint"]


def test_a_page_that_would_expand_without_end_is_refused(served):
    bomb = zstd.compress(bytes(300 << 20), 3)

    status, _ = asked(served, "POST", "/contexts/work/publish?expected=*", wire.FRAME.pack(len(bomb), 1) + bomb)

    assert status == 413


def test_a_quota_or_a_number_of_rules_that_cannot_be_is_refused(local):
    for quota in (-1, 1 << 63):
        with pytest.raises(UsageError):
            local.create("work", quota_bytes=quota)
    assert local.contexts() == []
    context = local.create("work")
    with pytest.raises(ValueRejected):
        local.set_rules(context.id, "", [Rule(f"/{number}", "Lifecycle_1Day") for number in range(1001)])


def test_more_than_a_context_may_hold_is_not_even_taken_in(host, name):
    context = host.create(name, quota_bytes=1 << 20)
    sent = []

    def endless():
        while True:
            data = os.urandom(200_000)
            sent.append(hash_of(data))
            yield Chunk(sent[-1], data)

    with pytest.raises((QuotaExceeded, StorageFull)):
        host.send(context.id, bundles_of(endless()))

    assert len(sent) < 500
    assert tree(host, context) == {}


def test_what_was_sent_and_not_published_is_bounded_by_the_quota(host, name):
    context = host.create(name, quota_bytes=1000)
    first, second, third = (os.urandom(size) for size in (600, 400, 1))
    entry = file_of(host, context, first)
    file_of(host, context, second)
    file_of(host, context, second)  # what is held already may be sent again

    with pytest.raises((QuotaExceeded, StorageFull), match="1,001 bytes that are not published"):
        file_of(host, context, third)
    host.publish(context.id, "*", [("/first", entry)])
    file_of(host, context, third)
    with pytest.raises((QuotaExceeded, StorageFull)):
        file_of(host, context, os.urandom(600))


def test_one_chunk_under_many_keys_makes_room_for_itself_only(host, name):
    context = host.create(name, quota_bytes=1000)
    file_of(host, context, os.urandom(800))
    small = file_of(host, context, os.urandom(100))

    host.publish(context.id, "*", [(f"/{number}", small) for number in range(9)])

    with pytest.raises((QuotaExceeded, StorageFull)):
        file_of(host, context, os.urandom(300))
    file_of(host, context, os.urandom(200))


def test_requests_that_are_under_way_at_once_do_not_pass_a_quota_together(hosting, host, name):
    context = host.create(name, quota_bytes=1000)
    another = hosting()

    def meanwhile():
        yield from bundles_of([Chunk(hash_of(own := os.urandom(600)), own)])
        with pytest.raises((QuotaExceeded, StorageFull)):
            file_of(another, context, os.urandom(600))

    try:
        if not isinstance(host, LocalHost):
            pytest.skip("a served site reads ahead as it likes")
        host.send(context.id, meanwhile())
    finally:
        another.close()


def test_a_context_without_a_quota_counts_nothing(local):
    context = local.create("work")
    file_of(local, context, os.urandom(3000))
    assert local.ledger.engine.query("SELECT count(*) FROM tally_unpublished") == [(0,)]


def test_two_clients_that_race_for_the_last_bytes_of_a_quota_do_not_pass_it(hosting, host, name):
    if isinstance(host, LocalHost):
        pytest.skip("one ledger is not shared between threads: the served site does this")
    context = host.create(name)
    ready, refused = threading.Barrier(4, lambda: host.create(name, quota_bytes=1000, quota_files=10)), []

    def work(number):
        own = hosting()
        try:
            entries = [(f"/{number}-{turn}", file_of(own, context, os.urandom(150))) for turn in range(6)]
            ready.wait()
            for change in entries:
                try:
                    own.publish(context.id, "*", [change])
                except (QuotaExceeded, StorageFull):
                    refused.append(change)
        finally:
            own.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = host.find(name)
    assert (found.files, found.bytes) == (6, 900)
    assert len(refused) == 24 - 6
    assert len(tree(host, context)) == 6


def test_clients_that_send_next_to_nothing_keep_nobody_from_being_answered(served):
    data, place = os.urandom(3 << 20), urlsplit(served)
    (bundle,) = bundles_of([Chunk(hash_of(data), data)])
    with closing(RemoteHost(served)) as host:
        url = host.signed_url(host.create("slow").id, "/put", "PUT").url
    put = url[url.index("/files/") :]
    with ExitStack() as slow:
        for method, path in [("POST", "/contexts/slow/chunks"), ("PUT", put)] * 20:
            for part in (bundle[:10], bundle[: 2 << 20]):
                connection = slow.enter_context(closing(socket.create_connection((place.hostname, place.port))))
                head = f"{method} {path} HTTP/1.1", f"Host: {place.netloc}", f"Content-Length: {len(bundle)}"
                connection.sendall("\r\n".join((*head, "", "")).encode() + part)
        (small,) = bundles_of([Chunk(hash_of(b"small"), b"small")])

        assert asked(served, "POST", "/contexts/slow/chunks", small)[0] == 204
        assert asked(served, "PUT", put, b"whole")[0] == 204
        assert asked(served, "GET", "/contexts/slow/manifest")[0] == 200


def test_a_body_that_goes_on_too_slowly_holds_its_thread_no_longer():
    pieces = iter([b"x" * PIECE])

    async def receive():
        return {"type": "http.request", "body": next(pieces, b"x"), "more_body": True}

    async def work():
        incoming = Incoming({"type": "http", "method": "POST", "headers": []}, receive, receive)
        arriving = Arriving(incoming, pace=0)
        await arriving.consumed_by(lambda: list(arriving.pieces()), asyncio.to_thread, asyncio.to_thread)

    with pytest.raises(TimedOut):
        asyncio.run(work())
