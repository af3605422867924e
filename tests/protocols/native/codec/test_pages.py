"""Pages: read back as they were, split where large, refused when they say what no page can say."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from wire_strategies import ORIGIN, SITE, managed, pages

from tallystick.core.forms import Extra, encode_extra, encode_record
from tallystick.core.pages import EXTRA, FLAGS, KEY, LOCAL, STAMP, TICK, FieldForm, Page
from tallystick.core.pages import ORIGIN as ORIGIN_AT
from tallystick.core.states import State
from tallystick.core.versions import created_record, genesis_record
from tallystick.errors import LimitExceeded, StateInvalidError
from tallystick.protocols.native.codec import pages as pages_module
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import Limits
from tallystick.protocols.native.codec.messages import encode
from tallystick.protocols.native.codec.pages import check_page, check_state, decode_page, encode_page

FIELDS = [FieldForm("age", "int64"), FieldForm("name", "text")]
ROW = ("p1", None, 0, 1, 5, 0, None, 30, "Ann")
WHOLE = encode_record(created_record(ORIGIN, 1, b"h" * 32, 5, {"name": "Ann"}))


def page(*rows, fields=FIELDS, origins=(ORIGIN,), state=""):
    return Page("person", list(fields), list(origins), list(rows), state)


def changed(position, value, row=ROW):
    return (*row[:position], value, *row[position + 1 :])


@given(pages())
def test_a_page_is_read_back_as_it_was(made):
    (raw,) = encode_page(made)
    assert decode_page(raw) == made


@given(managed)
def test_managed_content_is_read_back_as_it_was(content):
    made = page((*ROW[:7], content), fields=())
    (raw,) = encode_page(made)
    assert decode_page(raw) == made


def test_whole_records_deletions_and_leavers_have_no_values():
    rows = [("a", None, 0, 1, 5, 4, WHOLE), ("b", None, 0, 1, 5, 1, None), ("c", None, 0, 1, 5, 8, None)]
    made = page(*rows)
    assert decode_page(encode(made)) == made


def test_rows_of_a_table_with_nothing_but_a_key_pass():
    check_page(page(ROW[:7], fields=()))


def test_a_large_page_goes_in_parts_and_only_the_last_has_the_state(monkeypatch):
    monkeypatch.setattr(pages_module, "SPLIT_FROM", 2000)
    state = State(SITE, 1, "scope", 9).text()
    rows = [(f"p{n}", None, 0, 1, 5, 0, None, n, "x" * 300) for n in range(20)]
    parts = [decode_page(raw) for raw in encode_page(page(*rows, state=state))]
    assert len(parts) > 3
    assert [row for part in parts for row in part.rows] == rows
    assert [part.state for part in parts] == [""] * (len(parts) - 1) + [state]


def test_a_record_that_no_block_holds_is_named():
    with pytest.raises(LimitExceeded, match="'p1'"):
        list(encode_page(page(changed(8, "x" * 2000)), Limits(block=1000)))


@pytest.mark.parametrize(
    "row",
    (
        ROW[:6],
        ROW[:8],
        (*ROW, 1),
        changed(KEY, 5),
        changed(KEY, None),
        changed(LOCAL, [1]),
        changed(LOCAL, 1 << 63),
        changed(ORIGIN_AT, 1),
        changed(ORIGIN_AT, -1),
        changed(ORIGIN_AT, "0"),
        changed(TICK, 0),
        changed(TICK, 1 << 62),
        changed(TICK, 1.0),
        changed(TICK, True),
        changed(STAMP, -1),
        changed(STAMP, 1 << 63),
        changed(FLAGS, 16),
        changed(FLAGS, 3),
        changed(FLAGS, None),
        changed(FLAGS, 1),
        changed(EXTRA, "text"),
        changed(EXTRA, b"\xc1"),
        changed(EXTRA, b""),
        changed(EXTRA, encode_extra(Extra(seen={ORIGIN: -1}))),
        changed(EXTRA, encode_extra(Extra(dots=[]))),
        changed(EXTRA, encode_extra(Extra(genesis=[b"short"]))),
        changed(EXTRA, encode_extra(Extra(priority=-1))),
        changed(EXTRA, encode_extra(Extra(aside={"x": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}))),
        changed(7, [1]),
        changed(7, {"a": 1}),
        changed(7, True),
        changed(7, 1 << 63),
        ("p1", None, 0, 1, 5, 4, None),
        ("p1", None, 0, 1, 5, 4, b"\x90"),
        ("p1", None, 0, 1, 5, 4, WHOLE, 1),
        ("p1", None, 0, 1, 5, 2, encode_extra(Extra(genesis=[])), 30, "Ann"),
    ),
    ids=repr,
)
def test_a_row_that_cannot_be_is_refused(row):
    with pytest.raises((RequestError, LimitExceeded)):
        decode_page(encode(page(ROW[:0] or changed(KEY, "other"), row)))


@pytest.mark.parametrize(
    "made",
    (
        page(ROW, ROW),
        page(ROW, fields=FIELDS[::-1]),
        page(ROW, fields=[FIELDS[0], FIELDS[0]]),
        page(ROW, fields=[FIELDS[0], FieldForm("name", "no such type")]),
        page(ROW, fields=[FIELDS[0], FieldForm("", "text")]),
        page(ROW, fields=[FIELDS[0], FieldForm("na\nme", "text")]),
        page(ROW, origins=()),
        page(ROW, origins=("",)),
        page((*ROW[:7], 5), fields=()),
        Page("", FIELDS, [ORIGIN], [ROW], ""),
        Page("x" * 600, FIELDS, [ORIGIN], [ROW], ""),
    ),
    ids=lambda made: repr(made)[:60],
)
def test_a_page_that_cannot_be_is_refused(made):
    with pytest.raises((RequestError, LimitExceeded)):
        check_page(made)


def test_a_page_with_too_many_rows_is_refused():
    rows = [changed(KEY, f"p{n}") for n in range(21)]
    with pytest.raises(LimitExceeded):
        check_page(page(*rows), Limits(rows=20))


@pytest.mark.parametrize("state", ("nonsense", "t1.AAAA", State(SITE, 1, "scope", 9).text()[:-2]))
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(StateInvalidError):
        check_page(page(ROW, state=state))


def test_a_state_of_another_site_is_refused():
    state = State(SITE, 1, "scope", 9).text()
    check_state(state, SITE)
    check_state("", SITE)
    with pytest.raises(StateInvalidError):
        check_state(state, "f" * 32)


def test_a_whole_record_with_a_damaged_byte_anywhere_raises_nothing_else():
    for place in range(len(WHOLE)):
        for byte in (0, 0x7F, 0xFF):
            damaged = WHOLE[:place] + bytes((byte,)) + WHOLE[place + 1 :]
            with suppress(RequestError):
                decode_page(encode(page(("p1", None, 0, 1, 5, 4, damaged))))


@pytest.mark.parametrize(
    "change",
    (
        {"versions": []},
        {"seen": {ORIGIN: -1}},
        {"seen_genesis": [b"short"]},
    ),
    ids=str,
)
def test_a_whole_record_that_cannot_be_is_refused(change):
    form = msgspec.msgpack.decode(WHOLE, type=pages_module.RecordForm)
    raw = encode(msgspec.structs.replace(form, **change))
    with pytest.raises(RequestError):
        decode_page(encode(page(("p1", None, 0, 1, 5, 4, raw))))


@pytest.mark.parametrize(
    "change",
    (
        {"dots": [], "genesis": []},
        {"tick": 0},
        {"stamp": -1},
        {"hash": b"short"},
        {"content": None},
        {"hash": b""},
        {"past": {ORIGIN: 1 << 63}},
        {"content": {"name": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}},
        {"fields": {"name": (ORIGIN, -1)}},
    ),
    ids=str,
)
def test_a_version_that_cannot_be_is_refused(change):
    form = msgspec.msgpack.decode(WHOLE, type=pages_module.RecordForm)
    form.versions = [msgspec.structs.replace(form.versions[0], **change)]
    with pytest.raises((RequestError, LimitExceeded)):
        decode_page(encode(page(("p1", None, 0, 1, 5, 4, encode(form)))))


def test_rows_older_than_tracking_pass():
    record = encode_record(genesis_record(ORIGIN, 1, b"h" * 32, 0, {"name": "Ann"}))
    check_page(page(("p1", None, 0, 1, 0, 4, record), changed(FLAGS, 2, changed(KEY, "p2"))))


@settings(max_examples=200)
@given(pages(), pages())
def test_pages_with_positions_exchanged_raise_nothing_else(one, other):
    mixed = msgspec.msgpack.encode([one.resource, other.fields, one.origins, [*one.rows, *other.rows], other.state])
    with suppress(RequestError, LimitExceeded, StateInvalidError):
        decode_page(mixed)
