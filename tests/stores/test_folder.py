"""Folders: paths, trees, items in them; moving, copying, deleting and restoring."""

from datetime import datetime

import pytest

import tallystick
from tallystick.stores import ArgumentError, DuplicateError, NotFoundError

ENGINES = ("sqlite",)
"""What is tested here is above the database."""


def names(folders):
    return [folder.name for folder in folders]


def test_folders_are_found_by_path_sourcekey_and_entryid(store):
    made = store.create_folder("a/b/c")
    assert made.path == "a/b/c"
    for found in (store.folder("a/b/c"), store.folder(sourcekey=made.sourcekey), store.folder(entryid=made.entryid)):
        assert found == made
    assert store.folder("a").folder("b/c") == made
    assert store.folder("a").get_folder("none") is None
    with pytest.raises(NotFoundError, match="a/none"):
        store.folder("a/none")
    assert store.folder("a/none", create=True).path == "a/none"


def test_a_slash_in_a_name_is_written_with_a_backslash(store):
    made = store.create_folder("in\\/out")
    assert made.name == "in/out"
    assert made.path == "in\\/out"
    assert store.folder(made.path) == made


def test_a_folder_outside_the_subtree_has_no_path(store):
    assert store.root.path is None
    assert store.root.parent is None
    assert store.subtree.path == ""


def test_siblings_have_different_names(store):
    a, b = store.create_folder("a"), store.create_folder("b")
    with pytest.raises(DuplicateError):
        store.create_folder("a")
    with pytest.raises(DuplicateError):
        b.name = "a"
    a.name = "a"
    inner = b.create_folder("a")
    with pytest.raises(DuplicateError):
        b.move(inner, store.subtree)
    with pytest.raises(DuplicateError):
        b.copy(inner, store.subtree)


def test_folders_come_parents_first(store):
    top = store.create_folder("top")
    top.create_folder("a/x")
    top.create_folder("b")
    assert names(top.folders()) == ["a", "b", "x"]
    assert names(top.folders(recurse=False)) == ["a", "b"]
    assert top.subfolder_count == 2


def test_items_come_newest_first_and_are_counted(folder):
    for subject in "abc":
        folder.create_item(subject=subject, read=subject != "b")
    assert [item.subject for item in folder] == ["c", "b", "a"]
    assert (folder.count, folder.unread) == (3, 1)
    folder.associated.create_item(subject="hidden", read=False)
    assert (folder.count, folder.unread) == (3, 1)
    assert (folder.associated.count, folder.associated.unread) == (1, 1)


def test_an_item_is_opened_in_its_folder_only(store, folder):
    item = folder.create_item(subject="a")
    assert folder.item(item.entryid) == folder.item(sourcekey=item.sourcekey) == store.item(item.entryid) == item
    other = store.create_folder("other")
    for look in (other.item, folder.deleted.item):
        with pytest.raises(NotFoundError):
            look(item.entryid)
    with pytest.raises(NotFoundError):
        folder.item("nonsense")
    with pytest.raises(NotFoundError):
        folder.item(folder.entryid)


def test_a_soft_deletion_can_be_undone_and_a_hard_one_not(folder):
    item = folder.create_item(subject="a", text="body")
    folder.delete(item, soft=True)
    assert list(folder.items()) == []
    (gone,) = folder.deleted.items()
    (back,) = folder.restore(gone)
    assert (back.subject, back.text, folder.count, folder.deleted.count) == ("a", "body", 1, 0)
    folder.delete(back)
    assert (folder.count, folder.deleted.count) == (0, 0)
    folder.delete(back)


def test_a_folder_takes_everything_along_when_copied_or_moved(store):
    source, target = store.create_folder("source"), store.create_folder("target")
    below = source.create_folder("below")
    below.create_item(subject="deep", text="body", received=datetime(2024, 1, 1))
    source.associated.create_item(subject="hidden")
    (copy,) = store.subtree.copy(source, target)
    assert copy.sourcekey != source.sourcekey
    (deep,) = copy.folder("below").items()
    assert (deep.subject, deep.text, deep.received) == ("deep", "body", datetime(2024, 1, 1))
    assert [item.subject for item in copy.associated.items()] == ["hidden"]
    key = below.sourcekey
    source.move(below, target)
    assert target.folder("below").sourcekey == key
    assert [item.subject for item in target.folder("below").items()] == ["deep"]


