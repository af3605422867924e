"""Content-defined chunks: fixed parameters, the same cuts however the content comes."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.content.chunking import MAX_CHUNK, MIN_CHUNK, WINDOW, Cutter, chunks_from, chunks_of, hash_of


def noise(length, seed=7):
    return random.Random(seed).randbytes(length)


def reader(data, step):
    position = 0

    def read(size):
        nonlocal position
        piece = data[position : position + min(size, step)]
        position += len(piece)
        return piece

    return read


def test_the_cuts_are_fixed_for_ever():
    """These show in every store and on the wire: a library that cuts otherwise must not be used."""
    lengths = [len(chunk.data) for chunk in chunks_of(noise(16 << 20))]
    assert lengths == GOLDEN


GOLDEN = [
    1541168,
    1564819,
    1182347,
    1903461,
    1082757,
    1194038,
    1814544,
    1165091,
    1187386,
    1134142,
    1271194,
    1345853,
    390416,
]


def test_chunks_put_together_are_the_content():
    data = noise(9_000_001)
    assert b"".join(chunk.data for chunk in chunks_of(data)) == data
    assert all(chunk.hash == hash_of(chunk.data) for chunk in chunks_of(data))


@pytest.mark.parametrize("length", (0, 1, MIN_CHUNK - 1, MIN_CHUNK))
def test_small_content_is_one_chunk_or_none(length):
    assert [len(chunk.data) for chunk in chunks_of(noise(length))] == [length] * bool(length)


def test_no_chunk_is_longer_or_but_for_the_last_shorter_than_allowed():
    lengths = [len(chunk.data) for chunk in chunks_of(noise(40 << 20))]
    assert max(lengths) <= MAX_CHUNK
    assert min(lengths[:-1]) >= MIN_CHUNK
    assert [len(chunk.data) for chunk in chunks_of(bytes(13 << 20))] == [MAX_CHUNK] * 3 + [1 << 20]


@pytest.mark.parametrize("length", (WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + MAX_CHUNK, 70_000_003))
def test_a_stream_is_cut_where_the_whole_would_be(length):
    data = noise(length)
    whole = [chunk.hash for chunk in chunks_of(data)]
    assert [chunk.hash for chunk in chunks_from(reader(data, 5 << 20))] == whole


@given(st.integers(0, 3 << 20), st.integers(1, 1 << 20))
@settings(max_examples=10)
def test_streams_of_any_length_in_any_steps(length, step):
    data = noise(length)
    assert [chunk.hash for chunk in chunks_from(reader(data, max(step, 10_000)))] == [c.hash for c in chunks_of(data)]


@pytest.mark.parametrize("place", (0, 8 << 20, 15 << 20))
def test_an_inserted_byte_changes_few_chunks(place):
    data = noise(16 << 20)
    before = {chunk.hash for chunk in chunks_of(data)}
    after = [chunk.hash for chunk in chunks_of(data[:place] + b"!" + data[place:])]
    assert sum(name not in before for name in after) <= 2


def test_the_name_of_a_chunk_is_blake3():
    assert hash_of(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert struct.calcsize("32s") == len(hash_of(b"x"))


@pytest.mark.parametrize("piece", (1 << 16, 1 << 20, 5 << 20))
def test_what_is_pushed_in_is_cut_as_the_whole(piece):
    content = random.Random(piece).randbytes(40 << 20)
    cutter = Cutter()

    found = [chunk for at in range(0, len(content), piece) for chunk in cutter.feed(content[at : at + piece])]
    found += cutter.finish()

    assert found == list(chunks_of(content))
    assert b"".join(chunk.data for chunk in found) == content


def test_a_cutter_that_starts_again_forgets_what_was_pushed_in():
    cutter = Cutter()
    cutter.feed(b"nothing of this")
    cutter.restart()
    cutter.feed(b"this")

    assert cutter.finish() == list(chunks_of(b"this"))
    assert cutter.finish() == []
