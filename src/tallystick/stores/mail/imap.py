"""IMAP servers (RFC 3501, 9051), with CONDSTORE (RFC 7162) where they have it. Read only."""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from ipaddress import ip_address
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec

from tallystick.errors import PeerProtocolError, PeerRefused, PeerUnreachable, UsageError
from tallystick.stores.mail.source import (
    ANSWERED,
    DRAFT,
    FLAGGED,
    SEEN,
    Fetched,
    Listing,
    Place,
    decode_name,
    purpose_of,
)

_FLAGS = {"\\seen": SEEN, "\\flagged": FLAGGED, "\\answered": ANSWERED, "\\draft": DRAFT}
_SPECIAL = {"\\sent": "sentmail", "\\drafts": "drafts", "\\trash": "wastebasket", "\\junk": "junk"}
_TIMEOUT = 60.0
_BATCH_BYTES = 16 * 2**20

_Value = TypeVar("_Value")


class Address(NamedTuple):
    """Where a mailbox is."""

    secure: bool
    host: str
    port: int
    user: str
    password: str | None


def parse_address(url: str) -> Address:
    """The parts of ``imap(s)://USER[:PASSWORD]@HOST[:PORT]``. Raises UsageError."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("imap", "imaps") or not parts.hostname or not parts.username or port == -1:
        raise UsageError("this is no address of a mailbox", hint="write imaps://USER@HOST")
    secure = parts.scheme == "imaps"
    password = None if parts.password is None else unquote(parts.password)
    return Address(secure, parts.hostname, port or (993 if secure else 143), unquote(parts.username), password)


class ImapSource:
    """The mailbox of ``address``. Plain connections are only spoken through to this machine itself.

    Raises PeerUnreachable, PeerRefused (wrong password, or no way to send it safely), PeerProtocolError.
    """

    keeps_uids = False
    takes_flags = False

    def __init__(self, address: Address, password: str, context: ssl.SSLContext | None = None) -> None:
        self._address = address
        self.name = f"imap://{address.user}@{address.host}:{address.port}"
        self._imap = _guarded(self, lambda: self._connected(context))
        try:
            _guarded(self, lambda: self._log_in(password))
        except BaseException:
            self.close()
            raise
        self.condstore = "CONDSTORE" in self._imap.capabilities

    def _connected(self, context: ssl.SSLContext | None) -> imaplib.IMAP4:
        address = self._address
        checked = context or ssl.create_default_context()
        if address.secure:
            return imaplib.IMAP4_SSL(address.host, address.port, ssl_context=checked, timeout=_TIMEOUT)
        plain = imaplib.IMAP4(address.host, address.port, timeout=_TIMEOUT)
        try:
            if not _is_here(address.host):
                self._encrypt(plain, checked)
        except BaseException:
            with suppress(OSError):
                plain.shutdown()
            raise
        return plain

    def _encrypt(self, plain: imaplib.IMAP4, context: ssl.SSLContext) -> None:
        if "STARTTLS" not in plain.capabilities:
            raise PeerRefused(
                f"{self.name} takes passwords only where everybody can read them", hint="use imaps:// instead"
            )
        plain.starttls(context)

    def _log_in(self, password: str) -> None:
        try:
            if "AUTH=PLAIN" in self._imap.capabilities:
                secret = f"\0{self._address.user}\0{password}".encode()
                self._imap.authenticate("PLAIN", lambda challenge: secret)
            else:
                self._imap.login(self._address.user, password)
        except imaplib.IMAP4.abort:
            raise
        except (imaplib.IMAP4.error, UnicodeEncodeError) as error:
            raise PeerRefused(f"{self.name} refuses the password of {self._address.user}: {_told(error)}") from error
        answer = self._imap.capability()[1][-1] or b""
        self._imap.capabilities = tuple(answer.decode("ascii", "replace").upper().split())
        if {"CONDSTORE", "ENABLE"} <= set(self._imap.capabilities):
            self._imap.enable("CONDSTORE")

    def fetch(self, *arguments: str) -> list[Any]:
        """The data that UID FETCH gives. Raises like the class, PeerProtocolError when it fails."""
        kind, data = _guarded(self, lambda: self._imap.uid("FETCH", *arguments))
        if kind != "OK":
            raise PeerProtocolError(f"{self.name} answers {kind} to UID FETCH: {data!r:.200}")
        return list(data)

    def places(self) -> list[Place]:
        """Every folder that can be opened."""
        kind, data = _guarded(self, lambda: self._imap.list())
        if kind != "OK":
            raise PeerProtocolError(f"{self.name} does not list its folders: {data!r:.200}")
        return [place for place in map(_place, data) if place is not None]

    @contextmanager
    def open(self, place: Place) -> Iterator[ImapBox]:
        """Open a folder for reading."""
        yield ImapBox(self, place)
        _guarded(self, lambda: self._imap.unselect() if "UNSELECT" in self._imap.capabilities else self._imap.close())

    def select(self, place: Place) -> dict[str, int]:
        """Open a folder; its numbers: UIDVALIDITY, UIDNEXT, EXISTS, HIGHESTMODSEQ where there is one."""
        return _guarded(self, lambda: self._select(place))

    def _select(self, place: Place) -> dict[str, int]:
        imap = self._imap
        kind, data = imap.select(quoted(place.name), readonly=True)
        if kind != "OK":
            raise PeerProtocolError(f"{self.name} does not open {place.name!r}: {data!r:.200}")
        told = {name: imap.response(name)[1][-1] for name in ("UIDVALIDITY", "UIDNEXT", "HIGHESTMODSEQ")}
        told["EXISTS"] = data[-1]
        return {name: int(value) for name, value in told.items() if value is not None and value.isdigit()}

    def close(self) -> None:
        """Log out."""
        imap = getattr(self, "_imap", None)
        if imap is not None:
            with suppress(OSError, imaplib.IMAP4.error):
                imap.logout()
            with suppress(OSError):
                imap.shutdown()


class _Cursor(msgspec.Struct, array_like=True):
    validity: int
    following: int
    """UIDNEXT."""
    modseq: int
    """0 without CONDSTORE."""
    exists: int


class ImapBox:
    """One folder of a server, open. Uids are the server's with UIDVALIDITY before them, so none comes twice."""

    def __init__(self, source: ImapSource, place: Place) -> None:
        self._source = source
        numbers = source.select(place)
        self._now = _Cursor(
            numbers.get("UIDVALIDITY", 0),
            numbers.get("UIDNEXT", 0),
            numbers.get("HIGHESTMODSEQ", 0) if source.condstore else 0,
            numbers.get("EXISTS", 0),
        )

    def listing(self, cursor: bytes | None) -> Listing:
        """New messages, and those whose flags changed; with CONDSTORE only these cross the line."""
        now, packed = self._now, msgspec.msgpack.encode(self._now)
        before = None if not cursor else msgspec.msgpack.decode(cursor, type=_Cursor)
        if before is not None and before.validity == now.validity and before.modseq and now.modseq:
            return Listing({}, None, packed) if before == now else self._since(before, packed)
        flags = self._flags("1:*")
        renumbered = before is not None and before.validity != now.validity
        return Listing(flags, frozenset(flags), packed, renumbered)

    def _since(self, before: _Cursor, packed: bytes) -> Listing:
        """What CONDSTORE tells; uids are only compared when more is gone than counts explain."""
        now = self._now
        fresh = self._flags(f"{before.following}:*") if now.following > before.following else {}
        fresh = {uid: flags for uid, flags in fresh.items() if self._plain(uid) >= before.following}
        changed: dict[str, frozenset[str]] = {}
        if now.modseq > before.modseq and before.following > 1:
            changed = self._flags(f"1:{before.following - 1}", f"(CHANGEDSINCE {before.modseq})")
        complete = now.exists == before.exists + len(fresh)
        return Listing({**changed, **fresh}, None if complete else frozenset(self._flags("1:*")), packed)

    def _plain(self, uid: str) -> int:
        return int(uid.rpartition(".")[2])

    def _named(self, uid: int) -> str:
        return f"{self._now.validity}.{uid}"

    def _flags(self, uids: str, *modifiers: str) -> dict[str, frozenset[str]]:
        if not self._now.exists:
            return {}
        data = self._source.fetch(uids, "(UID FLAGS)", *modifiers)
        return {self._named(found.uid): found.flags for found in _responses(data)}

    def fetch(self, uids: Sequence[str]) -> Iterator[Fetched]:
        """Messages by uid, several at a time while they are small."""
        batch: list[int] = []
        size = 0
        for uid, length in self._sizes(uids):
            if batch and size + length > _BATCH_BYTES:
                yield from self._bodies(batch)
                batch, size = [], 0
            batch.append(uid)
            size += length
        if batch:
            yield from self._bodies(batch)

    def _sizes(self, uids: Sequence[str]) -> list[tuple[int, int]]:
        wanted = {self._plain(uid) for uid in uids}
        data = self._source.fetch(",".join(map(str, sorted(wanted))), "(UID RFC822.SIZE)") if wanted else []
        found = [(_number(_UID, line), _number(_SIZE, line)) for line, _ in _lines(data)]
        return sorted((uid, size or 0) for uid, size in found if uid in wanted and uid is not None)

    def _bodies(self, uids: Sequence[int]) -> Iterator[Fetched]:
        data = self._source.fetch(",".join(map(str, uids)), "(UID FLAGS INTERNALDATE BODY.PEEK[])")
        for found in _responses(data):
            if found.raw is not None and found.uid in uids:
                yield Fetched(self._named(found.uid), found.raw, found.flags, found.arrived)

    def set_flags(self, uid: str, flags: frozenset[str]) -> bool:
        """Mailboxes of others are not written to."""
        return False


