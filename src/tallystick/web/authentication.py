"""Who asks: HTTP Basic against the site's users (docs/protocol.md, *Authentication*).

A password is verified with argon2id once; afterwards a keyed hash of it is enough, as long as the user is the same.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import threading
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from tallystick.errors import AuthenticationRequired
from tallystick.protocols.native.codec.errors import Busy
from tallystick.protocols.native.pool import Pool
from tallystick.site import users
from tallystick.site.users import Caller, Role, User

FRESH_S = 1.0
"""A removed user is let in for no longer than this."""
REMEMBERED = 1024
VERIFYING = 2
"""Verifications at once: each takes a core and 64 MiB for some 50 ms."""
WAITING = 64


class Authenticator:
    """Knows the users of one site and who has shown a password."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._key = secrets.token_bytes(32)
        self._shown: dict[bytes, tuple[str, bool]] = {}
        self._users: dict[str, User] = {}
        self._read = float("-inf")
        self._lock = threading.Lock()
        self._waiting = 0
        self._threads = ThreadPoolExecutor(VERIFYING, "tally-users")

    def close(self) -> None:
        """Let go of threads. Idempotent."""
        self._threads.shutdown()

    @property
    def open(self) -> bool:
        """True when the site had no users when they were last read."""
        return not self._users

    def check(self, name: str, password: str) -> Caller | None:
        """The user of this name and password, or None. Blocks; takes as long for unknown names."""
        self._refresh()
        user = self._users.get(name)
        token = self._token(name, password)
        known = self._shown.get(token)
        if known is None or known[0] != (user.secret if user else ""):
            known = (user.secret if user else "", users.verify(user, password))
            self._remember(token, known)
        return Caller(user.name, user.role) if user is not None and known[1] else None

    async def caller(self, headers: Mapping[str, str], open_here: bool) -> Caller:
        """Who asks, by the headers of a request. ``open_here``: it comes from this machine, to this machine.

        Raises AuthenticationRequired, Busy.
        """
        if time.monotonic() - self._read > FRESH_S:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._refresh)
        stated = headers.get("authorization", "")
        if not self._users:
            if not open_here:
                raise AuthenticationRequired(
                    "this site has no users, so it answers only its own machine",
                    hint="add a user with: tallystick users add SITE NAME",
                )
            return Caller("", Role.ADMIN)
        name, password = credentials(stated)
        caller = self._remembered(name, password) or await self._verified(name, password)
        if caller is None:
            raise AuthenticationRequired("user or password is wrong")
        return caller

    def _remembered(self, name: str, password: str) -> Caller | None:
        user = self._users.get(name)
        if user is None:
            return None
        known = self._shown.get(self._token(name, password))
        return Caller(user.name, user.role) if known == (user.secret, True) else None

    async def _verified(self, name: str, password: str) -> Caller | None:
        if self._waiting >= WAITING:
            raise Busy("too many passwords wait to be verified")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self.check, name, password)
        finally:
            self._waiting -= 1

    def _refresh(self) -> None:
        """Read the users again where that was a while ago: other processes add and remove them."""
        now = time.monotonic()
        if now - self._read <= FRESH_S:
            return
        with self._pool.borrowed() as replica:
            self._users = {user.name: user for user in users.listed(replica.ledger)}
        self._read = now

    def _token(self, name: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{name}\0{password}".encode("utf-8", "surrogatepass"), sha256)

    def _remember(self, token: bytes, known: tuple[str, bool]) -> None:
        with self._lock:
            self._shown.pop(token, None)
            self._shown[token] = known
            if len(self._shown) > REMEMBERED:
                del self._shown[next(iter(self._shown))]


def credentials(header: str) -> tuple[str, str]:
    """Name and password of an ``Authorization`` header. Raises AuthenticationRequired when there are none."""
    scheme, _, encoded = header.partition(" ")
    if not header:
        raise AuthenticationRequired("this site wants to know who asks")
    try:
        if scheme.lower() != "basic":
            raise ValueError(scheme)
        name, colon, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (ValueError, Base64Error) as error:
        raise AuthenticationRequired("the credentials cannot be read", hint="send HTTP Basic credentials") from error
    if not colon:
        raise AuthenticationRequired("the credentials cannot be read", hint="send name and password joined by a colon")
    return name, password
