"""Folder trees and the address book, behaviour by behaviour as a live server was observed to do it."""

import pytest

from tallystick.compat import kopano


class Folders:
    def __init__(self):
        self.told = []
        self.store = None
        self.gone = []

    def update(self, folder):
        self.told.append(("U", folder.name))

    def delete(self, folder, flags):
        self.told.append(("D", folder.sourcekey, flags))
        self.gone.append(folder)


class Users:
    def __init__(self):
        self.told = []

    def update(self, user):
        self.told.append(("U", user.name))

    def delete(self, user):
        self.told.append(("D", user.userid))


@pytest.fixture
def tree(store):
    """top > (a > (c), b)"""
    top = store.create_folder("top")
    a, _ = top.create_folder("a"), top.create_folder("b")
    a.create_folder("c")
    return top


def sync(folder, state=None, **options):
    importer = Folders()
    new = folder.sync_hierarchy(importer, state, **options)
    return importer.told, new


def test_at_first_all_descendants_come_breadth_first(tree):
    told, state = sync(tree)
    assert told == [("U", "a"), ("U", "b"), ("U", "c")]
    assert sync(tree, state) == ([], state)


def test_the_importer_is_given_the_store(tree):
    importer = Folders()
    tree.sync_hierarchy(importer)
    assert importer.store == tree.store


def test_renamed_moved_and_deleted_folders_are_told_once(tree):
    state = sync(tree)[1]
    a, b, c = tree.folder("a"), tree.folder("b"), tree.folder("a/c")
    c.name = "c2"
    told, state = sync(tree, state)
    assert told == [("U", "c2")]
    a.move(c, b)
    told, state = sync(tree, state)
    assert told == [("U", "c2")]
    assert tree.folder("b/c2").sourcekey == c.sourcekey
    key = b.sourcekey
    tree.delete(b)
    told, state = sync(tree, state)
    assert told == [("D", key, 0)]


def test_a_soft_deletion_is_told_as_such_and_a_restored_folder_as_an_update(tree):
    a = tree.folder("a")
    item = a.create_item(subject="inside")
    key, kept, state = a.sourcekey, item.sourcekey, sync(tree)[1]
    tree.delete(a, soft=True)
    told, state = sync(tree, state)
    assert told == [("D", key, 1)]
    back = tree.restore(list(tree.deleted.folders(recurse=False)))[0]
    told, state = sync(tree, state)
    assert ("U", "a") in told
    assert back.sourcekey == key
    assert [one.name for one in back.folders()] == ["c"]
    (again,) = back.items()
    assert again.subject == "inside"
    assert again.sourcekey != kept


def test_what_was_deleted_before_its_folder_stays_deleted_when_that_is_restored(tree):
    a = tree.folder("a")
    a.delete(a.create_item(subject="before"), soft=True)
    tree.delete(a, soft=True)
    (back,) = tree.restore(list(tree.deleted.folders(recurse=False)))
    assert list(back.items()) == []
    assert [item.subject for item in back.deleted.items()] == ["before"]


def test_a_folder_under_a_later_one_comes_before_it_as_recorded_or_after_it_on_demand(tree):
    state = sync(tree)[1]
    d, d2 = tree.create_folder("d"), tree.create_folder("d2")
    tree.move(d, d2)
    assert sync(tree, state)[0] == [("U", "d"), ("U", "d2")]
    assert sync(tree, state, parents_first=True)[0] == [("U", "d2"), ("U", "d")]


def test_a_recreated_name_is_an_update_then_a_deletion(tree):
    state, b = sync(tree)[1], tree.folder("b")
    key = b.sourcekey
    tree.delete(b)
    tree.create_folder("b")
    assert sync(tree, state)[0] == [("U", "b"), ("D", key, 0)]


def test_what_came_and_went_is_told_as_gone(tree):
    state = sync(tree)[1]
    d = tree.create_folder("d")
    key = d.sourcekey
    tree.delete(d)
    assert sync(tree, state)[0] == [("D", key, 0)]


def test_items_neither_fire_nor_move_the_state(tree):
    state = sync(tree)[1]
    tree.folder("a").create_item(subject="x")
    assert sync(tree, state) == ([], state)


