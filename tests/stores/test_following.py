"""apply(snapshot(s1), changes(s1, s2)) == snapshot(s2), for random histories of folders and items.

Several consumers follow the same stores from their own states: two the same folder, one of them page by page, others
through a sliding window, the whole server, the tree of folders. Any of them may stop in the middle of a synchronization
and go on from its last state, and the site forgets its tombstones whenever it likes.
"""

from contextlib import suppress
from datetime import datetime, timedelta

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tallystick.api import Site
from tallystick.stores import NotFoundError, Server
from tallystick.sync.local import LocalReplica

START = datetime(2024, 1, 1)
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Histories on a real database are too slow to be made shorter by trying."""


class Crash(BaseException):
    """The consumer's process ends."""


class Mirror:
    """A consumer's own copy: what it was told, and the state it stands at."""

    def __init__(self):
        self.state = None
        self.items = {}
        self.patience = None

    def _step(self):
        if self.patience is not None:
            self.patience -= 1
            if self.patience < 0:
                raise Crash

    def update(self, item, flags):
        self._step()
        self.items[item.sourcekey] = (item.subject, item.read)

    def delete(self, item, flags):
        self._step()
        self.items.pop(item.sourcekey, None)

    def read(self, item, status):
        self._step()
        if item.sourcekey in self.items:
            self.items[item.sourcekey] = (self.items[item.sourcekey][0], status)


class Tree:
    """A consumer's own copy of a tree of folders: key -> (name, parent's key)."""

    def __init__(self):
        self.state = None
        self.folders = {}

    def update(self, folder):
        parent = folder.parent.sourcekey
        assert parent == self.root or parent in self.folders or self.left(parent), "told before its parent"
        self.folders[folder.sourcekey] = (folder.name, parent)

    def delete(self, folder, flags):
        self.folders.pop(folder.sourcekey, None)

    def left(self, parent):
        """True for parents outside the tree."""
        return parent in self.outside

    def reachable(self):
        """Folders whose parents are all there."""
        found, waiting = {}, [self.root]
        while waiting:
            at = waiting.pop()
            for key, (name, parent) in self.folders.items():
                if parent == at:
                    found[key] = (name, parent)
                    waiting.append(key)
        return found


def snapshot(items):
    return {item.sourcekey: (item.subject, item.read) for item in items}


