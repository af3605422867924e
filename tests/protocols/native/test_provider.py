"""The served end: forms of messages, tags, streams, and what a role may tell it."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from urllib.parse import urlsplit

import msgspec
import pytest
from places import PERSON, fill

from tallystick.core.pages import FieldForm, Page
from tallystick.core.policies import DEFAULT_POLICY
from tallystick.protocols.native.codec.blocks import CLOSING, PAGE, split
from tallystick.protocols.native.codec.lines import line, page_lines, read_lines
from tallystick.protocols.native.codec.messages import BLOCKS, JSON, LINES, MSGPACK, SettingsForm, decode, encode
from tallystick.sync.replica import Closing, Described, Known, Scope, Selection, Wanted

SITE = "f" * 32
ASKED = Selection(Scope(("person",)), Known("", {}, {}))


@pytest.fixture
def served(place):
    one = place("site", PERSON)
    fill(one, 20)
    one.local.prepare(Wanted([], ["person"]))
    one.serve().close()
    return one


def ask(served, method, path, body=b"", **headers):
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


def test_a_person_is_answered_in_json_and_a_site_in_messagepack(served):
    status, body, headers = ask(served, "GET", "/v1/describe")
    assert (status, headers["content-type"]) == (200, JSON)
    assert json.loads(body)["site"] == served.local.ledger.site
    status, body, headers = ask(served, "GET", "/v1/describe", Accept=MSGPACK)
    assert headers["content-type"] == MSGPACK
    assert decode(Described, body).resources[0].wire == "person"


def test_an_unchanged_description_is_not_sent_again(served):
    _, _, headers = ask(served, "GET", "/v1/describe")
    status, body, _ = ask(served, "GET", "/v1/describe", If_None_Match=headers["etag"])
    assert (status, body) == (304, b"")
    served.execute("CREATE TABLE visit (id TEXT PRIMARY KEY)")
    status, body, _ = ask(served, "GET", "/v1/describe", If_None_Match=headers["etag"])
    assert status == 200
    assert "visit" in json.loads(body)["untracked"]


def test_changes_come_as_blocks_and_as_lines_with_the_same_content(served):
    kind = {"Content_Type": MSGPACK}
    _, blocks, _ = ask(served, "POST", "/v1/changes", encode(ASKED), Accept=BLOCKS, **kind)
    _, lines, headers = ask(served, "POST", "/v1/changes", encode(ASKED), Accept=LINES, **kind)
    assert headers["content-type"] == LINES
    read = [decode(Page if which == PAGE else Closing, raw) for which, raw in split(blocks)]
    assert [which for which, _ in split(blocks)][-1] == CLOSING
    assert sum(len(item.rows) for item in read if isinstance(item, Page)) == 20
    assert list(read_lines(lines)) == read


def test_a_person_reads_on_from_a_state(served):
    _, first, _ = ask(served, "GET", "/v1/changes?resource=person")
    state = json.loads(first.splitlines()[-1])["closing"]["state"]
    _, nothing, _ = ask(served, "GET", f"/v1/changes?resource=person&state={state}")
    assert len(nothing.splitlines()) == 1
    served.execute("UPDATE person SET name = 'Zoe' WHERE id = 'p000003'")
    _, more, _ = ask(served, "GET", f"/v1/changes?resource=person&state={state}")
    assert json.loads(more.splitlines()[1])["values"]["name"] == "Zoe"


def test_a_script_applies_a_page_as_lines(served):
    names = {"age": "int64", "name": "text", "photo": "bytes", "score": "float64"}
    fields = [FieldForm(name, logical) for name, logical in names.items()]
    row = ("new", None, 0, 1, 5, 0, None, 30, "Ann", b"\0\xff", 1.5)
    form = SettingsForm(SITE, Scope(("person",)), {"": DEFAULT_POLICY})
    body = line("settings", form) + page_lines(Page("person", fields, [SITE + ".1"], [row], ""))
    for expected in ("created", "unchanged"):
        status, answer, _ = ask(served, "POST", "/v1/apply", body, Content_Type=LINES)
        assert status == 200, answer
        assert json.loads(answer)[expected] == 1
    assert served.rows("SELECT * FROM person WHERE id = 'new'") == [("new", "Ann", 30, b"\0\xff", 1.5)]


def test_a_reader_may_meet_but_tells_no_histories(served):
    served.add_user("reader", "a long password", "read")
    authorization = "Basic " + b64encode(b"reader:a long password").decode()
    told = {
        "site": SITE,
        "origin": SITE + ".1",
        "token": "other",
        "catalog": "1",
        "scope": {"resources": ["person"]},
        "histories": [SITE + ".1", {SITE + ".1": [[1, 12345, {"person": 5}]]}, {}],
    }
    status, body, _ = ask(
        served, "POST", "/v1/meet", json.dumps(told).encode(), Content_Type=JSON, Authorization=authorization
    )
    assert status == 200, body
    assert json.loads(body)["histories"] is not None
    assert "12345" not in served.local.ledger.meta("histories")


@pytest.mark.parametrize(("role", "taken"), (("read", False), ("sync", True)))
def test_what_a_caller_proves_to_hold_is_noted_for_who_may_change_the_site(served, place, role, taken):
    other = place("other", PERSON)
    fill(other, 20)
    served.add_user("caller", "a long password", role)
    authorization = "Basic " + b64encode(b"caller:a long password").decode()
    other.local.prepare(Wanted([], ["person"]))
    told = msgspec.msgpack.encode(other.local.greet(served.local.ledger.site, Scope(("person",))))
    kind = {"Content_Type": MSGPACK, "Accept": MSGPACK, "Authorization": authorization}
    status, body, _ = ask(served, "POST", "/v1/meet", told, **kind)
    assert status == 200, body
    said = msgspec.msgpack.decode(body)
    assert bool(said.get("state")) == ("proof" in said) == taken


def test_long_answers_are_compressed_only_for_who_understands_it(served):
    message = msgspec.msgpack.encode({"resource": "person", "columns": ["name"]})
    kind = {"Content_Type": MSGPACK, "Accept": MSGPACK}
    fill(served, 100, 100)
    ask(served, "GET", "/v1/changes")
    _, plain, headers = ask(served, "POST", "/v1/naturals", message, **kind)
    assert "content-encoding" not in headers
    _, packed, headers = ask(served, "POST", "/v1/naturals", message, Accept_Encoding="zstd", **kind)
    assert headers["content-encoding"] == "zstd"
    assert len(packed) < len(plain)


def test_a_stream_that_nobody_reads_on_gives_its_replica_back(served):
    fill(served, 3000, 100)
    for _ in range(20):
        connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=20)
        connection.request("POST", "/v1/changes", encode(ASKED), {"Content-Type": MSGPACK, "Accept": BLOCKS})
        connection.getresponse().read(20)
        connection.close()
    status, body, _ = ask(served, "POST", "/v1/changes", encode(ASKED), Content_Type=MSGPACK, Accept=BLOCKS)
    assert status == 200
    assert split(body)[-1][0] == CLOSING
