"""What the object model's own synchronizations do beyond the compatibility face: order, typed errors, no losses."""

from datetime import datetime

import pytest

from tallystick.errors import (
    AccessDenied,
    StateFutureError,
    StateInvalidError,
    StateScopeError,
    UsageError,
)
from tallystick.stores import NotFoundError, Server
from tallystick.stores.errors import StateRequiredError, UnknownRegistrationError
from tallystick.stores.states import State

NEW = 0x800


class Recorder:
    def __init__(self):
        self.told = []

    def update(self, told, flags=None):
        self.told.append(("U", told.name, flags))

    def delete(self, told, flags=None):
        self.told.append(("D", told.sourcekey, flags))

    def read(self, told, status):
        self.told.append(("R", told.name, status))


def hierarchy(folder, state=None):
    recorder = Recorder()
    new = folder.sync_hierarchy(recorder, state)
    return [(kind, name) for kind, name, _ in recorder.told], new


def contents(scope, state=None, **options):
    recorder = Recorder()
    new = scope.sync(recorder, state, **options)
    return recorder.told, new


def test_folders_come_after_their_parents(store):
    top = store.create_folder("top")
    state = hierarchy(top)[1]
    d, d2 = top.create_folder("d"), top.create_folder("d2")
    top.move(d, d2)
    assert hierarchy(top, state)[0] == [("U", "d2"), ("U", "d")]


def test_a_tree_that_enters_from_outside_is_told_whole(store):
    top, outside = store.create_folder("top"), store.create_folder("outside")
    outside.create_folder("a").create_folder("b").create_folder("c")
    state = hierarchy(top)[1]
    store.subtree.move(outside, top)
    assert hierarchy(top, state)[0] == [("U", "outside"), ("U", "a"), ("U", "b"), ("U", "c")]


@pytest.mark.parametrize("soft", (True, False))
def test_a_folder_moved_under_one_that_is_deleted_then_is_gone(store, soft):
    top = store.create_folder("top")
    n1, n5 = top.create_folder("n1"), top.create_folder("n5")
    keys = {n1.sourcekey, n5.sourcekey}
    state = hierarchy(top)[1]
    top.move(n1, n5)
    top.delete(n5, soft=soft)
    told, _ = hierarchy(top, state)
    assert [kind for kind, _ in told] == ["D", "D"]
    assert {key for _, key in told} == keys


@pytest.mark.parametrize("write", ("subject", "read"))
def test_what_is_written_to_an_item_after_its_deletion_leaves_it_told_as_deleted(folder, write):
    item = folder.create_item(subject="s", read=True)
    key, state = item.sourcekey, folder.state
    item.delete(soft=True)
    item.change(**{write: "late" if write == "subject" else False})
    assert contents(folder, state)[0] == [("D", key, 1)]
    assert next(folder.deleted.items()).subject == ("late" if write == "subject" else "s")


def test_permissions_are_a_change_of_the_folder(store):
    top = store.create_folder("top")
    sub = top.create_folder("sub")
    state = hierarchy(top)[1]
    sub.permission(None, create=True).rights = ["read_items"]
    assert hierarchy(top, state)[0] == [("U", "sub")]


def test_a_window_begun_later_tells_what_was_saved_flagged_and_deleted_inside(folder):
    days = {name: datetime(2024, 1, day) for name, day in (("saved", 9), ("flagged", 9), ("gone", 9), ("old", 1))}
    items = {name: folder.create_item(subject=name, received=when) for name, when in days.items()}
    state, keys = folder.state, {name: item.sourcekey for name, item in items.items()}
    items["saved"].subject = "saved2"
    items["flagged"].read = False
    items["gone"].delete()
    told, state = contents(folder, state, begin=datetime(2024, 1, 5))
    assert sorted(told) == sorted(
        [("U", "saved2", 0), ("R", "flagged", False), ("D", keys["gone"], 0), ("D", keys["old"], 0)]
    )
    assert contents(folder, state, begin=datetime(2024, 1, 5)) == ([], state)


def test_what_is_new_during_a_pass_through_a_window_is_told_as_new(folder):
    for day in (1, 2, 3):
        folder.create_item(subject=f"d{day}", received=datetime(2024, 1, day))
    begin = datetime(2023, 1, 1)
    _, state = contents(folder, begin=begin, max_changes=1)
    folder.create_item(subject="d4", received=datetime(2024, 1, 4))
    told, state = contents(folder, state, begin=begin)
    assert told == [("U", "d2", NEW), ("U", "d1", NEW), ("U", "d4", NEW)]


