"""Compression of messages and blocks: zstd, bounded on the way back (docs/protocol.md, *Limits*). Pure."""

from __future__ import annotations

import sys

from tallystick.errors import LimitExceeded
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import LIMITS, Limits, check_most

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVEL, _THOROUGH = 1, 12
_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.checksum_flag: 1,
    zstd.CompressionParameter.content_size_flag: 1,
}


def compressed(raw: bytes, limits: Limits = LIMITS, thorough: bool = False) -> bytes | None:
    """One zstd frame with checksum and size, or None where it is not worth it or would be refused (ratio).

    ``thorough`` is for what is sent seldom: a tenth less, for some ten times the work.
    """
    level = {zstd.CompressionParameter.compression_level: _THOROUGH if thorough else _LEVEL}
    made = zstd.compress(raw, options=_OPTIONS | level)
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
