"""Basic and Digest, from both ends, over a real socket and in process (spec 12 *Security*)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from tallystick.errors import AuthenticationRequired
from tallystick.protocols.sdata.codec.diagnoses import read_diagnoses
from tallystick.protocols.sdata.codec.digest_authentication import digest_response, digest_secret, parse_parameters
from tallystick.protocols.sdata.memory import MemoryStore
from tallystick.protocols.sdata.provider import Dataset, Provider, sdata_application
from tallystick.protocols.sdata.provider.authentication import NONCE_SECONDS, Gate
from tallystick.protocols.sdata.transport import Credentials, HttpTransport

ACCOUNTS = "http://testserver/sdata/books/crm/-/accounts"


@dataclass
class User:
    name: str
    roles: frozenset[str]

    def allows(self, role: str, kind: str) -> bool:
        return role in self.roles


@dataclass
class Users:
    """Two users: one may do everything, the other may read."""

    keeps_secrets: bool = True
    open: bool = False
    checked: int = 0

    def _user(self, name: str) -> User | None:
        roles = {"anna": frozenset(["read", "write", "sync", "admin"]), "rené": frozenset(["read"])}.get(name)
        return None if roles is None else User(name, roles)

    def check(self, name: str, password: str) -> User | None:
        self.checked += 1
        return self._user(name) if password == "se:cret" else None

    def secret(self, name: str, realm: str, algorithm: str) -> tuple[str, User] | None:
        user = self._user(name)
        return None if user is None else (digest_secret(name, realm, "se:cret", algorithm), user)


@pytest.fixture
def client(serve: Callable[..., TestClient], make_store: Callable[..., MemoryStore]) -> TestClient:
    return serve(make_store(), authenticator=Users())


def basic(name: str, password: str, encoding: str = "utf-8") -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode(encoding)).decode()


def test_without_credentials_the_answer_is_401_with_both_challenges(client: TestClient) -> None:
    answer = client.get(ACCOUNTS)
    assert answer.status_code == 401
    challenges = [value for name, value in answer.headers.multi_items() if name == "www-authenticate"]
    assert [value.partition(" ")[0] for value in challenges] == ["Digest", "Digest", "Basic"]
    assert 'qop="auth"' in challenges[0]
    assert read_diagnoses(answer.content)[0].message


def test_digest_is_offered_only_where_the_site_keeps_what_it_needs(
    serve: Callable[..., TestClient], make_store: Callable[..., MemoryStore]
) -> None:
    answer = serve(make_store(), authenticator=Users(keeps_secrets=False)).get(ACCOUNTS)
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("encoding", ("utf-8", "latin-1"))
def test_basic_is_let_in_whichever_way_names_are_encoded(client: TestClient, encoding: str) -> None:
    assert client.get(ACCOUNTS, headers={"Authorization": basic("rené", "se:cret", encoding)}).status_code == 200
    assert client.get(ACCOUNTS, headers={"Authorization": basic("rené", "wrong", encoding)}).status_code == 401


@pytest.mark.parametrize(
    "header", ("Basic !!!", "Basic", "Basic YWJj", "Bearer x", "Digest", "Digest nonsense", "x" * 9000)
)
def test_credentials_that_cannot_be_read_are_401(client: TestClient, header: str) -> None:
    assert client.get(ACCOUNTS, headers={"Authorization": header}).status_code == 401


def test_the_header_of_script_clients_counts_and_they_may_do_without_a_challenge(client: TestClient) -> None:
    assert client.get(ACCOUNTS, headers={"X-Authorization": basic("anna", "se:cret")}).status_code == 200
    answer = client.get(ACCOUNTS, headers={"X-Authorization-Mode": "no-challenge"})
    assert answer.status_code == 401
    assert "www-authenticate" not in answer.headers


def digest_header(challenge: str, method: str, path: str, **changes: str) -> str:
    given = parse_parameters(challenge.partition(" ")[2])
    answered = {
        "username": "anna",
        "realm": given["realm"],
        "nonce": given["nonce"],
        "uri": path,
        "qop": "auth",
        "nc": "00000001",
        "cnonce": "abc",
        "algorithm": given["algorithm"],
    } | changes
    secret = digest_secret(answered["username"], answered["realm"], "se:cret", given["algorithm"])
    answered.setdefault("response", digest_response(secret, given["algorithm"], method, answered))
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in answered.items())


@pytest.mark.parametrize("number", (0, 1))
def test_digest_is_let_in_once_per_count(client: TestClient, number: int) -> None:
    challenge = client.get(ACCOUNTS).headers.get_list("www-authenticate")[number]
    uri = "/sdata/books/crm/-/accounts"
    header = digest_header(challenge, "GET", uri)
    assert client.get(ACCOUNTS, headers={"Authorization": header}).status_code == 200
    assert client.get(ACCOUNTS, headers={"Authorization": header}).status_code == 401, "a replay"
    following = digest_header(challenge, "GET", uri, nc="00000002")
    assert client.get(ACCOUNTS, headers={"Authorization": following}).status_code == 200


@pytest.mark.parametrize(
    "changes",
    (
        {"response": "0" * 32},
        {"uri": "/elsewhere"},
        {"realm": "other"},
        {"nonce": "12.ab.cd"},
        {"nonce": ""},
        {"username": "nobody"},
        {"algorithm": "SHA-999"},
        {"nc": "xyz"},
    ),
)
def test_a_digest_that_is_not_right_in_every_part_is_401(client: TestClient, changes: dict[str, str]) -> None:
    challenge = client.get(ACCOUNTS).headers.get_list("www-authenticate")[0]
    header = digest_header(challenge, "GET", "/sdata/books/crm/-/accounts", **changes)
    assert client.get(ACCOUNTS, headers={"Authorization": header}).status_code == 401


def test_the_uri_may_be_absolute_or_encoded_differently(client: TestClient) -> None:
    for number, uri in enumerate((f"{ACCOUNTS}/$syncDigest", "/sdata/books/crm/-/accounts/%24syncDigest"), 1):
        challenge = client.get(ACCOUNTS).headers.get_list("www-authenticate")[0]
        header = digest_header(challenge, "GET", uri, nc=f"{number:08x}")
        assert client.get(f"{ACCOUNTS}/$syncDigest", headers={"Authorization": header}).status_code == 200


def test_a_nonce_grows_old() -> None:
    moment = [1000.0]
    gate = Gate(Users(), "sdata", clock=lambda: moment[0])
    challenge = gate.challenges()[0]
    gate.admit("GET", "/x", {"authorization": digest_header(challenge, "GET", "/x")})
    moment[0] += NONCE_SECONDS + 1
    header = digest_header(challenge, "GET", "/x", nc="00000002")
    with pytest.raises(AuthenticationRequired):
        gate.admit("GET", "/x", {"authorization": header})


@pytest.mark.parametrize(
    ("method", "url", "status"),
    (
        ("GET", ACCOUNTS, 200),
        ("POST", ACCOUNTS, 403),
        ("DELETE", f"{ACCOUNTS}('1')", 403),
        ("GET", f"{ACCOUNTS}/$syncDigest", 403),
        ("POST", f"{ACCOUNTS}/$syncSource?trackingID=1", 403),
        ("POST", f"{ACCOUNTS}/$syncTarget?trackingID=1", 403),
        ("POST", f"{ACCOUNTS}/$syncResults", 403),
        ("GET", f"{ACCOUNTS}/$linked", 403),
        ("POST", f"{ACCOUNTS}/$batch", 403),
        ("PUT", f"{ACCOUNTS}/$syncDigest", 405),
    ),
)
def test_a_reader_may_only_read(client: TestClient, method: str, url: str, status: int) -> None:
    answer = client.request(method, url, headers={"Authorization": basic("rené", "se:cret")})
    assert answer.status_code == status


def test_without_users_only_this_machine_is_served(make_store: Callable[..., MemoryStore]) -> None:
    provider = Provider("http://testserver/sdata", [Dataset("books", "crm", "-", make_store())])
    for address, status in (("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 403)):
        with TestClient(sdata_application(provider), client=(address, 4711)) as client:
            assert client.get(ACCOUNTS).status_code == status


@pytest.mark.parametrize("keeps_secrets", (True, False), ids=["digest", "basic"])
def test_our_own_transport_answers_either_challenge(loopback: Callable[..., Any], keeps_secrets: bool) -> None:
    users = Users(keeps_secrets)
    server = loopback(authenticator=users)
    transport = HttpTransport(server.root, Credentials("anna", "se:cret"))
    for _ in range(3):
        assert transport.request("GET", f"{server.accounts}?count=0&where=name%20eq%20'x'", {}).status == 200
    assert users.checked == (0 if keeps_secrets else 3)
    wrong = HttpTransport(server.root, Credentials("anna", "wrong"))
    assert wrong.request("GET", server.accounts, {}).status == 401
    none = HttpTransport(server.root)
    assert none.request("GET", server.accounts, {}).status == 401
    for used in (transport, wrong, none):
        used.close()


def test_a_password_is_shown_nowhere() -> None:
    assert "se:cret" not in repr(Credentials("anna", "se:cret"))
