"""Keys, fingerprints and signed documents (docs/bundles.md, *Signatures*). Pure.

A signed document is two lines: JSON, and the Ed25519 signature of what it is and of that JSON, in base64.
"""

from __future__ import annotations

import re
from base64 import b32encode, b64decode, b64encode
from hashlib import sha256
from typing import Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tallystick.errors import ConfigurationError
from tallystick.protocols.bundle.errors import BundleDamaged, BundleForeign

SIGNATURE_BYTES: Final = 64
KEY_BYTES: Final = 32
LONGEST_DOCUMENT: Final = 64 * 1024 * 1024
_PURPOSE: Final = b"tallystick bundle 1 "
T = TypeVar("T", bound=msgspec.Struct)


class SigningKey:
    """The secret key of a site."""

    def __init__(self, secret: bytes) -> None:
        self._secret = Ed25519PrivateKey.from_private_bytes(secret)

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """The key that ``text`` stands for. Raises ConfigurationError."""
        try:
            return cls(b64decode(text, validate=True))
        except ValueError:
            raise ConfigurationError("the site's signing key is damaged", hint="restore it from a backup") from None

    @classmethod
    def made(cls) -> SigningKey:
        """A new key, from the system's randomness."""
        return cls(Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))

    def text(self) -> str:
        """The key as it is kept among the site's secrets."""
        raw = self._secret.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return b64encode(raw).decode()

    @property
    def public(self) -> bytes:
        """The 32 bytes that others check signatures with."""
        return self._secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, kind: str, raw: bytes) -> bytes:
        """The signature of ``raw`` as a document of ``kind``: one kind never passes for another."""
        return self._secret.sign(_PURPOSE + kind.encode() + b"\n" + raw)


def fingerprint(public: bytes) -> str:
    """What two people compare: 100 bits of the key's hash, as five groups of four letters and digits."""
    text = b32encode(sha256(_PURPOSE + b"key\n" + public).digest()).decode()[:20]
    return "-".join(text[start : start + 4] for start in range(0, 20, 4))


def same_fingerprint(one: str, other: str) -> bool:
    """True when two people wrote the same one, in whatever case and with whatever between the groups."""
    return _letters(one) == _letters(other) and is_fingerprint(one)


def is_fingerprint(text: str) -> bool:
    """True for what could be one, however it is written."""
    return re.fullmatch("[A-Z2-7]{20}", _letters(text)) is not None


def _letters(text: str) -> str:
    return re.sub("[- :]", "", text.upper())


def verify(kind: str, raw: bytes, signature: bytes, public: bytes, where: str) -> None:
    """Raise BundleForeign unless the holder of ``public`` signed ``raw`` as a document of ``kind``."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _PURPOSE + kind.encode() + b"\n" + raw)
    except (InvalidSignature, ValueError):
        raise BundleForeign(
            f"the signature of {where} is not that of the site whose folder it lies in: it was altered or forged",
            hint="do not take this directory from whoever brought it, or ask that site to write the file again",
        ) from None


def signed(kind: str, document: msgspec.Struct, key: SigningKey) -> bytes:
    """The document as the bytes of its file."""
    raw = msgspec.json.encode(document)
    return raw + b"\n" + b64encode(key.sign(kind, raw)) + b"\n"


def read_signed(kind: str, form: type[T], body: bytes, public: bytes | None, where: str) -> T:
    """The document in a file. Without ``public`` it must bear its own key, as ``key`` (a card).

    Raises BundleDamaged for what is no such file, BundleForeign for a signature of somebody else.
    """
    raw, signature = _split(body, where)
    if public is not None:
        verify(kind, raw, signature, public, where)
    try:
        document = msgspec.json.decode(raw, type=form)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BundleDamaged(f"{where} cannot be read: {str(error)[:200]}") from error
    if public is None:
        verify(kind, raw, signature, getattr(document, "key", b""), where)
    return document


def _split(body: bytes, where: str) -> tuple[bytes, bytes]:
    raw, newline, rest = body.partition(b"\n")
    try:
        signature = b64decode(rest.strip(), validate=True)
    except ValueError:
        signature = b""
    if not newline or not rest.endswith(b"\n") or len(signature) != SIGNATURE_BYTES:
        raise BundleDamaged(f"{where} is torn or no signed document")
    return raw, signature
