from __future__ import annotations

import pytest

from tallystick.protocols.sdata.codec.diagnoses import Diagnosis, Severity
from tallystick.protocols.sdata.codec.digests import SyncState
from tallystick.protocols.sdata.codec.documents import DEFAULT_LIMITS
from tallystick.protocols.sdata.codec.entries import NAMESPACES, Entry, Link, read_entry_message, write_entry_message
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.errors import MalformedMessage

U1 = "3b9f6a52-1c8d-4e07-a5f4-60d2c7e9138b"


def read(inner: str) -> Entry:
    return read_entry_message(f"<entry {NAMESPACES}>{inner}</entry>".encode(), DEFAULT_LIMITS)


FULL = Entry(
    id="http://x/accounts('1')",
    title="A & B",
    updated="2026-03-02T07:41:18Z",
    method="PUT",
    status=409,
    message="Conflict",
    location="http://x/accounts('1')",
    etag='"4f"',
    if_match="4e",
    state=SyncState("http://x/accounts", 12, "2026-03-02T07:41:18Z", "ann"),
    diagnoses=(Diagnosis(Severity.WARNING, message="lost"), Diagnosis(message="twice")),
    payload=Payload("account", "http://crm", {"name": "A & B"}, U1, "1"),
    links=(Link("self", "http://x/accounts('1')", "application/atom+xml; type=entry"),),
    extension=b"\x00\xffknowledge",
)


def test_everything_in_an_entry_survives_the_way_there_and_back() -> None:
    assert read_entry_message(write_entry_message(FULL), DEFAULT_LIMITS) == FULL


def test_an_empty_entry_is_an_entry() -> None:
    assert read("") == Entry()
    assert read("<id/><title/><content/>") == Entry()


@pytest.mark.parametrize(
    "inner",
    (
        f'<sdata:payload><account xmlns="c" sdata:uuid="{U1}" sdata:isDeleted="true"/></sdata:payload>',
        f'<sdata:payload><account xmlns="c" sdata:uuid="{U1}" sync:isDeleted="true"/></sdata:payload>',
        f'<sync:isDeleted>true</sync:isDeleted><sdata:payload><account xmlns="c" sdata:uuid="{U1}"/></sdata:payload>',
        f'<sdata:payload><sync:uuid>{U1}</sync:uuid><sync:isDeleted/><account xmlns="c"/></sdata:payload>',
        f'<sdata:payload><account xmlns="c"><sync:uuid>{U1}</sync:uuid><sync:isDeleted/></account></sdata:payload>',
        f'<http:httpMethod>DELETE</http:httpMethod><sdata:payload><a xmlns="c" sdata:uuid="{U1}"/></sdata:payload>',
        f'<http:httpMethod> delete </http:httpMethod><sdata:payload sdata:uuid="{U1}"/>',
        f"<sync:uuid>{U1}</sync:uuid><sync:isDeleted>true</sync:isDeleted>",
    ),
)
def test_deletions_are_read_in_every_historical_form(inner: str) -> None:
    entry = read(inner)
    assert entry.deleted
    assert entry.uuid == U1


@pytest.mark.parametrize("method", ("PUT", "POST", "put"))
def test_put_and_post_are_hints_that_decide_nothing(method: str) -> None:
    entry = read(
        f'<http:httpMethod>{method}</http:httpMethod><sdata:payload><a xmlns="c" sdata:uuid="{U1}"/></sdata:payload>'
    )
    assert not entry.deleted


def test_the_uuid_may_stand_on_the_payload_itself() -> None:
    entry = read(f'<sdata:payload sdata:uuid="{U1}"><account xmlns="c"><name>x</name></account></sdata:payload>')
    assert entry.payload == Payload("account", "c", {"name": "x"}, U1)


def test_the_resource_keeps_its_own_uuid_over_that_of_the_payload() -> None:
    other = U1.replace("3b", "4c")
    entry = read(f'<sdata:payload sdata:uuid="{other}"><account xmlns="c" sdata:uuid="{U1}"/></sdata:payload>')
    assert entry.uuid == U1


@pytest.mark.parametrize(
    ("inner", "match"),
    (
        ('<sdata:payload><a xmlns="c"/><b xmlns="c"/></sdata:payload>', "more than one"),
        ("<http:httpStatus>OK</http:httpStatus>", "no HTTP status"),
        ("<http:httpStatus>99</http:httpStatus>", "no HTTP status"),
        ('<t:record xmlns:t="urn:tallystick:sync:1">!!!</t:record>', "base64"),
    ),
)
def test_an_unreadable_entry_says_why(inner: str, match: str) -> None:
    with pytest.raises(MalformedMessage, match=match):
        read(inner)


def test_elements_that_nobody_knows_are_passed_over() -> None:
    assert read('<x:y xmlns:x="urn:x"><x:z/></x:y><rights/><summary>s</summary><published/>') == Entry()


def test_etags_are_read_quoted_and_unquoted() -> None:
    assert read('<http:etag>"a"</http:etag>').etag == '"a"'
    assert read("<http:etag>a</http:etag>").etag == "a"
