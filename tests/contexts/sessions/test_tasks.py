"""Tasks of a session: their rows in Python and on the wire, what waits for them, and for how long (spec contexts B.12).

| rule | test |
|---|---|
| A.3 sync, S4 | a_wait_looks, a_release_waits |
| A.3 bind, L1 | binding_waits |
| A.3 create | what_is_not_waited_for |
| A.3 list_bindings, info | bindings_and_rows |
| T2 | the_wire_form, a_document_that_cannot_be_read |
| T3 | numbers_only_grow, what_is_skipped, nothing_to_do |
| G4 | what_cannot_be_read |
| G5 | until_the_first_download |
"""

import errno
import inspect
import json
import os
import threading
from types import SimpleNamespace

import msgspec
import pytest

from tallystick.contexts import ContextSync, SyncPolicy
from tallystick.contexts.sessions import working
from tallystick.contexts.sessions.bindings import ContextManager
from tallystick.contexts.sessions.mounting import Mounted
from tallystick.contexts.sessions.session import RELEASE_SECONDS, CreateSessionParams
from tallystick.contexts.sessions.tasks import rows_of, status_document
from tallystick.contexts.sessions.working import ended_within, wait_for
from tallystick.trees.files import Files
from tallystick.trees.progress import Progress

from .conftest import files, last, put, sync_of, write


def test_a_wait_looks_150_times_from_half_a_second_on_ever_later_up_to_five():
    asked, waited = inspect.signature(ContextManager.sync).parameters, []
    never = SimpleNamespace(ended=SimpleNamespace(wait=lambda seconds: waited.append(seconds)))

    assert not wait_for([never], asked["max_retries"].default, asked["retry_interval"].default / 1000)
    assert (len(waited), max(waited), waited[0]) == (150, 5.0, 0.5)
    assert waited[1:4] == pytest.approx([0.55, 0.605, 0.6655])


def test_a_release_waits_for_five_minutes_altogether():
    waited = []
    never = SimpleNamespace(ended=SimpleNamespace(wait=lambda seconds: waited.append(seconds)))

    assert not ended_within([never, never], RELEASE_SECONDS)
    assert 299 < sum(waited) <= 300


def test_the_wire_form_nests_and_comes_back(opened, context):
    rows = opened(sync_of(context)).context.info().context_status_data

    (back,) = rows_of(status_document(rows))

    assert back.to_dict() == rows[0].to_dict()
    assert rows[0].to_dict() == {
        "contextId": context,
        "path": "/data",
        "errorMessage": "",
        "status": "Success",
        "startTime": rows[0].start_time,
        "finishTime": rows[0].finish_time,
        "taskType": "download",
    }
    (outer,) = json.loads(status_document(rows))
    assert (outer["type"], json.loads(outer["data"])) == ("data", [rows[0].to_dict()])
    mixed = json.dumps([{"type": "other", "data": "?"}, outer])
    assert len(rows_of(mixed)) == 1


@pytest.mark.parametrize(
    "document",
    ("", "[", "{}", "7", '[{"type":"data","data":"["}]', '[{"type":"data","data":"[{}]"}]', '[{"type":"x"}]'),
)
def test_a_document_that_cannot_be_read_has_no_rows(document):
    assert rows_of(document) == []


def test_bindings_and_rows_say_what_was_asked_and_done(opened, context):
    session = opened(sync_of(context))
    (binding,) = session.context.list_bindings().bindings
    (row,) = session.context.info(context, "/data", "download").context_status_data

    assert (binding.context_id, binding.context_name, binding.path) == (context, "work", "/data")
    assert SyncPolicy.from_dict(json.loads(binding.policy)) == SyncPolicy()
    wire = {"ContextId": context, "ContextName": "work", "Path": "/data", "Policy": binding.policy}
    assert binding.to_dict() == {**wire, "BindTime": binding.bind_time}
    assert 0 <= row.finish_time - binding.bind_time < 60
    assert (row.status, row.error_message, row.finish_time >= row.start_time > 0) == ("Success", "", True)
    assert session.context.info(task_type="upload").context_status_data == []
    assert session.context.info(path="/other").context_status_data == []


def test_until_the_first_download_has_succeeded_absence_deletes_nothing(opened, host, context):
    content = os.urandom(3 << 20)
    put(host, context, "/data/large", content)
    put(host, context, "/data/good", b"G")
    (entry,) = host.entries(context, ["/data/large"]).values()
    host.publish(context, "*", [("/data/large", msgspec.structs.replace(entry, digest=bytes(32)))])
    session = opened(sync_of(context))
    assert last(session).status == "Failed"
    session.path("/data/good").unlink()
    write(session, "/data/new", b"N")

    held = session.context.sync()
    assert "first download" in held.error_message
    assert files(host, context) == ["/data/good", "/data/large", "/data/new"]

    put(host, context, "/data/large", content)
    assert session.context.sync(mode="download").success
    assert session.context.sync().success
    assert "/data/good" not in files(host, context)


