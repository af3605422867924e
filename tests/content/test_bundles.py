"""Bundles: what travels and what packs are made of."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.content.bundles import (
    BUNDLE_BYTES,
    HEADER,
    MAX_CONTENT,
    bundles_in,
    bundles_of,
    check,
    layout_of,
    pack,
    unpack,
)
from tallystick.content.chunking import MAX_CHUNK, Chunk, hash_of
from tallystick.content.problems import BundleInvalid


def chunk(data):
    return Chunk(hash_of(data), data)


contents = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=20)


@given(contents)
def test_what_is_packed_is_unpacked(pieces):
    chunks = [chunk(piece) for piece in pieces]
    assert unpack(pack(chunks)) == chunks
    assert check(pack(chunks)) == layout_of(pack(chunks))


def test_resembling_chunks_are_compressed_together():
    chunks = [chunk(b"the same beginning of every file " * 10 + str(number).encode()) for number in range(100)]
    assert len(pack(chunks)) < 100 * 60
    assert unpack(pack(chunks)) == chunks


def test_noise_is_left_as_it_is():
    noise = chunk(random.Random(1).randbytes(200_000))
    bundle = pack([noise])
    assert not layout_of(bundle).compressed
    assert len(bundle) < 200_100


def test_bundles_are_closed_at_their_size():
    chunks = [chunk(random.Random(n).randbytes(100_000)) for n in range(40)]
    bundles = list(bundles_of(chunks))
    assert [found for bundle in bundles for found in unpack(bundle)] == chunks
    assert all(layout_of(bundle).content <= BUNDLE_BYTES for bundle in bundles)
    assert len(bundles) == 4
    (large,) = bundles_of([chunk(random.Random(1).randbytes(MAX_CHUNK))])
    assert layout_of(large).content == MAX_CHUNK
    assert list(bundles_of([])) == []


@given(st.lists(contents, max_size=5), st.lists(st.integers(0, 400), max_size=40))
def test_bundles_are_found_in_a_stream_wherever_it_is_cut(groups, sizes):
    bundles = [pack([chunk(piece) for piece in pieces]) for pieces in groups]
    assert list(bundles_in(cut_up(b"".join(bundles), sizes))) == bundles


@given(contents, st.lists(st.integers(0, 400), max_size=40), st.data())
def test_a_stream_that_ends_within_a_bundle_is_refused_after_the_whole_ones(pieces, sizes, data):
    bundle = pack([chunk(piece) for piece in pieces])
    cut = bundle + bundle[: data.draw(st.integers(1, len(bundle) - 1))]
    found = bundles_in(cut_up(cut, sizes))
    assert next(found) == bundle
    with pytest.raises(BundleInvalid, match="ends within"):
        next(found)


def cut_up(whole, sizes):
    """The same bytes in pieces of these sizes, and a rest."""
    for size in sizes:
        yield whole[:size]
        whole = whole[size:]
    yield whole


@given(contents, st.data())
def test_a_damaged_bundle_is_refused_or_harmless(pieces, data):
    chunks = [chunk(piece) for piece in pieces]
    bundle = bytearray(pack(chunks))
    position = data.draw(st.integers(0, len(bundle) - 1))
    bundle[position] ^= data.draw(st.integers(1, 255))
    try:
        assert unpack(bytes(bundle)) == chunks  # a bit that means nothing
        assert check(bytes(bundle)) == layout_of(bytes(bundle))
    except BundleInvalid as problem:
        assert "bundle" in problem.message or "chunk" in problem.message or "hash" in problem.message  # noqa: PT017


def test_a_chunk_that_is_not_what_its_name_says_is_found_without_taking_the_bundle_apart():
    forged = pack([chunk(b"right"), Chunk(hash_of(b"one"), b"two")])

    with pytest.raises(BundleInvalid, match=hash_of(b"one").hex()):
        check(forged)


@given(contents, st.integers(1, 50))
def test_a_bundle_that_was_cut_short_is_refused(pieces, cut):
    bundle = pack([chunk(piece) for piece in pieces])
    with pytest.raises(BundleInvalid):
        unpack(bundle[:-cut])
    with pytest.raises(BundleInvalid):
        unpack(bundle + b"x")


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(data):
    with pytest.raises(BundleInvalid):
        unpack(data)


def test_a_bundle_cannot_expand_beyond_its_table():
    bomb = pack([chunk(bytes(4_000_000))])
    assert len(bomb) < 1000
    lying = bytearray(bomb)
    lying[HEADER.size + 32 : HEADER.size + 36] = (2_000_000).to_bytes(4, "big")
    with pytest.raises(BundleInvalid, match="does not expand"):
        unpack(bytes(lying))


def test_a_table_beyond_the_limits_is_refused():
    entry = bytes(32) + MAX_CHUNK.to_bytes(4, "big")
    number = MAX_CONTENT // MAX_CHUNK + 1
    header = HEADER.pack(b"TBN1", 1, number.to_bytes(3, "big"), 10)
    with pytest.raises(BundleInvalid, match="not allowed"):
        unpack(header + entry * number + b"x" * 10)
    with pytest.raises(BundleInvalid, match="not allowed"):
        unpack(HEADER.pack(b"TBN1", 0, b"\0\0\1", 0) + bytes(36))
