"""Every recorded exchange with a live site, sent over HTTP to a served database.

What the live site's application computes after a write (sites, roles, paths) no protocol can know: it is compared in
``test_replay.py``, with a model of that application. Here the statuses, what became of every record, and which records
of the asked table are sent must be as recorded, or differ as listed there.
"""

import http.client
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.serving import EdenService
from tallystick.protocols.eden.site.store import SiteStore
from tallystick.site.engines.postgresql import PostgreSQLEngine
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.users import hasher
from tallystick.sync.local import LocalReplica
from tallystick.web.providers import Mounted
from tallystick.web.server import running

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "protocols" / "eden"))

from eden_site_stores import RealStore
from test_replay import ALSO_SENT, FRESH, REPLIES, SCRATCH, STATUSES, _known, _prepare

LISTS = ("created", "updated", "deleted", "unchanged", "skipped", "conflicts")
STUBS_TOO = {
    # what a deleted row held is not known any more, so no filter can leave its stub out; the survivor comes with it
    "94-pull-uids": {f"urn:uuid:11111111-0000-4000-8000-00000000000{number}" for number in (4, 5, 6)},
}
USERS = {"sync@example.org": "sync", "user@example.org": "read"}


def as_the_live_site(services):
    """What mounts the protocol under the name that the live site had."""

    def store_of(replica, address):
        return SiteStore(replica, address=address, domain="vm")

    service = EdenService(services.pool, store_of, services.users.check, "/eden/")
    return Mounted("eden", "1", "/eden/", service, authenticates=True)


class Served:
    """A served site with the tables of the live one, its clock in our hands."""

    def __init__(self, url, model):
        self.now = datetime(2026, 11, 20, 9, 26, 30, tzinfo=UTC)
        identity = model.store.identity()
        self.store = RealStore(url, identity, list(model.store.tables.values()), lambda: self.now)
        for records in model.store.records.values():
            for record in records.values():
                record.id = 0
                self.store.put(record)
        self._url = url
        with self.store.ledger.engine.write():
            for name, role in USERS.items():
                self.store.ledger.engine.execute(
                    "INSERT INTO tally_user(name, role, secret) VALUES (?, ?, ?)",
                    (name, role, hasher().hash("secret")),
                )

    def open(self):
        engine = PostgreSQLEngine(self._url) if self._url.startswith("postgresql") else SQLiteEngine(self._url)
        return LocalReplica.open(engine, "served", now=lambda: int(self.now.timestamp() * 1000))


def send(address, one):
    """The answer to a recorded request, sent with its own headers."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    method, target, _ = one.request.first_line.split(" ")
    skipped = ("host", "content-length", "connection", "accept-encoding", "transfer-encoding")
    headers = {name: value for name, value in one.request.headers.items() if name not in skipped}
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if one.request.body:
        connection.putheader("Content-Length", str(len(one.request.body)))
    connection.endheaders(one.request.body or None)
    answer = connection.getresponse()
    found = answer.status, answer.getheader("Content-Type"), answer.read()
    connection.close()
    return found


@pytest.fixture(params=("sqlite", "postgresql"))
def served(request, site, tmp_path):
    sqlite = request.param == "sqlite"
    made = Served(str(tmp_path / "live.db") if sqlite else request.getfixturevalue("postgresql_database"), site)
    yield made
    made.store.close()


def test_every_recorded_exchange_is_answered_by_a_served_database(passive, served):
    with running(served.open, providers=(as_the_live_site,)) as address:
        wrong = []
        for one in passive:
            if one.name.startswith(FRESH) or one.name in SCRATCH:
                continue
            _prepare(one.name, served)
            if one.name == "182-archive-download":
                served.store.peers.save_archive(one.path.rpartition("/")[2], one.response.body)
            served.now = one.moment
            wrong += [f"{one.name}: {problem}" for problem in _differences(one, *send(address, one))]
    assert not wrong, "\n".join(wrong)


def _differences(one, status, media_type, body):
    expected = STATUSES.get(one.name, one.status)
    if status != expected:
        yield f"status {status} in place of {expected}: {body[:200]!r}"
        return
    if status != one.status:
        return
    if media_type != one.response.headers["content-type"]:
        yield f"{media_type} in place of {one.response.headers['content-type']}"
    recorded = one.response.body
    if recorded.startswith(b"{") and not recorded.startswith(b'{"$_'):
        yield from _reply_differences(one, json.loads(body), json.loads(recorded))
    elif recorded.startswith(b"<?xml") and b"<fields" not in recorded:
        yield from _document_differences(one, read_xml(body), read_xml(recorded))


def _reply_differences(one, ours, theirs):
    if one.name in REPLIES:
        theirs = {key: theirs[key] for key in ("status", "statuscode", "records")} | REPLIES[one.name]
    for key in ("status", "statuscode", "records"):
        if ours.get(key) != theirs.get(key):
            yield f"{key} {ours.get(key)} in place of {theirs.get(key)}"
    for key in LISTS:
        if len(ours.get(key, ())) != len(theirs.get(key, ())):
            yield f"{key} {ours.get(key)} in place of {theirs.get(key)}"
    if ("tree" in ours) != ("tree" in theirs):
        yield f"rejections {ours.get('tree')} in place of {theirs.get('tree')}"


def _document_differences(one, ours, theirs):
    asked = {record.name for record in theirs.resources} & {"org_organisation", "org_sector", "pr_person"}
    mine = {_known(record.uuid): record.deleted for record in ours.resources if record.name in asked}
    wanted = {_known(record.uuid): record.deleted for record in theirs.resources if record.name in asked}
    also = ALSO_SENT.get(one.name, set()) | STUBS_TOO.get(one.name, set())
    mine = {uuid: deleted for uuid, deleted in mine.items() if uuid not in also or uuid in wanted}
    if mine != wanted:
        yield f"records {sorted(mine.items())} in place of {sorted(wanted.items())}"
