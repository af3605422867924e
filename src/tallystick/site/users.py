"""Users of a served site: names, roles, passwords (DESIGN.md 8). Passwords are kept as argon2id hashes.

Those that write have a transaction of their own.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from tallystick.errors import UsageError, ValueRejected
from tallystick.site.ledger import Ledger

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024
DIGEST_REALM = "sdata"
"""The realm that the hashes of HTTP Digest are bound to."""
_STEPS = (
    (
        "CREATE TABLE tally_users_digest (name {text} NOT NULL, algorithm {text} NOT NULL, secret {text} NOT NULL, "
        "PRIMARY KEY (name, algorithm))",
    ),
)
_NAME = re.compile(r"[^\W_][\w.@+-]{0,127}")


class Role(StrEnum):
    """What a user may do; each role includes those before it."""

    READ = "read"
    WRITE = "write"
    SYNC = "sync"
    ADMIN = "admin"

    def allows(self, wanted: Role) -> bool:
        """True when this role includes ``wanted``."""
        return _ORDER.index(self) >= _ORDER.index(wanted)


_ORDER = (Role.READ, Role.WRITE, Role.SYNC, Role.ADMIN)


class User(NamedTuple):
    """A user as stored: ``secret`` is the argon2id hash of the password."""

    name: str
    role: Role
    secret: str


class Caller(NamedTuple):
    """Who makes a request, and what he may do. ``name`` is "" where a site without users is open on loopback."""

    name: str
    role: Role


def add(ledger: Ledger, name: str, password: str, role: Role | str, *, digest: bool = False) -> User:
    """Add a user, or give an existing one another password and role.

    With ``digest`` the hashes that HTTP Digest needs are kept too: whoever reads them can call as this user where
    Digest is accepted.

    Raises UsageError for a name or role that cannot be, ValueRejected for a password that is too short or too long.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:60]!r} cannot be a user's name",
            hint="use letters, digits and . _ @ + -, beginning with a letter or digit",
        )
    if role not in _ORDER:
        raise UsageError(f"there is no role {role!r}", hint=f"roles: {', '.join(_ORDER)}")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise ValueRejected(
            f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters", hint="choose a longer password"
        )
    user = User(name, Role(role), hasher().hash(password))
    with ledger.engine.write():
        ledger.engine.execute("DELETE FROM tally_user WHERE name=?", (name,))
        _keep_digest(ledger, name, password if digest else None)
        ledger.engine.execute("INSERT INTO tally_user(name, role, secret) VALUES (?, ?, ?)", user)
    return user


def remove(ledger: Ledger, name: str) -> None:
    """Remove a user. Raises UsageError when there is none of that name."""
    if find(ledger, name) is None:
        raise UsageError(f"there is no user {name!r}", hint="see: tallystick users list SITE")
    with ledger.engine.write():
        ledger.engine.execute("DELETE FROM tally_user WHERE name=?", (name,))
        _keep_digest(ledger, name, None)


# HTTP Digest -----------------------------------------------------------------------------------------------------


def _keep_digest(ledger: Ledger, name: str, password: str | None) -> None:
    """Keep the hashes of ``name:realm:password``, or (None) none."""
    if password is None and not ledger.meta("format.users"):
        return
    ledger.require("users", _STEPS)
    ledger.engine.execute("DELETE FROM tally_users_digest WHERE name=?", (name,))
    if password is not None:
        text = f"{name}:{DIGEST_REALM}:{password}".encode()
        rows = [
            (name, algorithm, hashlib.new(function, text, usedforsecurity=False).hexdigest())
            for algorithm, function in (("MD5", "md5"), ("SHA-256", "sha256"))
        ]
        ledger.engine.executemany("INSERT INTO tally_users_digest(name, algorithm, secret) VALUES (?, ?, ?)", rows)


def digest_secret(ledger: Ledger, name: str, algorithm: str) -> str:
    """The hash of ``name:realm:password`` by an algorithm (MD5, SHA-256); "" where none is kept."""
    if not ledger.meta("format.users"):
        return ""
    sql = "SELECT secret FROM tally_users_digest WHERE name=? AND algorithm=?"
    rows = ledger.engine.query(sql, (name, algorithm))
    return str(rows[0][0]) if rows else ""


def has_digest_secrets(ledger: Ledger) -> bool:
    """True when some user can come by HTTP Digest."""
    return bool(ledger.meta("format.users")) and bool(ledger.engine.query("SELECT 1 FROM tally_users_digest LIMIT 1"))


def find(ledger: Ledger, name: str) -> User | None:
    """The user of that name."""
    rows = ledger.engine.query("SELECT name, role, secret FROM tally_user WHERE name=?", (name,))
    return User(rows[0][0], Role(rows[0][1]), rows[0][2]) if rows else None


def listed(ledger: Ledger) -> list[User]:
    """Every user, by name."""
    rows = ledger.engine.query("SELECT name, role, secret FROM tally_user ORDER BY name")
    return [User(name, Role(role), secret) for name, role, secret in rows]


def has_users(ledger: Ledger) -> bool:
    """True when the site has users: then nobody else is let in."""
    return bool(ledger.engine.query("SELECT 1 FROM tally_user LIMIT 1"))


def verify(user: User | None, password: str) -> bool:
    """True when ``password`` is the user's. Takes as long where there is no such user: names are not told by time."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if len(password) > LONGEST_PASSWORD:
        return False
    try:
        hasher().verify(_nobody() if user is None else user.secret, password)
        return user is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def hasher() -> PasswordHasher:
    """The argon2id hasher, with its library's recommended cost."""
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobody() -> str:
    """The hash that unknown names are verified against."""
    import secrets

    return hasher().hash(secrets.token_hex(16))
