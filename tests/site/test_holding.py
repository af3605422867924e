"""The one-step edits of simple entries and of contested records are what the rules make of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.forms import decode_extra, encode_kept, simple_record
from tallystick.core.join import edit, join
from tallystick.core.versions import created_record, genesis_record
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import Folded, Kept, Whole, closing_edit, held, make_entry, simple_edit
from tallystick.site.ledger import DELETED, GENESIS, WHOLE


class Origins:
    """As much of a ledger as an entry needs."""

    origin = "me.1"

    def __init__(self):
        self.names = ["me.1", "you.1", "them.7"]

    def origin_name(self, number):
        return self.names[number]

    def origin_number(self, name):
        return self.names.index(name)


STEPS = st.lists(
    st.tuples(st.booleans(), st.sampled_from((None, frozenset({"a"}), frozenset({"a", "b"}), frozenset()))),
    min_size=1,
    max_size=5,
)


@given(first=st.integers(0, 2), genesis=st.booleans(), steps=STEPS)
def test_edits_in_one_step_are_the_edits_of_the_rules(first, genesis, steps):
    ledger = Origins()
    flags = GENESIS if genesis else 0
    entry = Entry(1, "k", None, 1, first, 3, 5, b"h" * 32, None, flags, None)
    for number, (deleted, changed) in enumerate(steps):
        tick, digest = 10 + number, b"" if deleted else bytes([number]) * 32
        before = held(ledger, entry, None, None)
        record = edit(before.record, ("me.1", tick), 9 + number, digest, changed=changed)
        expected, whole = make_entry(ledger, "k", 2, 1, Kept(record, record.versions, digest, None))
        extra = simple_edit(ledger, entry, decode_extra(entry.extra), tick, None if deleted else changed, {})
        made = Entry(2, "k", None, 1, 0, tick, 9 + number, digest, None, 0 if digest else DELETED, extra)
        assert whole is None
        assert _record(ledger, made) == _record(ledger, expected)
        entry = made


CONTENTS = st.sampled_from((b"", b"x" * 32, b"y" * 32))


@given(
    genesis=st.booleans(),
    edits=st.lists(
        st.tuples(st.sampled_from(Origins().names), st.sampled_from((b"", b"x" * 32, b"y" * 32))), min_size=2
    ),
    shown=st.integers(0, 9),
    deleted=st.booleans(),
)
def test_an_edit_that_closes_a_conflict_in_one_step_is_the_edit_of_the_rules(genesis, edits, shown, deleted):
    ledger = Origins()
    start = (genesis_record if genesis else created_record)("you.1", 1, b"h" * 32, 1)
    record = start
    for tick, (origin, digest) in enumerate(edits, 2):
        record = join(record, edit(start if tick % 2 else record, (origin, tick), tick, digest))
    whole = Whole(record, (record.versions[shown % len(record.versions)],), False)
    entry = Entry(1, "k", None, 1, 1, 3, 5, whole.shown[0].hash, None, WHOLE, None)
    digest = b"" if deleted else b"z" * 32
    kept = Folded(encode_kept(whole.record, whole.shown, 0), False)
    made = closing_edit(ledger, kept, entry, (99, 99, digest), {})
    assert kept.name == whole.name
    if made is None:
        assert not record.contested
        return
    before = held(ledger, entry, None, whole)
    edited = edit(before.record, ("me.1", 99), 99, digest, shown_past=before.shown_past)
    expected, left = make_entry(ledger, "k", 1, 1, Kept(edited, edited.versions, digest, None))
    assert left is None
    assert made._replace(extra=None) == expected._replace(extra=None)
    assert _record(ledger, made) == _record(ledger, expected)


def _record(ledger, entry):
    dot = (ledger.origin_name(entry.origin), entry.tick)
    return simple_record(dot, entry.stamp, entry.hash, entry.flags, decode_extra(entry.extra), None)


def test_the_extra_of_a_plain_record_is_nothing():
    ledger = Origins()
    record = edit(None, ("me.1", 1), 1, b"h" * 32)
    entry, whole = make_entry(ledger, "k", 1, 1, Kept(record, record.versions, b"h" * 32, None))
    assert entry.extra is None
    assert whole is None
