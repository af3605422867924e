"""What breaks lesser servers, sent to a served site over a real socket (spec 1 to 3; DESIGN.md 8)."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import quote

import pytest

import tallystick
from tallystick.protocols.sdata.codec.digests import DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.codec.entries import Entry
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.engine import run_pass
from tallystick.protocols.sdata.remote_jobs import Patience, Remote, Run
from tallystick.protocols.sdata.transport import HttpTransport

FOREIGN = "https://erp.example/sdata/erp/crm/-/accounts"
STAMP = "2026-03-02T07:41:18Z"
JOB = "accounts/$syncTarget('G')"


def page(count: int, first: int = 1) -> bytes:
    """The only page of a foreign source's pass, with so many new accounts."""
    entries = [
        Entry(
            updated=STAMP,
            method="PUT",
            state=SyncState(FOREIGN, number, STAMP),
            payload=Payload("account", "", {"name": f"n{number}"}, f"3b9f6a52-1c8d-4e07-a5f4-{number:012d}"),
        )
        for number in range(first, first + count)
    ]
    digest = digest_of(FOREIGN, [DigestEntry(FOREIGN, first + count, STAMP, 5)])
    return write_feed(FeedHead(id=f"{FOREIGN}/$syncSource('S{first}')", mode=CATCH_UP, digest=digest), entries)


