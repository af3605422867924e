"""Filters in URLs and tasks (section 12)."""

import pytest

from tallystick.errors import FilterError
from tallystick.protocols.eden.codec.filters import (
    Condition,
    Filter,
    Operator,
    Selector,
    format_filter,
    format_key,
    holds,
    ignored_keys,
    parse_filter,
    parse_filter_string,
    parse_filters,
    split_values,
)

NAME = Selector("~", ("name",))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    (
        ("[~]~.name", "x", Filter("~", Condition((NAME,), Operator.EQ, ("x",)))),
        ("[]~.name", "x", Filter("~", Condition((NAME,), Operator.EQ, ("x",)))),
        ("[~]~.name__like", "*Two", Filter("~", Condition((NAME,), Operator.LIKE, ("*Two",)))),
        (
            "[org_office]office.name__like",
            "nomatch",
            Filter("org_office", Condition((Selector("office", ("name",)),), Operator.LIKE, ("nomatch",))),
        ),
        (
            "[~]~.dataset_id$code__belongs!",
            "a,b",
            Filter("~", Condition((Selector("~", ("dataset_id", "code")),), Operator.BELONGS, ("a", "b"), True)),
        ),
        (
            "[~]~.name|~.acronym__ne",
            "NONE",
            Filter("~", Condition((NAME, Selector("~", ("acronym",))), Operator.NE, (None,))),
        ),
        ("[~]name", "x", None),
        ("[]name__like", "*Two", None),
        ("[org_organisation]name__like", "*One", None),
        ("[~]~.name__soundslike", "x", None),
        ("resource", "org_organisation", None),
        ("~.name", "x", None),
    ),
)
def test_keys_are_read_as_a_live_site_reads_them(key, value, expected):
    assert parse_filter(key, value) == expected


def test_plain_rest_takes_keys_without_brackets():
    assert parse_filters([("~.name__like", "x"), ("limit", "3")], bare=True) == (
        Filter("~", Condition((NAME,), Operator.LIKE, ("x",))),
    )


def test_ignored_keys_can_be_named():
    assert ignored_keys([("[~]name", "x"), ("[~]~.name", "x"), ("limit", "1")]) == ("[~]name",)


@pytest.mark.parametrize(
    ("text", "values"),
    (
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        ('"a,b",c', ("a,b", "c")),
        ("NONE", (None,)),
        ('"NONE"', ("NONE",)),
        ("", ("",)),
        ("a,", ("a", "")),
        ('"open', ("open",)),
    ),
)
def test_values_are_lists_separated_by_commas(text, values):
    assert split_values(text) == values


def test_a_filter_is_written_as_real_eden_sends_it():
    (one,) = parse_filter_string("org_organisation", "org_organisation", "~.name__like=*o*")
    assert format_filter(one) == "[~]~.name__like=%2Ao%2A"
    (one,) = parse_filter_string("org_office", "org_organisation", "office.name=a%20b,c")
    assert format_filter(one) == "[org_office]office.name=a%20b%2Cc"


@pytest.mark.parametrize("key", ("[~]~.a", "[t]x.a$b__like!", "[~]~.a|y.b__ge", "[~]~.a__belongs"))
@pytest.mark.parametrize("value", ("x", "x,y", '"a,b"', "NONE", '"NONE",NONE'))
def test_what_is_written_is_read_again(key, value):
    one = parse_filter(key, value)
    assert one is not None
    assert format_key(one) == key
    name, _, encoded = format_filter(one).partition("=")
    from urllib.parse import unquote

    assert parse_filter(name, unquote(encoded)) == one


def test_a_filter_that_eden_would_ignore_is_refused_in_a_task():
    with pytest.raises(FilterError, match="would be ignored"):
        parse_filter_string("org_organisation", "org_organisation", "name=x")


RECORD = {"name": "Two", "year": 1999, "active": True, "tags": ["a", "b"], "nothing": None, "day": "2026-01-02"}


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        ("~.name=Two", True),
        ("~.name=two", False),
        ("~.name=One,Two", True),
        ("~.name__ne=One", True),
        ("~.name__ne=Two", False),
        ("~.nothing__ne=x", True),
        ("~.name__like=*WO", True),
        ("~.name__like=T?o", True),
        ("~.name__like=T?", False),
        ("~.name__like!=*WO", False),
        ("~.year__gt=1998", True),
        ("~.year__ge=1999", True),
        ("~.year__lt=1999", False),
        ("~.year__le=x", False),
        ("~.year=1999", True),
        ("~.year__belongs=1,1999", True),
        ("~.active=true", True),
        ("~.active=True", True),
        ("~.active=false", False),
        ("~.tags__contains=a,b", True),
        ("~.tags__contains=a,c", False),
        ("~.tags__anyof=a,c", True),
        ("~.tags__anyof=c", False),
        ("~.nothing=NONE", True),
        ("~.nothing__ne=NONE", False),
        ("~.name=NONE", False),
        ("~.name__ne=NONE", True),
        ("~.nothing__gt=1", False),
        ("~.day__ge=2026-01-01", True),
        ("~.name|~.nothing=Two", True),
        ("~.name__typeof=Two", True),
    ),
)
def test_operators(text, expected):
    (one,) = parse_filter_string("t", "t", text)
    assert holds(one.condition, lambda selector: [RECORD[selector.path[0]]]) is expected


def test_a_pattern_of_many_stars_is_not_slow():
    (one,) = parse_filter_string("t", "t", "~.name__like=" + "*" * 200 + "x")
    assert not holds(one.condition, lambda _selector: ["a" * 10_000])