def test_binding_waits_for_the_first_download_unless_it_is_told_not_to(opened, host, context, monkeypatch):
    put(host, context, "/data/a", b"A")
    session, gate, run = opened(), threading.Event(), Mounted.run
    monkeypatch.setattr(Mounted, "run", lambda *given: (gate.wait(), run(*given))[1])

    bound = session.context.bind(sync_of(context), wait_for_completion=False)
    assert (bound.success, session.path("/data/a").exists(), last(session).finished) == (True, False, False)

    gate.set()
    put(host, host.create("other").id, "/other/b", b"B")
    assert session.context.bind(sync_of(host.find("other").id, "/other")).success
    assert session.path("/data/a").exists()
    assert session.path("/other/b").exists()


def test_what_cannot_be_read_fails_the_task_by_name_and_the_rest_is_done(opened, host, context, monkeypatch):
    session, real = opened(sync_of(context)), Files.open_directory
    for path in ("d/x", "d/y", "f"):
        write(session, f"/data/{path}", b"X")
    assert session.context.sync().success

    def refused(self, name, *given):
        if name == "d":
            raise PermissionError(errno.EACCES, "not yours")
        return real(self, name, *given)

    (session.path("/data/d/x")).unlink()
    write(session, "/data/new", b"N")
    monkeypatch.setattr(Files, "open_directory", refused)

    assert session.context.sync().error_message == "[Unreadable] cannot be read: d"
    assert files(host, context) == ["/data/d/x", "/data/d/y", "/data/f", "/data/new"]


@pytest.mark.parametrize("create", (True, False))
def test_what_is_not_waited_for_holds_nobody_up(opened, sessions, host, context, tmp_path, monkeypatch, create):
    put(host, context, "/data/a", b"A")
    slow, gate, run = host.create("slow").id, threading.Event(), Mounted.run
    put(host, slow, "/slow/b", b"B")

    def held_open(mounted, *given):
        if mounted.binding.path == "/slow":
            gate.wait(10)
        return run(mounted, *given)

    monkeypatch.setattr(Mounted, "run", held_open)
    wanted = [ContextSync(slow, "/slow", beta_wait_for_completion=False), sync_of(context)]
    try:
        if create:
            params = CreateSessionParams(wanted, root=tmp_path / "r", memory=tmp_path / "m", durable=False)
            result = sessions.create(params)
            session = result.session
        else:
            session = opened()
            result = session.context.bind(*wanted)
        rows = {row.path: row.status for row in session.context.info().context_status_data}
        assert (result.success, session.path("/data/a").read_bytes(), gate.is_set()) == (True, b"A", False)
        assert rows["/data"] == "Success"
        assert rows["/slow"] != "Success"
    finally:
        gate.set()
    assert session.delete().success
    assert (session.path("/slow/b")).read_bytes() == b"B"


def test_numbers_only_grow_and_end_with_what_was_done_and_the_version(opened, host, context, monkeypatch):
    """T3. Every step of the count is looked at, not only one in a tenth of a second."""
    for number in range(20):
        put(host, context, f"/data/f{number:02}", os.urandom(100 + number))
    count, seen = working._count, []

    def counted(row, progress):
        count(row, progress)
        seen.append((row.task_type, row.files_done, row.files_total, row.bytes_done, row.bytes_total))

    monkeypatch.setattr(working, "_count", counted)
    monkeypatch.setattr(working, "Progress", lambda show: Progress(show, interval=0))
    session = opened(sync_of(context))
    write(session, "/data/new", b"N" * 5)
    write(session, "/data/f00", b"changed")
    assert session.context.sync().success

    for kind, files_done, bytes_done in (("download", 20, sum(range(100, 120))), ("upload", 2, 12)):
        steps = [numbers for found, *numbers in seen if found == kind]
        assert all(sorted(numbers) == list(numbers) for numbers in zip(*steps, strict=True))
        assert all(step[0] <= step[1] and step[2] <= step[3] for step in steps)
        assert len(steps) > 2
        row = last(session, kind)
        assert (row.files_done, row.files_total) == (files_done, files_done)
        assert (row.bytes_done, row.bytes_total) == (bytes_done, bytes_done)
    assert last(session, "upload").version == host.find(context).version
    assert last(session, "download").version not in ("", host.find(context).version)


def test_what_is_skipped_is_named_and_is_no_failure(opened, host, context):
    session = opened(sync_of(context))
    os.symlink("/etc/passwd", session.path("/data/absolute"))
    os.mkfifo(session.path("/data/pipe"))
    write(session, "/data/a", b"A")

    assert session.context.sync().success
    row = last(session)
    assert row.skipped == ["absolute", "pipe"]
    assert [warning.partition(":")[0] for warning in row.warnings] == ["[skipped] absolute", "[skipped] pipe"]
    assert files(host, context) == ["/data/a"]


def test_nothing_to_do_is_a_row_with_the_version_that_stands(opened, host, context):
    put(host, context, "/data/a", b"A")
    session = opened(sync_of(context))

    assert session.context.sync().success
    row = last(session, "upload")
    assert (row.status, row.files_done, row.bytes_done, row.skipped) == ("Success", 0, 0, [])
    assert row.version == host.find(context).version
