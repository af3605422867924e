"""Notifications, event by event as a live server was observed to send them (spec ics 7)."""

import threading
import time

import pytest

from tallystick.compat import kopano
from tallystick.compat.MAPI.Struct import MAPIErrorNotFound


class Sink:
    """Writes down ``i.created [folder]`` and the like."""

    def __init__(self):
        self.told = []
        self.notifications = []
        self.threads = set()

    def update(self, notification):
        self.threads.add(threading.current_thread())
        self.notifications.append(notification)
        self.told.append(shown(notification))


def shown(notification):
    kind = {"item": "i", "folder": "F", "store": "S"}[notification.object_type]
    name = f" [{notification.object.name}]" if kind == "F" else ""
    return f"{kind}.{notification.event_type}{name}"


@pytest.fixture
def server(site_url):
    with kopano.server(server_socket=site_url, notifications=True) as opened:
        yield opened


@pytest.fixture
def places(store):
    return store.create_folder("f"), store.create_folder("g"), store


@pytest.fixture
def sinks(places):
    made = [Sink() for _ in places]
    for place, sink in zip(places, made, strict=True):
        place.subscribe(sink)
    return made


def told(server, *sinks):
    """What each sink was told of everything committed so far: a folder made now is told last."""
    ended = threading.Event()

    class End:
        def update(self, notification):
            ended.set()

    store, end = next(server.stores()), End()
    store.subscribe(end, object_types=["folder"], event_types=["created"])
    store.root.create_folder(f"end {time.monotonic_ns()}")
    assert ended.wait(10)
    store.unsubscribe(end)
    return [[one for one in sink.told if "[end " not in one and one != "F.updated [Root]"] for sink in sinks]


def item(folder, subject="S"):
    return folder.create_item(subject=subject)


CASES = {
    "n1 create": (
        lambda f, g, s: item(f),
        ["i.created", "F.updated [f]", "i.updated"],
        [],
        ["i.created", "F.updated [f]", "i.updated"],
    ),
    "n9 subfolder": (
        lambda f, g, s: f.create_folder("sub"),
        ["F.updated [f]"],
        [],
        ["F.created [sub]", "F.updated [f]", "F.updated [sub]"],
    ),
    "n11 rename": (
        lambda f, g, s: setattr(f, "name", "f1"),
        ["F.updated [f1]"],
        [],
        ["F.updated [f1]"],
    ),
    "n15 associated": (
        lambda f, g, s: item(f.associated),
        ["i.created", "F.updated [f]", "i.updated"],
        [],
        ["i.created", "F.updated [f]", "i.updated"],
    ),
}

ON_AN_ITEM = {
    "n2 save": (lambda f, g, i: setattr(i, "subject", "T"), ["i.updated"], [], ["i.updated"]),
    "n3 flag": (
        lambda f, g, i: setattr(i, "read", False),
        ["i.updated", "F.updated [f]"],
        [],
        ["i.updated", "F.updated [f]"],
    ),
    "n4 move": (
        lambda f, g, i: f.move(i, g),
        ["i.deleted", "F.updated [f]"],
        ["i.created", "F.updated [g]"],
        ["i.created", "i.deleted", "F.updated [f]", "F.updated [g]"],
    ),
    "n5 copy": (
        lambda f, g, i: f.copy(i, g),
        [],
        ["i.created", "F.updated [g]"],
        ["i.created", "F.updated [g]"],
    ),
    "n7 soft": (
        lambda f, g, i: f.delete(i, soft=True),
        ["i.deleted", "F.updated [f]"],
        [],
        ["i.deleted", "F.updated [f]"],
    ),
    "n8 hard": (lambda f, g, i: f.delete(i), ["i.deleted", "F.updated [f]"], [], ["i.deleted", "F.updated [f]"]),
}


@pytest.mark.parametrize(("act", "in_f", "in_g", "in_store"), CASES.values(), ids=CASES.keys())
def test_what_happens_is_told_to_whom_it_concerns(server, places, sinks, act, in_f, in_g, in_store):
    act(*places)
    assert told(server, *sinks) == [in_f, in_g, in_store]


