"""Whatever is sent: a 4xx that a program can read, and nothing is changed."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.core.pages import FieldForm, Page
from tallystick.core.policies import DEFAULT_POLICY
from tallystick.core.states import State
from tallystick.core.values import Logical
from tallystick.protocols.native.codec.blocks import CLOSING, MEETING, PAGE, SETTINGS, block
from tallystick.protocols.native.codec.compression import zstd
from tallystick.protocols.native.codec.limits import Limits
from tallystick.protocols.native.codec.lines import line
from tallystick.protocols.native.codec.messages import (
    BLOCKS,
    JSON,
    LINES,
    MSGPACK,
    VERBS,
    Acknowledging,
    SettingsForm,
    encode,
)
from tallystick.site.schema import Definition, Field, Identity, Reference
from tallystick.sync.replica import Closing, Known, Meeting, Scope, Selection, Wanted

LIMITS = Limits(body=200_000, block=150_000, rows=50)
SITE = "f" * 32
SCOPE = Scope(("person",))
FIELDS = [
    FieldForm("age", "int64"),
    FieldForm("name", "text"),
    FieldForm("photo", "bytes"),
    FieldForm("score", "float64"),
]
ROW = ("p9", None, 0, 1, 5, 0, None, 30, "Ann", None, None)
FORM = SettingsForm(SITE, SCOPE, {"": DEFAULT_POLICY})


class Wire:
    """A connection on which anything can be sent to a served place."""

    def __init__(self, place: Any) -> None:
        self.place = place
        place.serve(limits=LIMITS)
        self.host = urlsplit(place.url).netloc

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(self.host, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()

    def refused(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        """Status and code of a refusal, after making sure that it is one and that nothing changed."""
        before = self.place.prints()
        status, answer, got = self.send(method, path, body, **headers)
        form = json.loads(answer)
        assert 400 <= status < 500, answer
        assert got["content-type"] == "application/json"
        assert got["tallystick-protocol"] == "1.2"
        assert {"code", "message", "hint", "retry"} <= form.keys()
        assert not form["retry"]
        assert self.place.prints() == before
        return status, form["code"]

    def verb(self, name: str, message: Any, **headers: str) -> tuple[int, str]:
        body = message if isinstance(message, bytes) else encode(message)
        return self.refused("POST", f"/v1/{name}", body, Content_Type=headers.pop("kind", MSGPACK), **headers)

    def apply(self, *blocks: bytes, **headers: str) -> tuple[int, str]:
        return self.verb("apply", b"".join(blocks), kind=BLOCKS, **headers)


@pytest.fixture(scope="module")
def wire(tmp_path_factory) -> Iterator[Wire]:
    from places import PERSON, Place, fill

    place = Place(tmp_path_factory.mktemp("bad") / "site.db", (PERSON,))
    fill(place, 20)
    from tallystick.sync.replica import Wanted

    place.local.prepare(Wanted([], ["person"]))
    yield Wire(place)
    place.close()


def page(*rows: Any, **change: Any) -> Page:
    return msgspec.structs.replace(Page("person", FIELDS, [SITE + ".1"], list(rows or (ROW,)), ""), **change)


def paged(*rows: Any, **change: Any) -> bytes:
    return block(PAGE, encode(page(*rows, **change)))


SET = block(SETTINGS, encode(FORM))
END = block(CLOSING, encode(Closing("", {}, {})))
STATED = block(MEETING, encode(Meeting(SITE, "", "", "", Scope(()))))

# Addresses, methods, media types


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    (
        ("POST", "/v1/nonsense", 404, "unknown-verb"),
        ("POST", "/v1/", 404, "unknown-verb"),
        ("POST", "/v1/apply/x", 404, "unknown-verb"),
        ("POST", "/v1/../versions", 404, "unknown-verb"),
        ("POST", "/v2/describe", 404, "version"),
        ("GET", "/elsewhere", 404, "not-found"),
        ("GET", "/v1/apply", 405, "method"),
        ("DELETE", "/v1/changes", 405, "method"),
        ("PUT", "/v1/describe", 405, "method"),
        ("POST", "/versions", 405, "method"),
        ("GET", "/v1/describe?" + "x" * 9000, 414, "limit-exceeded"),
    ),
)
def test_an_address_that_is_none_is_refused(wire, method, path, status, code):
    assert wire.refused(method, path) == (status, code)


@pytest.mark.parametrize("kind", ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", LINES))
def test_a_media_type_that_is_not_taken_is_refused(wire, kind):
    assert wire.verb("digest", b"{}", kind=kind) == (415, "media-type")


def test_an_answer_that_is_not_offered_is_refused(wire):
    assert wire.refused("GET", "/v1/describe", Accept="text/html") == (406, "not-acceptable")
    assert wire.verb("changes", encode(Selection(SCOPE, Known("", {}, {}))), Accept=MSGPACK) == (406, "not-acceptable")


def test_a_coding_that_is_not_understood_is_refused(wire):
    assert wire.verb("digest", b"{}", Content_Encoding="gzip") == (415, "media-type")


# Messages


@pytest.mark.parametrize("name", sorted(VERBS.keys() - {"describe", "apply", "conclude"}))
@pytest.mark.parametrize("body", (b"", b"\xc1", b"\x91" * 90_000, b"\x80", b"\x93\1\2\3", bytes(1000)))
def test_a_body_that_is_no_message_is_refused(wire, name, body):
    assert wire.verb(name, body) == (400, "malformed")


@pytest.mark.parametrize("name", sorted(VERBS.keys() - {"describe", "apply", "conclude"}))
@pytest.mark.parametrize("body", (b"", b"{", b"[" * 90_000, b"5", b'{"resource": 5, "source": [], "scope": {}}'))
def test_a_body_that_is_no_json_message_is_refused(wire, name, body):
    assert wire.verb(name, body, kind=JSON) == (400, "malformed")


@pytest.mark.parametrize(
    ("name", "message"),
    (
        ("digest", {"source": SITE, "scope": {"resources": ["persons"]}}),
        ("ranges", {"resource": "persons", "stated": []}),
        ("older", {"resource": "persons", "keys": []}),
        ("unreferred", {"keys": {"persons": []}}),
        ("naturals", {"resource": "persons", "columns": ["name"]}),
        ("rekey", {"resource": "persons", "keys": {}}),
        ("check", {"resources": ["persons"]}),
        ("heal", {"resources": ["persons"]}),
        ("announce", Selection(Scope(("persons",)), Known("", {}, {}))),
        ("changes", Selection(Scope(("persons",)), Known("", {}, {}))),
        ("meet", Meeting(SITE, "", "", "", Scope(("persons",)))),
        ("acknowledge", Acknowledging(Closing("", {}, {}), SettingsForm(SITE, Scope(("persons",)), {}))),
        ("older", {"resource": '"; DROP TABLE person; --', "keys": ["x"]}),
    ),
)
def test_a_resource_that_is_not_here_is_refused(wire, name, message):
    assert wire.verb(name, message) == (404, "unknown-resource")


def test_a_resource_asked_for_by_get_that_is_not_here_is_refused(wire):
    assert wire.refused("GET", "/v1/changes?resource=persons") == (404, "unknown-resource")
    assert wire.refused("GET", "/v1/changes?resource=") == (400, "malformed")
    assert wire.refused("GET", "/v1/changes?table=person") == (400, "malformed")
    assert wire.refused("GET", "/v1/changes?" + "&".join("a" * 1001)) == (400, "malformed")


@pytest.mark.parametrize(
    ("state", "status", "code"),
    (
        ("nonsense", 400, "state-invalid"),
        ("t1." + "A" * 100, 400, "state-invalid"),
        (State(SITE, 1, "0" * 16, 5).text(), 409, "state-scope"),
        ("x" * 5000, 413, "limit-exceeded"),
    ),
)
def test_a_state_that_cannot_be_continued_from_is_refused(wire, state, status, code):
    for name in ("announce", "changes"):
        assert wire.verb(name, Selection(SCOPE, Known(state, {}, {}))) == (status, code)


def test_a_state_from_the_future_is_refused(wire):
    ledger = wire.place.local.ledger
    from tallystick.core.states import scope_of

    ahead = State(ledger.site, ledger.incarnation, scope_of(("person",)), 1 << 40).text()
    assert wire.verb("changes", Selection(SCOPE, Known(ahead, {}, {}))) == (409, "state-future")


@pytest.mark.parametrize("text", ("name eq", "(" * 500, "no_such_field eq 1", "name eq '" + "x" * 20_000 + "'"))
def test_a_filter_that_does_not_fit_is_refused(wire, text):
    selection = Selection(Scope(("person",), (("person", text),)), Known("", {}, {}))
    status, code = wire.verb("changes", selection)
    assert (status, code.partition("-")[0]) == (400, "filter")


# Pages


@pytest.mark.parametrize(
    "blocks",
    (
        (),
        (SET,),
        (paged(),),
        (paged(), SET),
        (SET, paged(), paged()),
        (SET, block(CLOSING, encode(Closing("", {}, {})))),
        (SET, paged()[:-1]),
        (SET, paged() + b"P"),
        (SET, b"X" + paged()[1:]),
        (block(SETTINGS, b"\xc1"), paged()),
        (SET, block(PAGE, b"\xc1")),
        (SET, block(PAGE, b"\x91" * 100_000)),
        (SET, paged(resource="")),
        (SET, paged(resource="visit")),
        (SET, paged((5, *ROW[1:]))),
        (SET, paged(ROW, ROW)),
        (SET, paged(ROW[:9])),
        (SET, paged((*ROW, "more"))),
        (SET, paged((*ROW[:5], 64, *ROW[6:]))),
        (SET, paged((*ROW[:5], 4, b"\x90"))),
        (SET, paged((*ROW[:6], b"\xc1", *ROW[7:]))),
        (SET, paged((*ROW[:3], -1, *ROW[4:]))),
        (SET, paged((*ROW[:7], [[1]], *ROW[8:]))),
        (SET, paged((*ROW[:7], 1 << 63, *ROW[8:]))),
        (SET, paged(fields=FIELDS[::-1])),
        (block(SETTINGS, encode(msgspec.structs.replace(FORM, source="nobody"))), paged()),
    ),
    ids=range(26),
)
def test_a_page_that_cannot_be_is_refused(wire, blocks):
    status, code = wire.apply(*blocks)
    assert (status, code) == (400, "malformed")


@pytest.mark.parametrize("state", ("nonsense", State("e" * 32, 1, "0" * 16, 5).text()))
def test_a_page_with_a_state_that_is_not_its_sites_is_refused(wire, state):
    assert wire.apply(SET, paged(state=state)) == (400, "state-invalid")


def test_a_page_of_an_unknown_resource_is_refused(wire):
    form = block(SETTINGS, encode(SettingsForm(SITE, Scope(("visit",)), {})))
    assert wire.apply(form, paged(resource="visit")) == (404, "unknown-resource")


def test_an_integer_that_no_policy_is_is_refused(wire):
    raw = msgspec.msgpack.decode(encode(FORM))
    raw["policies"] = {"": {"strategy": ["explode"]}}
    assert wire.apply(block(SETTINGS, encode(raw)), paged()) == (400, "malformed")


@pytest.mark.parametrize("body", (b"", b"{}\n", b'{"settings": 5}', b'{"page": {}}', b"\xff", b"[" * 50_000))
def test_lines_that_are_no_page_are_refused(wire, body):
    assert wire.verb("apply", body, kind=LINES) == (400, "malformed")


# Sizes


def test_a_bomb_is_refused_before_it_goes_off(wire):
    frame = zstd.compress(bytes(50_000_000), 19)
    assert len(frame) < 10_000
    head = b"P\1\0\0" + len(frame).to_bytes(4, "big")
    for stated in (50_000_000, 100_000, 10):
        status, code = wire.apply(SET, head + stated.to_bytes(4, "big") + frame)
        assert (status, code) in ((413, "limit-exceeded"), (400, "malformed"))
    assert wire.verb("digest", frame, Content_Encoding="zstd") == (413, "limit-exceeded")
    mild = zstd.compress(bytes(190_000), 19)
    assert wire.verb("digest", mild, Content_Encoding="zstd") == (413, "limit-exceeded")


def test_what_is_too_large_is_refused(wire):
    assert wire.verb("digest", bytes(200_001)) == (413, "limit-exceeded")
    many = [(f"q{n}", *ROW[1:]) for n in range(51)]
    assert wire.apply(SET, paged(*many)) == (413, "limit-exceeded")
    large = b"P\0\0\0" + (150_001).to_bytes(4, "big") * 2
    assert wire.apply(SET, large) == (413, "limit-exceeded")


def test_a_body_of_unknown_length_is_bounded_too(wire):
    before = wire.place.prints()
    with socket.create_connection((wire.host.split(":")[0], int(wire.host.split(":")[1])), 20) as connection:
        head = f"POST /v1/digest HTTP/1.1\r\nHost: {wire.host}\r\nContent-Type: {MSGPACK}\r\n"
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(b"8000\r\n" + bytes(0x8000) + b"\r\n")
        answer = b""
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                answer += piece
    assert not answer or answer.startswith(b"HTTP/1.1 413")
    assert wire.place.prints() == before


@pytest.mark.parametrize(
    "head",
    (
        b"GET /v1/describe HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(80)) + b"\r\n",
        b"GET /v1/describe HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /v1/describe HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 45_000,
        b"GET /" + b"x" * 45_000,
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        bytes(range(256)),
    ),
    ids=("many headers", "long headers", "endless header", "endless address", "nonsense", "version", "bytes"),
)
def test_a_head_that_cannot_be_is_refused(wire, head):
    host, port = wire.host.split(":")
    answer = b""
    with socket.create_connection((host, int(port)), 20) as connection, suppress(ConnectionError):
        connection.sendall(head)
        while piece := connection.recv(65536):
            answer += piece
    status, _, body = answer.partition(b"\r\n\r\n")
    assert status.split()[1] in (b"400", b"414", b"431")
    assert json.loads(body)["code"] in ("malformed", "limit-exceeded")


# What must not be made here


@pytest.mark.parametrize(
    "definition",
    (
        {"name": 'x"; DROP TABLE person; --', "key_fields": ()},
        {"name": "tally_user"},
        {"name": "sqlite_master"},
        {"unique": (("nobody",),)},
        {"fields": (Field("x", "x", Logical.TEXT, detail="1); DROP TABLE person; --"),)},
        {"references": (Reference(("x",), "tally_meta", ("name",)),)},
    ),
    ids=str,
)
def test_a_table_that_no_peer_may_ask_for_is_refused(wire, definition):
    given_ = {
        "name": "new",
        "wire": "new",
        "identity": Identity.NATURAL,
        "key_fields": (Field("x", "x", Logical.TEXT),),
    }
    before = wire.place.rows("SELECT sql FROM sqlite_master ORDER BY name")
    assert wire.verb("prepare", Wanted([Definition(**{**given_, **definition})]))[0] == 400
    assert wire.place.rows("SELECT sql FROM sqlite_master ORDER BY name") == before


def test_names_are_never_sql(wire):
    """Names that look like SQL are names: the table is made with them, and nothing else happens."""
    name = 'a"; DROP TABLE person; --'
    definition = Definition(name, name, Identity.NATURAL, (), (Field("k'\"", "k", Logical.TEXT),))
    status, _, _ = wire.send("POST", "/v1/prepare", encode(Wanted([definition])), Content_Type=MSGPACK)
    assert status == 200
    assert wire.place.rows("SELECT count(*) FROM person") == [(20,)]
    assert wire.place.rows("SELECT count(*) FROM sqlite_master WHERE name=" + "'" + name + "'") == [(1,)]


def test_a_table_to_track_that_is_not_there_is_refused(wire):
    assert wire.verb("prepare", Wanted([], ["nowhere"])) == (422, "schema")
    assert wire.verb("prepare", Wanted([], ["tally_user"])) == (400, "malformed")


# The end of a pass


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    (
        ((), 400, "malformed"),
        ((SET, END), 400, "malformed"),
        ((SET, STATED, END), 400, "malformed"),
        ((SET, END, STATED, paged(), paged()), 400, "malformed"),
        ((SET, END, STATED, END), 400, "malformed"),
        ((SET, END, block(MEETING, encode([1]))), 400, "malformed"),
        ((SET, END, block(MEETING, encode(Meeting("s" * 5000, "", "", "", Scope(()))))), 413, "limit-exceeded"),
        ((SET, block(CLOSING, encode(Closing("x", {}, {}))), STATED), 400, "state-invalid"),
        ((SET, block(CLOSING, encode(Closing("", {"other": {}}, {}))), STATED), 400, "malformed"),
        ((SET, END, STATED, paged(resource="other")), 400, "malformed"),
        ((SET, END, STATED, paged(state=State("e" * 32, 1, "0" * 16, 5).text())), 400, "state-invalid"),
    ),
)
def test_an_end_of_a_pass_that_cannot_be_is_refused(wire, parts, status, code):
    assert wire.verb("conclude", b"".join(parts), kind=BLOCKS) == (status, code)


def test_an_end_of_a_pass_in_lines_is_taken_and_refused_alike(wire):
    said = [
        line("settings", FORM),
        line("closing", Closing("", {}, {})),
        line("meeting", Meeting(SITE, "", "", "", SCOPE)),
    ]
    status, answer, _ = wire.send("POST", "/v1/conclude", b"".join(said), Content_Type=LINES, Accept=JSON)
    assert status == 200
    assert json.loads(answer)["meeting"]["site"] == wire.place.local.ledger.site
    assert wire.verb("conclude", b"".join(said[::-1]), kind=LINES) == (400, "malformed")


def test_an_end_of_a_pass_in_messages_is_refused(wire):
    assert wire.verb("conclude", b"{}") == (415, "media-type")


def test_a_state_of_another_site_that_is_to_be_taken_is_refused(wire):
    state = State("e" * 32, 1, "0" * 16, 5).text()
    assert wire.verb("meet", Meeting(SITE, "", "", "", SCOPE, settled=state)) == (400, "state-invalid")


# Anything at all


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(VERBS.keys() - {"describe"})), st.binary(max_size=60), st.integers(0, 400), st.booleans())
def test_a_damaged_request_changes_nothing(wire, name, noise, at, cut):
    samples = {
        "apply": SET + paged(),
        "conclude": SET + END + STATED + paged(),
        "changes": encode(Selection(SCOPE, Known("", {}, {}))),
        "acknowledge": encode(Acknowledging(Closing("", {"person": {"x": 1}}, {}), FORM)),
    }
    sample = samples.get(name, encode({"resource": "person", "source": SITE, "scope": {"resources": ["person"]}}))
    body = sample[:at] + noise + (b"" if cut else sample[at + len(noise) :])
    before = wire.place.contents()
    status, answer, _ = wire.send(
        "POST", f"/v1/{name}", body, Content_Type=BLOCKS if name in ("apply", "conclude") else MSGPACK, Accept="*/*"
    )
    assert status < 500, answer
    if status >= 400:
        assert json.loads(answer)["code"]
        assert wire.place.contents() == before
