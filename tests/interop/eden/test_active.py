"""Our active side against the recorded answers of a live site: the same requests, the answers understood."""

from datetime import UTC, datetime

import pytest

from tallystick.errors import PeerError
from tallystick.protocols.eden.asking import EdenPeer
from tallystick.protocols.eden.codec.filters import parse_filter_string
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.memory import MemoryStore
from tallystick.protocols.eden.store import Identity, Repository, Result, Stored, Task
from tallystick.protocols.eden.synchronizing import Active
from tallystick.protocols.eden.transport import HttpReply

ORG = "org_organisation"
OWN = "urn:uuid:ecfc0046-3965-4781-bf98-537b47128e7d"
LIVE = "urn:uuid:d9b3a4bf-5b62-4d4e-8f7d-eab4cd707746"
NOW = datetime(2026, 11, 20, 9, 21, 49, tzinfo=UTC)


class Recorded:
    """Answers with what was recorded, once the request is the recorded one."""

    def __init__(self, exchange):
        self.exchange = exchange
        self.expected = []

    def request(self, method, url, headers, body):
        one = self.exchange(self.expected.pop(0), "active")
        target = url.removeprefix("http://127.0.0.1:8010")
        assert f"{method} {target} HTTP/1.1" == one.request.first_line
        assert headers["Authorization"] == one.request.headers["authorization"]
        if method == "POST":
            assert headers["Content-Type"] == one.request.headers["content-type"]
            sent = body if isinstance(body, bytes) else body.read()
            self.sent = sent
            if sent.startswith(b"{"):
                assert sent == one.request.body
        return HttpReply(one.status, one.response.headers, iter([one.response.body]))

    def close(self):
        pass


@pytest.fixture
def active(site, exchange):
    store = MemoryStore(Identity(OWN, "vm", "127.0.0.1:8001"), site.store.tables.values())
    store.save_task(Task("urn:uuid:t", LIVE, ORG, filters=parse_filter_string(ORG, ORG, "~.name__like=*o*")))
    base = "http://127.0.0.1:8010/eden"
    peer = EdenPeer(base, Recorded(exchange), "sync@example.org", "secret")
    return Active(store, peer, Repository(LIVE, "live", url=base), lambda: NOW)


def test_registration(active):
    active.repository.uuid = None
    active.peer.transport.expected = ["001POST_eden_sync_repository_register_json"]
    assert active.register()
    assert active.repository.uuid == LIVE
    assert active.store.repository(LIVE).url == "http://127.0.0.1:8010/eden"


def test_a_pull_takes_everything_that_a_live_site_sends(active, exchange):
    active.peer.transport.expected = ["002GET_eden_sync_sync_xml"]
    done = active.pull(active.store.saved_tasks["urn:uuid:t"])
    assert done.error is None
    recorded = read_xml(exchange("002GET_eden_sync_sync_xml", "active").response.body)
    organisations = [one for one in recorded.resources if one.name == ORG]
    kept = active.store.records[ORG]
    assert set(kept) == {one.uuid.removeprefix("vm/") for one in organisations if not one.deleted}
    assert kept["urn:uuid:11111111-0000-4000-8000-000000000001"].values["acronym"] == "DUP"
    own = kept["own-uid-1"].values["root_organisation"]
    assert own.uuid == "own-uid-1"  # the domain is written on the record, not on the reference
    assert len(active.store.records["org_office"]) == 1
    assert active.store.records["org_office"]["urn:uuid:22222222-0000-4000-8000-000000000001"].copies == 2
    task = active.store.saved_tasks["urn:uuid:t"]
    # rows dated 09:50 lie in the future of the peer, which answered at 09:21:48: they do not pull the watermark along
    assert task.last_pull == datetime(2026, 11, 20, 9, 21, 1, tzinfo=UTC)
    assert active.store.entries[-1].result is Result.SUCCESS


def test_a_push_has_the_recorded_form_and_its_reply_is_read(active):
    active.store.save_task(Task("urn:uuid:t", LIVE, ORG))
    uuid = "urn:uuid:11111111-0000-4000-8000-000000000001"
    active.store.put(Stored(ORG, uuid, 1, {"name": "One"}, created_on=NOW, modified_on=NOW))
    active.peer.transport.expected = ["003POST_eden_sync_sync_xml"]
    done = active.push(active.store.saved_tasks["urn:uuid:t"])
    assert done.reply.updated == [1, 2, 4, 7, 8, 11, 13, 14]
    assert active.store.saved_tasks["urn:uuid:t"].pushed == active.store.head()
    (sent,) = read_xml(active.peer.transport.sent).resources
    assert (sent.uuid, sent.attributes["mci"], sent.attributes["modified_on"]) == (uuid, "1", "2026-11-20T09:21:49")


def test_the_recorded_error_pages_are_errors(active, exchange):
    """HTML pages, chunked texts and JSON, whatever their Content-Type."""
    for name, code in (
        ("11-push-textxml-no-content-disposition-cgi-bug", "peer-unreachable"),
        ("01-pull-unauthenticated", "peer-refused"),
        ("12-push-unregistered", "peer-refused"),
        ("36-pull-unknown-resource", "peer-protocol"),
        ("37-pull-mixed", "peer-protocol"),
        ("39-pull-bad-resource", "peer-protocol"),
        ("41-pull-noext", "peer-protocol"),
    ):
        response = exchange(name).response
        status = int(response.first_line.split(" ")[1])

        class Fixed:
            def request(self, *_arguments, status=status, response=response):
                return HttpReply(status, response.headers, iter([response.body]))

        peer = EdenPeer("http://x/eden", Fixed(), "u", "p")
        with pytest.raises(PeerError) as raised:
            peer.pull(ORG, OWN)
        assert raised.value.code == code, name