def test_a_folder_copied_into_itself_ends(store):
    top = store.create_folder("top")
    top.create_folder("below").create_item(subject="x")
    with pytest.raises(ArgumentError):
        store.subtree.copy(top, top.folder("below"))
    with pytest.raises(ArgumentError):
        store.subtree.move(top, top.folder("below"))


def test_a_folder_moved_to_another_store_belongs_there_with_all_in_it(server, store):
    other = server.create_user("bert").store
    top = store.create_folder("top")
    item = top.create_folder("below").create_item(subject="x")
    store.subtree.move(top, other.subtree)
    assert top.store == other
    assert other.folder("top/below").items().__next__().store == other
    assert item.storeid == other.guid


@pytest.mark.parametrize("soft", (True, False))
def test_nothing_is_put_into_a_folder_that_somebody_else_deleted(site_url, store, folder, soft):
    item, other = folder.create_item(subject="s"), store.create_folder("g")
    assert (other.name, other.store) == ("g", store)
    with tallystick.open(site_url) as site:
        elsewhere = site.server().user("anna").store
        elsewhere.subtree.delete(elsewhere.folder("g"), soft=soft)
    for put in (
        lambda: other.create_item(subject="lost"),
        lambda: other.create_folder("lost"),
        lambda: item.move(other),
        lambda: item.copy(other),
    ):
        with pytest.raises(NotFoundError, match="deleted"):
            put()
    assert folder.count == 1


def test_folders_are_not_moved_into_each_other_by_two_at_once(site_url, store):
    one, two = store.create_folder("one"), store.create_folder("two")
    assert (one.name, two.name) == ("one", "two")
    with tallystick.open(site_url) as site:
        elsewhere = site.server().user("anna").store
        elsewhere.subtree.move(elsewhere.folder("one"), elsewhere.folder("two"))
    with pytest.raises(ArgumentError, match="into itself"):
        two.parent.move(two, one)
    assert [one.name for one in store.folder("two").folders()] == ["one"]


def test_root_and_subtree_cannot_be_deleted(store):
    for folder in (store.root, store.subtree):
        with pytest.raises(ArgumentError):
            store.delete(folder)


def test_a_folder_can_be_emptied(store):
    top = store.create_folder("top")
    top.create_item()
    top.associated.create_item()
    top.create_folder("below")
    top.empty(recurse=False)
    assert (top.count, top.associated.count, top.subfolder_count) == (0, 1, 1)
    top.empty(associated=True)
    assert (top.associated.count, top.subfolder_count) == (0, 0)


def test_objects_of_another_store_are_not_deleted_by_this_one(server, store, folder):
    other = server.create_user("bert").store
    with pytest.raises(ArgumentError):
        other.delete(folder)


@pytest.mark.parametrize(
    ("container_class", "kind"),
    ((None, "mail"), ("IPF.Note", "mail"), ("IPF.Appointment", "calendar"), ("IPF.Note.Special", "folder")),
)
def test_a_folder_says_what_it_is_for(store, container_class, kind):
    assert store.create_folder("x", container_class=container_class).type_ == kind


def test_a_deleted_folder_says_so(store):
    folder = store.create_folder("x")
    store.delete(folder)
    with pytest.raises(NotFoundError, match="folder was deleted"):
        folder.name  # noqa: B018


def test_equal_folders_are_one(store):
    store.create_folder("x")
    assert store.folder("x") == store.folder("x")
    assert len({store.folder("x"), store.folder("x")}) == 1
    assert store.folder("x") != store.inbox
    assert store.folder("x") != "x"
    assert repr(store.folder("x")) == "Folder('x')"


@pytest.mark.parametrize("path", ("", "/", "//"))
def test_a_folder_has_a_name(store, path):
    with pytest.raises(ArgumentError, match="names no folder"):
        store.create_folder(path)
