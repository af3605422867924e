"""Names, signatures and the way a site is opened (spec ics 1, C1-C3, C11, C12)."""

import inspect
import warnings

import pytest

from tallystick.compat import MAPI, kopano
from tallystick.compat.MAPI import Struct, Tags

ENGINES = ("sqlite",)
"""What is tested here is above the database."""


def arguments(function):
    found = list(inspect.signature(function).parameters.values())[1:]
    return [(one.name, one.default) for one in found if one.kind is not inspect.Parameter.KEYWORD_ONLY]


NONE = inspect.Parameter.empty
LIMITS = [("window", None), ("begin", None), ("end", None), ("stats", None)]


@pytest.mark.parametrize(
    ("function", "expected"),
    (
        (
            kopano.Folder.sync,
            [("importer", NONE), ("state", None), ("log", None), ("max_changes", None), ("associated", False), *LIMITS],
        ),
        (kopano.Server.sync, [("importer", NONE), ("state", NONE), ("log", None), ("max_changes", None), *LIMITS]),
        (kopano.Folder.sync_hierarchy, [("importer", NONE), ("state", None), ("stats", None)]),
        (kopano.Server.sync_gab, [("importer", NONE), ("state", None)]),
        (
            kopano.Folder.subscribe,
            [("sink", NONE), ("object_types", None), ("folder_types", None), ("event_types", None)],
        ),
        (
            kopano.Store.subscribe,
            [("sink", NONE), ("object_types", None), ("folder_types", None), ("event_types", None)],
        ),
        (kopano.Folder.unsubscribe, [("sink", NONE)]),
        (kopano.Store.unsubscribe, [("sink", NONE)]),
    ),
)
def test_signatures_are_those_of_the_original(function, expected):
    assert arguments(function) == expected


@pytest.mark.parametrize(
    ("kind", "name"),
    (
        (kopano.Store, "sync"),
        (kopano.User, "sync"),
        (kopano.Company, "sync"),
        (kopano.Store, "state"),
        (kopano.Server, "subscribe"),
        (kopano.Folder, "hierarchy_state"),
    ),
)
def test_scopes_that_do_not_exist_are_not_there(kind, name):
    assert not hasattr(kind, name)


@pytest.mark.parametrize(
    "name",
    (
        "server Server Service Worker Config log_exc parser Folder Item Notification set_bin_encoding",
        "server_socket client_socket Error NotFoundError NotSupportedError",
        "ConfigError DuplicateError LogonError ArgumentError",
    ),
)
def test_the_names_that_programs_import_are_there(name):
    for one in name.split():
        assert hasattr(kopano, one)


def test_the_constants_that_programs_import_have_their_values():
    assert (Tags.SYNC_NEW_MESSAGE, Tags.SYNC_ASSOCIATED, Tags.SYNC_SOFT_DELETE) == (0x800, 0x10, 0x01)
    assert (MAPI.Tags.PR_SUBJECT_W, Tags.PR_SUBJECT, Tags.PR_SOURCE_KEY) == (0x0037001F, 0x0037001F, 0x65E00102)
    assert Tags.PROP_TYPE(Tags.PR_SUBJECT_W) == Tags.PT_UNICODE
    assert Tags.CHANGE_PROP_TYPE(Tags.PR_SUBJECT_A, Tags.PT_UNICODE) == Tags.PR_SUBJECT_W
    assert Tags.PROP_TAG(Tags.PT_UNICODE, Tags.PROP_ID(Tags.PR_SUBJECT_W)) == Tags.PR_SUBJECT_W
    for name in ("NetworkError", "NoSupport", "NotFound"):
        assert issubclass(getattr(Struct, f"MAPIError{name}"), Struct.MAPIError)


def test_a_mapi_error_tells_its_number():
    error = Struct.MAPIErrorNotFound()
    assert error.hr == 0x8004010F
    assert str(error) == "MAPI error 8004010F (MAPIErrorNotFound)"
    assert "8004010F (gone)" in repr(Struct.MAPIErrorNotFound(desc="gone"))


def test_the_class_may_be_called_and_warns(tmp_path):
    with pytest.warns(DeprecationWarning, match=r"kopano\.server\(\)"):
        opened = kopano.Server(server_socket=str(tmp_path / "s.db"))
    opened.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kopano.server(server_socket=str(tmp_path / "s.db")).close()


