"""The one-step edit of a simple entry is what the rules make of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.forms import decode_extra, simple_record
from tallystick.core.join import edit
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import Kept, held, make_entry, simple_edit
from tallystick.site.ledger import DELETED, GENESIS


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
        extra = simple_edit(ledger, entry, tick, None if deleted else changed, {})
        made = Entry(2, "k", None, 1, 0, tick, 9 + number, digest, None, 0 if digest else DELETED, extra)
        assert whole is None
        assert _record(ledger, made) == _record(ledger, expected)
        entry = made


def _record(ledger, entry):
    dot = (ledger.origin_name(entry.origin), entry.tick)
    return simple_record(dot, entry.stamp, entry.hash, entry.flags, decode_extra(entry.extra), None)


def test_the_extra_of_a_plain_record_is_nothing():
    ledger = Origins()
    record = edit(None, ("me.1", 1), 1, b"h" * 32)
    entry, whole = make_entry(ledger, "k", 1, 1, Kept(record, record.versions, b"h" * 32, None))
    assert entry.extra is None
    assert whole is None