# what servers answer -------------------------------------------------------------------------------------------------

_LIST = re.compile(rb'\((?P<flags>[^)]*)\) (?:"(?P<delimiter>\\?.)"|NIL) ?(?P<name>.*)', re.DOTALL)
_UID = re.compile(rb"\bUID (\d+)")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")
_FLAG_LIST = re.compile(rb"\bFLAGS \(([^)]*)\)")
_DATE = re.compile(rb'\bINTERNALDATE "([^"]+)"')


class _Response(NamedTuple):
    uid: int
    flags: frozenset[str]
    arrived: int | None
    raw: bytes | None


def _lines(data: Sequence[Any]) -> Iterator[tuple[bytes, bytes | None]]:
    """Each FETCH answer as (everything but the literal, the literal)."""
    pending: tuple[bytes, bytes] | None = None
    for piece in data:
        if isinstance(piece, tuple):
            if pending is not None:
                yield pending
            pending = (piece[0], piece[1])
        elif isinstance(piece, bytes):
            yield (piece, None) if pending is None else (pending[0] + piece, pending[1])
            pending = None
    if pending is not None:
        yield pending


def _responses(data: Sequence[Any]) -> Iterator[_Response]:
    for text, literal in _lines(data):
        uid, flags, date = _number(_UID, text), _FLAG_LIST.search(text), _DATE.search(text)
        if uid is not None:
            names = flags[1].decode("ascii", "replace").lower().split() if flags else ()
            kept = frozenset(_FLAGS[name] for name in names if name in _FLAGS)
            yield _Response(uid, kept, _moment(date[1]) if date else None, literal)


