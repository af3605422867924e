from __future__ import annotations

import json

import pytest

from tallystick.core.values import Logical
from tallystick.protocols.sdata.codec.diagnoses import Diagnosis, SDataCode
from tallystick.protocols.sdata.codec.digests import DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.codec.entries import Entry, Link
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, Feed, FeedHead
from tallystick.protocols.sdata.codec.json_form import (
    Shape,
    read_digest_object,
    read_entry_json,
    read_feed_json,
    read_json,
    write_diagnoses_json,
    write_digest_json,
    write_entry_json,
    write_feed_json,
    write_tracking_json,
)
from tallystick.protocols.sdata.codec.payloads import Collection, Payload
from tallystick.protocols.sdata.codec.tracking import Tracking
from tallystick.protocols.sdata.errors import MalformedMessage, MessageTooLarge

CRM = "http://crm"
A = "http://a/accounts"
U1 = "3b9f6a52-1c8d-4e07-a5f4-60d2c7e9138b"
U2 = "71c5e8d2-a03f-4c96-9b27-e8d450f1a63b"
TYPES = {"active": Logical.BOOL, "limit": Logical.DECIMAL, "size": Logical.INT64, "rate": Logical.FLOAT64}
SHAPE = Shape("account", CRM, {"addresses": "address"})
ENTRY = Entry(
    title="A",
    updated="2026-03-02T07:41:18Z",
    method="PUT",
    status=200,
    message="OK",
    etag="4f",
    state=SyncState(A, 12, "2026-03-02T07:41:18Z", "ann"),
    payload=Payload(
        "account",
        CRM,
        {
            "name": "A",
            "website": None,
            "active": "true",
            "limit": "12345678901234567890.12",
            "size": "7",
            "rate": "1.5",
            "salesPerson": Payload("salesPerson", uuid=U2),
            "addresses": Collection((Payload("address", fields={"city": "Leiden"}, uuid=U2),), True),
        },
        U1,
        "1",
        "http://a/accounts('1')",
    ),
)


def test_an_entry_has_the_keys_that_later_clients_read() -> None:
    found = json.loads(write_entry_json(ENTRY, TYPES))
    assert found["$key"] == "1"
    assert found["$uuid"] == U1
    assert found["$url"] == "http://a/accounts('1')"
    assert (found["$etag"], found["$httpMethod"], found["$httpStatus"]) == ("4f", "PUT", 200)
    assert (found["active"], found["size"], found["rate"], found["website"]) == (True, 7, 1.5, None)
    assert b"12345678901234567890.12" in write_entry_json(ENTRY, TYPES)
    assert found["salesPerson"] == {"$uuid": U2}
    assert found["addresses"] == {"$resources": [{"$uuid": U2, "city": "Leiden"}], "$deleteMissing": True}


def test_an_entry_survives_the_way_there_and_back() -> None:
    found = read_entry_json(read_json(write_entry_json(ENTRY, {}), 10_000), SHAPE)
    assert found == ENTRY


def test_a_feed_survives_the_way_there_and_back() -> None:
    head = FeedHead(
        id="http://a/self",
        title="",
        links=(Link("next", "http://a/next"),),
        total=9,
        start=1,
        per_page=1,
        mode=CATCH_UP,
        digest=digest_of(A, [DigestEntry(A, 4, "2026-03-02T07:41:18Z", 5)]),
    )
    self_link = FeedHead(
        **{name: getattr(head, name) for name in head.__struct_fields__}
        | {"links": (Link("self", "http://a/self"), *head.links)}
    )
    found = read_feed_json(read_json(write_feed_json(self_link, [ENTRY], {}), 10_000), SHAPE, 10)
    assert found == Feed(head, [ENTRY])


def test_a_deletion_is_read_from_either_key() -> None:
    assert read_entry_json({"$isDeleted": True, "$uuid": U1}, SHAPE).deleted
    assert read_entry_json({"$httpMethod": "delete", "$uuid": U1}, SHAPE).deleted


def test_a_single_object_is_a_feed_of_one() -> None:
    assert len(read_feed_json({"name": "x"}, SHAPE, 10).entries) == 1


def test_plain_lists_are_lists_of_values() -> None:
    payload = read_entry_json({"tags": ["a", 1, True]}, SHAPE).payload
    assert payload is not None
    assert payload.fields["tags"] == Collection(
        (Payload("tags", text="a"), Payload("tags", text="1"), Payload("tags", text="true"))
    )