def test_a_site_may_be_named_by_the_environment_or_by_options(tmp_path, monkeypatch):
    path = str(tmp_path / "s.db")
    with kopano.server(server_socket=f"sqlite:///{path}") as server:
        guid = server.guid
    monkeypatch.setenv("KOPANO_SOCKET", path)
    with kopano.server() as server:
        assert server.guid == guid
    monkeypatch.delenv("KOPANO_SOCKET")
    options, _ = kopano.parser("sUP").parse_args(["-s", path])
    with kopano.server(options=options) as server:
        assert server.guid == guid


@pytest.mark.parametrize("site", ("", "default:", "file:///var/run/server.sock", "https://host:237"))
def test_what_names_no_site_is_refused_with_the_way_on(site, monkeypatch):
    monkeypatch.delenv("KOPANO_SOCKET", raising=False)
    with pytest.raises(kopano.LogonError, match="KOPANO_SOCKET"):
        kopano.server(server_socket=site)


def test_a_site_that_cannot_be_opened_is_a_mapi_error(tmp_path):
    torn = tmp_path / "s.db"
    torn.write_bytes(b"no database at all" * 100)
    with pytest.raises(Struct.MAPIErrorDiskError):
        kopano.server(server_socket=str(torn))
    with pytest.raises(kopano.LogonError, match="there is no directory"):
        kopano.server(server_socket=str(tmp_path / "none" / "s.db"))


def test_passwords_are_checked_where_there_are_any(tmp_path):
    path = str(tmp_path / "s.db")
    with kopano.server(server_socket=path) as server:
        server.create_user("anna", password="secret")
        server.create_user("bert")
    for name, password in (("anna", "secret"), ("bert", None), ("SYSTEM", None)):
        kopano.server(server_socket=path, auth_user=name, auth_pass=password).close()
    for name, password in (("anna", "wrong"), ("anna", None), ("nobody", "x")):
        with pytest.raises(kopano.LogonError):
            kopano.server(server_socket=path, auth_user=name, auth_pass=password)


def test_users_are_found_as_programs_look_for_them(server):
    anna = server.create_user("anna", email="anna@example.org")
    assert server.user("anna") == server.user(email="anna@example.org") == server.user(userid=anna.userid) == anna
    assert server.get_user("nobody") is None
    for missing in ({"email": "x"}, {"userid": "00"}):
        with pytest.raises(kopano.NotFoundError):
            server.user(**missing)
    assert list(server.users(parse=True)) == [anna]
    assert list(server.stores(system=True)) == [anna.store]
    assert server.sync_users() is None


# properties by tag -------------------------------------------------------------------------------------------------


def test_tags_stand_for_attributes(folder):
    item = folder.create_item(subject="s", text="t")
    assert item.prop(Tags.PR_SUBJECT_W).value == item.get(Tags.PR_SUBJECT) == item[Tags.PR_SUBJECT] == "s"
    assert item.value(Tags.PR_BODY_W) == "t"
    assert item.prop(Tags.PR_SOURCE_KEY).value == bytes.fromhex(item.sourcekey)
    assert item.get(Tags.PR_MESSAGE_FLAGS) & Tags.MSGFLAG_READ
    item.prop(Tags.PR_SUBJECT_W).value = "s2"
    assert item.subject == "s2"
    item[Tags.PR_SUBJECT] = "s3"
    assert item.subject == "s3"
    assert folder.get(Tags.PR_DISPLAY_NAME_W) == "f"
    assert folder.get(Tags.PR_CONTENT_COUNT) == 1


def test_tags_that_stand_for_nothing_are_kept(folder):
    item, tag = folder.create_item(subject="s"), Tags.PROP_TAG(Tags.PT_UNICODE, 0x8001)
    with pytest.raises(kopano.NotFoundError):
        item.prop(tag)
    assert (item.get_prop(tag), item.get(tag, 7)) == (None, 7)
    item.create_prop(tag, "kept")
    assert folder.item(item.entryid).prop(tag).value == "kept"
    assert tag in {one.proptag for one in item.props()}
    assert Tags.PR_SUBJECT_W in {one.proptag for one in item.props()}
    found = item.prop(tag)
    assert (found.id_, found.type_, repr(found)) == (0x8001, Tags.PT_UNICODE, "Property(0x8001001F)")


def test_identifiers_and_counts_cannot_be_set(folder):
    item = folder.create_item(subject="s")
    for owner, tag in ((item, Tags.PR_ENTRYID), (folder, Tags.PR_CONTENT_COUNT)):
        with pytest.raises(Struct.MAPIErrorNoAccess):
            owner[tag] = b"x"
