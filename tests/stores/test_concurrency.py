"""Consumers of stores beside writers in other threads and connections, and beside purges: nothing is missed."""

import random
import threading
import traceback
from contextlib import suppress
from datetime import datetime, timedelta

import pytest

import tallystick
from tallystick.stores import ArgumentError, DuplicateError, NotFoundError

START = datetime(2024, 1, 1)
WRITERS = 3
ACTS = ("create", "create", "create", "save", "save", "flag", "delete", "soft", "move", "copy", "deliver", "restore")


class Mirror:
    """A consumer's own copy, the state it stands at, and how it asks."""

    def __init__(self, folder, **options):
        self.folder, self.options, self.state, self.items = folder, options, None, {}

    def update(self, item, flags):
        self.items[item.sourcekey] = (item.subject, item.read)

    def delete(self, item, flags):
        self.items.pop(item.sourcekey, None)

    def read(self, item, status):
        if item.sourcekey in self.items:
            self.items[item.sourcekey] = (self.items[item.sourcekey][0], status)

    def sync(self):
        before, self.state = self.state, self.folder.sync(self, self.state, **self.options)
        return self.state != before


class Everywhere(Mirror):
    """A consumer of the whole server that begins with a state of now, before there is anything."""

    def __init__(self, server):
        super().__init__(server)
        self.state = server.state


def write(server, user, seed, stop, failures):
    """Write at random through a connection of its own until told to stop."""
    chance = random.Random(seed)
    folders = [server.user(user).store.folder(name) for name in ("one", "two")]
    try:
        for number in range(40):
            if stop.is_set():
                return
            act(chance, folders, f"{seed}-{number}")
    except Exception:  # told by the test: a thread's errors are seen by nobody
        failures.append(traceback.format_exc())


def act(chance, folders, name):
    folder, other = chance.sample(folders, 2)
    items = list(folder.items())
    kind = chance.choice(ACTS)
    if kind == "create" or not items:
        folder.create_item(subject=name, received=START + timedelta(days=chance.randint(0, 9)))
        return
    item = chance.choice(items)
    try:
        if kind == "save":
            item.subject = name
        elif kind == "flag":
            item.read = not item.read
        elif kind in ("delete", "soft"):
            item.delete(soft=kind == "soft")
        elif kind == "move":
            item.move(other)
        elif kind == "copy":
            item.copy(other)
        elif kind == "deliver":
            item.received = START + timedelta(days=chance.randint(0, 9))
        else:
            folder.restore(list(folder.deleted.items())[:1])
    except NotFoundError:
        pass  # another writer was faster


def shown(items, begin=None):
    return {
        item.sourcekey: (item.subject, item.read)
        for item in items
        if begin is None or (item.received is not None and item.received >= begin)
    }


@pytest.mark.parametrize("purging", (False, True))
def test_consumers_hold_what_is_there_after_writers_at_once(site_url, purging):
    sites = [tallystick.open(site_url, create=True)]
    server = sites[0].server()
    store = server.create_user("anna").store
    one, two = store.create_folder("one"), store.create_folder("two")
    begin = START + timedelta(days=4)
    everywhere = Everywhere(server)
    consumers = [Mirror(one), Mirror(two), Mirror(one, max_changes=3), Mirror(one, begin=begin), everywhere]
    sites += [tallystick.open(site_url) for _ in range(WRITERS + 1)]
    stop, failures = threading.Event(), []
    writers = [
        threading.Thread(target=write, args=(sites[number].server(), "anna", number, stop, failures))
        for number in range(1, WRITERS + 1)
    ]
    for writer in writers:
        writer.start()
    chance = random.Random(purging)
    while any(writer.is_alive() for writer in writers):
        chance.choice(consumers).sync()
        if purging and chance.random() < 0.2:
            sites[-1].purge(-1)
    for writer in writers:
        writer.join()
    assert failures == []
    for consumer in consumers:
        while consumer.sync():
            pass
    assert consumers[0].items == consumers[2].items == shown(one.items())
    assert consumers[1].items == shown(two.items())
    assert consumers[3].items == shown(one.items(), begin)
    assert everywhere.items == {**shown(one.items()), **shown(two.items())}
    for site in sites:
        site.close()


class Tree:
    """A consumer's own copy of the folders below one."""

    def __init__(self, top):
        self.top, self.state, self.folders = top, None, {}

    def update(self, folder):
        parent = folder.parent  # None where that was deleted since: so is the folder, and it is told next time
        self.folders[folder.sourcekey] = (folder.name, None if parent is None else parent.sourcekey)

    def delete(self, folder, flags):
        self.folders.pop(folder.sourcekey, None)

    def sync(self):
        before, self.state = self.state, self.top.sync_hierarchy(self, self.state)
        return self.state != before

    def reachable(self):
        found, waiting = {}, [self.top.sourcekey]
        for at in waiting:
            below = {key: shown for key, shown in self.folders.items() if shown[1] == at}
            found.update(below)
            waiting += below
        return found


def rearrange(server, seed, failures):
    """Make, rename, move and delete folders at random; what another was faster with is refused by name."""
    chance = random.Random(seed)
    top = server.user("anna").store.folder("top")
    try:
        for number in range(25):
            folders = list(top.folders())
            act = chance.choice(("create", "create", "rename", "move", "move", "delete"))
            with suppress(NotFoundError, DuplicateError, ArgumentError):
                if act == "create" or len(folders) < 2:
                    chance.choice([top, *folders]).create_folder(f"{seed}-{number}")
                elif act == "rename":
                    chance.choice(folders).name = f"{seed}-r{number}"
                elif act == "move":
                    folder, target = chance.sample(folders, 2)
                    top.move(folder, target)
                else:
                    top.delete(chance.choice(folders), soft=chance.random() < 0.5)
    except Exception:  # told by the test: a thread's errors are seen by nobody
        failures.append(traceback.format_exc())


def test_a_tree_that_several_rearrange_is_followed_and_stays_a_tree(site_url):
    sites = [tallystick.open(site_url, create=True)]
    top = sites[0].server().create_user("anna").store.create_folder("top")
    sites += [tallystick.open(site_url) for _ in range(WRITERS)]
    tree, failures = Tree(top), []
    writers = [
        threading.Thread(target=rearrange, args=(site.server(), number, failures))
        for number, site in enumerate(sites[1:])
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        tree.sync()
    for writer in writers:
        writer.join()
    while tree.sync():
        pass
    assert failures == []
    assert tree.reachable() == {one.sourcekey: (one.name, one.parent.sourcekey) for one in top.folders()}
    for site in sites:
        site.close()