def test_errors_are_an_array_whose_first_element_tells() -> None:
    found = json.loads(write_diagnoses_json([Diagnosis(code=SDataCode.BAD_WHERE_SYNTAX, message="no")]))
    assert found == [{"severity": "error", "sdataCode": "BadWhereSyntax", "message": "no"}]


def test_a_digest_survives_the_way_there_and_back() -> None:
    digest = digest_of(A, [DigestEntry(A, 4, "2026-03-02T07:41:18Z", 5), DigestEntry("http://b", 2, "", 3)])
    assert read_digest_object(json.loads(write_digest_json(digest, "u", "now"))) == digest


def test_tracking_is_an_object() -> None:
    assert json.loads(write_tracking_json(Tracking(phase="x")))["$tracking"]["phase"] == "x"


@pytest.mark.parametrize("data", (b"[]", b"", b"{", b'"x"', b"\xff{}", b"<feed/>"))
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_json(data, 100)


def test_bounds_hold_for_json_too() -> None:
    with pytest.raises(MessageTooLarge):
        read_json(b"{}" + b" " * 100, 100)
    with pytest.raises(MessageTooLarge):
        read_feed_json({"$resources": [{}] * 11}, SHAPE, 10)
    nested: dict[str, object] = {}
    for _ in range(40):
        nested = {"a": nested}
    with pytest.raises(MessageTooLarge, match="too deep"):
        read_entry_json(nested, SHAPE)


@pytest.mark.parametrize(
    "found",
    (
        {"$resources": {}},
        {"$resources": [1]},
        {"$resources": [], "$syncMode": "now and then"},
        {"$resources": [], "$digest": {"digestEntry": [{}]}},
        {"$resources": [], "$digest": {"digestEntry": 1}},
        {"$resources": [], "$digest": {"digestEntry": [{"endpoint": "x", "tick": -1}]}},
        {"$resources": [{"$syncState": {"tick": 1}}]},
        {"$resources": [{"$syncState": {"endpoint": "x", "tick": "y"}}]},
        {"$resources": [{"$uuid": "42"}]},
    ),
)
def test_an_unusable_feed_is_refused(found: dict[str, object]) -> None:
    with pytest.raises(MalformedMessage):
        read_feed_json(found, SHAPE, 10)


def test_values_that_are_none_of_their_type_stay_text() -> None:
    payload = Payload("a", CRM, {"active": "maybe", "size": "many", "limit": "NaN", "rate": "INF"})
    found = json.loads(write_entry_json(Entry(payload=payload), TYPES))
    assert {name: found[name] for name in TYPES} == payload.fields


def test_values_in_lists_and_references_are_typed_like_those_above_them() -> None:
    fields = {"size": "2", "active": "false", "name": "7", "limit": "0.10"}
    nested = {"lines": Collection((Payload("line", fields=fields),)), "owner": Payload("owner", fields=fields)}
    types = {**TYPES, "lines": TYPES, "owner": TYPES}
    written = write_entry_json(Entry(payload=Payload("a", CRM, nested)), types)
    found = json.loads(written, parse_float=str)
    expected = {"size": 2, "active": False, "name": "7", "limit": "0.10"}
    assert (found["lines"]["$resources"], found["owner"]) == ([expected], expected)
    untyped = json.loads(write_entry_json(Entry(payload=Payload("a", CRM, nested)), {"lines": Logical.INT64}))
    assert untyped["lines"]["$resources"] == [fields], "what no type is known for stays text"


@pytest.mark.parametrize(
    ("number", "text"),
    (
        ("12345678901234567890.12", "12345678901234567890.12"),
        ("0.10", "0.10"),
        ("-1E-7", "-0.0000001"),
        ("1.5e3", "1500"),
        ("1e999999999", "1e999999999"),
        ("1e99999999999999999999999", "1e99999999999999999999999"),
    ),
)
def test_numbers_are_read_to_the_last_digit(number: str, text: str) -> None:
    body = f'{{"limit": {number}, "addresses": [{{"limit": {number}}}]}}'.encode()
    payload = read_entry_json(read_json(body, 10_000), SHAPE).payload
    assert payload is not None
    listed = payload.fields["addresses"]
    assert isinstance(listed, Collection)
    assert (payload.fields["limit"], listed.items[0].fields["limit"]) == (text, text)
