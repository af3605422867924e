"""Events over HTTP: streams that continue where they were left, for many at once, for those who may read."""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
from urllib.parse import urlsplit

import pytest

import tallystick
from tallystick.errors import (
    PeerRefused,
    PeerUnreachable,
    StateExpiredError,
    StateFutureError,
    StateInvalidError,
    StorageLocked,
    UnknownResource,
)
from tallystick.protocols.native.events import RemoteChanges, parsed
from tallystick.web import running
from tallystick.web.event_hub import MOST_WAITING


class Application:
    """The application that writes to the served database."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)

    def put(self, key, name="x"):
        sql = "INSERT INTO person VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name=excluded.name"
        self.connection.execute(sql, (key, name))

    def delete(self, key):
        self.connection.execute("DELETE FROM person WHERE id=?", (key,))


@pytest.fixture
def site_path(tmp_path):
    path = tmp_path / "served.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE person (id TEXT PRIMARY KEY, name TEXT)")
    connection.execute("CREATE TABLE town (id TEXT PRIMARY KEY, name TEXT)")
    connection.executemany("INSERT INTO person VALUES (?, ?)", [("1", "Ann"), ("2", "Bob")])
    connection.commit()
    connection.close()
    with tallystick.open(path) as site:
        site.track()
    return path


@pytest.fixture
def application(site_path):
    made = Application(site_path)
    yield made
    made.connection.close()


@pytest.fixture
def served(site_path):
    with running(site_path) as address:
        yield address


def keys(events):
    return [event.data["key"] for event in events]


def taken(remote, count):
    found = []
    for event in remote:
        found.append(event)
        if len(found) == count:
            break
    remote.close()
    return found


def test_everything_is_read_and_then_the_stream_ends(served):
    remote = RemoteChanges(served)
    first, second = remote
    assert (first.event, first.data["content"]) == ("created", {"name": "Ann"})
    assert second.data["key"] == "2"
    assert list(RemoteChanges(served, state=remote.state)) == []


def test_every_event_carries_the_state_to_continue_from(served):
    first, second = RemoteChanges(served)
    assert keys(RemoteChanges(served, state=first.state)) == ["2"]
    assert keys(RemoteChanges(served, state=second.state)) == []


def test_followers_are_told_of_what_comes(served, application):
    remote = RemoteChanges(served, follow=True)
    found = []
    for event in remote:
        found.append((event.event, event.data["key"]))
        if event.data["key"] == "2":
            application.put("3")
        if event.data["key"] == "3":
            break
    assert found == [("created", "1"), ("created", "2"), ("created", "3")]
    remote.close()


def test_a_follower_comes_back_to_where_it_was(served, application):
    remote = RemoteChanges(served, follow=True)
    assert keys(taken(remote, 2)) == ["1", "2"]
    application.put("3")
    application.delete("1")
    assert sorted(keys(taken(remote, 2))) == ["1", "3"]


def test_one_resource_has_an_address_of_its_own(served, application):
    application.connection.execute("INSERT INTO town VALUES ('t', 'Troy')")
    with Stream(served, "/v1/resources/town/events?beginning=true&follow=false") as stream:
        events = [event for event in stream if event.event != "state"]
    assert [(event.data["resource"], event.data["key"]) for event in events] == [("town", "t")]


def test_the_last_event_id_is_the_state(served, application):
    (_, second) = RemoteChanges(served)
    application.put("3")
    with Stream(served, "/v1/events?follow=false", {"Last-Event-ID": second.state}) as stream:
        assert keys(event for event in stream if event.event != "state") == ["3"]


def test_without_a_state_a_stream_begins_now(served, application):
    with Stream(served, "/v1/events") as stream:
        assert next(stream).event == "state"
        application.put("9")
        assert next(stream).data["key"] == "9"


def test_a_filter_is_kept_for_what_comes_later(served, application):
    remote = RemoteChanges(served, ["person"], follow=True, where="name eq 'Ann'")
    iterator = iter(remote)
    assert next(iterator).data["key"] == "1"
    application.put("7", "Zoe")
    application.put("8", "Ann")
    application.put("1", "Eve")
    assert sorted(next(iterator).data["key"] for _ in "123") == ["1", "7", "8"]
    remote.close()


def test_content_can_be_left_out(served):
    with Stream(served, "/v1/events?beginning=true&follow=false&content=false") as stream:
        assert "content" not in next(stream).data


def test_many_changes_at_once_reach_a_follower_completely(served, application):
    with Stream(served, "/v1/events") as stream:
        assert next(stream).event == "state"
        application.connection.execute("BEGIN")
        for number in range(MOST_WAITING * 3):
            application.put(f"n{number}")
        application.connection.execute("COMMIT")
        found = set()
        while len(found) < MOST_WAITING * 3:
            event = next(stream)
            if event.event != "state":
                found.add(event.data["key"])


def test_many_followers_are_served_by_one_watcher(served, application):
    streams = [Stream(served, "/v1/events") for _ in range(20)]
    for stream in streams:
        assert next(stream).event == "state"
    application.put("for all")
    for stream in streams:
        assert next(stream).data["key"] == "for all"
        stream.close()
    watchers = [thread for thread in threading.enumerate() if thread.name == "tally-watcher"]
    assert len(watchers) == 1


def test_a_web_socket_carries_the_same(served, application):
    from websockets.sync.client import connect

    with connect(served.replace("http", "ws") + "v1/events?resource=person&beginning=true") as socket:
        first, second, state = (json.loads(socket.recv(20)) for _ in range(3))
        assert (first["key"], second["key"], state["event"]) == ("1", "2", "state")
        application.put("3", "Cleo")
        told = json.loads(socket.recv(20))
        assert (told["event"], told["key"], told["content"]) == ("created", "3", {"name": "Cleo"})
        assert keys(RemoteChanges(served, ["person"], told["state"])) == []


def test_a_web_socket_says_what_is_wrong(served):
    from websockets.sync.client import connect

    with connect(served.replace("http", "ws") + "v1/events?state=nonsense") as socket:
        assert json.loads(socket.recv(20))["code"] == "state-invalid"


def test_what_cannot_be_is_refused_by_name(served, site_path):
    with pytest.raises(UnknownResource):
        list(RemoteChanges(served, ["nowhere"]))
    with pytest.raises(StateInvalidError):
        list(RemoteChanges(served, state="nonsense"))
    with pytest.raises(PeerRefused, match="neither true nor false"):
        Stream(served, "/v1/events?follow=perhaps")
    with pytest.raises(PeerRefused, match="resync=perhaps is unknown"):
        Stream(served, "/v1/events?resync=perhaps")
    with pytest.raises(PeerRefused, match="no parameter 'resouce'"):
        Stream(served, "/v1/events?resouce=patient")
    with pytest.raises(PeerRefused, match="no resource ''"):
        Stream(served, "/v1/events?resource=")
    with pytest.raises(PeerRefused, match="nothing at this address"):
        Stream(served, "/v1/eventsmore")


def test_an_expired_state_is_named_and_the_difference_delivered(served, application, site_path):
    remote = RemoteChanges(served, ["person"])
    list(remote)
    application.delete("1")
    application.put("5")
    with tallystick.open(site_path) as site:
        site.state()
        application.delete("5")
        site.state()
        site.purge(-1)
    with pytest.raises(StateExpiredError, match="diff"):
        list(RemoteChanges(served, ["person"], remote.state))
    assert {"1"} <= {*keys(RemoteChanges(served, ["person"], remote.state, resync="diff"))} <= {"1", "5"}


def backup(site_path, name):
    copy = site_path.with_name(name)
    source, target = sqlite3.connect(site_path), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()
    return copy


def test_a_last_event_from_a_future_that_was_restored_away_is_refused_by_name(site_path, application):
    copy = backup(site_path, "restored.db")
    application.put("9")
    with tallystick.open(site_path) as site:
        future = site.state("person")
    with running(copy) as address:
        with pytest.raises(PeerRefused, match="state-future") as refused:
            Stream(address, "/v1/events?resource=person&follow=false", {"Last-Event-ID": future})
        assert "diff" in str(refused.value)
        with pytest.raises(StateFutureError, match="restored"):
            list(RemoteChanges(address, ["person"], future))


def test_a_follower_of_a_file_that_is_replaced_is_told_and_the_new_file_is_served(served, site_path, application):
    copy = backup(site_path, "restored.db")
    follower = RemoteChanges(served, ["person"], follow=True)
    events = iter(follower)
    assert [next(events).data["key"] for _ in "12"] == ["1", "2"]
    application.connection.close()
    for name in ("-wal", "-shm"):
        site_path.with_name(site_path.name + name).unlink(missing_ok=True)
    copy.replace(site_path)
    with pytest.raises(StateFutureError, match="restored or copied"):
        next(events)
    assert keys(RemoteChanges(served, ["person"])) == ["1", "2"]


def test_only_those_who_may_read_get_events(site_path):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    with tallystick.open(site_path) as site:
        from tallystick.site import users

        users.add(site.ledger, "reader", "correct horse", "read")
    with running(site_path) as address:
        with pytest.raises(PeerRefused):
            list(RemoteChanges(address))
        with pytest.raises(InvalidStatus):
            connect(address.replace("http", "ws") + "v1/events")
        named = address.replace("://", "://reader@")
        assert keys(RemoteChanges(named, password="correct horse")) == ["1", "2"]


def test_a_server_that_stops_ends_its_streams(site_path):
    with running(site_path) as address:
        stream = Stream(address, "/v1/events")
        assert next(stream).event == "state"
    assert next(stream, None) is None
    stream.close()


def test_an_error_in_the_middle_of_a_stream_is_the_error_it_was_there():
    def stream(code, retry):
        data = json.dumps({"event": "error", "code": code, "message": "why", "hint": "how", "retry": retry})
        return iter(["event: error", f"data: {data}", ""])

    for code, retry, kind in (
        ("state-expired", False, StateExpiredError),
        ("storage-locked", True, StorageLocked),
        ("busy", True, PeerUnreachable),
        ("nobody-knows", False, PeerRefused),
    ):
        with pytest.raises(kind, match="why") as raised:
            list(parsed(stream(code, retry)))
        assert raised.value.hint == "how"


def test_lines_of_a_stream_are_read_as_the_standard_says():
    lines = [": hello", "", "event: updated", "id: s1", 'data: {"a":', "data: 1}", "", "data: {}", "", "id: x"]
    assert [tuple(event) for event in parsed(iter(lines))] == [("updated", "s1", {"a": 1}), ("message", "", {})]


class Stream:
    """A stream of events read line by line."""

    def __init__(self, address, path, headers=None):
        parts = urlsplit(address)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        self.connection.request("GET", path, headers=headers or {})
        self.response = self.connection.getresponse()
        if self.response.status != 200:
            body = self.response.read()
            self.close()
            raise PeerRefused(body.decode())
        self.events = parsed(line.decode().rstrip("\n") for line in iter(self.response.readline, b""))

    def __iter__(self):
        return self.events

    def __next__(self):
        return next(self.events)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.response.close()
        self.connection.close()
