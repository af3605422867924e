"""States: printable, round trip, bound to what they were made for, refused with a way back."""

import base64
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.states import State, check_state, parse_state, scope_of
from tallystick.errors import (
    StateError,
    StateExpiredError,
    StateFutureError,
    StateInvalidError,
    StateScopeError,
)

numbers = st.integers(0, 2**62)
states = st.builds(
    State, st.text(max_size=40), numbers, st.text(max_size=16), numbers, numbers, st.text(max_size=20), numbers
)
HERE = {"site": "s", "incarnation": 1, "scope": "all", "seq": 100}


@given(states)
def test_a_state_round_trips_and_is_printable(state):
    text = state.text()
    assert parse_state(text) == state
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set(" \"'&?#/\\")
    assert str(state) == text


@given(states, states)
def test_equal_states_are_equal_text(one, other):
    assert (one == other) is (one.text() == other.text())


def test_a_state_is_open_inside_a_pass():
    assert State("s", 1, "all", 5, until=9).open
    assert not State("s", 1, "all", 5).open
    assert not State("s", 1, "all", 9, until=9).open


@given(st.text(max_size=60))
def test_what_is_no_state_is_refused(text):
    with pytest.raises(StateInvalidError):
        parse_state(text)


@pytest.mark.parametrize("given_instead", (b"t1.abc", 5, ["t1.abc"]))
def test_what_is_no_text_is_refused_too(given_instead):
    with pytest.raises(StateInvalidError):
        parse_state(given_instead)


@given(states, st.data())
def test_a_damaged_state_is_refused(state, data):
    text = state.text()
    where = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("abcXYZ019-_ \n="))
    damaged = text[:where] + letter + text[where + 1 :]
    if damaged != text:
        with pytest.raises(StateInvalidError):
            parse_state(damaged)


@pytest.mark.parametrize("text", (" ", "\n"), ids=("space", "line break"))
def test_a_state_has_one_spelling(text):
    token = State("s", 1, "all", 5).text()
    for variant in (token + text, token[:8] + text + token[8:], token + "="):
        with pytest.raises(StateInvalidError):
            parse_state(variant)


def forged(*fields: object) -> str:
    body = msgspec.msgpack.encode(list(fields))
    return "t1." + base64.urlsafe_b64encode(zlib.crc32(body).to_bytes(4, "big") + body).decode().rstrip("=")


@pytest.mark.parametrize(
    "fields",
    (
        ("s", 1, "all", -1, 0, "", 0),
        ("s", 1, "all", 5, 0, "", -7),
        ("s", "1", "all", 5, 0, "", 0),
        ("s", 1, "all", 5),
        ("s", 1, "all", 5.5, 0, "", 0),
        ("s", 1, "all", None, 0, "", 0),
    ),
)
def test_a_forged_state_of_the_wrong_form_is_refused(fields):
    with pytest.raises(StateInvalidError):
        parse_state(forged(*fields))


@pytest.mark.parametrize(
    ("state", "error"),
    (
        (State("other", 1, "all", 5), StateScopeError),
        (State("s", 1, "some", 5), StateScopeError),
        (State("s", 2, "all", 5), StateFutureError),
        (State("s", 1, "all", 101), StateFutureError),
        (State("s", 1, "all", 5, until=101), StateFutureError),
        (State("s", 1, "all", 5, until=9, position=101), StateFutureError),
        (State("s", 1, "all", 5), StateExpiredError),
    ),
)
def test_a_state_that_cannot_be_continued_is_refused_by_name_and_with_a_way_back(state, error):
    with pytest.raises(error) as raised:
        check_state(state, horizon=50, **HERE)
    assert isinstance(raised.value, StateError)
    assert "without a state" in raised.value.hint


@pytest.mark.parametrize("state", (State("s", 1, "all", 50), State("s", 1, "all", 100), State("s", 1, "all", 0)))
def test_a_state_that_can_be_continued_passes(state):
    check_state(state, horizon=50, **HERE)


def test_a_scope_is_named_by_resources_and_filters_in_any_order():
    assert scope_of(["b", "a"]) == scope_of(["a", "b"])
    assert scope_of(["a"], [("a", "x eq 1"), ("b", "y")]) == scope_of(["a"], [("b", "y"), ("a", "x eq 1")])
    named = [scope_of(["a"]), scope_of(["b"]), scope_of(["a", "b"]), scope_of(["a"], [("a", "x")]), scope_of(["ab"])]
    assert len(set(named)) == len(named)
