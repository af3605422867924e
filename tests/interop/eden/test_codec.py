"""Every recorded body read, written again and compared."""

import json
from pathlib import Path

import pytest

from tallystick.protocols.eden.codec import replies
from tallystick.protocols.eden.codec.elements import Document
from tallystick.protocols.eden.codec.json_format import read_json, write_json
from tallystick.protocols.eden.codec.schema import Kind, read_fields, write_fields
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.codec.xml_writing import document_bytes
from tallystick.protocols.eden.errors import DocumentError

SAMPLES = Path(__file__).parent / "samples"


def _bodies(start):
    for path in sorted(SAMPLES.glob("*/*.re[qs]")):
        body = path.read_bytes().partition(b"\r\n\r\n")[2]
        if body.lstrip().startswith(start):
            yield pytest.param(body, id=path.name)


DOCUMENTS = [one for one in _bodies((b"<?xml", b"<foo")) if b"<fields" not in one.values[0]]
READABLE = [one for one in DOCUMENTS if not one.id.startswith("80-")]
JSON_DOCUMENTS = list(_bodies(b'{"$_'))
REPLIES = [one for one in _bodies(b'{"status"') if b'"sender"' not in one.values[0]]
REGISTRATIONS = list(_bodies((b'{"uuid"', b'{"name"')))
REGISTERED = [one for one in _bodies(b'{"status"') if b'"sender"' in one.values[0]]


def test_there_is_something_to_test():
    assert (len(READABLE), len(JSON_DOCUMENTS), len(REPLIES), len(REGISTRATIONS), len(REGISTERED)) >= (110, 2, 60, 4, 3)


@pytest.mark.parametrize("body", READABLE)
def test_a_recorded_document_survives_reading_and_writing(body):
    document = read_xml(body)
    assert read_xml(document_bytes(document)) == document


@pytest.mark.parametrize("body", [one for one in READABLE if one.id.endswith(".res")])
def test_a_document_of_a_live_site_is_written_again_byte_for_byte(body):
    assert document_bytes(read_xml(body)) == body


@pytest.mark.parametrize("size", (1, 7, 4096))
@pytest.mark.parametrize("body", [one for one in READABLE if one.id.startswith(("16-", "77-", "88-", "87-"))])
def test_a_document_is_read_in_any_pieces(body, size):
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert read_xml(pieces) == read_xml(body)


@pytest.mark.parametrize("body", READABLE)
def test_a_recorded_document_survives_the_way_through_s3json(body):
    document = read_xml(body)
    again = read_json(b"".join(write_json(document.attributes, document.resources)))
    assert _comparable(again) == _comparable(document)


def _comparable(document: Document):
    """Values as JSON means them, and in no order: S3JSON groups records by table and knows no spelling of values."""
    return document.attributes, sorted((_record(one) for one in document.resources), key=repr)


def _record(one):
    data = sorted((each.field, repr(replies.given(each) or ""), each.text or "", each.url) for each in one.data)
    references = sorted((each.field, each.table, each.uuids, each.tuids, each.attributes) for each in one.references)
    return one.name, one.attributes, data, references, sorted((_record(each) for each in one.components), key=repr)


@pytest.mark.parametrize("body", JSON_DOCUMENTS)
def test_a_recorded_s3json_document_is_written_again_as_it_was(body):
    document = read_json(body)
    assert json.loads(b"".join(write_json(document.attributes, document.resources))) == json.loads(body)


@pytest.mark.parametrize("body", [one for one in DOCUMENTS if one.id.startswith("80-")])
def test_the_malformed_document_is_refused_with_the_parsers_message(body):
    with pytest.raises(DocumentError, match="XML Parse error: attributes construct error, line 2, column 41"):
        read_xml(body)


@pytest.mark.parametrize("body", REPLIES)
def test_a_recorded_reply_is_written_again_as_it_was(body):
    reply = replies.read_reply(body)
    recorded = json.loads(body)
    if not reply.success or recorded.get("message", "").endswith("deleted"):
        assert json.loads(replies.failure(reply.status, reply.message)) == recorded or reply.success
        return
    written = json.loads(replies.write_reply(reply))
    _ordered(written)
    _ordered(recorded)
    assert written == recorded


def _ordered(reply):
    """Error trees give a value even where only text was sent; both readings are the same."""
    for records in reply.get("tree", {}).values():
        records.sort(key=lambda record: record["@uuid"])


@pytest.mark.parametrize("body", REGISTRATIONS)
def test_a_recorded_registration_is_written_again_as_it_was(body):
    registration = replies.read_registration(body)
    written = json.loads(replies.write_registration(registration))
    assert {name: value for name, value in written.items() if value is not None} == json.loads(body)


@pytest.mark.parametrize("body", REGISTERED)
def test_a_recorded_answer_to_a_registration_is_written_again_as_it_was(body):
    reply = replies.read_registration_reply(body)
    assert json.loads(replies.write_registration_reply(reply)) == json.loads(body)


def test_http_200_does_not_mean_registered(exchange):
    reply = replies.read_registration_reply(exchange("05-register-no-uuid").response.body)
    assert (reply.success, reply.status) == (False, 400)


def test_the_recorded_field_list_is_written_again_byte_for_byte(exchange):
    body = exchange("154-rest-fields").response.body
    described = read_fields(body)
    assert described.fields["location_id"].kind is Kind.REFERENCE
    assert described.fields["location_id"].target == "gis_location"
    kept = b"\n".join(line for line in body.splitlines() if b"deleted_rb" not in line) + b"\n"
    assert write_fields(described).strip() == kept.strip()
