"""The passive side: what it answers, and what it refuses."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from tallystick.protocols.eden.codec.schema import read_create, read_fields
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.provider import Account, body_of
from tallystick.protocols.eden.requests import Request, documents_in
from tallystick.protocols.eden.store import Repository, Result, Stored, Target

ORG, OFFICE, PLACE = "org_organisation", "org_office", "gis_location"
A, B = "urn:uuid:a", "urn:uuid:b"
ONE = f'<s3xml><resource name="{ORG}" uuid="{A}"><data field="name">One</data></resource></s3xml>'.encode()
PUSH = f"resource={ORG}&repository=PEER"


@pytest.fixture
def ask(here):
    here.store.save_repository(Repository("PEER", "peer"))

    def ask(method, path, query="", body=b"", user="sync", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = here.provider.answer(Request(method, path, query, named, body, user, "secret"))
        content = body_of(response)
        return response.status, (json.loads(content) if content[:1] == b"{" else content), response

    return ask


# Who may do what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    (
        "sync/sync.xml",
        "org/organisation/sync.xml",
        "org/organisation.xml",
        "sync/task.xml",
        "default/download/x.zip",
        "x",
    ),
)
@pytest.mark.parametrize(("user", "password"), ((None, None), ("sync", "wrong"), ("nobody", "secret"), ("", "")))
def test_nothing_is_served_without_credentials(here, path, user, password):
    response = here.provider.answer(Request("GET", path, user=user, password=password))
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == 'Basic realm="eden"'


@pytest.mark.parametrize(
    ("method", "path", "status"),
    (
        ("GET", "sync/sync.xml", 403),
        ("POST", "sync/sync.xml", 403),
        ("POST", "sync/repository/register.json", 403),
        ("GET", "org/organisation/sync.xml", 200),
        ("POST", "org/organisation/sync.xml", 403),
        ("POST", "org/organisation.xml", 403),
        ("POST", "sync/repository.xml", 403),
        ("GET", "org/organisation.xml", 200),
        ("GET", "org/organisation/fields.xml", 200),
    ),
)
def test_an_ordinary_account_reads_tables_and_nothing_else(ask, method, path, status):
    assert ask(method, path, PUSH, ONE, user="reader")[0] == status


def test_an_account_that_may_read_nothing_gets_nothing(here, ask):
    here.provider.authenticate = lambda _user, _password: Account("stranger")
    for path in ("org/organisation/sync.xml", "org/organisation.xml", "org/organisation/create.xml"):
        assert ask("GET", path)[0] == 403


@pytest.mark.parametrize("path", ("auth/user.xml", "auth/user/sync.xml", "auth/user/fields.xml"))
def test_accounts_are_never_served(ask, here, path):
    here.store.put(Stored("auth_user", "urn:uuid:u", 0, {"email": "x@y", "password": "hash"}))
    assert ask("GET", path)[0] == 404
    assert ask("GET", "sync/sync.xml", "resource=auth_user")[0] == 400


def test_peers_and_their_passwords_are_never_served(ask):
    assert ask("GET", "sync/repository.xml")[0] == 403


def test_protected_tables_take_no_imports(ask):
    body = b'<s3xml><resource name="admin_setting"><data field="name">x</data></resource></s3xml>'
    assert ask("POST", "admin/setting.xml", "", body)[0] == 403
    assert ask("POST", "sync/sync.xml", "resource=admin_setting&repository=PEER", body)[0] == 403


@pytest.mark.parametrize("method", ("DELETE", "PATCH", "OPTIONS", "TRACE"))
@pytest.mark.parametrize(
    "path", ("sync/sync.xml", "org/organisation/sync.xml", "org/organisation.xml", "sync/repository.xml")
)
def test_delete_is_never_offered(here, ask, method, path):
    here.put(A, "One")
    status, body, response = ask(method, path, PUSH)
    assert (status, body["statuscode"], response.headers["Allow"]) == (405, "405", "GET, POST, PUT")
    assert here.names() == {"One"}


# Hostile bodies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    (
        (b'<!DOCTYPE s3xml [<!ENTITY x SYSTEM "file:///etc/passwd">]><s3xml/>', 400),
        (b"<s3xml>" + b"<x>" * 300 + b"</x>" * 300 + b"</s3xml>", 413),
        (b"<s3xml><resource", 400),
        (b"", 400),
        (b'{"$_t": ' * 3000, 413),
    ),
)
def test_hostile_documents_are_refused_with_a_message(ask, body, status):
    found, reply, _ = ask("POST", "sync/sync.xml", PUSH, body)
    assert found == status
    assert (reply["status"], reply["statuscode"]) == ("failed", str(status))
    assert reply["message"]


def test_a_document_larger_than_the_limit_is_refused(here, ask):
    here.provider.limits = here.provider.limits._replace(document_bytes=50)
    assert ask("POST", "sync/sync.xml", PUSH, ONE)[0] == 413


def test_no_url_in_the_data_is_fetched(ask, here):
    body = ONE.replace(b"</resource>", b'<data field="logo" url="http://127.0.0.1:1/x" filename="x"/></resource>')
    assert ask("POST", "sync/sync.xml", PUSH, body)[1]["created"] == [1]
    assert here.get(A).values["logo"].url == "http://127.0.0.1:1/x"


# Requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type", ("text/xml", "application/x-www-form-urlencoded", "", "application/octet-stream")
)
@pytest.mark.parametrize("method", ("POST", "PUT"))
def test_a_push_is_taken_whatever_its_content_type(ask, method, content_type):
    status, reply, response = ask(method, "sync/sync.xml", PUSH, ONE, content_type=content_type)
    assert (status, reply["created"], response.content_type) == (200, [1], "text/html")


@pytest.mark.parametrize(
    ("query", "body", "status", "message"),
    (
        ("msince=2026-11-20", b"", 400, "is no time in the form"),
        ("start=x", b"", 400, "start=x is no number"),
        (f"resource={ORG}&repository=NOBODY", ONE, 403, "Registration required"),
        (f"resource={ORG}", ONE, 403, "Registration required"),
        ("resource=mixed&repository=PEER", ONE, 200, "Mixed resource synchronization not supported"),
        ("resource=foo_bar", b"", 400, "No such resource: foo_bar"),
    ),
)
def test_what_cannot_be_done_is_said(ask, query, body, status, message):
    query = query if "resource" in query else f"resource={ORG}&{query}"
    found, reply, _ = ask("POST" if body else "GET", "sync/sync.xml", query, body)
    assert (found, reply["status"]) == (status, "failed")
    assert message in reply["message"]


def test_a_peer_that_was_removed_must_register_again(here, ask):
    here.store.save_repository(replace(here.store.repository("PEER"), deleted=True))
    assert ask("POST", "sync/sync.xml", PUSH, ONE)[0] == 403
    body = b'{"uuid": "PEER", "name": "peer", "apitype": "eden"}'
    assert ask("POST", "sync/repository/register.json", "", body)[1]["status"] == "success"
    assert ask("POST", "sync/sync.xml", PUSH, ONE)[0] == 200


def test_registration_in_the_classic_form(here, ask):
    status, reply, _ = ask("GET", "sync/repository/register.xml", "repository=OLD&name=old.example.org")
    assert (status, reply["status"], reply["sender"]) == (200, "success", here.store.identity().uuid)
    assert here.store.repository("OLD").name == "old.example.org"


def test_nobody_takes_over_the_identifier_of_another_account(here, ask):
    body = b'{"uuid": "MINE", "name": "mine"}'
    assert ask("POST", "sync/repository/register.json", "", body)[1]["status"] == "success"
    here.provider.authenticate = lambda user, _password: Account(user, administrator=True)
    status, reply, _ = ask("POST", "sync/repository/register.json", "", body, user="thief")
    assert (status, reply["status"]) == (403, "failed")
    assert here.store.repository("MINE").registered_by == "sync"


@pytest.mark.parametrize(
    "path", ("nowhere", "a/b/c/d.xml", "org/organisation.pdf", "foo/bar.xml", "foo/bar/sync.xml", "")
)
def test_what_is_not_here_is_not_found(ask, path):
    assert ask("GET", path)[0] == 404


def test_pushes_and_pulls_are_logged(here, ask):
    ask("POST", "sync/sync.xml", PUSH, ONE)
    ask("GET", "sync/sync.xml", PUSH)
    kinds = [(entry.mode, entry.direction, entry.result, entry.repository) for entry in here.store.entries]
    assert kinds == [("push", "incoming", Result.SUCCESS, "PEER"), ("pull", "incoming", Result.SUCCESS, "PEER")]
    assert here.store.repository("PEER").last_connected == here.now


# Exports ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def office(here):
    here.put("urn:uuid:p", "Place", PLACE)
    here.put(A, "One")
    here.put("urn:uuid:o", "HQ", OFFICE, organisation_id=Target(ORG, A), location_id=Target(PLACE, "urn:uuid:p"))


def test_an_export_holds_components_and_dependencies(ask, office):
    document = read_xml(ask("GET", "sync/sync.xml", PUSH)[1])
    assert document.attributes == {"success": "true", "results": "1", "domain": "here", "url": "http://here/eden"}
    one, place = document.resources
    assert (one.uuid, place.uuid) == (A, "urn:uuid:p")
    assert [child.uuid for child in one.components] == ["urn:uuid:o"]
    assert one.components[0].references[0].text == "Place"
    assert all(reference.field != "organisation_id" for reference in one.components[0].references)


@pytest.mark.parametrize(
    ("path", "query", "components"),
    (
        ("sync/sync.xml", PUSH + "&mcomponents=None", 1),
        ("org/organisation/sync.xml", "components=None", 0),
        ("org/organisation.xml", "mcomponents=None", 0),
        ("org/organisation.xml", "mcomponents=office", 1),
        ("org/organisation.xml", "mcomponents=logo", 0),
    ),
)
def test_components_can_be_left_out(ask, office, path, query, components):
    (one, *_) = read_xml(ask("GET", path, query)[1]).resources
    assert len(one.components) == components


def test_the_same_in_s3json(ask, office):
    status, members, response = ask("GET", "org/organisation.s3json", "show_ids=true")
    assert (status, response.content_type) == (200, "application/json")
    assert members["@results"] == "1"
    assert members["$_org_organisation"][0]["@id"] == "1"


def test_deletion_stubs_are_in_sync_answers_and_elsewhere_on_request(here, ask):
    here.put(A, "One")
    here.remove(A)
    (stub,) = read_xml(ask("GET", "sync/sync.xml", PUSH)[1]).resources
    assert (stub.deleted, stub.attributes["mci"], stub.data) == (True, "1", [])
    assert read_xml(ask("GET", "org/organisation/sync.xml")[1]).resources == []
    assert len(read_xml(ask("GET", "org/organisation/sync.xml", "include_deleted=True")[1]).resources) == 1
    assert len(read_xml(ask("GET", "org/organisation.xml", "include_deleted=True")[1]).resources) == 1


def test_pages_of_a_table(here, ask):
    for number in range(5):
        here.put(f"urn:uuid:{number}", str(number))
    document = read_xml(ask("GET", "org/organisation/sync.xml", "start=2&limit=2")[1])
    assert [one.uuid for one in document.resources] == ["urn:uuid:2", "urn:uuid:3"]
    assert (document.attributes["start"], document.attributes["limit"], document.attributes["results"]) == (
        "2",
        "2",
        "2",
    )


def test_a_dependency_of_the_same_table_is_exported_once(here, ask):
    here.put(A, "Parent")
    here.now += timedelta(hours=1)
    here.put(B, "Child", parent_id=Target(ORG, A))
    document = read_xml(ask("GET", "sync/sync.xml", PUSH + "&msince=2026-11-20T08:30:00")[1])
    assert [one.uuid for one in document.resources] == [B, A]
    assert document.attributes["results"] == "1"
    assert len(read_xml(ask("GET", "sync/sync.xml", PUSH)[1]).resources) == 2


def test_references_are_followed_ten_steps(here, ask):
    for number in range(20):
        here.put(f"urn:uuid:{number}", str(number), parent_id=Target(ORG, f"urn:uuid:{number + 1}"))
    query = PUSH + "&[~]~.name=0"
    assert len(read_xml(ask("GET", "sync/sync.xml", query)[1]).resources) == 1 + 10


def test_filters_on_components_leave_masters_alone(ask, office):
    (one, *rest) = read_xml(ask("GET", "sync/sync.xml", PUSH + "&[org_office]office.name__like=nomatch")[1]).resources
    assert (one.uuid, one.components, rest) == (A, [], [])


def test_a_filter_may_follow_a_reference(here, ask):
    here.put(A, "Parent")
    here.put(B, "Child", parent_id=Target(ORG, A))
    found = read_xml(ask("GET", "sync/sync.xml", PUSH + "&[~]~.parent_id$name=Parent")[1])
    assert (found.resources[0].uuid, found.attributes["results"]) == (B, "1")


def test_a_table_describes_itself(here, ask):
    fields = read_fields(ask("GET", "org/organisation/fields.xml")[1])
    form = read_create(ask("GET", "org/organisation/create.xml", "meta=true&options=true&references=true")[1])
    assert set(fields.fields) == set(here.store.tables[ORG].fields)
    assert form.components == here.store.tables[ORG].components


def test_an_answer_cut_off_is_not_counted_as_given(here):
    """The peer asks again with what it had, and gets everything again."""
    here.store.save_repository(Repository("PEER", "peer"))
    for number in range(2000):
        here.put(f"urn:uuid:{number}", "x" * 100)
    response = here.provider.answer(Request("GET", "sync/sync.xml", PUSH, {}, b"", "sync", "secret"))
    next(response.body)
    response.body.close()
    assert here.store.entries == []


# Imports by plain REST -------------------------------------------------------------------------------------------


def test_plain_import_overwrites(here, ask):
    here.put(A, "Local")
    older = ONE.replace(b'uuid="urn:uuid:a"', b'uuid="urn:uuid:a" modified_on="2020-01-01T00:00:00"')
    assert ask("PUT", "org/organisation.xml", "", older)[1]["updated"] == [1]
    assert here.names() == {"One"}


def test_plain_import_of_s3json(here, ask):
    body = json.dumps({"$_org_organisation": [{"@uuid": A, "name": "One", "$_org_office": [{"name": "HQ"}]}]}).encode()
    status, reply, response = ask("POST", "org/organisation.s3json", "", body)
    assert (status, reply["created"], response.content_type) == (200, [1], "application/json")
    assert here.names(OFFICE) == {"HQ"}


@pytest.mark.parametrize(("query", "records"), (("", 0), ("ignore_errors=1", 1)))
def test_plain_import_stops_at_an_error_unless_told_otherwise(here, ask, query, records):
    body = ONE.replace(b"</s3xml>", b'<resource name="org_organisation"/></s3xml>')
    status, reply, _ = ask("POST", "org/organisation.xml", query, body)
    assert (status, len(here.names())) == (200, records)
    assert reply["status"] == ("success" if records else "failed")


# Multipart -------------------------------------------------------------------------------------------------------


def multipart(*parts):
    pieces = [
        f'--B\r\nContent-Disposition: form-data; name="x"; filename="{name}"\r\n\r\n'.encode() + body
        for name, body in parts
    ]
    return b"\r\n".join(pieces) + b"\r\n--B--\r\n"


def test_several_documents_in_one_push(here, ask):
    body = multipart(("a.xml", ONE), ("photo.png", b"\x89PNG"), ("b.xml", ONE.replace(b"urn:uuid:a", b"urn:uuid:b")))
    assert ask("POST", "sync/sync.xml", PUSH, body, content_type="multipart/form-data; boundary=B")[1]["records"] == 2


@pytest.mark.parametrize("content_type", ("multipart/form-data", 'multipart/form-data; boundary="other"'))
def test_a_multipart_body_without_a_document_is_refused(ask, content_type):
    status, reply, _ = ask("POST", "sync/sync.xml", PUSH, multipart(("a.xml", ONE)), content_type=content_type)
    assert (status, reply["status"]) == (400, "failed")


def test_parts_are_taken_by_their_file_name():
    body = multipart(("a.XML", b"<a/>"), ("b.txt", b"no"))
    assert documents_in('multipart/form-data; charset=x; boundary="B"', body) == [b"<a/>"]
