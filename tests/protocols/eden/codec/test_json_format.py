import json

import pytest

from tallystick.protocols.eden.codec.elements import Data, Limits, Reference, Resource
from tallystick.protocols.eden.codec.json_format import json_value, read_json, resource_object, write_json
from tallystick.protocols.eden.errors import DocumentError, DocumentTooDeep, DocumentTooLarge


def test_what_foreign_programs_write_is_read():
    """Live: 152; plain JSON values, single records and lists of references are taken as well."""
    body = {
        "$_org_organisation": {
            "@uuid": "u",
            "name": "From S3JSON",
            "year": 1999,
            "active": True,
            "settings": {"@value": {"a": [1]}},
            "logo": {"@url": "/x.png", "@filename": "x.png"},
            "$k_parent_id": {"@resource": "org_organisation", "@uuid": "p", "$": "Parent"},
            "$k_places": [{"@resource": "gis_location", "@uuid": "a"}, {"@resource": "gis_location", "@uuid": "b"}],
            "$_org_office": [{"name": "HQ"}],
        }
    }
    (one,) = read_json(json.dumps(body).encode()).resources
    assert one.uuid == "u"
    assert one.data == [
        Data("name", None, "From S3JSON"),
        Data("year", "1999"),
        Data("active", "true"),
        Data("settings", '{"a":[1]}'),
        Data("logo", None, None, "/x.png", "x.png"),
    ]
    assert one.references == [
        Reference("parent_id", "org_organisation", ("p",), text="Parent"),
        Reference("places", "gis_location", ("a", "b"), many=True),
    ]
    assert one.components == [Resource("org_office", {}, [Data("name", None, "HQ")])]


def test_each_table_is_named_once_however_records_come():
    """A name twice in an object would lose the records under the first."""
    mixed = [Resource(name, {"uuid": str(number)}) for number, name in enumerate(["a", "b", "a", "c", "b", "a"])]
    body = b"".join(write_json({"results": "6"}, mixed))
    pairs = json.loads(body, object_pairs_hook=list)
    assert len(dict(pairs)) == len(pairs)
    assert {one.uuid for one in read_json(body).resources} == set("012345")


def test_an_empty_document():
    assert b"".join(write_json({}, [])) == b"{}"
    assert b"".join(write_json({"success": "false"}, [])) == b'{"@success":"false"}'


@pytest.mark.parametrize(
    "body", (b"", b"[]", b"1", b"{", b'{"$_t": [1]}', b'{"$_t": [{"$k_f": 1}]}', b"\xff\xfe{}", b'{"$_t": "x"}')
)
def test_what_is_no_document_is_an_error(body):
    with pytest.raises(DocumentError):
        read_json(body)


@pytest.mark.parametrize(
    "body",
    (
        b'{"$_t": ' * 40 + b"{}" + b"}" * 40,
        b"[" * 100_000,
        b'{"$_t": {"f": {"@value": ' + b"[" * 5000 + b"]" * 5000 + b"}}}",
    ),
)
def test_what_is_nested_too_deep_is_refused(body):
    with pytest.raises(DocumentTooDeep):
        read_json(body)


def test_what_is_too_large_is_refused():
    with pytest.raises(DocumentTooLarge):
        read_json(b"{" + b" " * 1000 + b"}", Limits(document_bytes=100))
    with pytest.raises(DocumentTooLarge):
        read_json(json.dumps({"$_t": [{str(number): "x" for number in range(9)}]}).encode(), Limits(elements=8))


def test_attribute_names_that_no_xml_could_carry_are_dropped():
    (one,) = read_json(b'{"$_t": [{"@uuid": "u", "@a b": "x", "@<": "y"}]}').resources
    assert one.attributes == {"uuid": "u"}


@pytest.mark.parametrize(
    ("raw", "value"),
    (
        ('"IO1"', "IO1"),
        ("47.5", 47.5),
        ("false", False),
        ('["a", "b"]', ["a", "b"]),
        ("2026-01-02", "2026-01-02"),
        ("", ""),
    ),
)
def test_a_raw_value_is_json_where_it_can_be(raw, value):
    assert json_value(raw) == value


def test_a_field_with_nothing_but_text_is_a_plain_string():
    resource = Resource("t", {}, [Data("a", None, "x"), Data("b", "1", "1"), Data("c")])
    assert resource_object(resource) == {"a": "x", "b": {"@value": 1, "$": "1"}, "c": ""}
