"""The computations of HTTP Digest authentication, for both ends (RFC 7616). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

ALGORITHMS: Final[Mapping[str, str]] = {"MD5": "md5", "SHA-256": "sha256"}
"""Digest algorithms offered. MD5 first: engines that nobody can change any more take the first challenge they see."""

_PARAMETER = re.compile(r'\s*([A-Za-z][\w*-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|$)')


def parse_parameters(text: str) -> dict[str, str]:
    """The parameters of an authentication header, names in lower case."""
    return {
        match.group(1).lower(): re.sub(r"\\(.)", r"\1", match.group(2))
        if match.group(2) is not None
        else match.group(3)
        for match in _PARAMETER.finditer(text)
    }


def digest_response(secret: str, algorithm: str, method: str, given: Mapping[str, str]) -> str:
    """The response that a caller who knows ``secret`` computes (RFC 7616 3.4.1; qop ``auth`` or none)."""

    def hashed(text: str) -> str:
        return hashlib.new(ALGORITHMS[algorithm], text.encode(), usedforsecurity=False).hexdigest()

    action = hashed(f"{method}:{given.get('uri', '')}")
    nonce = given.get("nonce", "")
    if given.get("qop", "") == "auth":
        nonce = f"{nonce}:{given.get('nc', '')}:{given.get('cnonce', '')}:auth"
    return hashed(f"{secret}:{nonce}:{action}")


def digest_secret(name: str, realm: str, password: str, algorithm: str) -> str:
    """The hash that an `Authenticator` keeps for Digest."""
    text = f"{name}:{realm}:{password}".encode()
    return hashlib.new(ALGORITHMS[algorithm], text, usedforsecurity=False).hexdigest()
