"""The application: what is where, who may see it, and how providers are mounted."""

from __future__ import annotations

import contextlib
import json

import pytest

from tallystick.errors import AuthenticationRequired
from tallystick.protocols.native.requests import Reply
from tallystick.web import Mounted, create_app, running
from tallystick.web.providers import native


def test_a_person_finds_a_page(site, ask):
    with running(str(site.path)) as url:
        got = ask(url, "/")
        assert got.status == 200
        assert got.headers["content-type"].startswith("text/html")
        assert f"tallystick sync your.db {url}" in got.body.decode()
        assert "default-src 'none'" in got.headers["content-security-policy"]


def test_the_page_quotes_what_the_client_sent(site, ask):
    with running(str(site.path)) as url:
        got = ask(url, "/", headers={"Host": "<script>alert(1)</script>"})
        assert b"<script>" not in got.body


def test_tools_find_versions_counters_and_a_document(site, ask):
    with running(str(site.path)) as url:
        listed = json.loads(ask(url, "/versions").body)
        assert listed["protocols"][0] == {"name": "native", "version": "1.2", "path": "/v1/"}
        assert json.loads(ask(url, "/openapi.json").body)["openapi"] == "3.1.0"
        ask(url, "/v1/describe")
        ask(url, "/v1/nonsense", "POST")
        counters = ask(url, "/metrics").body.decode()
        assert 'tallystick_requests_total{status="200",verb="describe"} 1.0' in counters
        assert 'tallystick_requests_total{status="404",verb="unknown"} 1.0' in counters
        assert "tallystick_request_seconds_bucket" in counters


def test_head_is_answered_without_a_body(site, ask):
    with running(str(site.path)) as url:
        got = ask(url, "/versions", "HEAD")
        assert (got.status, got.body) == (200, b"")
        assert int(got.headers["content-length"]) > 0


def test_what_is_nowhere_is_said_to_be(site, ask):
    with running(str(site.path)) as url:
        got = ask(url, "/nowhere")
        assert got.status == 404
        assert json.loads(got.body)["code"] == "not-found"
        got = ask(url, "/v7/describe")
        assert json.loads(got.body)["versions"] == ["1"]


# Users


def test_without_users_only_this_machine_by_its_own_name_is_answered(site, ask):
    with running(str(site.path)) as url:
        port = url.rpartition(":")[2].strip("/")
        assert ask(url, "/v1/describe", headers={"Host": f"localhost:{port}"}).status == 200
        got = ask(url, "/v1/describe", headers={"Host": "attacker.example"})
        assert got.status == 421
        assert json.loads(got.body)["code"] == "wrong-host"
        got = ask(url, "/v1/describe", headers={"X-Forwarded-For": "192.0.2.1"})
        assert got.status == 401
        assert ask(url, "/metrics", headers={"Host": "attacker.example"}).status == 421


