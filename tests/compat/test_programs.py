"""Programs of the kinds that people wrote for the original (spec ics 8); only their imports were changed."""

import json
import threading
import time

import pytest

from tallystick.compat import kopano
from tallystick.compat.MAPI.Tags import SYNC_NEW_MESSAGE


@pytest.fixture
def server(site_url):
    with kopano.server(server_socket=site_url, notifications=True) as opened:
        yield opened


@pytest.fixture
def user(server):
    return server.create_user("user1")


# an indexer: one state for the server, taken first, then one for each folder ----------------------------------------


class ServerImporter:
    """Collects the folders that something happened in; deletions need its own map."""

    def __init__(self, places):
        self.places = places
        self.touched = set()

    def update(self, item, flags):
        self.places[item.sourcekey] = (item.storeid, item.folder.entryid)
        self.touched.add((item.storeid, item.folder.entryid))

    def delete(self, item, flags):
        if item.sourcekey in self.places:
            self.touched.add(self.places.pop(item.sourcekey))


class FolderImporter:
    def __init__(self, documents, places):
        self.documents, self.places = documents, places

    def update(self, item, flags):
        self.places[item.sourcekey] = (item.storeid, item.folder.entryid)
        self.documents[item.sourcekey] = (item.docid, item.folder.hierarchyid, item.subject, item.text)

    def delete(self, item, flags):
        self.documents.pop(item.sourcekey, None)


class Indexer:
    def __init__(self, server):
        self.server = server
        self.places, self.documents, self.states = {}, {}, {}

    def index_everything(self):
        state = self.server.state
        for store in self.server.stores():
            for folder in store.folders():
                self.index(folder)
        self.states["server"] = state

    def index(self, folder):
        importer = FolderImporter(self.documents, self.places)
        stats = {"changes": 0, "deletes": 0, "errors": 0}
        state = self.states.get(folder.entryid)
        new = folder.sync(importer, state, log=None, stats=stats)
        if new != state:
            self.states[folder.entryid] = new

    def poll(self):
        importer = ServerImporter(self.places)
        new = self.server.sync(importer, self.states["server"])
        if new == self.states["server"]:
            return
        for storeid, entryid in importer.touched:
            self.index(self.server.store(guid=storeid).folder(entryid=entryid))
        self.states["server"] = new


def test_an_indexer_has_every_document_and_no_other(server, user):
    for number in range(5):
        user.inbox.create_item(subject=f"mail {number}", text=f"text {number}")
    indexer = Indexer(server)
    indexer.index_everything()
    first, second, third, *_ = list(user.inbox.items())
    first.subject = "changed"
    user.inbox.delete(second)
    user.inbox.move(third, user.store.junk)
    server.create_user("user2").inbox.create_item(subject="other")
    indexer.poll()
    expected = {
        item.sourcekey: (item.docid, folder.hierarchyid, item.subject, item.text)
        for store in server.stores()
        for folder in store.folders()
        for item in folder.items()
    }
    assert indexer.documents == expected


# a spam filter: from now on, only updates, mail in two folders ------------------------------------------------------


def test_a_spam_filter_learns_what_is_moved_to_junk(server, user):
    learnt = []

    class Importer:
        def update(self, item, flags):
            if item.folder.entryid == item.store.junk.entryid:
                learnt.append(("spam", item.searchkey, item.header("Message-ID")))
            elif item.folder == item.store.inbox and flags & SYNC_NEW_MESSAGE:
                learnt.append(("ham", item.searchkey, item.header("Message-ID")))

    state = server.state
    item = user.inbox.create_item(eml=b"Subject: buy\nMessage-ID: <1@x>\n\nnow\n")
    state = server.sync(Importer(), state)
    user.inbox.move(item, user.store.junk)
    server.sync(Importer(), state)
    assert [one[0] for one in learnt] == ["ham", "spam"]
    assert learnt[0][1:] == learnt[1][1:]


# a backup: files of states, chains from old ones --------------------------------------------------------------------


