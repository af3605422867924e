"""Hypothesis strategies for what travels."""

from __future__ import annotations

from hypothesis import strategies as st

from tallystick.core.forms import Extra, encode_extra
from tallystick.core.pages import FieldForm, Page
from tallystick.core.states import State
from tallystick.core.values import Logical

SITE = "0" * 31 + "a"
ORIGIN = SITE + ".1"
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
scalars = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    texts,
    st.binary(max_size=12),
)
ticks = st.integers(1, (1 << 62) - 1)
vectors = st.dictionaries(st.sampled_from([ORIGIN, "other.7"]), ticks, max_size=2)
extras = st.none() | st.builds(
    Extra, seen=st.none() | vectors, born=st.sampled_from(["", "other.7"]), copies=st.integers(0, 9)
).map(encode_extra)
numbers = st.integers(0, 99)
states = st.builds(
    State, st.just(SITE), st.just(1), st.just("scope"), numbers, numbers, st.just("+person"), numbers
).map(State.text)
managed = st.dictionaries(
    texts,
    st.recursive(
        scalars | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


@st.composite
def pages(draw: st.DrawFn) -> Page:
    """A page that passes every check."""
    names = sorted(draw(st.sets(st.text("abcxyz", min_size=1, max_size=3), min_size=1, max_size=4)))
    fields = [FieldForm(name, draw(st.sampled_from(list(Logical))).value) for name in names]
    rows = []
    for key in draw(st.lists(texts, unique=True, max_size=5)):
        head = (key, draw(scalars), 0, draw(ticks), draw(st.integers(0, 1 << 61)))
        flags = draw(st.sampled_from([0, 1, 2, 8]))
        extra = draw(extras) if flags != 8 else None
        values = [] if flags in (1, 8) else draw(st.lists(scalars, min_size=len(names), max_size=len(names)))
        rows.append((*head, flags, extra, *values))
    return Page("person", fields, [ORIGIN], rows, draw(st.just("") | states))
