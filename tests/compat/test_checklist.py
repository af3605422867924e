"""The checklist of the compatibility face, one test a point (spec ics 9, C1-C12); the details stand in the other files.

Each is a small program as one would have written it for the original.
"""

import inspect
import logging
import queue
from datetime import datetime, timedelta

import pytest

from tallystick.compat import kopano
from tallystick.compat.MAPI.Struct import (
    MAPIErrorDiskError,
    MAPIErrorNetworkError,
    MAPIErrorNoSupport,
    MAPIErrorNotFound,
)
from tallystick.compat.MAPI.Tags import SYNC_NEW_MESSAGE

ENGINES = ("sqlite",)
"""What is tested here is above the database."""
SOFT = 1


def test_c1_signatures_and_scopes_are_those_of_the_original(server, store, folder):
    assert list(inspect.signature(folder.sync).parameters)[:9] == (
        ["importer", "state", "log", "max_changes", "associated", "window", "begin", "end", "stats"]
    )
    for missing in (
        lambda: store.sync,
        lambda: store.state,
        lambda: server.user("user1").sync,
        lambda: server.subscribe,
        lambda: folder.hierarchy_state,
    ):
        with pytest.raises(AttributeError):
            missing()


def test_c2_importers_are_ducks_with_the_arity_of_their_scope(server, store, folder):
    calls = []

    class Duck:
        def update(self, *given):
            calls.append(("update", len(given)))

        def delete(self, *given):
            calls.append(("delete", len(given)))

        def read(self, *given):
            calls.append(("read", len(given)))

    duck, only_deletes = Duck(), type("OnlyDeletes", (), {"delete": lambda self, item, flags: None})()
    items = [folder.create_item(subject=name, read=True) for name in "ab"]
    state = folder.sync(duck)
    assert duck.store == store
    folder.sync(only_deletes)
    items[0].read = False
    items[1].delete()
    folder.sync(duck, state)
    tree = store.subtree.sync_hierarchy(duck)
    folder.parent.delete(folder)
    store.subtree.sync_hierarchy(duck, tree)
    users = server.sync_gab(duck)
    server.remove_user("user1")
    server.sync_gab(duck, users)
    contents, rest = calls[:4], calls[4:]
    assert contents == [("update", 2), ("update", 2), ("delete", 2), ("read", 2)]
    assert {*rest} == {("update", 1), ("delete", 2), ("delete", 1)}


def test_c3_states_are_sixteen_hexadecimal_digits_taken_in_any_spelling(server, store, folder, told):
    folder.create_item(subject="A")
    _, state = told(folder)
    assert (type(state), len(state), state) == (str, 16, state.upper())
    bytes.fromhex(state)
    for spelling in (state, state.lower(), state.encode()):
        assert told(folder, spelling)[0] == []
    assert told(folder, state)[1] == state
    for beginning in (None, ""):
        assert told(folder, beginning)[0] == [("U", "A", SYNC_NEW_MESSAGE)]
        assert store.subtree.sync_hierarchy(object(), beginning)
        assert server.sync_gab(object(), beginning)
    with pytest.raises(TypeError):
        server.sync(object())


def test_c4_a_sync_from_a_state_of_now_tells_only_what_comes_later(server, folder, told):
    folder.create_item(subject="before")
    states = [(folder, folder.state), (server, server.state)]
    folder.create_item(subject="after")
    for scope, state in states:
        assert told(scope, state)[0] == [("U", "after", SYNC_NEW_MESSAGE)]


def test_c5_events_are_united_ordered_and_flagged(folder, told):
    changed, flagged, soft, hard = (folder.create_item(subject=name, read=True) for name in ("C", "F", "S", "H"))
    keys = {item.subject: item.sourcekey for item in (changed, flagged, soft, hard)}
    initial, state = told(folder)
    assert [subject for _, subject, _ in initial] == ["H", "S", "F", "C"]
    flagged.read = False
    hard.delete()
    soft.delete(soft=True)
    folder.create_item(subject="N")
    changed.subject = "C1"
    changed.subject = "C2"
    assert told(folder, state)[0] == [
        ("U", "N", SYNC_NEW_MESSAGE),
        ("U", "C2", 0),
        ("D", keys["S"], SOFT),
        ("D", keys["H"], 0),
        ("R", keys["F"], False),
    ]