def test_a_folder_that_left_the_tree_is_one_update_with_a_parent_outside(tree, store):
    state, c = sync(tree)[1], tree.folder("a/c")
    tree.folder("a").move(c, store.inbox)
    told, _ = sync(tree, state)
    assert told == [("U", "c")]
    assert c.parent == store.inbox


def test_a_deleted_folder_carries_who_it_was(tree):
    state, b = sync(tree)[1], tree.folder("b")
    key, address = b.sourcekey, b.entryid
    tree.delete(b)
    importer = Folders()
    tree.sync_hierarchy(importer, state)
    (gone,) = importer.gone
    assert (gone.sourcekey, gone.entryid, gone.store, gone.parent_sourcekey) == (
        key,
        address,
        tree.store,
        tree.sourcekey,
    )


def test_what_a_callback_raises_ends_it_without_a_state(tree):
    class Broken:
        def update(self, folder):
            raise ValueError(folder.name)

    with pytest.raises(ValueError, match=r"^a$"):
        tree.sync_hierarchy(Broken())


def test_folders_out_of_sight_are_skipped_with_all_below(server, tree):
    server.create_user("user2")
    visible = ["folder_visible", "read_items"]
    for path in (None, "b", "a/c"):
        place = tree if path is None else tree.folder(path)
        place.permission(server.user("user2"), create=True).rights = visible
    with kopano.server(server_socket=server.server_socket, auth_user="user2") as plain:
        top = plain.store(tree.store.guid).folder(sourcekey=tree.sourcekey)
        assert sync(top)[0] == [("U", "b")]


# the address book --------------------------------------------------------------------------------------------------


def gab(server, state=None):
    importer = Users()
    new = server.sync_gab(importer, state)
    return importer.told, new


def test_at_first_all_users_come(server):
    for name in ("user1", "user2"):
        server.create_user(name)
    server.create_group("team")
    told, state = gab(server)
    assert sorted(told) == [("U", "user1"), ("U", "user2")]
    assert state.endswith("00000000")
    assert len(state) == 16
    assert gab(server, state) == ([], state)


def test_users_are_told_by_their_net_change(server):
    anna, bert = server.create_user("anna"), server.create_user("bert")
    state = gab(server)[1]
    server.create_user("carl").fullname = "Carl"
    anna.fullname = "Anna"
    bert_id = bert.userid
    bert.fullname = "Bert"
    server.remove_user("bert")
    server.create_user("dora").fullname = "Dora"
    server.remove_user("dora")
    told, new = gab(server, state)
    assert told == [("U", "carl"), ("U", "anna"), ("D", bert_id)]
    assert gab(server, new) == ([], new)


def test_added_and_deleted_is_nothing_but_moves_the_state(server):
    state = gab(server)[1]
    server.create_user("dora")
    server.remove_user("dora")
    told, new = gab(server, state)
    assert (told, new != state) == ([], True)


def test_groups_are_not_told(server):
    server.create_user("anna")
    state = gab(server)[1]
    server.create_group("team").add_user(server.user("anna"))
    assert gab(server, state) == ([], state)


def test_what_a_callback_raises_comes_out_and_nothing_is_lost(server):
    anna = server.create_user("anna")
    state, userid = gab(server)[1], anna.userid
    server.remove_user("anna")

    class Broken:
        def delete(self, user):
            raise ValueError(user.userid)

    with pytest.raises(ValueError, match=userid):
        server.sync_gab(Broken(), state)
    assert gab(server, state)[0] == [("D", userid)]


def test_users_see_their_company_only(server):
    server.create_user("anna")
    other = server.create_company("other")
    other.create_user("olga")
    assert sorted(gab(server)[0]) == [("U", "anna"), ("U", "olga")]
    with kopano.server(server_socket=server.server_socket, auth_user="olga@other") as plain:
        assert gab(plain)[0] == [("U", "olga")]
        assert [user.name for user in plain.users()] == ["olga"]


def test_what_is_no_address_book_state_is_refused(server, store):
    from tallystick.compat.MAPI.Struct import MAPIErrorInvalidParameter

    for state in ("00", store.inbox.sync_hierarchy(object())[:8] + "01000000"):
        with pytest.raises(MAPIErrorInvalidParameter):
            gab(server, state)
