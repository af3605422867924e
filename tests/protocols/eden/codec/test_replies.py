import json

import pytest

from tallystick.protocols.eden.codec.elements import Data, Reference, Resource
from tallystick.protocols.eden.codec.replies import (
    PushReply,
    failure,
    issues_of,
    message_of,
    read_registration,
    read_registration_reply,
    read_reply,
    write_reply,
)
from tallystick.protocols.eden.errors import DocumentError, UnreadableReply

BAD = Resource(
    "t",
    {"uuid": "u"},
    [Data("year", "1492", None, error="year: too old"), Data("name", None, "x")],
    [Reference("owner", "o", ("a",), error="owner: not here")],
    [Resource("c", {"uuid": "v"}, [Data("n", '"z"', error="n: no")], error="Validation error")],
    error="Validation error",
)


def test_a_rejected_record_comes_back_with_its_reasons_and_components():
    again = read_reply(write_reply(PushReply(records=2, created=[3], rejected=[BAD])))
    assert (again.records, again.created, again.rejected_uuids) == (2, [3], ("u",))
    assert again.message == "Validation error - invalid items ignored"
    assert again.issues == [
        "(UID: u) t.year=1492: year: too old",
        "(UID: u) t.owner=a: owner: not here",
        "(UID: v) c.n=z: n: no",
    ]


def test_a_record_error_without_a_field_is_an_issue_too():
    assert issues_of(Resource("t", {"uuid": "u"}, error="Operation not permitted")) == [
        "(UID: u) t: Operation not permitted"
    ]


def test_empty_lists_are_left_out():
    assert json.loads(write_reply(PushReply(records=0))) == {"status": "success", "statuscode": "200", "records": 0}


def test_records_left_alone_are_reported_apart():
    members = json.loads(write_reply(PushReply(records=3, unchanged=[1], skipped=[2], conflicts=[3])))
    assert {name: members[name] for name in ("unchanged", "skipped", "conflicts")} == {
        "unchanged": [1],
        "skipped": [2],
        "conflicts": [3],
    }
    assert "updated" not in members


@pytest.mark.parametrize("body", (b"", b"<html>moved</html>", b"[]", b"null", b"\xff", b"[" * 10_000))
def test_a_reply_that_is_none_says_so(body):
    for read in (read_reply, read_registration_reply):
        with pytest.raises(UnreadableReply):
            read(body)


@pytest.mark.parametrize(
    "body",
    (b'{"status": "success", "statuscode": {}, "records": "x", "updated": "y", "tree": []}', b'{"status": "success"}'),
)
def test_odd_members_of_a_reply_are_passed_over(body):
    reply = read_reply(body)
    assert (reply.success, reply.records, reply.updated, reply.rejected) == (True, 0, [], [])


def test_a_tree_that_cannot_be_read_is_no_success():
    with pytest.raises(UnreadableReply, match="error tree"):
        read_reply(b'{"status": "success", "tree": {"$_t": [1]}}')


@pytest.mark.parametrize(
    ("body", "message"),
    (
        (failure(403, "Registration required"), "Registration required"),
        (failure(400), None),
        (b"<html>Error</html>", None),
        (b'["x"]', None),
        (b'{"message": 1}', None),
    ),
)
def test_a_message_is_read_only_where_it_is_one(body, message):
    assert message_of(body) == message


@pytest.mark.parametrize("body", (b"nope", b"[]", b"", b"[" * 100_000))
def test_a_registration_that_is_none_is_an_error(body):
    with pytest.raises(DocumentError, match="Invalid parameters"):
        read_registration(body)


@pytest.mark.parametrize("uuid", (None, "", "  ", 7, []))
def test_a_registration_without_an_identifier_has_none(uuid):
    assert read_registration(json.dumps({"uuid": uuid, "name": "x"}).encode()).uuid is None