class Following(RuleBasedStateMachine):
    server: Server
    site: Site

    @initialize()
    def begin(self):
        self.store = self.server.create_user(f"user {len(list(self.server.users()))}").store
        self.top = self.store.create_folder("top")
        self.folders = [self.top, self.top.create_folder("one"), self.top.create_folder("two")]
        self.names = 0
        self.watched = self.folders[1]
        self.plain, self.paged, self.windowed, self.whole = Mirror(), Mirror(), Mirror(), Mirror()
        self.whole.state = self.server.state
        self.tree = Tree()
        self.tree.root = self.top.sourcekey
        self.begin_day = 0

    # what happens ----------------------------------------------------------------------------------------------

    def _live(self):
        return [item for folder in self.folders for item in folder.items()]

    def _pick(self, data, chosen):
        return data.draw(st.sampled_from(chosen))

    @rule(data=st.data(), day=st.one_of(st.none(), st.integers(0, 9)), subject=st.sampled_from("abc"))
    def create(self, data, day, subject):
        received = {} if day is None else {"received": START + timedelta(days=day, hours=1)}
        self._pick(data, self.folders).create_item(subject=subject, **received)

    @precondition(lambda self: self._live())
    @rule(data=st.data(), subject=st.sampled_from("xyz"))
    def save(self, data, subject):
        self._pick(data, self._live()).subject = subject

    @precondition(lambda self: self._live())
    @rule(data=st.data(), day=st.integers(0, 9))
    def deliver_again(self, data, day):
        self._pick(data, self._live()).received = START + timedelta(days=day, hours=1)

    @precondition(lambda self: self._live())
    @rule(data=st.data(), value=st.booleans())
    def flag(self, data, value):
        self._pick(data, self._live()).read = value

    @precondition(lambda self: self._live())
    @rule(data=st.data(), soft=st.booleans())
    def delete(self, data, soft):
        item = self._pick(data, self._live())
        item.folder.delete(item, soft=soft)

    @rule(data=st.data(), hard=st.booleans())
    def end_recoverable(self, data, hard):
        folder = self._pick(data, self.folders)
        gone = list(folder.deleted.items())
        if hard:
            folder.delete(gone)
        else:
            folder.restore(gone[:1])

    @precondition(lambda self: self._live())
    @rule(data=st.data(), copy=st.booleans())
    def relocate(self, data, copy):
        item, target = self._pick(data, self._live()), self._pick(data, self.folders)
        (item.copy if copy else item.move)(target)

    @rule(data=st.data())
    def create_folder(self, data):
        self.names += 1
        self.folders.append(self._pick(data, self.folders).create_folder(f"n{self.names}"))

    @rule(data=st.data())
    def rename_folder(self, data):
        self.names += 1
        self._pick(data, self.folders).name = f"r{self.names}"

    @rule(data=st.data())
    def move_folder(self, data):
        folder, target = self._pick(data, self.folders[2:]), self._pick(data, self.folders)
        inside = {folder.sourcekey, *(below.sourcekey for below in folder.folders())}
        if target.sourcekey not in inside and target != folder.parent:
            folder.parent.move(folder, target)

    @precondition(lambda self: len(self.folders) > 3)
    @rule(data=st.data(), soft=st.booleans())
    def delete_folder(self, data, soft):
        folder = self._pick(data, self.folders[3:])
        below = {folder.sourcekey, *(one.sourcekey for one in folder.folders())}
        if self.watched.sourcekey not in below and self.folders[2].sourcekey not in below:
            self.folders = [one for one in self.folders if one.sourcekey not in below]
            folder.parent.delete(folder, soft=soft)

    @rule()
    def purge(self):
        self.site.purge(-1)

    @precondition(lambda self: self._live())
    @rule(data=st.data(), soft=st.booleans())
    def write_to_what_somebody_deletes_meanwhile(self, data, soft):
        item = self._pick(data, self._live())
        item.folder.delete(item, soft=soft)
        with suppress(NotFoundError):
            item.subject = "late"

    # what consumers do -----------------------------------------------------------------------------------------

    @rule(patience=st.integers(0, 4))
    def a_consumer_dies_on_the_way(self, patience):
        for mirror, run in ((self.plain, self._plain), (self.whole, self._whole), (self.windowed, self._window)):
            mirror.patience = patience
            try:
                mirror.state = run()
            except Crash:
                if mirror.state is None:  # nothing was committed: it starts from nothing again
                    mirror.items.clear()
            finally:
                mirror.patience = None

    def _plain(self):
        return self.watched.sync(self.plain, self.plain.state)

    def _whole(self):
        return self.server.sync(self.whole, self.whole.state)

    def _window(self):
        begin = START + timedelta(days=self.begin_day)
        return self.watched.sync(self.windowed, self.windowed.state, begin=begin)

    @rule()
    def follow_the_folder(self):
        self.plain.state = self._plain()
        assert self.plain.items == snapshot(self.watched.items())
        assert self._plain() == self.plain.state

    @rule(size=st.integers(1, 3), pages=st.integers(1, 3))
    def take_some_pages(self, size, pages):
        for _ in range(pages):
            self.paged.state = self.watched.sync(self.paged, self.paged.state, max_changes=size)

    @rule(size=st.integers(1, 3))
    def take_all_pages(self, size):
        before = ""
        while before != self.paged.state:
            before = self.paged.state
            self.paged.state = self.watched.sync(self.paged, before, max_changes=size)
        assert self.paged.items == snapshot(self.watched.items())

    @rule(day=st.integers(0, 9))
    def slide_the_window(self, day):
        self.begin_day = day

    @rule(size=st.integers(1, 2))
    def take_a_page_through_the_window(self, size):
        begin = START + timedelta(days=self.begin_day)
        self.windowed.state = self.watched.sync(self.windowed, self.windowed.state, begin=begin, max_changes=size)

    @rule()
    def follow_through_the_window(self):
        for _ in range(2):  # the first may only end a pass that was begun page by page
            self.windowed.state = self._window()
        first = START + timedelta(days=self.begin_day)
        inside = [item for item in self.watched.items() if item.received is not None and item.received >= first]
        assert self.windowed.items == snapshot(inside)
        assert self._window() == self.windowed.state

    @rule()
    def give_up_the_window(self):
        for _ in range(2):
            self.windowed.state = self.watched.sync(self.windowed, self.windowed.state)
        assert self.windowed.items == snapshot(self.watched.items())

    @rule()
    def follow_the_server(self):
        self.whole.state = self._whole()
        assert self.whole.items == snapshot(self._live())
        assert self._whole() == self.whole.state

    @rule()
    def follow_the_tree(self):
        self.tree.outside = {one.sourcekey for one in self.store.root.folders()} | {self.store.root.sourcekey}
        self.tree.outside -= {one.sourcekey for one in self.top.folders()}
        self.tree.state = self.top.sync_hierarchy(self.tree, self.tree.state)
        live = {one.sourcekey: (one.name, one.parent.sourcekey) for one in self.top.folders()}
        assert self.tree.reachable() == live
        assert self.top.sync_hierarchy(self.tree, self.tree.state) == self.tree.state

    @invariant()
    def counts_are_those_of_the_items(self):
        if hasattr(self, "watched"):
            items = list(self.watched.items())
            assert self.watched.count == len(items)
            assert self.watched.unread == sum(not item.read for item in items)


def test_consumers_that_follow_have_what_is_there(quick_server):
    Following.server = quick_server
    Following.site = Site(LocalReplica(quick_server.records.session.ledger, "site"))
    chosen = settings(max_examples=12, stateful_step_count=40, deadline=None, phases=UNSHRUNK)
    run_state_machine_as_test(Following, settings=chosen)