def _number(pattern: re.Pattern[bytes], text: bytes) -> int | None:
    found = pattern.search(text)
    return int(found[1]) if found else None


def _moment(text: bytes) -> int | None:
    try:
        return int(datetime.strptime(text.decode("ascii").strip(), "%d-%b-%Y %H:%M:%S %z").timestamp() * 1_000_000)
    except (ValueError, UnicodeDecodeError):
        return None


def _place(line: Any) -> Place | None:
    """A folder from an answer to LIST."""
    text, literal = (line[0], line[1]) if isinstance(line, tuple) else (line, None)
    found = _LIST.match(text) if isinstance(text, bytes) else None
    if found is None:
        return None
    flags = found["flags"].decode("ascii", "replace").lower().split()
    if "\\noselect" in flags or "\\nonexistent" in flags:
        return None
    raw = literal if literal is not None else _unquoted(found["name"].strip())
    name = raw.decode("utf-8", "replace")
    delimiter = (found["delimiter"] or b"").decode("ascii", "replace")[-1:]
    path = tuple(decode_name(part) for part in (name.split(delimiter) if delimiter else [name]) if part)
    special = next((_SPECIAL[flag] for flag in flags if flag in _SPECIAL), "")
    return Place(name, path, special or ("inbox" if name.upper() == "INBOX" else purpose_of(path))) if path else None


def _unquoted(name: bytes) -> bytes:
    if name.startswith(b'"') and name.endswith(b'"'):
        return name[1:-1].replace(b'\\"', b'"').replace(b"\\\\", b"\\")
    return name


def quoted(name: str) -> str:
    """A folder name as a quoted string."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _told(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)


def _guarded(source: ImapSource, action: Callable[[], _Value]) -> _Value:
    """``action`` with its errors as ours."""
    try:
        return action()
    except imaplib.IMAP4.abort as error:
        raise PeerUnreachable(f"the connection to {source.name} was cut: {_told(error)}") from error
    except imaplib.IMAP4.error as error:
        raise PeerProtocolError(f"{source.name}: {_told(error)}") from error
    except ssl.SSLCertVerificationError as error:
        raise PeerRefused(
            f"{source.name} shows a certificate that cannot be trusted: {error.verify_message}",
            hint="have it renewed, or name the authority that issued it",
        ) from error
    except OSError as error:
        raise PeerUnreachable(f"{source.name} cannot be reached: {error}") from error
