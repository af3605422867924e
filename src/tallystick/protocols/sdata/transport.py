"""How messages reach a provider: a port with two methods, and HTTP behind it.

The engine needs no more than bytes out and bytes in; whoever tests it, or wraps retries or recordings around it,
writes these two methods.
"""

from __future__ import annotations

import re
import secrets
import threading
from base64 import b64encode
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

import urllib3

from tallystick.errors import PeerUnreachable
from tallystick.protocols.sdata.codec.digest_authentication import (
    ALGORITHMS,
    digest_response,
    digest_secret,
    parse_parameters,
)
from tallystick.protocols.sdata.errors import MessageTooLarge, OriginRefused

LARGEST_ANSWER: Final = 256 * 1024 * 1024
MOST_REDIRECTS: Final = 5
USER_AGENT: Final = "Tallystick"


class Response(NamedTuple):
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Carries one request at a time; may be used from several threads."""

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """The answer, whatever its status.

        Raises PeerUnreachable when there is none, so that nobody knows whether the request was carried out: repeat it
        with the same trackingID. Raises MessageTooLarge or OriginRefused, which repeating does not help.
        """

    def close(self) -> None:
        """Let go of all connections."""


class Credentials(NamedTuple):
    """A name and a password. Shown nowhere."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.name!r}, ...)"


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or {"https": 443}.get(scheme, 80)


class HttpTransport:
    """HTTP to one origin, with keep-alive and, once asked for them, credentials: Digest if offered, then Basic.

    ``timeout`` is in seconds, for connecting and for every silence of the provider. Credentials go to ``origin`` only.
    """

    def __init__(self, origin: str, credentials: Credentials | None = None, *, timeout: float = 300.0) -> None:
        self._origin = origin_of(origin)
        self._credentials = credentials
        self._pool = urllib3.PoolManager(
            maxsize=4, timeout=urllib3.Timeout(connect=30.0, read=timeout), retries=False, block=False
        )
        self._lock = threading.Lock()
        self._challenge: tuple[str, dict[str, str]] | None = None
        self._count = 0

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """See `Transport.request`. GETs follow redirects inside the origin."""
        for _ in range(MOST_REDIRECTS):
            answer = self._authorized(method, url, headers, body)
            location = answer.headers.get("location")
            if method != "GET" or answer.status not in (301, 302, 303, 307, 308) or not location:
                return answer
            url = urljoin(url, location)
        raise PeerUnreachable(f"{url} redirects without end", hint="check the address")

    def _authorized(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        if origin_of(url) != self._origin:
            raise OriginRefused(f"{url[:200]} is not at {self._origin[0]}://{self._origin[1]}:{self._origin[2]}")
        answer = self._sent(method, url, {**headers, **self._authorization(method, url)}, body)
        for refused in ("", "digest"):  # a provider may know a user by Basic alone, and offers Digest to all
            if answer.status != 401 or self._credentials is None:
                return answer
            if not self._accept_challenge(answer.headers.get("www-authenticate", ""), refused):
                return answer
            answer = self._sent(method, url, {**headers, **self._authorization(method, url)}, body)
        return answer

    def _sent(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        sent = {"User-Agent": USER_AGENT, **headers}
        try:
            answer = self._pool.request(
                method,
                url,
                headers=sent,
                body=body if body or method in ("POST", "PUT") else None,
                preload_content=False,
                redirect=False,
            )
            try:
                declared = answer.headers.get("content-length", "")
                bounded = (
                    declared.isdigit() and int(declared) <= LARGEST_ANSWER and "content-encoding" not in answer.headers
                )
                data = answer.read() if bounded else answer.read(LARGEST_ANSWER + 1, decode_content=True)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise PeerUnreachable(f"{method} {url[:200]} had no answer: {error}") from error
        if len(data) > LARGEST_ANSWER:
            raise MessageTooLarge(f"{url[:200]} answers with more than {LARGEST_ANSWER} bytes")
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.itermerged()}, data)

    # Credentials --------------------------------------------------------------------------------------------------

    def _accept_challenge(self, header: str, refused: str) -> bool:
        """Remember how the provider wants to be told who we are; False when we cannot, or it refused just that.

        ``refused`` is a scheme that it has just refused.
        """
        for challenge in re.split(r",\s*(?=(?:Basic|Digest)\s)", header, flags=re.IGNORECASE):
            scheme, _, rest = challenge.strip().partition(" ")
            given = parse_parameters(rest)
            if scheme.lower() == refused:
                continue
            if scheme.lower() == "digest" and given.get("algorithm", "MD5").upper() in ALGORITHMS:
                if "auth" not in [offer.strip() for offer in given.get("qop", "auth").split(",")]:
                    continue
                repeated = self._challenge is not None and self._challenge[1].get("nonce") == given.get("nonce")
                with self._lock:
                    self._challenge, self._count = ("digest", given), 0
                return not repeated
            if scheme.lower() == "basic":
                repeated = self._challenge is not None and self._challenge[0] == "basic"
                self._challenge = ("basic", given)
                return not repeated
        return False

    def _authorization(self, method: str, url: str) -> dict[str, str]:
        if self._challenge is None or self._credentials is None:
            return {}
        scheme, given = self._challenge
        if scheme == "basic":
            pair = f"{self._credentials.name}:{self._credentials.password}".encode()
            return {"Authorization": f"Basic {b64encode(pair).decode()}"}
        return {"Authorization": self._digest(method, url, given)}

    def _digest(self, method: str, url: str, given: Mapping[str, str]) -> str:
        assert self._credentials is not None
        with self._lock:
            self._count += 1
            count = f"{self._count:08x}"
        parts = urlsplit(url)
        uri = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        algorithm = given.get("algorithm", "MD5").upper()
        answered = {
            "username": self._credentials.name,
            "realm": given.get("realm", ""),
            "nonce": given.get("nonce", ""),
            "uri": uri,
            "qop": "auth" if "qop" in given else "",
            "nc": count,
            "cnonce": secrets.token_hex(8),
        }
        secret = digest_secret(self._credentials.name, answered["realm"], self._credentials.password, algorithm)
        answered["response"] = digest_response(secret, algorithm, method, answered)
        answered |= {"opaque": given["opaque"]} if "opaque" in given else {}
        plain = ("qop", "nc")
        shown = [
            f"{name}={value}" if name in plain else f'{name}="{_quoted(value)}"'
            for name, value in answered.items()
            if value
        ]
        return f"Digest {', '.join(shown)}, algorithm={algorithm}"

    def close(self) -> None:
        """See `Transport.close`."""
        self._pool.clear()


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
