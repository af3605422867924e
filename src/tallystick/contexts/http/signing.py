"""Signed URLs: one file, one method, an hour (spec contexts A.2). Pure but for the key it is given."""

from __future__ import annotations

import hmac
from hashlib import sha256
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlencode

from tallystick.contexts.entries import packed, unpacked
from tallystick.contexts.http.wire import SIGNED
from tallystick.contexts.problems import LinkExpired

VALID_S = 3600
METHODS = ("GET", "PUT")


def signature(secret: bytes, method: str, identifier: str, key: str, expires: int) -> str:
    """What proves that the site made a URL: covers method, context, key and end."""
    text = "\0".join((method, identifier, key, str(expires)))
    return hmac.new(secret, text.encode(), sha256).hexdigest()


def signed_path(secret: bytes, method: str, identifier: str, key: str, expires: int) -> str:
    """Path and query of the URL for a packed key."""
    query = {"method": method, "expires": expires, "signature": signature(secret, method, identifier, key, expires)}
    path = quote(unpacked(key).encode("utf-8", "surrogateescape"))
    return f"{SIGNED.rstrip('/')}/{quote(identifier)}{path}?{urlencode(query)}"


def check_signed(secret: bytes, method: str, path: str, query: str, now: float) -> tuple[str, str]:
    """The context and the packed key that a request is allowed for; raises LinkExpired.

    ``path`` is the raw one, after the prefix.
    """
    try:
        asked = parse_qs(query, max_num_fields=10)
    except ValueError:
        raise LinkExpired("[LinkExpired] this URL is not signed") from None
    identifier, _, rest = path.partition("/")
    key = packed("/" + unquote_to_bytes(rest).decode("utf-8", "surrogateescape"))
    expires = (asked.get("expires") or [""])[0]
    stated = (asked.get("signature") or [""])[0]
    if not (expires.isascii() and expires.isdigit()) or len(expires) > 12:
        raise LinkExpired("[LinkExpired] this URL is not signed")
    made = "GET" if method == "HEAD" else method
    expected = signature(secret, made, identifier, key, int(expires))
    if not hmac.compare_digest(expected.encode(), stated.encode("utf-8", "replace")):
        raise LinkExpired(f"[LinkExpired] this URL was not signed for {method} of this file")
    if int(expires) <= now:
        raise LinkExpired("[LinkExpired] this URL has ended")
    return identifier, key
