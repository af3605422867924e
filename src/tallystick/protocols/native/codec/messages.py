"""Messages: bytes to typed values and back (docs/protocol.md, *Messages* and *Verbs*). Pure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from tallystick.core.pages import Tally
from tallystick.core.policies import Policy
from tallystick.errors import LimitExceeded
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import LIMITS, Limits, check_most
from tallystick.site.users import Role
from tallystick.sync.replica import (
    Announced,
    Answer,
    Closing,
    Described,
    Known,
    Meeting,
    RangeForm,
    Scope,
    Selection,
    Settings,
    Wanted,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAJOR, MINOR = 1, 0
VERSION: Final = f"{MAJOR}.{MINOR}"
MSGPACK: Final = "application/vnd.tallystick+msgpack"
JSON: Final = "application/json"
BLOCKS: Final = "application/vnd.tallystick.blocks"
LINES: Final = "application/x-ndjson"
COMPRESS_FROM: Final = 512
"""Messages shorter than this are sent as they are."""

T = TypeVar("T")


class Digesting(msgspec.Struct):
    """The request of ``digest``."""

    source: str
    scope: Scope


class Ranging(msgspec.Struct):
    """The request of ``ranges``."""

    resource: str
    stated: list[RangeForm] = []


class Keyed(msgspec.Struct):
    """The request of ``older``."""

    resource: str
    keys: list[str]


class Columned(msgspec.Struct):
    """The request of ``naturals``."""

    resource: str
    columns: list[str]


class Rekeying(msgspec.Struct):
    """The request of ``rekey``."""

    resource: str
    keys: dict[str, str]


class Reconciling(msgspec.Struct):
    """The request of ``reconcile``."""

    resource: str
    keys: list[str]
    digest: dict[str, int]
    forgotten: dict[str, int]


class Resourced(msgspec.Struct):
    """The request of ``check`` and ``heal``."""

    resources: list[str]


class SettingsForm(msgspec.Struct):
    """Settings as sent: all but the hook, which is asked at the end where it was given."""

    source: str
    scope: Scope
    policies: dict[str, Policy]
    run: str = ""
    allowed: int = 0


class Acknowledging(msgspec.Struct):
    """The request of ``acknowledge``."""

    closing: Closing
    settings: SettingsForm


class Verb(NamedTuple):
    """One verb: the type of its request and of its answer, and the role it needs. None: blocks, see the provider."""

    name: str
    request: Any
    answer: Any
    role: Role


_LISTED = (
    Verb("describe", msgspec.UnsetType, Described, Role.READ),
    Verb("prepare", Wanted, Described, Role.SYNC),
    Verb("meet", Meeting, Meeting, Role.READ),
    Verb("digest", Digesting, Known, Role.READ),
    Verb("ranges", Ranging, Answer, Role.READ),
    Verb("older", Keyed, list[str], Role.READ),
    Verb("naturals", Columned, dict[str, str], Role.READ),
    Verb("rekey", Rekeying, None, Role.SYNC),
    Verb("reconcile", Reconciling, int, Role.SYNC),
    Verb("check", Resourced, dict[str, list[tuple[str, str]]], Role.READ),
    Verb("heal", Resourced, int, Role.SYNC),
    Verb("announce", Selection, Announced, Role.READ),
    Verb("changes", Selection, None, Role.READ),
    Verb("apply", None, Tally, Role.SYNC),
    Verb("acknowledge", Acknowledging, dict[str, Tally], Role.SYNC),
)
VERBS: Final = {verb.name: verb for verb in _LISTED}
"""Every verb by name."""

_to_msgpack = msgspec.msgpack.Encoder().encode
_to_json = msgspec.json.Encoder().encode


def encode(message: Any, media_type: str = MSGPACK) -> bytes:
    """A message as MessagePack or JSON."""
    return _to_json(message) if media_type == JSON else _to_msgpack(message)


def decode(kind: type[T], body: bytes, media_type: str = MSGPACK) -> T:
    """The message of type ``kind`` in ``body``.

    Raises RequestError (malformed) for anything else: unknown members are ignored, wrong types are not.
    """
    try:
        return _decoder(kind, media_type == JSON)(body)  # type: ignore[arg-type, no-any-return]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError(f"a message cannot be read: {str(error)[:300]}") from error


@cache
def _decoder(kind: Any, json: bool) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode if json else msgspec.msgpack.Decoder(kind).decode


def settings_form(settings: Settings) -> SettingsForm:
    """The form of settings."""
    return SettingsForm(settings.source, settings.scope, dict(settings.policies), settings.run, settings.allowed)


def settings_of(form: SettingsForm) -> Settings:
    """The settings a form stands for."""
    return Settings(form.source, form.scope, form.policies, form.run, form.allowed)


# Compression ---------------------------------------------------------------------------------------------------

_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 1,
    zstd.CompressionParameter.checksum_flag: 1,
    zstd.CompressionParameter.content_size_flag: 1,
}


def compressed(raw: bytes, limits: Limits = LIMITS) -> bytes | None:
    """One zstd frame with checksum and size, or None where it is not worth it or would be refused (ratio)."""
    made = zstd.compress(raw, options=_OPTIONS)
    if len(made) >= len(raw) or beyond_ratio(len(raw), len(made), limits):
        return None
    return made


def decompressed(frame: bytes, limits: Limits = LIMITS, size: int | None = None) -> bytes:
    """What a frame holds. Raises LimitExceeded before anything too large is made, RequestError for what is no frame.

    ``size`` is what the sender said it holds.
    """
    try:
        stated: int | None = zstd.get_frame_info(frame).decompressed_size
    except zstd.ZstdError as error:
        raise RequestError(f"a zstd frame cannot be read: {error}") from error
    if stated is None or size not in (None, stated):
        raise RequestError("a zstd frame does not state its content size as it must")
    check_most("decoded size", stated, limits.body)
    if beyond_ratio(stated, len(frame), limits):
        raise LimitExceeded(
            f"{len(frame):,} bytes would become {stated:,}: beyond the ratio of {limits.ratio}",
            hint="send such data without compression",
        )
    return _unpacked(frame, stated)


def _unpacked(frame: bytes, stated: int) -> bytes:
    decompressor = zstd.ZstdDecompressor()
    try:
        raw = decompressor.decompress(frame, max_length=stated + 1)
    except (zstd.ZstdError, EOFError) as error:
        raise RequestError(f"a zstd frame cannot be read: {error}") from error
    if not (decompressor.eof and len(raw) == stated) or decompressor.unused_data:
        raise RequestError("a zstd frame holds something else than it states")
    return raw


def beyond_ratio(decoded: int, sent: int, limits: Limits) -> bool:
    """True when the decoded size is beyond what may come of ``sent`` bytes."""
    return decoded > limits.ratio_from + limits.ratio * sent
