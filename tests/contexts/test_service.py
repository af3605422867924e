"""The context service of the specification (A.2), on every kind of host; the same calls awaited."""

import asyncio
import inspect
import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest

from tallystick.contexts import Context, ContextListParams, ContextService
from tallystick.contexts.asynchronous import AsyncContextService
from tallystick.contexts.http.client import RemoteHost
from tallystick.contexts.problems import ClearanceTimeoutError
from tallystick.contexts.results import ClearContextResult
from tallystick.errors import PeerUnreachable, UsageError

from .conftest import file_of, tree


@pytest.fixture
def service(host):
    return ContextService(host, wait=lambda _: None)


@pytest.fixture
def filled(service, host, name):
    context = service.create(name).context
    entry = file_of(host, host.find(name), b"0123456789")
    keys = [f"/data/f{number}.txt" for number in range(5)] + ["/data/sub/x", "/top"]
    host.publish(context.id, "*", [(key, entry) for key in keys])
    return context


def test_get_creates_only_when_asked_to_and_says_what_is_missing(service, name):
    missing = service.get(name)
    assert (missing.success, missing.context) == (False, None)
    assert missing.error_message.startswith("[ContextNotFound]")
    made = service.get(name, create=True)
    assert made.success
    assert made.request_id != missing.request_id
    assert service.create(name).context_id == service.get(context_id=made.context_id).context_id == made.context_id
    with pytest.raises(UsageError, match="Either 'name' or 'context_id' must be provided"):
        service.get()
    with pytest.raises(UsageError, match="Cannot create context using context_id"):
        service.get(create=True, context_id="ctx-1")


def test_listing_pages_by_opaque_tokens_and_refuses_a_bad_one(service, name):
    for number in range(12):
        service.create(f"{name}-{number:02}")
    found, token = [], None
    while True:
        page = service.list(ContextListParams(max_results=5, next_token=token))
        found += [context.name for context in page.contexts]
        token = page.next_token
        if not token:
            break
    assert page.total_count == len(found)
    assert sorted(each for each in found if each.startswith(name)) == [f"{name}-{number:02}" for number in range(12)]
    assert len(service.list().contexts) == 10
    assert not service.list(ContextListParams(next_token="bad")).success
    assert service.list(ContextListParams(session_id="none")).contexts == []
    assert not any(service.list(ContextListParams(max_results=most)).success for most in (0, -1))


def test_renaming_refuses_a_taken_name(service, name):
    service.create(f"{name} taken")
    context = service.create(name).context
    context.name = f"{name} taken"
    assert service.update(context).error_message.startswith("[NameExists]")
    context.name = f"{name} new"
    assert service.update(context).success
    assert service.get(f"{name} new").context_id == context.id


def test_files_are_listed_by_pages_and_by_tokens(service, filled):
    page = service.list_files(filled.id, "/data", page_number=2, page_size=4)
    assert [entry.file_path for entry in page.entries] == ["/data/f4.txt", "/data/sub"]
    assert (page.count, page.next_token) == (6, "")
    folder = page.entries[1]
    assert (folder.file_type, folder.file_name, page.entries[0].size) == ("FOLDER", "sub", 10)
    assert page.entries[0].gmt_modified.endswith("Z")
    first = service.list_files(filled.id, "data/", max_results=4)
    rest = service.list_files(filled.id, "data/", max_results=4, next_token=first.next_token)
    assert len(first.entries) == 4
    assert [entry.file_name for entry in rest.entries] == ["f4.txt", "sub"]
    assert rest.next_token == ""
    assert not service.list_files(filled.id, "/", next_token=first.next_token).success
    nowhere = service.list_files(filled.id, "/nowhere")
    assert (nowhere.success, nowhere.entries, nowhere.count) == (True, [], 0)
    assert not any(service.list_files(filled.id, "/data", max_results=most).success for most in (0, -1))
    assert not service.list_files(filled.id, "/data", page_number=0).success


def test_one_file_is_deleted_and_neither_a_folder_nor_what_is_not_there(service, filled, host):
    assert service.delete_file(filled.id, "/top").success
    assert not service.delete_file(filled.id, "/top").success
    assert not service.delete_file(filled.id, "/data").success
    assert not service.delete_file(filled.id, "/data/../x").success
    assert "/top" not in tree(host, host.find(filled.id))


def test_clearing_ends_with_an_empty_context(service, filled):
    assert service.clear_async(filled.id).status == "clearing"
    assert service.get_clear_status(filled.id).status == "available", "it is done before it returns"
    assert service.list_files(filled.id, "/").entries == []
    assert service.start_clear(filled.id).success
    done = service.clear(filled.id)
    assert (done.success, done.status) == (True, "available")
    assert service.list_files(filled.id, "/").entries == []
    assert not service.clear("ctx-nothing").success