class BackupImporter:
    def __init__(self, items, stats):
        self.items, self.stats = items, stats

    def update(self, item, flags):
        self.stats["changes"] += 1
        self.items[item.sourcekey] = item.eml().decode("latin-1")

    def delete(self, item, flags):
        self.stats["deletes"] += 1
        self.items.pop(item.sourcekey, None)

    def read(self, item, state):
        self.stats["changes"] += 1


def test_a_backup_goes_on_from_states_in_files(user, tmp_path):
    statefile = tmp_path / "state"
    stats = {"changes": 0, "deletes": 0, "errors": 0}
    items = {}
    user.inbox.create_item(subject="one", text="1")
    statefile.write_bytes(user.inbox.sync(BackupImporter(items, stats), None, stats=stats).encode())
    base = dict(items)
    user.inbox.create_item(subject="two", text="2")
    chains = []
    for _ in range(2):  # differential: both start from the same old state
        items = dict(base)
        stats = {"changes": 0, "deletes": 0, "errors": 0}
        user.inbox.sync(BackupImporter(items, stats), statefile.read_bytes(), stats=stats)
        chains.append(items)
    assert stats == {"changes": 1, "deletes": 0, "errors": 0}
    assert chains[0] == chains[1] == {item.sourcekey: item.eml().decode("latin-1") for item in user.inbox.items()}
    assert json.dumps(chains)


# a live mirror: a notification says which folder, the sync says what ------------------------------------------------


class Mirror:
    def __init__(self, source, target):
        self.source, self.target = source, target
        self.folders, self.items, self.states = {}, {}, {}
        self.dirty = threading.Event()
        self.tree = source.subtree.sync_hierarchy(self)
        self.catch_up()
        source.subscribe(self.Sink(self), object_types=["item", "folder"])

    class Sink:
        def __init__(self, mirror):
            self.mirror = mirror

        def update(self, notification):
            self.mirror.dirty.set()

    def update(self, folder):
        parent = self.folders.get(folder.parent.sourcekey, self.target.subtree)
        if folder.sourcekey in self.folders:
            self.folders[folder.sourcekey].name = folder.name
        else:
            self.folders[folder.sourcekey] = parent.folder(folder.name, create=True)

    def delete(self, folder, flags):
        gone = self.folders.pop(folder.sourcekey, None)
        if gone is not None:
            gone.parent.delete(gone)

    def catch_up(self):
        self.tree = self.source.subtree.sync_hierarchy(self, self.tree)
        for folder in self.source.folders():
            importer = ItemImporter(self.folders[folder.sourcekey], self.items)
            self.states[folder.sourcekey] = folder.sync(importer, self.states.get(folder.sourcekey))

    def shown(self):
        return sorted((folder.name, item.subject) for folder in self.target.folders() for item in folder.items())


class ItemImporter:
    def __init__(self, folder, items):
        self.folder, self.items = folder, items

    def update(self, item, flags):
        if item.sourcekey in self.items:
            self.items[item.sourcekey].subject = item.subject
        else:
            self.items[item.sourcekey] = self.folder.create_item(subject=item.subject, read=item.read)

    def delete(self, item, flags):
        gone = self.items.pop(item.sourcekey, None)
        if gone is not None:
            self.folder.delete(gone)

    def read(self, item, state):
        self.items[item.sourcekey].read = state


def test_a_live_mirror_follows(server, user):
    source, target = user.store, server.create_user("copy").store
    source.create_folder("a/b").create_item(subject="before")
    mirror = Mirror(source, target)
    source.folder("a").create_folder("c").create_item(subject="new")
    source.folder("a/b").delete(list(source.folder("a/b").items()))
    expected = [("c", "new")]
    for _ in range(300):
        if mirror.dirty.wait(0.1):
            mirror.dirty.clear()
            mirror.catch_up()
        if mirror.shown() == expected:
            break
        time.sleep(0.01)
    assert mirror.shown() == expected
