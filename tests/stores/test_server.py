"""Companies, users, groups, stores, and who may do what."""

import pytest

import tallystick
from tallystick.errors import AccessDenied
from tallystick.stores import ArgumentError, DuplicateError, LogonError, NotFoundError, Server, SiteRecords
from tallystick.stores.rights import Right, names_of, rights_of
from tallystick.stores.store import WELL_KNOWN

ENGINES = ("sqlite",)
"""What is tested here is above the database."""


def test_a_site_begins_with_one_company_and_nobody(server):
    assert [company.name for company in server.companies()] == ["Default"]
    assert list(server.users()) == []
    assert list(server.stores()) == []
    assert not server.multitenant


def test_a_user_is_found_by_name_and_has_a_store(server):
    anna = server.create_user("anna", email="anna@example.org", password="secret", fullname="Anna")
    assert server.user("anna") == anna
    assert (anna.name, anna.fullname, anna.email) == ("anna", "Anna", "anna@example.org")
    assert anna.store.user == anna
    assert anna.company == next(server.companies())
    assert anna.check_password("secret")
    assert not anna.check_password("Secret")
    assert anna.password is None
    assert b"secret" not in anna.record.properties


def test_a_user_without_a_password_is_nobodys(server):
    assert not server.create_user("anna").check_password("")


def test_a_user_can_be_renamed_and_removed_and_leaves_an_orphan(server):
    anna = server.create_user("anna")
    anna.name = "anne"
    store = server.user("anne").store
    server.remove_user("anne")
    with pytest.raises(NotFoundError, match="anne"):
        server.user("anne")
    assert (store.user, store.orphan) == (None, True)
    server.remove_store(store)
    assert list(server.stores()) == []


def test_names_are_taken_once(server):
    server.create_user("anna")
    with pytest.raises(DuplicateError):
        server.create_user("anna")
    server.create_company("other").create_user("anna")
    with pytest.raises(DuplicateError):
        server.create_company("other")
    server.create_group("team")
    with pytest.raises(DuplicateError):
        server.create_group("team")
    assert server.multitenant


def test_things_can_be_made_where_they_are_missing(server):
    assert server.company("new", create=True).user("bert", create=True).name == "bert"
    assert server.user("bert@new").company.name == "new"
    assert server.group("team", create=True).name == "team"
    for look in (server.company, server.group, server.user):
        with pytest.raises(NotFoundError):
            look("nobody")


def test_groups_have_members(server):
    anna, team = server.create_user("anna"), server.create_group("team", fullname="The team")
    team.add_user(anna)
    team.add_user(anna)
    assert list(team.users()) == [anna]
    assert list(anna.groups()) == [team]
    assert (team.fullname, team.groupid) == ("The team", server.group("team").groupid)
    team.remove_user(anna)
    assert anna not in team
    server.remove_group("team")
    assert list(server.groups()) == []


@pytest.mark.parametrize(("attribute", "name", "kind"), WELL_KNOWN)
def test_a_store_has_its_well_known_folders(store, attribute, name, kind):
    folder = getattr(store, attribute)
    assert (folder.name, folder.container_class, folder.path) == (name, kind, name)


def test_another_inbox_can_be_chosen(store):
    other = store.create_folder("other")
    store.inbox = other
    assert store.user.inbox == other


def test_there_is_one_public_store_and_one_of_a_kind_per_user(server, store):
    public = server.create_public_store()
    assert (public.public, public.user, public.orphan, public.inbox) == (True, None, False, None)
    assert server.public_store == public
    archive = server.create_store(store.user, kind="archive")
    assert store.user.archive_store == archive
    for again in (server.create_public_store, store.user.create_store):
        with pytest.raises(DuplicateError):
            again()


def test_stores_are_found_by_guid_and_address(server, store):
    assert server.store(guid=store.guid) == server.store(entryid=store.entryid) == store
    with pytest.raises(NotFoundError):
        server.store(guid="00" * 22)
    with pytest.raises(ArgumentError):
        server.store()


