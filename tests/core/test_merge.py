"""What a row shows of several versions: field by field, and as a whole."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.join import edit, join
from tallystick.core.merge import Projection, changed_fields, project
from tallystick.core.policies import FieldPolicy, Resolution
from tallystick.core.values import mapping_hash
from tallystick.core.versions import DELETED, Record, created_record, genesis_record

MERGE = FieldPolicy(Resolution.MERGE)
BASE = {"name": "Ann", "phone": "1", "city": "Rome"}


def digest(content: dict[str, Any] | None) -> bytes:
    return DELETED if content is None else mapping_hash("k", content)


def base(content: dict[str, Any] = BASE) -> Record:
    return created_record("a", 1, digest(content), 1, content)


def edited(record: Record, site: str, stamp: int, content: dict[str, Any] | None, tick: int = 9) -> Record:
    """``content`` over the (only) version of ``record``, with the fields that differ."""
    (version,) = record.versions
    changed = None if content is None else changed_fields(version.content or {}, content)
    return edit(record, (site, tick), stamp, digest(content), content, changed=changed)


def siblings(*changes: dict[str, Any] | None, start: Record | None = None) -> Record:
    """Concurrent edits of one record by sites b, c, d with rising stamps. A change names the fields it sets."""
    start = start or base()
    record = start
    for number, change in enumerate(changes):
        content = None if change is None else {**(start.versions[0].content or {}), **change}
        record = join(record, edited(start, "bcd"[number], 10 + number, content))
    return record


# Field-wise


@pytest.mark.parametrize(
    ("changes", "expected"),
    (
        pytest.param(({"name": "Bea"}, {"phone": "2"}), {"name": "Bea", "phone": "2"}, id="each side its own field"),
        pytest.param(({"name": "Bea"}, {"name": "Cleo"}), {"name": "Cleo"}, id="both sides one field: the newer"),
        pytest.param(({"name": "Bea"}, {"name": "Bea", "phone": "2"}), {"name": "Bea", "phone": "2"}, id="agreement"),
        pytest.param(
            ({"name": "Bea"}, {"phone": "2"}, {"city": "Bonn"}),
            {"name": "Bea", "phone": "2", "city": "Bonn"},
            id="three sides",
        ),
        pytest.param(
            ({"name": "Bea", "city": "Bari"}, {"city": "Bonn"}), {"name": "Bea", "city": "Bonn"}, id="overlap"
        ),
        pytest.param(({"phone": None}, {"name": "Bea"}), {"phone": None, "name": "Bea"}, id="a field emptied"),
        pytest.param(({"new": 1}, {"name": "Bea"}), {"new": 1, "name": "Bea"}, id="a field that was not there"),
    ),
)
def test_fields_changed_on_one_side_only_combine_and_the_rest_goes_to_the_newer(changes, expected):
    shown = project(siblings(*changes), (), MERGE)
    assert without_nulls(shown.content) == without_nulls({**BASE, **expected})


def without_nulls(content: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (content or {}).items() if value is not None}


def test_what_a_mixture_is_made_of_and_what_it_overrides():
    record = siblings({"name": "Bea", "city": "Bari"}, {"city": "Bonn"}, {"phone": "2"})
    by_site = {version.origin: version for version in record.versions}
    shown = project(record, (), MERGE)
    assert shown.contributors == record.versions
    assert shown.overridden == (by_site["b"],), "its city gave way, although nobody had seen it"


def test_a_version_of_which_nothing_is_shown_is_no_contributor():
    record = siblings({"name": "Bea"}, {"name": "Cleo"})
    older, newer = record.versions
    assert project(record, (), MERGE) == Projection({**BASE, "name": "Cleo"}, (newer,), overridden=(older,))


def test_a_later_edit_of_one_field_knows_the_earlier_edits_of_its_own_side():
    """Site b edits the name, then the phone; site c, who knows neither, edits the city."""
    first = edited(base(), "b", 10, {**BASE, "name": "Bea"}, tick=1)
    second = edited(first, "b", 11, {**BASE, "name": "Bea", "phone": "2"}, tick=2)
    other = edited(base(), "c", 99, {**BASE, "city": "Bonn"})
    shown = project(join(second, other), (), MERGE)
    assert shown.content == {"name": "Bea", "phone": "2", "city": "Bonn"}


def test_copies_of_a_row_older_than_tracking_combine_though_their_dots_differ():
    rows = [genesis_record(site, 1, digest(BASE), 0, BASE) for site in "ab"]
    twice = edited(
        edited(rows[0], "a", 10, {**BASE, "name": "Bea"}, 2), "a", 11, {**BASE, "name": "Bea", "city": "X"}, 3
    )
    other = edited(rows[1], "b", 99, {**BASE, "phone": "2"}, 2)
    assert project(join(twice, other), (), MERGE).content == {"name": "Bea", "phone": "2", "city": "X"}


def test_two_different_rows_older_than_tracking_are_not_taken_for_edits_of_each_other():
    one = genesis_record("a", 1, digest(BASE), 0, BASE)
    content = {**BASE, "city": "Bonn"}
    other = genesis_record("b", 1, digest(content), 0, content)
    changed = edited(one, "a", 10, {**BASE, "name": "Bea"}, 2)
    shown = project(join(changed, other), (), MERGE)
    assert shown.content == {**BASE, "name": "Bea"}
    assert other.versions[0] in shown.overridden


def test_a_deletion_and_an_edit_are_not_mixed():
    record = siblings({"name": "Bea"}, None)
    assert project(record, (), MERGE).content is None
    assert project(siblings(None, {"name": "Bea"}), (), MERGE).content == {**BASE, "name": "Bea"}


def test_fields_can_have_policies_of_their_own():
    record = siblings({"name": "Bea", "phone": "2"}, {"name": "Cleo", "phone": "3"})
    mine, theirs = record.versions
    policy = FieldPolicy(Resolution.OTHER, {"phone": Resolution.THIS})
    shown = project(record, (mine,), policy)
    assert shown.content == {**BASE, "name": "Cleo", "phone": "2"}
    assert shown.contributors == (mine, theirs)


def test_one_field_can_be_merged_while_the_rest_goes_by_another_policy():
    record = siblings({"phone": "2"}, {"name": "Cleo"})
    mine, _ = record.versions
    policy = FieldPolicy(Resolution.THIS, {"name": Resolution.MERGE})
    assert project(record, (mine,), policy).content == {**BASE, "phone": "2", "name": "Cleo"}


def test_a_field_somebody_is_asked_about_keeps_what_the_row_shows():
    record = siblings({"name": "Bea", "phone": "2"}, {"name": "Cleo"})
    mine, _ = record.versions
    shown = project(record, (mine,), FieldPolicy(Resolution.MERGE, {"name": Resolution.ASK}))
    assert shown.undecided
    assert shown.content == {**BASE, "name": "Bea", "phone": "2"}
    assert not project(siblings({"name": "B"}, {"phone": "2"}), (), FieldPolicy(Resolution.MERGE)).undecided


# As a whole


@pytest.mark.parametrize(
    ("resolution", "expected"),
    (
        (Resolution.THIS, "Bea"),
        (Resolution.OTHER, "Dora"),
        (Resolution.NEWER, "Dora"),
        (Resolution.MASTER, "Ann II"),
        (Resolution.ASK, "Bea"),
        (Resolution.KEEP_BOTH, "Dora"),
    ),
)
def test_each_resolution_shows_its_version(resolution, expected):
    master = edited(base(), "a", 5, {**BASE, "name": "Ann II"}, 2)
    record = join(siblings({"name": "Bea"}, {"name": "Cleo"}, {"name": "Dora"}), master)
    mine = next(version for version in record.versions if version.origin == "b")
    shown = project(record, (mine,), FieldPolicy(resolution))
    assert (shown.content or {})["name"] == expected
    assert shown.undecided is (resolution is Resolution.ASK)


def test_other_prefers_what_the_other_end_speaks_for():
    record = siblings({"name": "Bea"}, {"name": "Cleo"}, {"name": "Dora"})
    bea, cleo, _ = record.versions
    shown = project(record, (bea,), FieldPolicy(Resolution.OTHER), (cleo,))
    assert shown.contributors == (cleo,)


def test_keeping_both_makes_records_of_the_losing_contents_but_not_of_deletions():
    record = siblings({"name": "Bea"}, None, {"name": "Dora"})
    shown = project(record, (), FieldPolicy(Resolution.KEEP_BOTH))
    assert (shown.content or {})["name"] == "Dora"
    assert [(version.content or {})["name"] for version in shown.copies] == ["Bea"]


def test_keeping_both_prefers_any_content_to_a_deletion():
    assert project(siblings({"name": "Bea"}, None), (), FieldPolicy(Resolution.KEEP_BOTH)).content is not None


def test_twins_are_shown_and_hidden_together():
    start = base()
    twins = join(edited(start, "b", 10, {**BASE, "name": "X"}), edited(start, "c", 20, {**BASE, "name": "X"}))
    record = join(twins, edited(start, "d", 15, {**BASE, "name": "Y"}))
    shown = project(record, (), FieldPolicy(Resolution.NEWER))
    assert {version.origin for version in shown.contributors} == {"b", "c"}
    assert {version.origin for version in shown.overridden} == {"d"}


def test_a_record_with_one_content_has_nothing_to_decide():
    record = base()
    assert project(record, (), FieldPolicy(Resolution.ASK)) == Projection(BASE, record.versions)


fields = st.dictionaries(st.sampled_from(["name", "phone", "city"]), st.sampled_from(["1", "2", "3"]), min_size=1)
convergent = st.sampled_from([Resolution.NEWER, Resolution.MASTER, Resolution.MERGE, Resolution.KEEP_BOTH])


@given(st.lists(st.none() | fields, min_size=1, max_size=3), convergent, st.randoms(use_true_random=False))
def test_convergent_policies_show_the_same_whatever_the_row_showed_and_the_order_was(changes, resolution, random):
    start = base()
    parts = [start]
    for number, change in enumerate(changes):
        content = None if change is None else {**BASE, **change}
        parts.append(edited(start, "bcd"[number], random.randrange(3), content))
    outcomes = []
    for _ in range(3):
        random.shuffle(parts)
        record = parts[0]
        for part in parts[1:]:
            record = join(record, part)
        local = random.sample(record.versions, random.randrange(len(record.versions) + 1))
        shown = project(record, local, FieldPolicy(resolution))
        outcomes.append((shown.content, shown.contributors, shown.copies))
    assert outcomes[0] == outcomes[1] == outcomes[2]


# Differences


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    (
        ({}, {}, set()),
        ({"a": 1}, {"a": 1}, set()),
        ({"a": 1}, {"a": 2}, {"a"}),
        ({"a": 1}, {}, {"a"}),
        ({"a": None}, {}, set()),
        ({"a": 1}, {"a": 1.0}, {"a"}),
        ({"a": "1"}, {"a": 1}, {"a"}),
        ({"a": math.nan}, {"a": float("nan")}, set()),
        ({"a": math.nan}, {"a": 1.0}, {"a"}),
    ),
)
def test_fields_differ_by_value_and_type_and_absent_is_null(before, after, expected):
    assert changed_fields(before, after) == expected