def test_c6_deleted_objects_tell_the_key_they_had(server, store, folder):
    item, user = folder.create_item(subject="A"), server.create_user("user2")
    gone = []
    collect = type("Collect", (), {"delete": lambda self, object, flags=0: gone.append(object)})()
    contents, tree, users = folder.state, store.subtree.sync_hierarchy(collect), server.sync_gab(collect)
    keys = item.sourcekey, folder.sourcekey, user.userid
    item.delete()
    folder.sync(collect, contents)
    store.subtree.delete(folder)
    store.subtree.sync_hierarchy(collect, tree)
    server.remove_user("user2")
    server.sync_gab(collect, users)
    assert (gone[0].sourcekey, gone[1].sourcekey, gone[2].userid) == keys


def test_c7_errors_are_logged_counted_and_passed_over_but_trees_and_users_let_them_out(server, store, folder, caplog):
    folder.create_item(subject="A")
    folder.create_item(subject="B")

    class Failing:
        def update(self, *given):
            raise ValueError("no")

    stats = {"errors": 0}
    with caplog.at_level(logging.ERROR):
        state = folder.sync(Failing(), stats=stats)
    assert (stats["errors"], len(state)) == (2, 16)
    assert "ValueError" in caplog.text
    assert len(folder.parked) == 2
    with pytest.raises(ValueError, match="no"):
        folder.sync(Failing(), on_error="raise")
    for scope in (store.subtree.sync_hierarchy, server.sync_gab):
        with pytest.raises(ValueError, match="no"):
            scope(Failing())


def test_c8_windows_are_half_open_and_slide_with_deletions(folder, told):
    day = {name: datetime(2024, 1, number) for number, name in enumerate("ABC", 1)}
    keys = {name: folder.create_item(subject=name, received=when).sourcekey for name, when in day.items()}
    events, _ = told(folder, begin=day["A"], end=day["C"])
    assert {subject for _, subject, _ in events} == {"A", "B"}
    events, state = told(folder, begin=day["B"])
    assert {subject for _, subject, _ in events} == {"B", "C"}
    events, state = told(folder, state, begin=day["C"])
    assert events == [("D", keys["B"], 0)]
    events, state = told(folder, state, begin=day["A"])
    assert {subject for _, subject, _ in events} == {"A", "B"}
    assert told(folder, window=timedelta(days=1).total_seconds())[0] == []


def test_c9_a_lost_registration_goes_on_from_its_number_and_an_unknown_one_is_refused(server, folder, told):
    folder.create_item(subject="A")
    _, state = told(folder)
    server.records.expire(1 << 40)
    folder.create_item(subject="B")
    assert told(folder, state)[0] == [("U", "B", SYNC_NEW_MESSAGE)]
    with pytest.raises(MAPIErrorDiskError):
        told(folder, "FF00000000000000")


def test_c10_notifications_come_from_another_thread_until_they_are_unsubscribed(site_url, server):
    with kopano.server(server_socket=site_url, notifications=True) as live:
        store = live.create_user("anna").store
        folder, other = store.create_folder("f"), store.create_folder("g")
        item, heard = folder.create_item(subject="A"), queue.Queue()
        sink = type("Sink", (), {"update": lambda self, notification: heard.put(notification)})()
        store.subscribe(sink, object_types=["item"], folder_types=["mail"], event_types=["created", "deleted"])
        folder.move(item, other)
        events = [heard.get(timeout=10) for _ in "12"]
        assert [one.event_type for one in events] == ["created", "deleted"]
        assert events[0].object.folder == other
        store.unsubscribe(sink)
        folder.create_item(subject="B")
        assert heard.empty()
        named = folder.subscribe(sink, object_types="item", event_types="created")  # one name instead of a list
        assert named is None
        folder.create_item(subject="C")
        assert heard.get(timeout=10).object.subject == "C"
    with pytest.raises(kopano.NotSupportedError, match="server connection does not support notifications"):
        server.create_user("bert").store.subscribe(sink)


def test_c11_exceptions_are_of_one_family():
    for name in ("ConfigError", "DuplicateError", "NotFoundError", "LogonError", "NotSupportedError", "ArgumentError"):
        assert issubclass(getattr(kopano, name), kopano.Error)
    assert issubclass(kopano.Error, Exception)


def test_c12_names_that_programs_import_are_there():
    names = "server Server Service Worker Config log_exc parser Folder Item Notification set_bin_encoding server_socket"
    for name in f"{names} client_socket Error NotFoundError NotSupportedError".split():
        assert callable(getattr(kopano, name)), name
    assert SYNC_NEW_MESSAGE == 0x800
    assert len({MAPIErrorNetworkError, MAPIErrorNoSupport, MAPIErrorNotFound}) == 3