@pytest.mark.parametrize(
    "headers",
    (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ),
    ids=str,
)
def test_a_page_of_another_site_makes_a_browser_do_nothing_here(site, ask, headers):
    with running(str(site.path)) as url:
        for path in ("/v1/heal", "/contexts/"):
            got = ask(url, path, "POST", b'{"name": "docs"}', headers={"Content-Type": "text/plain", **headers})
            assert got.status == 403
            assert json.loads(got.body)["code"] == "foreign-origin"
        kept = {"Content-Type": "application/json", "Origin": url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        assert ask(url, "/contexts/", "POST", b'{"name": "docs"}', headers=kept).status < 300


def test_a_page_of_another_site_hears_nothing_over_a_websocket(site):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    with running(str(site.path)) as url:
        address = url.replace("http://", "ws://") + "v1/events?beginning=true"
        with pytest.raises(InvalidStatus), connect(address, origin="https://evil.example"):
            pass
        with connect(address, origin=url.rstrip("/")) as socket:
            assert "person" in socket.recv(timeout=10)


@pytest.mark.parametrize(
    ("role", "allowed"),
    (("read", (200, 403, 403)), ("write", (200, 403, 403)), ("sync", (200, 200, 200)), ("admin", (200, 200, 200))),
)
def test_a_role_decides_what_a_user_may(site, ask, role, allowed):
    site.add_user("anna", "a long password", role)
    acknowledge = {
        "closing": {"state": "", "digests": {}, "forgotten": {}},
        "settings": {"source": "f" * 32, "scope": {"resources": ["person"]}, "policies": {}},
    }
    with running(str(site.path)) as url:
        user = ("anna", "a long password")
        kind = {"Content-Type": "application/json"}
        got = [
            ask(url, "/v1/describe", user=user),
            ask(url, "/v1/heal", "POST", b'{"resources": ["person"]}', user=user, headers=kind),
            ask(url, "/v1/acknowledge", "POST", json.dumps(acknowledge).encode(), user=user, headers=kind),
        ]
        assert tuple(one.status for one in got) == allowed
        assert all(json.loads(one.body)["code"] == "access-denied" for one in got if one.status == 403)


@pytest.mark.parametrize(
    "headers",
    (
        {},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic YW5uYQ=="},
        {"Authorization": "Bearer abc"},
        {"Authorization": "Basic /////w=="},
        {"Authorization": "Basic YW5uYTp3cm9uZw=="},
        {"Authorization": "Basic bm9ib2R5Ondyb25n"},
    ),
)
def test_with_users_nobody_else_is_let_in(site, ask, headers):
    site.add_user("anna", "a long password", "read")
    with running(str(site.path)) as url:
        for path in ("/v1/describe", "/metrics"):
            got = ask(url, path, headers=headers)
            assert got.status == 401
            assert json.loads(got.body)["code"] == "authentication-required"
            assert got.headers["www-authenticate"].startswith("Basic ")
        assert ask(url, "/versions", headers=headers).status == 200


# Providers


def _echo(services, authenticates=False, prefix="/echo/"):
    seen = []

    async def application(scope, receive, send):
        seen.append(scope["state"].get("caller"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    @contextlib.asynccontextmanager
    async def life():
        seen.append("started")
        yield
        seen.append("stopped")

    def refuse(error):
        return Reply(401 if isinstance(error, AuthenticationRequired) else 400, "text/x-own", error.code.encode())

    mounted = Mounted("echo", "2.0", prefix, application, authenticates, refuse, life, lambda: seen.append("closed"))
    return mounted, seen


def test_providers_are_mounted_beside_each_other_with_a_life_of_their_own(site, ask):
    kept = []

    def mounting(services):
        mounted, seen = _echo(services)
        kept.append(seen)
        return mounted

    with running(str(site.path), providers=(native, mounting)) as url:
        assert ask(url, "/echo/any/path").body == b"/echo/any/path"
        assert ask(url, "/v1/describe").status == 200
        assert {"name": "echo", "version": "2.0", "path": "/echo/"} in json.loads(ask(url, "/versions").body)[
            "protocols"
        ]
    (seen,) = kept
    assert seen[0] == "started"
    assert seen[1].role == "admin"
    assert seen[2:4] == ["stopped", "closed"]


def test_a_provider_refuses_in_its_own_form(site, ask):
    site.add_user("anna", "a long password", "read")
    with running(str(site.path), providers=(lambda services: _echo(services)[0],)) as url:
        got = ask(url, "/echo/x")
        assert (got.status, got.headers["content-type"], got.body) == (401, "text/x-own", b"authentication-required")


def test_a_provider_may_ask_for_credentials_itself(site, ask):
    site.add_user("anna", "a long password", "read")
    kept = []

    def mounting(services):
        mounted, seen = _echo(services, authenticates=True)
        kept.append((services, seen))
        return mounted

    with running(str(site.path), providers=(mounting,)) as url:
        assert ask(url, "/echo/x").status == 200
        assert ask(url, "/echo/x", headers={"Authorization": "Digest x"}).status == 200
        services, seen = kept[0]
        assert seen[1:3] == [None, None]
        assert services.users.check("anna", "a long password").role == "read"
        assert services.users.check("anna", "another password") is None
        assert services.users.check("nobody", "a long password") is None


def test_an_application_can_be_closed_without_ever_being_served(site):
    app = create_app(str(site.path))
    app.close()
    app.close()
