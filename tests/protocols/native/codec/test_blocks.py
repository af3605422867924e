"""Blocks: framed as docs/protocol.md says, bounded, and refused when cut or damaged."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import LimitExceeded
from tallystick.protocols.native.codec.blocks import CLOSING, ERROR, HEADER_SIZE, PAGE, SETTINGS, block, header, split
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import Limits

SMALL = Limits(block=1000, body=1000)
kinds = st.sampled_from([PAGE, CLOSING, SETTINGS, ERROR])


def test_the_header_is_as_documented():
    assert block(PAGE, b"abc") == b"P\0\0\0" + (3).to_bytes(4, "big") * 2 + b"abc"
    made = block(CLOSING, b"x" * 1000)
    assert made[:2] == b"C\x01"
    assert int.from_bytes(made[4:8], "big") == len(made) - 12
    assert int.from_bytes(made[8:12], "big") == 1000


@given(st.lists(st.tuples(kinds, st.binary(max_size=400)), max_size=4))
def test_blocks_are_read_back_in_order(listed):
    assert split(b"".join(block(kind, raw) for kind, raw in listed)) == listed


@given(st.binary(max_size=400), st.data())
def test_a_cut_stream_is_refused(raw, data):
    whole = block(PAGE, raw)
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(RequestError):
        split(whole[:cut])


@given(st.binary(min_size=1, max_size=60))
def test_garbage_raises_nothing_else(raw):
    with suppress(RequestError, LimitExceeded):
        split(raw)


@pytest.mark.parametrize(
    "raw",
    (b"X" + bytes(11), b"P\x02" + bytes(10), b"P\0\0\1" + bytes(8), b"P\0\0\0\0\0\0\1\0\0\0\2", b"P"),
    ids=("kind", "coding", "reserved", "lengths differ", "short"),
)
def test_a_header_that_cannot_be_is_refused(raw):
    with pytest.raises(RequestError):
        header(raw)


def test_a_block_beyond_the_limit_is_refused_before_it_is_read():
    stated = b"P\0\0\0" + (1001).to_bytes(4, "big") * 2
    with pytest.raises(LimitExceeded):
        header(stated, SMALL)
    with pytest.raises(LimitExceeded):
        block(PAGE, bytes(1001), SMALL)
    assert len(stated) == HEADER_SIZE


def test_a_compressed_block_must_hold_what_it_says():
    made = bytearray(block(PAGE, b"x" * 500))
    made[11] += 1
    with pytest.raises(RequestError):
        split(bytes(made))
