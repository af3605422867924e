"""States as bytes and as text (spec ics 2)."""

import binascii
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import LimitExceeded, StateInvalidError
from tallystick.stores.states import (
    Form,
    Position,
    State,
    directory_state,
    from_text,
    parse_directory_state,
    parse_state,
    to_text,
)

number = st.integers(0, 2**32 - 1)
positions = st.builds(Position, number, number, st.binary(max_size=60))


@given(st.builds(State, number, number, st.one_of(st.none(), positions)))
def test_states_survive_writing(state):
    assert parse_state(state.raw()) == state


@given(st.builds(State, number, number, st.none()))
def test_a_complete_state_has_eight_bytes(state):
    text = to_text(state.raw())
    assert len(text) == 16
    assert text == text.upper()
    assert len(to_text(state.raw(), Form.BASE64)) == 12


def test_it_is_registration_and_number_little_endian():
    assert to_text(State(2277, 13047).raw()) == "E5080000F7320000"


def test_a_partial_state_is_a_count_of_rows_with_number_and_key():
    raw = State(1, 2, Position(9, 7, b"k" * 22)).raw()
    assert raw[8:12] == (2).to_bytes(4, "little")
    assert raw[12:20] == (7).to_bytes(4, "little") + (22).to_bytes(4, "little")
    assert len(raw) == 12 + 30 + 8


@pytest.mark.parametrize("raw", (b"", bytes(8), bytes(8) + bytes(4)))
def test_nothing_is_the_initial_state(raw):
    assert parse_state(raw).initial


def test_a_partial_state_from_nothing_is_not_initial():
    assert not State(1, 0, Position(9, 7, b"k")).initial


@pytest.mark.parametrize(
    "raw",
    (
        bytes(2),
        bytes(7),
        bytes(9),
        bytes(8) + b"\1\0\0\0",
        bytes(8) + b"\1\0\0\0" + bytes(8) + b"x",
        bytes(8) + b"\1\0\0\0" + bytes(8),
        bytes(8) + b"\2\0\0\0" + bytes(4) + (2000).to_bytes(4, "little") + bytes(2000) + bytes(8),
        bytes(8) + b"\2\0\0\0" + bytes(8) + bytes(4) + b"\1\0\0\0k",
    ),
)
def test_anything_else_is_refused_with_the_way_on(raw):
    with pytest.raises(StateInvalidError) as caught:
        parse_state(raw)
    assert "none" in caught.value.hint


@given(st.binary(max_size=80))
def test_no_bytes_make_it_fail_otherwise(raw):
    with contextlib.suppress(StateInvalidError):
        assert parse_state(raw).raw()[:8] == (raw[:8] or bytes(8))


def test_beyond_32_bits_states_cannot_be_written():
    with pytest.raises(LimitExceeded):
        State(1, 2**32).raw()
    with pytest.raises(LimitExceeded):
        directory_state(2**32)


@given(number)
def test_address_book_states_survive_writing(seq):
    assert parse_directory_state(directory_state(seq)) == seq
    assert directory_state(seq)[4:] == bytes(4)


def test_an_address_book_state_looks_as_observed():
    assert to_text(directory_state(6)) == "0600000000000000"
    assert parse_directory_state(b"") == 0


@pytest.mark.parametrize("raw", (bytes(4), bytes(12), bytes(4) + b"\1\0\0\0"))
def test_other_address_book_states_are_refused(raw):
    with pytest.raises(StateInvalidError):
        parse_directory_state(raw)


@given(st.binary(), st.sampled_from(Form))
def test_text_gives_the_bytes_back(raw, form):
    text = to_text(raw, form)
    assert from_text(text, form) == from_text(text.encode(), form) == raw


def test_hexadecimal_may_be_lower_case_and_nothing_else():
    assert from_text("ff") == b"\xff"
    for text in ("f", "zz", "é"):
        with pytest.raises(binascii.Error):
            from_text(text)