def test_pages_do_not_grow_the_state(folder):
    with folder.server.transaction():
        folder.create_items([{"subject": str(n)} for n in range(300)])
    state, sizes = None, set()
    for _ in range(299):
        _, state = contents(folder, state, max_changes=1)
        sizes.add(len(state))
    assert len(sizes) == 1


def test_a_state_of_something_else_is_refused_with_the_way_back(server, store, folder):
    other = store.create_folder("other")
    for scope, state in ((other, folder.state), (server, folder.state), (folder, folder.sync_hierarchy(object()))):
        with pytest.raises(StateScopeError, match="start without a state"):
            contents(scope, state)


def test_a_state_from_a_later_history_is_refused(folder):
    with pytest.raises(StateFutureError):
        contents(folder, State(0, 10**6).raw().hex())


@pytest.mark.parametrize("state", ("nonsense", "00", "é", b"\xff"))
def test_what_is_no_state_is_refused(folder, state):
    with pytest.raises(StateInvalidError):
        contents(folder, state)
    with pytest.raises(StateInvalidError):
        folder.server.sync_gab(Recorder(), state)


def test_a_partial_state_of_a_hierarchy_does_not_exist(folder):
    folder.create_item()
    folder.create_item()
    with pytest.raises((StateInvalidError, StateScopeError)):
        folder.sync_hierarchy(Recorder(), contents(folder, max_changes=1)[1])


def test_a_registration_that_never_was_is_refused(folder):
    with pytest.raises(UnknownRegistrationError):
        contents(folder, State(77777, 0).raw().hex())


def test_a_server_is_followed_from_a_state_on(server):
    with pytest.raises(StateRequiredError):
        contents(server, "")
    with pytest.raises(TypeError):
        contents(server, None)


def test_only_administrators_follow_a_server(server, store):
    plain = Server(server.records, user="anna")
    with pytest.raises(AccessDenied):
        plain.state  # noqa: B018
    server.user("anna").admin = True
    assert plain.state


def test_states_outlive_their_registrations(server, folder):
    state = folder.state
    folder.create_item(subject="A")
    server.records.expire(2**40)
    told, new = contents(folder, state)
    assert told == [("U", "A", NEW)]
    assert new != state


def test_registrations_used_lately_are_kept(server, folder):
    import time

    state = folder.state
    assert server.records.expire(int(time.time()) - 3600) == 0
    assert contents(folder, state) == ([], state)


def test_nothing_is_written_when_nothing_is_new(server, folder):
    state = folder.state
    tree = hierarchy(folder)[1]
    whole = server.state
    commits = server.records.commits
    for _ in range(3):
        assert contents(folder, state) == ([], state)
        assert hierarchy(folder, tree) == ([], tree)
        assert contents(server, whole) == ([], whole)
    assert server.records.commits == commits


def test_an_importer_that_only_collects_may_ignore_deleted_objects(folder):
    item = folder.create_item(subject="A")
    state, key, address = folder.state, item.sourcekey, item.entryid
    item.delete()

    class Collector:
        def delete(self, gone, flags):
            self.gone = gone

    collector = Collector()
    folder.sync(collector, state)
    gone = collector.gone
    assert (gone.sourcekey, gone.entryid, gone.folder, gone.store) == (key, address, folder, folder.store)
    assert gone.storeid == folder.store.guid
    assert gone.seq > 0
    assert repr(gone) == f"DeletedItem({key!r})"
    with pytest.raises(AttributeError, match="deleted"):
        gone.subject  # noqa: B018
    with pytest.raises(NotFoundError):
        item.subject  # noqa: B018


def test_a_slot_bound_importer_is_told_too(folder):
    class Slotted:
        __slots__ = ("seen",)

        def update(self, item, flags):
            self.seen = item.subject

    folder.create_item(subject="A")
    importer = Slotted()
    folder.sync(importer)
    assert importer.seen == "A"


def test_what_asks_for_nothing_that_exists_is_refused(folder):
    with pytest.raises(UsageError, match="max_changes=-1"):
        folder.sync(Recorder(), max_changes=-1)
    with pytest.raises(UsageError, match="on_error='ignore'"):
        folder.sync(Recorder(), on_error="ignore")


def test_an_error_that_cannot_be_written_down_is_parked_like_any_other(folder, caplog):
    class Refusing:
        def update(self, item, flags):
            raise ValueError("\udcff")

    folder.create_item(subject="s")
    folder.sync(Refusing())
    assert [parked.message for parked in folder.parked] == ["ValueError: \\udcff"]
    assert "ValueError: \\udcff" in caplog.text.encode().decode(), "a file takes the log"
