"""Records as plain forms come back as they were."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.forms import (
    NO_EXTRA,
    Encoded,
    decode_extra,
    decode_kept,
    decode_record,
    encode_extra,
    encode_kept,
    encode_record,
    extra_of,
    genesis_flag,
    simple_record,
)
from tallystick.core.join import edit, join
from tallystick.core.versions import DELETED, Record, created_record, genesis_record

origins = st.sampled_from(["a.1", "b.1", "c.1"])
contents = st.dictionaries(st.sampled_from(["n", "m"]), st.integers(0, 3) | st.text(max_size=3) | st.binary(max_size=3))


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A record that came about by edits and joins, with contents."""
    content = draw(contents)
    if draw(st.booleans()):
        record = genesis_record("a.1", 1, b"g" * 32, 0, content)
    else:
        record = created_record("a.1", 1, b"0" * 32, 1, content)
    start = record
    for number in range(draw(st.integers(0, 3))):
        base = draw(st.sampled_from([record, start]))
        dead = draw(st.booleans())
        record = join(
            record,
            edit(
                base,
                (draw(origins), 2 + number),
                2 + number,
                DELETED if dead else bytes([number]) * 32,
                None if dead else draw(contents),
                changed=draw(st.none() | st.just({"n"})),
                priority=draw(st.integers(1, 9)),
            ),
        )
    return record


@given(records(), records())
def test_a_whole_record_comes_back_with_what_its_row_shows(record, other):
    assert decode_record(encode_record(record, other.versions)) == (record, other.versions)


@given(records())
def test_a_record_with_one_version_comes_back_from_its_row_and_extra(record):
    if len(record.versions) == 1:
        (version,) = record.versions
        flags = genesis_flag(version)
        extra = decode_extra(encode_extra(extra_of(record, flags)))
        back = simple_record(version.dot, version.stamp, version.hash, flags, extra, version.content)
        assert back.seen == record.seen
        assert back.born == record.born
        (found,) = back.versions
        assert (found.names, found.hash, found.stamp, found.priority) == (
            version.names,
            version.hash,
            version.stamp,
            version.priority,
        )
        assert (found.fields, found.rest) == (version.fields, version.rest)


def test_a_record_that_its_row_says_everything_about_needs_no_extra():
    record = created_record("a.1", 3, b"x" * 32, 9)
    assert extra_of(record, 0) == NO_EXTRA
    assert encode_extra(NO_EXTRA) is None
    assert decode_extra(None) is NO_EXTRA


@pytest.mark.parametrize("raw", (b"", b"\xc1", b"\x91", b"nonsense", msgspec.msgpack.encode({"a": 1})))
def test_malformed_bytes_are_refused(raw):
    with pytest.raises(msgspec.MsgspecError):
        decode_extra(raw)
    with pytest.raises(msgspec.MsgspecError):
        decode_record(raw)


@given(records())
def test_versions_that_came_as_bytes_are_kept_as_those_that_are_encoded(record):
    encoded = Encoded()
    encoded.learn(record, encode_record(record))
    kept = encode_kept(record, record.versions[:1], 7, encoded)
    assert kept == encode_kept(record, record.versions[:1], 7)
    assert decode_kept(kept) == (record, record.versions[:1], 7)
    assert decode_record(kept) == (record, record.versions[:1])


def test_a_version_that_does_not_say_where_it_was_born_is_not_taken_as_it_came():
    record = created_record("me.1", 1, b"h" * 32, 5, {"name": "Ann"})
    parts = msgspec.msgpack.decode(encode_record(record))
    del parts[0][0][-1]  # as it was sent before versions said it
    encoded = Encoded()
    encoded.learn(record, msgspec.msgpack.encode(parts))
    assert encoded.of(record.versions[0]) == Encoded().of(record.versions[0])