def test_a_user_without_a_store_says_so(server):
    anna = server.create_user("anna", create_store=False)
    assert anna.store is None
    with pytest.raises(NotFoundError, match="create_store"):
        anna.inbox  # noqa: B018


# who may do what ---------------------------------------------------------------------------------------------------


@pytest.fixture
def bert(server, store):
    """The site as user bert sees it; the store is anna's."""
    server.create_user("bert")
    return Server(server.records, user="bert")


def seen_by(bert, folder):
    return bert.store(folder.store.guid).folder(sourcekey=folder.sourcekey)


def test_whoever_does_not_exist_cannot_log_on(server):
    with pytest.raises(LogonError):
        Server(server.records, user="nobody")


def test_an_owner_may_do_everything_and_others_nothing(server, folder, bert):
    anna = Server(server.records, user="anna")
    seen_by(anna, folder).create_item(subject="mine").delete()
    theirs = seen_by(bert, folder)
    for act in (
        lambda: list(theirs.items()),
        lambda: theirs.create_item(),
        lambda: theirs.create_folder("x"),
        lambda: theirs.sync(object()),
        lambda: theirs.sync_hierarchy(object()),
        lambda: setattr(theirs, "name", "x"),
        lambda: theirs.parent.delete(theirs),
    ):
        with pytest.raises(AccessDenied):
            act()


def test_rights_are_given_one_by_one(server, folder, bert):
    mine = folder.create_item(subject="mine")
    grant = folder.permission(server.user("bert"), create=True)
    theirs = seen_by(bert, folder)

    grant.rights = ["read_items", "folder_visible", "create_items", "edit_own", "delete_own"]
    assert [item.subject for item in theirs.items()] == ["mine"]
    own = theirs.create_item(subject="own")
    own.subject = "own2"
    other = theirs.item(mine.entryid)
    with pytest.raises(AccessDenied):
        other.subject = "x"
    with pytest.raises(AccessDenied):
        theirs.delete(other)
    theirs.delete(own)

    grant.rights = [*grant.rights, "edit_all", "delete_all"]
    other.subject = "x"
    theirs.delete(other)
    assert list(folder.items()) == []


def test_everyone_and_groups_can_be_given_rights(server, folder, bert):
    theirs = seen_by(bert, folder)
    folder.permission(None, create=True).rights = ["folder_visible"]
    team = server.create_group("team")
    folder.permission(team, create=True).rights = ["read_items"]
    assert folder.rights(server.user("bert")) == ["folder_visible"]
    team.add_user(server.user("bert"))
    assert list(theirs.items()) == []
    members = {permission.member and permission.member.name: permission.rights for permission in folder.permissions()}
    assert members == {None: ["folder_visible"], "team": ["read_items"]}
    with pytest.raises(NotFoundError):
        folder.permission(server.user("bert"))


def test_an_administrator_may_do_everything(server, folder, bert):
    server.user("bert").admin = True
    seen_by(bert, folder).create_item(subject="x")
    assert folder.count == 1


def test_rights_have_names():
    assert rights_of(["read_items", "folder_visible"]) == Right.READ_ITEMS | Right.FOLDER_VISIBLE
    assert names_of(Right.READ_ITEMS | Right.FOLDER_VISIBLE) == ["read_items", "folder_visible"]
    with pytest.raises(ArgumentError, match="folder_visible"):
        rights_of(["fly"])


def test_a_site_on_disk_is_there_again(tmp_path):
    path = str(tmp_path / "site.db")
    with Server(SiteRecords(tallystick.open(path, create=True).ledger)) as server:
        guid = server.guid
        server.create_user("anna").store.inbox.create_item(subject="kept", text="text")
    with Server(SiteRecords(tallystick.open(path, create=True).ledger)) as server:
        assert server.guid == guid
        (item,) = server.user("anna").inbox.items()
        assert (item.subject, item.text) == ("kept", "text")
