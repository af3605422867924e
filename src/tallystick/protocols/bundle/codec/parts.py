"""Parts: pages of a bundle in files of bounded size (docs/bundles.md, *Files*). Pure.

A part is a line of JSON, blocks as the native protocol streams them, and the signature of all that.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

import msgspec

from tallystick.core.pages import Page
from tallystick.errors import TallystickError
from tallystick.protocols.bundle.codec.documents import FORMAT, PART, PartHead
from tallystick.protocols.bundle.codec.signing import SIGNATURE_BYTES, SigningKey, verify
from tallystick.protocols.bundle.errors import BundleDamaged
from tallystick.protocols.native.codec import blocks
from tallystick.protocols.native.codec.pages import decode_page, encode_page

PART_BYTES = 4 * 1024 * 1024
"""A part is closed once it has so many bytes: a torn one costs no more than that."""


class Part(NamedTuple):
    """A part as read: its head, its blocks still as bytes, the SHA-256 of the whole file."""

    head: PartHead
    body: bytes
    digest: bytes


def page_blocks(page: Page) -> bytes:
    """A page as blocks. Raises LimitExceeded for a record that no block holds."""
    return b"".join(blocks.block(blocks.PAGE, raw) for raw in encode_page(page))


def write_part(head: PartHead, pages: Iterable[bytes], key: SigningKey) -> bytes:
    """The bytes of a part that holds ``pages`` (as made by ``page_blocks``)."""
    raw = msgspec.json.encode(head) + b"\n" + b"".join(pages)
    return raw + key.sign(PART, sha256(raw).digest())


def read_part(raw: bytes, public: bytes, where: str) -> Part:
    """The part in a file. Raises BundleDamaged for a torn one, BundleForeign for one that somebody else wrote."""
    line, newline, rest = raw.partition(b"\n")
    if not newline or len(rest) < SIGNATURE_BYTES:
        raise BundleDamaged(f"{where} is torn")
    signed = raw[:-SIGNATURE_BYTES]
    verify(PART, sha256(signed).digest(), raw[-SIGNATURE_BYTES:], public, where)
    try:
        head = msgspec.json.decode(line, type=PartHead)
    except msgspec.MsgspecError as error:
        raise BundleDamaged(f"{where} cannot be read: {str(error)[:200]}") from error
    if head.format != FORMAT:
        raise BundleDamaged(f"{where} has format {head.format}, this release knows {FORMAT}")
    return Part(head, rest[:-SIGNATURE_BYTES], sha256(raw).digest())


def pages_of(part: Part, where: str) -> list[Page]:
    """The pages of a part. Raises BundleDamaged when one says what no page can say."""
    try:
        return [decode_page(raw) for kind, raw in blocks.split(part.body) if kind == blocks.PAGE]
    except TallystickError as error:
        raise BundleDamaged(f"{where} holds what is no page: {error.message}") from error