def raw(served, request: bytes, body: bytes = b"") -> bytes:
    """What comes back on a connection of its own; with ``body`` once the server says that it wants it."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(request)
        if body:
            assert connection.recv(65536).startswith(b"HTTP/1.1 100")
            connection.sendall(body)
        found = b""
        while piece := connection.recv(65536):
            found += piece
        return found


def path(served, rest: str) -> str:
    return served.dataset.removeprefix(served.root) + "/" + rest


def knowledge(served) -> list[tuple]:
    """Everything that a request which is refused must leave alone."""
    return [
        served.sql(f"SELECT {columns}")
        for columns in (
            "wire, seq, tick FROM tally_resource ORDER BY 1",
            "count(*) FROM account",
            "count(*) FROM tally_sdata_job",
            "count(*) FROM tally_sdata_link",
        )
    ]


# Ways of asking -------------------------------------------------------------------------------------------------


def test_a_client_of_http_1_0_that_begins_with_a_byte_order_mark_is_served(serving, engine):
    served = serving("site", engine=engine)
    body = b"\xef\xbb\xbf" + page(2)
    head = f"POST {path(served, 'accounts/$syncTarget')}?trackingID=G HTTP/1.0\r\nUser-Agent: Sage\r\n"
    answer = raw(served, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert answer.split(b"\r\n")[0].endswith(b"202 Accepted")
    answer = raw(served, f"GET {path(served, JOB)} HTTP/1.0\r\n\r\n".encode())
    assert [entry.status for entry in read_feed(answer.partition(b"\r\n\r\n")[2]).entries] == [200, 200]
    assert served.sql("SELECT name FROM account ORDER BY 1") == [("n1",), ("n2",)]


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(serving):
    served, body = serving("site"), page(2)
    head = (
        f"POST {path(served, 'accounts/$syncTarget')}?trackingID=G HTTP/1.1\r\nHost: localhost\r\n"
        "Expect: 100-continue\r\nContent-Type: application/atom+xml; type=feed\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    assert raw(served, head.encode(), body).startswith(b"HTTP/1.1 202")
    assert len(read_feed(served.get(JOB).body).entries) == 2


def test_another_name_for_this_machine_is_421_with_a_diagnosis(serving):
    served = serving("site")
    answer = raw(served, f"GET {path(served, 'accounts')} HTTP/1.0\r\nHost: attacker.example\r\n\r\n".encode())
    assert b" 421 " in answer.split(b"\r\n")[0]
    assert b"<severity>error" in answer


@pytest.mark.parametrize("spelled", ("accounts/%24syncTarget(%27G%27)", "ACCOUNTS/$SYNCTARGET(%22G%22)"))
def test_dollars_and_quotes_may_be_percent_encoded(serving, spelled):
    served = serving("site")
    assert served.send("POST", "accounts/%24syncTarget?TrackingId=G", page(1)).status == 202
    assert served.get(spelled).status == 200
    assert served.send("DELETE", spelled).status == 200
    assert served.get(JOB).status == 410


def test_one_tracking_id_posted_twice_at_once_is_one_job(serving, engine):
    served, body, statuses = serving("site", engine=engine), page(50), []

    def post() -> None:
        statuses.append(served.send("POST", "accounts/$syncTarget?trackingID=G", body).status)

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [202] * 4
    assert [entry.method for entry in read_feed(served.get(JOB).body).entries] == ["POST"] * 50
    assert served.sql("SELECT count(*) FROM account") == [(50,)]
    assert served.sql("SELECT count(*) FROM tally_sdata_job") == [(1,)]


def test_two_engines_at_once_bring_everything_once(serving, engine):
    rows = "INSERT INTO account (name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300) "
    sources = [serving(name, rows + f"SELECT '{name} ' || i FROM n") for name in ("east", "west")]
    target = serving("target", engine=engine)
    reports = []

    def carry(source, run: str) -> None:
        reports.append(run_pass(source.remote("accounts"), target.remote("accounts"), Run(run, "1")))

    threads = [
        threading.Thread(target=carry, args=(source, f"{number} {source.port}"))
        for source in sources
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.refused for report in reports] == [0] * 4
    assert target.sql("SELECT count(*), count(DISTINCT name) FROM account") == [(600, 600)]
    for source in sources:
        assert run_pass(source.remote("accounts"), target.remote("accounts"), Run("again", "1")).entries == 0
    assert target.sql("SELECT count(*) FROM tally_sdata_job") == [(0,)]


# What is refused ------------------------------------------------------------------------------------------------


def bomb(levels: int = 9) -> bytes:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, levels))
    return (
        f'<?xml version="1.0"?><!DOCTYPE f [<!ENTITY e0 "x">{entities}]><feed xmlns="http://www.w3.org/2005/Atom">'
        f"<title>&e{levels - 1};</title></feed>"
    ).encode()


GOOD = page(2)
DIGEST = GOOD[GOOD.index(b" <sync:digest>") : GOOD.index(b"</sync:digest>") + 15]
REFUSED = {
    "a doctype": (GOOD.replace(b"\n<feed", b"\n<!DOCTYPE feed>\n<feed", 1), 400),
    "an entity bomb": (bomb(), 400),
    "an external entity": (bomb(1).replace(b'"x"', b'SYSTEM "file:///etc/passwd"'), 400),
    "utf-16": (GOOD.decode().encode("utf-16"), 400),
    "another namespace": (GOOD.replace(b"http://www.w3.org/2005/Atom", b"urn:other"), 400),
    "no digest": (GOOD.replace(DIGEST, b""), 400),
    "two digests that differ": (GOOD.replace(DIGEST, DIGEST + DIGEST.replace(b"tick>3<", b"tick>4<")), 400),
    "a tick beyond the digest": (GOOD.replace(b"<sync:tick>2<", b"<sync:tick>7<"), 400),
    "a tick that is no number": (GOOD.replace(b"<sync:tick>2<", b"<sync:tick>two<"), 400),
    "a tick beyond 64 bits": (GOOD.replace(b"<sync:tick>3<", b"<sync:tick>9223372036854775808<"), 400),
    "a date of no month": (GOOD.replace(b"<sync:stamp>2026-03", b"<sync:stamp>2026-13"), 400),
    "a uuid that is none": (GOOD.replace(b"3b9f6a52-", b"3b9f6a52"), 400),
    "no uuid": (GOOD.replace(b"sdata:uuid=", b"sdata:other="), 400),
    "half a message": (GOOD[: len(GOOD) // 2], 400),
    "a million entries": (GOOD.replace(b"</feed>", b"<entry/>" * 1_000_000 + b"</feed>"), 413),
    "a nest too deep": (GOOD.replace(b"<name>n1</name>", b"<a>" * 200 + b"</a>" * 200), 413),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_page_with_it_is_refused_with_a_diagnosis_and_changes_nothing(serving, case):
    served = serving("site", "INSERT INTO account (name) VALUES ('here')")
    before = knowledge(served)
    body, status = REFUSED[case]
    answer = served.send("POST", "accounts/$syncTarget?trackingID=G", body)
    assert (answer.status, b"<severity>error" in answer.body) == (status, True), answer.body
    assert served.get(JOB).status == 404
    assert knowledge(served) == before
    assert served.send("POST", "accounts/$syncTarget?trackingID=G", GOOD).status == 202, "and the next one is taken"
    assert len(read_feed(served.get(JOB).body).entries) == 2


def test_a_message_that_says_it_is_too_long_is_refused_unread(serving):
    served = serving("site")
    head = f"POST {path(served, 'accounts/$syncTarget')}?trackingID=G HTTP/1.0\r\nContent-Length: 99999999999\r\n\r\n"
    assert b" 413 " in raw(served, head.encode()).split(b"\r\n")[0]


def test_a_digest_of_too_many_endpoints_is_refused_and_remembered_nowhere(serving):
    served = serving("site")
    listed = b"".join(
        b"<sync:digestEntry><sync:endpoint>http://e%d</sync:endpoint><sync:tick>5</sync:tick></sync:digestEntry>" % n
        for n in range(10_002)
    )
    digest = served.get("accounts/$syncDigest").body.replace(b"</sync:digest>", listed + b"</sync:digest>")
    assert served.send("POST", "accounts/$syncSource?trackingID=G", digest).status == 413
    assert served.sql("SELECT count(*) FROM tally_sdata_origin") == [(0,)]


ODD = (
    ("GET", "accounts?where=" + "%28" * 1500 + "n", 400),
    ("GET", "accounts?where=" + quote("not " * 400 + "name eq 'x'"), 400),
    ("GET", "accounts?where=" + quote("name eq 'x"), 400),
    ("GET", "accounts?where=" + quote("name eq 99999999999999999999999999"), 400),
    ("GET", "accounts?where=" + quote("substring(name,1,99999999999) eq 'a'"), 400),
    ("GET", "accounts?where=" + "x" * 20_000, 414),
    ("GET", "accounts?count=99999999999999999999", 400),
    ("GET", "accounts?startIndex=-1", 400),
    ("GET", "accounts?orderBy=name%20sideways", 400),
    ("GET", "accounts?format=pdf", 400),
    ("GET", "accounts('%00')", 400),
    ("GET", "accounts(((", 400),
    ("GET", "%2e%2e/%2e%2e", 404),
    ("GET", "accounts/$linked('../..')", 400),
    ("GET", "accounts/$nothing", 501),
    ("PUT", "accounts/$syncDigest", 400),
    ("POST", "accounts/$syncSource", 400),
    ("POST", "accounts/$syncTarget?trackingID=" + "x" * 300, 400),
    ("DELETE", "accounts", 405),
    ("PATCH", "accounts", 405),
)


def test_odd_requests_have_a_status_and_a_diagnosis_and_change_nothing(serving):
    served = serving("site", "INSERT INTO account (name) VALUES ('here')")
    before = knowledge(served)
    for method, asked, status in ODD:
        answer = served.send(method, asked, b"<x/>" if method in ("PUT", "POST") else b"")
        assert answer.status == status, (method, asked[:60], answer.body)
        assert b"<severity>error" in answer.body, asked[:60]
    assert knowledge(served) == before


def test_a_tracking_id_cannot_break_out_of_the_location(serving):
    served = serving("site")
    answer = served.send("POST", "accounts/$syncTarget?trackingID=%0D%0ASet-Cookie:%20a=b'%22%3Ci", page(1))
    assert answer.status == 202
    assert "set-cookie" not in answer.headers
    location = answer.headers["location"].removeprefix(f"{served.dataset}/")
    assert len(read_feed(served.get(location).body).entries) == 1


SQL = ("x'; DROP TABLE account; --", 'y" OR 1=1; --', "a b", "select", "é")


def test_names_that_are_sql_are_columns_like_any_other(serving, engine):
    columns = ", ".join('"{}" VARCHAR(20)'.format(name.replace('"', '""')) for name in SQL)
    made = f"CREATE TABLE odd (id INTEGER PRIMARY KEY, {columns})"
    served = serving("site", made, "INSERT INTO odd VALUES (1, '1', '2', '3', '4', '5')", engine=engine)
    served.site.track()
    (entry,) = read_feed(served.get("odds").body).entries
    assert entry.payload is not None
    assert sorted(entry.payload.fields.values()) == ["1", "2", "3", "4", "5"]
    for name, value in entry.payload.fields.items():
        found = served.get(f"odds?where={quote(f'{name} eq {value!r}')}")
        assert found.status == (400 if "-" in name else 200), "a minus in a name is read as one"
    for name in SQL[:2]:
        assert served.get(f"odds?where={quote(name)}").status == 400
        assert served.get(f"odds?orderBy={quote(name)}").status == 400
        assert served.get(f"accounts?where={quote(name + ' eq 1')}").status == 400
        assert served.get(f"odds({quote(name)})").status in (400, 404)
    assert served.sql("SELECT count(*) FROM account") == [(0,)]
    assert served.sql("SELECT count(*) FROM odd") == [(1,)]


# What is cut off ------------------------------------------------------------------------------------------------


class Process:
    """A site served by a process of its own, which can be killed."""

    def __init__(self, database, port: int) -> None:
        command = "from tallystick.cli.main import main; main()"
        arguments = [sys.executable, "-c", command, "serve", str(database), "--sdata", "--port", str(port)]
        self.process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
        self.root = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.root}/sdata"):
                    return
            except OSError:
                time.sleep(0.05)
        self.kill()
        raise AssertionError("the site was not served")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)


def test_a_job_whose_server_is_killed_is_done_once_after_the_restart(port, tmp_path):
    database = tmp_path / "killed.db"
    with tallystick.open(database, create=True) as site:
        site.ledger.engine.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, name VARCHAR(80) NOT NULL)")
        site.track()
    server = Process(database, port)
    endpoint = f"{server.root}/sdata/tallystick/site/-/accounts"
    carrier = HttpTransport(server.root)
    answer = carrier.request("POST", f"{endpoint}/$syncTarget?trackingID=G", {}, page(3000))
    server.kill()
    assert answer.status == 202
    server = Process(database, port)
    try:
        remote = Remote(endpoint, HttpTransport(server.root), Patience(job=60))
        found = read_feed(remote.send("GET", f"{endpoint}/$syncTarget('G')?count=3000").body)
        assert [entry.status for entry in found.entries] == [200] * 3000
        again = remote.send("POST", f"{endpoint}/$syncTarget?trackingID=G", page(3000))
        assert again.status == 202
        with tallystick.open(database) as site:
            assert site.ledger.engine.query("SELECT count(*), count(DISTINCT name) FROM account") == [(3000, 3000)]
    finally:
        server.kill()