def test_clearing_that_does_not_end_times_out(service, filled, monkeypatch):
    busy, polls = ClearContextResult(success=True, status="clearing"), []
    monkeypatch.setattr(service, "get_clear_status", lambda asked: (polls.append(asked), busy)[1])
    with pytest.raises(ClearanceTimeoutError, match="timed out"):
        service.clear(filled.id, timeout=7, poll_interval=2)
    assert polls == [filled.id] * 3
    failed = ClearContextResult(error_message="[Other] no answer")
    monkeypatch.setattr(service, "get_clear_status", lambda _: failed)
    assert service.clear(filled.id) is failed


def test_a_deleted_context_is_not_found_any_more(service, filled):
    assert service.delete(filled).success
    assert not service.get(context_id=filled.id).success
    assert not service.delete(filled).success


def test_what_cannot_be_reached_raises_where_the_specification_says_so():
    service = ContextService(RemoteHost("http://127.0.0.1:9/", attempts=1))
    context = Context("ctx-1", "x")
    for call in (service.update, service.delete):
        with pytest.raises(PeerUnreachable):
            call(context)
    with pytest.raises(PeerUnreachable):
        service.clear_async("ctx-1")
    assert not service.get("x").success


# URLs ------------------------------------------------------------------------------------


def request(url, method="GET", data=None, **headers):
    made = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(made) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read(), dict(answer.headers)


@pytest.fixture
def served(service, host):
    if not isinstance(host, RemoteHost):
        pytest.skip("only a served site makes URLs")
    return service


def test_without_a_server_there_are_no_urls(service, host, filled):
    if isinstance(host, RemoteHost):
        pytest.skip("this host is served")
    assert service.get_file_upload_url(filled.id, "/x").error_message.startswith("[configuration]")


def test_a_file_goes_up_and_down_by_url_with_ranges(served, filled):
    content = bytes(range(256)) * 20_000
    up = served.get_file_upload_url(filled.id, "/új/файл name.bin")
    assert request(up.url, "PUT", content)[0] in (200, 204)
    assert request(up.url, "PUT", iter([content[:5], content[5:]]))[0] in (200, 204)

    down = served.get_file_download_url(filled.id, "/új/файл name.bin")
    assert request(down.url)[:2] == (200, content)
    for asked, expected in (
        ("bytes=0-9", content[:10]),
        ("bytes=5000000-", content[5_000_000:]),
        ("bytes=-7", content[-7:]),
        ("bytes=1000000-3000000", content[1_000_000:3_000_001]),
    ):
        status, body, headers = request(down.url, Range=asked)
        assert (status, body) == (206, expected)
        assert headers["content-range"].endswith(f"/{len(content)}")
    assert request(down.url, Range="bytes=99999999-")[0] == 416
    assert request(down.url, "HEAD")[1] == b""


def test_an_upload_that_is_cut_short_leaves_what_was_there(served, filled):
    parts = urlsplit(served.get_file_upload_url(filled.id, "/top").url)
    head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(head.encode() + b"a half")
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)

    assert request(served.get_file_download_url(filled.id, "/top").url)[:2] == (200, b"0123456789")


def test_an_empty_file_goes_up_and_down(served, filled):
    assert request(served.get_file_upload_url(filled.id, "/empty").url, "PUT", b"")[0] in (200, 204)
    assert request(served.get_file_download_url(filled.id, "/empty").url)[:2] == (200, b"")


def test_a_signature_covers_method_context_key_and_end(served, filled):
    up = served.get_file_upload_url(filled.id, "/signed").url
    down = served.get_file_download_url(filled.id, "/top").url
    assert request(up)[0] == 403
    assert request(down, "PUT", b"x")[0] == 403
    assert request(down.replace("/top", "/data/f1.txt"))[0] == 403
    assert request(down.replace(filled.id, "ctx-other"))[0] == 403
    assert request(down.replace("expires=", "expires=9"))[0] == 403
    assert request(down.partition("?")[0])[0] == 403
    assert request(down, "DELETE")[0] == 405
    assert not served.get_file_download_url(filled.id, "/nothing").success


# Awaited ---------------------------------------------------------------------------------


def test_every_call_has_an_awaited_twin_of_the_same_name_and_arguments():
    for call, member in inspect.getmembers(ContextService, inspect.isfunction):
        if not call.startswith("_"):
            twin = getattr(AsyncContextService, call)
            assert inspect.iscoroutinefunction(twin)
            assert list(inspect.signature(twin).parameters) == list(inspect.signature(member).parameters)


def test_the_awaited_calls_do_what_the_others_do(hosting, name):
    async def run():
        service = AsyncContextService(lambda: ContextService(hosting(), wait=lambda _: None))
        try:
            made = await service.create(name)
            assert (await service.get(name)).context_id == made.context_id
            assert (await service.list(ContextListParams(max_results=1000))).contexts[-1].id == made.context_id
            assert (await service.list_files(made.context_id, "/")).count == 0
            assert (await service.clear(made.context_id)).status == "available"
            return await service.delete(made.context)
        finally:
            await service.aclose()

    assert asyncio.run(run()).success
