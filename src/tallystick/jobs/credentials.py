"""Secrets of peers at rest: encrypted in the site's database, with a key that is kept outside it (DESIGN.md 8).

The key is 32 random bytes, as base64 text in the environment variable ``TALLYSTICK_KEY``, or in a file that only its
owner may read: ``TALLYSTICK_KEY_FILE``, by default ``tallystick/key`` below ``$XDG_CONFIG_HOME`` or ``~/.config``. The
file is made when the first secret is saved. A copy of the database without the key tells nothing about passwords.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from tallystick.errors import ConfigurationError, ValueRejected
from tallystick.site.ledger import Ledger

KEY_VARIABLE = "TALLYSTICK_KEY"
FILE_VARIABLE = "TALLYSTICK_KEY_FILE"

_STEPS = (("CREATE TABLE tally_credential (name {text} PRIMARY KEY, sealed {blob} NOT NULL)",),)
_KEY_BYTES = 32
_NONCE_BYTES = 12
_LONGEST = 64 * 1024


class Credentials:
    """The secrets of one site, by name: a peer's URL or identifier, whatever its owner calls it.

    Every method raises ConfigurationError where the key is missing, damaged, not the one that sealed the secret, or
    readable for others; nothing is changed then.
    """

    def __init__(self, ledger: Ledger, environment: Mapping[str, str] = os.environ) -> None:
        self._ledger = ledger
        self._environment = environment
        ledger.require("credentials", _STEPS)

    def save(self, name: str, secret: str | None) -> None:
        """Keep ``secret`` under ``name``, in place of an older one; None forgets it.

        Writes in the running transaction, or in one of its own. Raises ValueRejected for a secret beyond 64 KiB.
        """
        if secret is not None and len(secret) > _LONGEST:
            raise ValueRejected("a secret has at most 65,536 characters", hint="keep it in a file and name the file")
        sealed = None if secret is None else _seal(self._key(create=True), self._bound(name), secret)
        if self._ledger.engine.writing:
            self._put(name, sealed)
        else:
            with self._ledger.engine.write():
                self._put(name, sealed)

    def _put(self, name: str, sealed: bytes | None) -> None:
        self._ledger.engine.execute("DELETE FROM tally_credential WHERE name=?", (name,))
        if sealed is not None:
            self._ledger.engine.execute("INSERT INTO tally_credential(name, sealed) VALUES (?, ?)", (name, sealed))

    def find(self, name: str) -> str | None:
        """The secret of that name; None when there is none."""
        rows = self._ledger.engine.query("SELECT sealed FROM tally_credential WHERE name=?", (name,))
        return _open(self._key(create=False), self._bound(name), bytes(rows[0][0]), name) if rows else None

    def names(self) -> list[str]:
        """The names under which secrets are kept. Needs no key."""
        return [name for (name,) in self._ledger.engine.query("SELECT name FROM tally_credential ORDER BY name")]

    def _bound(self, name: str) -> bytes:
        """What a sealed secret is bound to: moved to another name or site it does not open."""
        return f"{self._ledger.site}\0{name}".encode()

    def _key(self, *, create: bool) -> bytes:
        given = self._environment.get(KEY_VARIABLE)
        if given is not None:
            return _decoded(given, KEY_VARIABLE)
        return read_key(key_file(self._environment), create=create)


def key_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the key lies when it is not in the environment."""
    named = environment.get(FILE_VARIABLE)
    if named:
        return Path(named)
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "tallystick" / "key"


def read_key(path: Path, *, create: bool) -> bytes:
    """The key in a file; with ``create`` a new one where there is none.

    Raises ConfigurationError when there is none, others may read it, or it is no key.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return _made(path) if create else _missing(path)
    except OSError as error:
        raise ConfigurationError(f"cannot read the key {path}: {error.strerror}", hint="check its owner") from error
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as opened:
        mode = os.fstat(opened.fileno()).st_mode
        if mode & 0o077:
            raise ConfigurationError(
                f"the key {path} may be read by others (mode {mode & 0o777:o})", hint=f"run: chmod 600 {path}"
            )
        return _decoded(opened.read(1024), str(path))


def _made(path: Path) -> bytes:
    key = secrets.token_bytes(_KEY_BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another process was first
        return read_key(path, create=False)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the key {path}: {error.strerror}", hint=f"name another place in {FILE_VARIABLE}"
        ) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(base64.b64encode(key).decode() + "\n")
        opened.flush()
        os.fsync(opened.fileno())
    return key


def _missing(path: Path) -> bytes:
    raise ConfigurationError(
        f"the key that opens the secrets of peers is not here: {path}",
        hint=f"copy it from where the secrets were saved, set {KEY_VARIABLE}, or give the passwords again",
    )


def _decoded(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigurationError(
            f"{where} holds no key", hint="a key is 32 random bytes as base64: openssl rand -base64 32"
        )
    return key


def _seal(key: bytes, bound: bytes, secret: str) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret.encode(), bound)


def _open(key: bytes, bound: bytes, sealed: bytes, name: str) -> str:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound).decode()
    except InvalidTag:
        raise ConfigurationError(
            f"the secret of {name} was sealed with another key", hint="use that key, or give the password again"
        ) from None