@pytest.mark.parametrize(("act", "in_f", "in_g", "in_store"), ON_AN_ITEM.values(), ids=ON_AN_ITEM.keys())
def test_what_happens_to_an_item_is_told_to_whom_it_concerns(server, places, act, in_f, in_g, in_store):
    f, g, _ = places
    made = item(f)
    sinks = [Sink() for _ in places]
    for place, sink in zip(places, sinks, strict=True):
        place.subscribe(sink)
    act(f, g, made)
    assert told(server, *sinks) == [in_f, in_g, in_store]


def test_a_folder_moved_is_created_there_and_deleted_here_and_stays_openable(server, places):
    f, g, _store = places
    sub = f.create_folder("sub")
    sinks = [Sink() for _ in places]
    for place, sink in zip(places, sinks, strict=True):
        place.subscribe(sink)
    f.move(sub, g)
    assert told(server, *sinks) == [
        ["F.updated [f]"],
        ["F.updated [g]"],
        ["F.created [sub]", "F.deleted [sub]", "F.updated [f]", "F.updated [g]"],
    ]
    created, deleted = sinks[2].notifications[:2]
    assert created.object.entryid == deleted.object.entryid == sub.entryid
    assert deleted.object.sourcekey == sub.sourcekey


def test_a_deleted_folder_says_nothing_of_what_was_in_it(server, places):
    _f, g, _store = places
    sub = g.create_folder("sub")
    item(sub)
    address = sub.entryid
    sinks = [Sink() for _ in places]
    for place, sink in zip(places, sinks, strict=True):
        place.subscribe(sink)
    g.delete(sub)
    assert told(server, *sinks) == [[], ["F.updated [g]"], ["F.deleted []", "F.updated [g]"]]
    gone = sinks[2].notifications[0].object
    assert gone.entryid == address
    with pytest.raises(kopano.NotFoundError):
        gone.sourcekey  # noqa: B018


def test_a_deleted_item_has_address_and_folder_and_nothing_else(server, places, sinks):
    f, _, _ = places
    made = item(f)
    address = made.entryid
    f.delete(made)
    told(server, sinks[0])
    gone = next(one.object for one in sinks[0].notifications if one.event_type == "deleted")
    assert (gone.entryid, gone.folder, gone.store) == (address, f, f.store)
    for name in ("subject", "sourcekey"):
        with pytest.raises(MAPIErrorNotFound):
            getattr(gone, name)
        with pytest.raises(kopano.NotFoundError):
            getattr(gone, name)


def test_objects_show_what_is_then(server, places, sinks):
    made = item(places[0], "first")
    made.subject = "second"
    told(server, sinks[0])
    assert sinks[0].notifications[0].object.subject == "second"


def test_kinds_and_events_can_be_chosen(server, places):
    f, _, _ = places
    chosen = {
        "items": ({"object_types": ["item"]}, ["i.created", "i.updated"]),
        "folders": ({"object_types": "folder"}, ["F.updated [f]"]),
        "creations": ({"event_types": ["created"], "object_types": ["item"]}, ["i.created"]),
        "text": ({"event_types": "created,deleted"}, ["i.created"]),
        "mail": ({"folder_types": ["mail"]}, ["i.created", "F.updated [f]", "i.updated"]),
        "contacts": ({"folder_types": ["contacts"]}, []),
        "unknown": ({"folder_types": ["contact"]}, []),
        "empty": ({"event_types": []}, ["i.created", "F.updated [f]", "i.updated"]),
    }
    sinks = {name: Sink() for name in chosen}
    for name, (options, _) in chosen.items():
        f.subscribe(sinks[name], **options)
    item(f)
    found = dict(zip(sinks, told(server, *sinks.values()), strict=True))
    assert found == {name: expected for name, (_, expected) in chosen.items()}


