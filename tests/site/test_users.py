"""Users of a site: argon2id passwords, roles that include each other."""

from __future__ import annotations

import pytest

from tallystick.errors import UsageError, ValueRejected
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.ledger import Ledger
from tallystick.site.users import Role, add, find, has_users, listed, remove, verify


@pytest.fixture
def ledger(tmp_path):
    made = Ledger.create(SQLiteEngine(tmp_path / "site.db", create=True))
    yield made
    made.engine.close()


def test_a_user_is_found_and_verified_by_his_password_only(ledger):
    add(ledger, "anna", "a long password", "sync")
    user = find(ledger, "anna")
    assert user.role is Role.SYNC
    assert user.secret.startswith("$argon2id$")
    assert verify(user, "a long password")
    assert not verify(user, "a long passwor")
    assert not verify(user, "x" * 100_000)
    assert not verify(None, "a long password")


def test_equal_passwords_have_different_secrets(ledger):
    assert (
        add(ledger, "anna", "a long password", "sync").secret != add(ledger, "bert", "a long password", "sync").secret
    )


def test_adding_again_replaces(ledger):
    add(ledger, "anna", "a long password", "sync")
    add(ledger, "anna", "another password", Role.READ)
    (user,) = listed(ledger)
    assert user.role is Role.READ
    assert verify(user, "another password")
    assert not verify(user, "a long password")


def test_users_are_listed_by_name_and_removed(ledger):
    assert not has_users(ledger)
    for name in ("cleo", "anna", "bert"):
        add(ledger, name, "a long password", "read")
    assert has_users(ledger)
    assert [user.name for user in listed(ledger)] == ["anna", "bert", "cleo"]
    remove(ledger, "bert")
    assert [user.name for user in listed(ledger)] == ["anna", "cleo"]
    with pytest.raises(UsageError):
        remove(ledger, "bert")


@pytest.mark.parametrize("name", ("", "a:b", "a b", "-a", "a\n", "x" * 129, "a/b"))
def test_a_name_that_cannot_be_is_refused(ledger, name):
    with pytest.raises(UsageError):
        add(ledger, name, "a long password", "read")
    assert not listed(ledger)


def test_a_role_or_password_that_cannot_be_is_refused(ledger):
    with pytest.raises(UsageError):
        add(ledger, "anna", "a long password", "root")
    for password in ("short", "", "x" * 2000):
        with pytest.raises(ValueRejected):
            add(ledger, "anna", password, "read")
    assert not listed(ledger)


@pytest.mark.parametrize("role", list(Role))
def test_each_role_includes_those_before_it(role):
    order = [Role.READ, Role.WRITE, Role.SYNC, Role.ADMIN]
    assert [role.allows(wanted) for wanted in order] == [order.index(wanted) <= order.index(role) for wanted in order]
