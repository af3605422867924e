"""Who asks: users are verified once, forgotten when they are removed, and never told by time or by name."""

from __future__ import annotations

import asyncio

import pytest

from tallystick.errors import AuthenticationRequired
from tallystick.protocols.native.codec.errors import Busy
from tallystick.protocols.native.pool import Pool
from tallystick.site import users
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.users import Role
from tallystick.sync.local import LocalReplica
from tallystick.web import authentication
from tallystick.web.authentication import Authenticator, credentials


@pytest.fixture
def authenticator(site):
    pool = Pool(lambda: LocalReplica.open(SQLiteEngine(site.path), "clinic"))
    made = Authenticator(pool)
    yield made
    made.close()
    pool.close()


@pytest.fixture
def verified(monkeypatch):
    """Counts verifications with argon2id."""
    counted = []
    verify = users.verify

    def counting(user, password):
        counted.append(user and user.name)
        return verify(user, password)

    monkeypatch.setattr(users, "verify", counting)
    return counted


def ask(authenticator, name="anna", password="a long password", open_here=False):
    from base64 import b64encode

    header = "Basic " + b64encode(f"{name}:{password}".encode()).decode()
    return asyncio.run(authenticator.caller({"authorization": header}, open_here))


def test_a_password_is_verified_once(site, authenticator, verified):
    site.add_user("anna", "a long password", "sync")
    for _ in range(5):
        assert ask(authenticator) == ("anna", Role.SYNC)
    assert verified == ["anna"]


def test_a_wrong_password_is_refused_without_being_verified_again(site, authenticator, verified):
    site.add_user("anna", "a long password", "sync")
    for _ in range(3):
        with pytest.raises(AuthenticationRequired):
            ask(authenticator, password="another password")
    assert verified == ["anna"]


def test_an_unknown_name_takes_a_verification_too(site, authenticator, verified):
    site.add_user("anna", "a long password", "sync")
    with pytest.raises(AuthenticationRequired):
        ask(authenticator, name="nobody")
    assert verified == [None]


def test_another_password_role_or_removal_is_seen(site, authenticator, monkeypatch):
    monkeypatch.setattr(authentication, "FRESH_S", 0.0)
    site.add_user("anna", "a long password", "sync")
    assert ask(authenticator).role == Role.SYNC
    site.add_user("anna", "a long password", "read")
    assert ask(authenticator).role == Role.READ
    site.add_user("anna", "a new long password", "read")
    with pytest.raises(AuthenticationRequired):
        ask(authenticator)
    site.add_user("bert", "a long password", "read")
    site.remove_user("anna")
    with pytest.raises(AuthenticationRequired):
        ask(authenticator, password="a new long password")


def test_when_the_last_user_is_removed_only_this_machine_is_let_in(site, authenticator, monkeypatch):
    monkeypatch.setattr(authentication, "FRESH_S", 0.0)
    site.add_user("anna", "a long password", "read")
    assert ask(authenticator, open_here=True).name == "anna"
    site.remove_user("anna")
    with pytest.raises(AuthenticationRequired):
        ask(authenticator)
    assert ask(authenticator, open_here=True) == ("", Role.ADMIN)


def test_what_is_remembered_is_bounded(site, authenticator, monkeypatch):
    monkeypatch.setattr(authentication, "REMEMBERED", 3)
    monkeypatch.setattr(users, "verify", lambda user, password: False)
    site.add_user("anna", "a long password", "sync")
    for number in range(10):
        authenticator.check("anna", f"wrong password {number}")
    assert len(authenticator._shown) == 3


def test_no_password_is_kept(site, authenticator):
    site.add_user("anna", "a long password", "sync")
    ask(authenticator)
    assert b"a long password" not in repr(authenticator.__dict__).encode()


def test_too_many_at_once_are_told_to_come_back(site, authenticator, monkeypatch):
    monkeypatch.setattr(authentication, "WAITING", 0)
    site.add_user("anna", "a long password", "sync")
    with pytest.raises(Busy):
        ask(authenticator)


@pytest.mark.parametrize(
    ("header", "expected"),
    (
        ("Basic YW5uYTpwdw==", ("anna", "pw")),
        ("basic YW5uYTpwdw==", ("anna", "pw")),
        ("Basic YW5uYTpwOnc=", ("anna", "p:w")),
        ("Basic YW5uYTo=", ("anna", "")),
        ("Basic w6nDqDrDqQ==", ("éè", "é")),
    ),
)
def test_basic_credentials_are_read(header, expected):
    assert credentials(header) == expected