def test_folders_are_chosen_by_what_they_are_for(server, store):
    sink = Sink()
    store.subscribe(sink, folder_types="calendar", event_types=["created"])
    store.calendar.create_item(subject="meeting")
    store.inbox.create_item(subject="mail")
    store.journal.create_item(subject="entry")
    assert told(server, sink) == [["i.created"]]


def test_folders_without_a_short_name_are_in_no_default(server, store):
    sink, asked = Sink(), Sink()
    store.subscribe(sink)
    store.subscribe(asked, folder_types=["folder"])
    store.journal.create_item(subject="entry")
    assert told(server, sink, asked) == [[], ["i.created", "F.updated [Journal]", "i.updated"]]


def test_store_events_come_only_when_nothing_else_is_asked_for(server, store):
    everything, usual = Sink(), Sink()
    store.subscribe(everything, object_types=["store"])
    store.subscribe(usual)
    item(store.inbox)
    store.name = "renamed"
    found = told(server, everything, usual)
    assert found[0] == ["i.created", "F.updated [Inbox]", "i.updated", "S.updated"]
    assert "S.updated" not in found[1]


def test_callbacks_run_in_one_other_thread(server, places, sinks):
    item(places[0])
    told(server, *sinks)
    threads = sinks[0].threads | sinks[2].threads
    assert len(threads) == 1
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("raised", (ValueError, SystemExit))
def test_a_sink_that_raises_misses_nothing_and_hurts_nobody(server, places, caplog, raised):
    calls = []

    class Broken:
        def update(self, notification):
            calls.append(shown(notification))
            raise raised("broken")

    other = Sink()
    places[0].subscribe(Broken())
    places[0].subscribe(other)
    item(places[0])
    assert told(server, other) == [calls] == [["i.created", "F.updated [f]", "i.updated"]]
    assert "broken" in caplog.text


def test_unsubscribed_is_silent_even_from_within(server, places):
    f, _, store = places

    class Once(Sink):
        def update(self, notification):
            super().update(notification)
            f.unsubscribe(self)

    once, through_store = Once(), Sink()
    f.subscribe(once)
    f.subscribe(through_store)
    store.unsubscribe(through_store)
    store.unsubscribe(through_store)
    item(f)
    assert told(server, once, through_store) == [["i.created"], []]
    with pytest.raises(AttributeError):
        f.unsubscribe(Sink())


def test_changes_through_other_connections_are_told_alike(server, places, sinks):
    with kopano.server(server_socket=server.server_socket) as other:
        item(other.store(places[2].guid).folder("f"))
    assert told(server, sinks[0]) == [["i.created", "F.updated [f]", "i.updated"]]


def test_what_happened_before_is_not_told(server, places):
    f, _, _ = places
    item(f)
    sink = Sink()
    f.subscribe(sink)
    assert told(server, sink) == [[]]


def test_a_notification_carries_a_state_to_go_on_from(server, places, sinks, recorder):
    f, _, _ = places
    item(f, "A")
    item(f, "B")
    told(server, sinks[0])
    first, last = sinks[0].notifications[0], sinks[0].notifications[-1]
    importer = recorder()
    f.sync(importer, first.state)
    assert [subject for _, subject, _ in importer.told] == ["A", "B"]
    importer = recorder()
    f.sync(importer, last.state)
    assert [subject for _, subject, _ in importer.told] == ["B"]


def test_without_notifications_there_is_nothing_to_subscribe_to(tmp_path):
    with kopano.server(server_socket=str(tmp_path / "plain.db")) as plain:
        store = plain.create_user("anna").store
        for place in (store, store.inbox):
            with pytest.raises(kopano.NotSupportedError, match="server connection does not support notifications"):
                place.subscribe(Sink())


def test_an_updated_item_that_is_gone_by_then_raises_not_found_to_whoever_looks(server, places, sinks):
    made = item(places[0])
    places[0].delete(made)
    told(server, sinks[0])
    created = sinks[0].notifications[0]
    assert created.event_type == "created"
    with pytest.raises(MAPIErrorNotFound):
        created.object.subject  # noqa: B018
