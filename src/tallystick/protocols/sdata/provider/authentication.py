"""Who is calling: Basic and Digest authentication (spec 12 *Security*; RFC 7617, RFC 7616)."""

from __future__ import annotations

import hmac
import re
import secrets
import threading
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote

from tallystick.errors import AuthenticationRequired
from tallystick.protocols.sdata.codec.digest_authentication import ALGORITHMS, digest_response, parse_parameters
from tallystick.protocols.sdata.codec.urls import LONGEST_URL

NONCE_SECONDS: Final = 300
NONCES_REMEMBERED: Final = 10_000


class Principal(Protocol):
    """Somebody who called, once he has shown who he is."""

    @property
    def name(self) -> str:
        """The name for logs and for the user of sync states."""

    def allows(self, role: str, kind: str) -> bool:
        """True when he has ``role`` (read, write, sync, admin) for the resource kind."""


class Authenticator(Protocol):
    """Whoever knows the users of a site."""

    def check(self, name: str, password: str) -> Principal | None:
        """The user with this name and password; None when there is none."""

    def secret(self, name: str, realm: str, algorithm: str) -> tuple[str, Principal] | None:
        """The hex hash of ``name:realm:password`` by ``algorithm`` (MD5, SHA-256), and the user.

        None where the site keeps no such hash: the user can then come by Basic only.
        """

    @property
    def keeps_secrets(self) -> bool:
        """True when `secret` may find something, so that Digest is worth offering."""

    @property
    def open(self) -> bool:
        """True while there are no users: then callers on this machine are let in without a name, and nobody else."""


@dataclass(frozen=True, slots=True)
class Anybody:
    """The caller of a site without users, which serves loopback addresses only."""

    name: str = "local"

    def allows(self, role: str, kind: str) -> bool:
        """Everything: whoever reaches loopback owns the machine."""
        return True


class Gate:
    """Checks the credentials of requests; one per provider, because it remembers the nonces it gave out."""

    def __init__(self, authenticator: Authenticator, realm: str, *, clock: Callable[[], float] = time.time) -> None:
        self._authenticator = authenticator
        self._realm = realm
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """True while there are no users."""
        return self._authenticator.open

    def admit(self, method: str, uri: str, headers: Mapping[str, str]) -> Principal:
        """The caller of a request; ``uri`` is path and query as sent, header names are in lower case.

        L3's ``X-Authorization`` counts where there is no ``Authorization``. Raises AuthenticationRequired.
        """
        given = headers.get("authorization") or headers.get("x-authorization") or ""
        scheme, _, rest = given.strip().partition(" ")
        principal = None
        if scheme.lower() == "basic":
            principal = self._basic(rest)
        elif scheme.lower() == "digest" and len(rest) < LONGEST_URL:
            principal = self._digest(method, uri, rest)
        if principal is None:
            raise AuthenticationRequired(
                "wrong name or password" if given else "this service asks for name and password"
            )
        return principal

    def challenges(self) -> list[str]:
        """The values of WWW-Authenticate; Digest first, because clients take the first they know."""
        found = []
        if self._authenticator.keeps_secrets:
            nonce = self._new_nonce()
            found = [
                f'Digest realm="{self._realm}", qop="auth", algorithm={name}, nonce="{nonce}"' for name in ALGORITHMS
            ]
        return [*found, f'Basic realm="{self._realm}", charset="UTF-8"']

    def _basic(self, text: str) -> Principal | None:
        try:
            data = b64decode(text.strip(), validate=True)
        except (NotBase64, ValueError):
            return None
        try:
            decoded = data.decode()
        except UnicodeDecodeError:
            decoded = data.decode("latin-1")
        name, colon, password = decoded.partition(":")
        return self._authenticator.check(name, password) if colon else None

    # Digest -------------------------------------------------------------------------------------------------------

    def _digest(self, method: str, uri: str, text: str) -> Principal | None:
        given = parse_parameters(text)
        algorithm = given.get("algorithm", "MD5").upper()
        name, nonce = given.get("username", ""), given.get("nonce", "")
        if algorithm not in ALGORITHMS or given.get("realm") != self._realm or not self._nonce_valid(nonce):
            return None
        if _path(given.get("uri", "")) != _path(uri):
            return None
        known = self._authenticator.secret(name, self._realm, algorithm)
        if known is None:
            return None
        expected = digest_response(known[0], algorithm, method, given)
        if not hmac.compare_digest(expected.encode(), given.get("response", "").lower().encode()):
            return None
        return known[1] if self._count_rises(nonce, given) else None

    def _new_nonce(self) -> str:
        moment = f"{int(self._clock()):x}.{secrets.token_hex(8)}"
        return f"{moment}.{self._signed(moment)}"

    def _signed(self, moment: str) -> str:
        return hmac.new(self._key, moment.encode(), "sha256").hexdigest()[:32]

    def _nonce_valid(self, nonce: str) -> bool:
        moment, _, signature = nonce.rpartition(".")
        if not hmac.compare_digest(self._signed(moment).encode(), signature.encode()):
            return False
        return self._clock() - int(moment.partition(".")[0], 16) <= NONCE_SECONDS

    def _count_rises(self, nonce: str, given: Mapping[str, str]) -> bool:
        """A repeated nonce count is a replayed request."""
        if given.get("qop", "") != "auth":
            return True
        try:
            count = int(given.get("nc", ""), 16)
        except ValueError:
            return False
        with self._lock:
            if count <= self._counts.get(nonce, 0):
                return False
            self._counts[nonce] = count
            while len(self._counts) > NONCES_REMEMBERED:
                self._counts.pop(next(iter(self._counts)))
        return True


def _path(uri: str) -> str:
    """Path and query, decoded: .NET clients send them absolute or with other characters encoded than the request."""
    return unquote(re.sub(r"^https?://[^/]*", "", uri))
