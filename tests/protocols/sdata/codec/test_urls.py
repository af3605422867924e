from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocols.sdata.codec.urls import (
    Arguments,
    Part,
    Selector,
    key_of_url,
    parse_path,
    quoted_selector,
    read_selector,
    resource_url,
    segment_url,
    target_of,
    with_arguments,
)
from tallystick.protocols.sdata.errors import BadUrl

KINDS = frozenset(["accounts"])


@pytest.mark.parametrize(
    ("raw", "part"),
    (
        ("/accounts('A-1')", Part("accounts", Selector("A-1", None))),
        ('/accounts("A-1")', Part("accounts", Selector("A-1", None))),
        ("/accounts(%22A-1%22)", Part("accounts", Selector("A-1", None))),
        ("/accounts%28%27A-1%27%29", Part("accounts", Selector("A-1", None))),
        ("/accounts('O''Hara')", Part("accounts", Selector("O'Hara", None))),
        ("/accounts(%27O%27%27Hara%27)", Part("accounts", Selector("O'Hara", None))),
        ('/accounts("a""b")', Part("accounts", Selector('a"b', None))),
        ("/accounts('a/b')", Part("accounts", Selector("a/b", None))),
        ("/accounts('a%2Fb')", Part("accounts", Selector("a/b", None))),
        ("/accounts('a%2fb')", Part("accounts", Selector("a/b", None))),
        ("/accounts('(')", Part("accounts", Selector("(", None))),
        ("/accounts('100%25')", Part("accounts", Selector("100%", None))),
        ("/accounts('gr%C3%BC%C3%9F')", Part("accounts", Selector("grüß", None))),
        ("/accounts('')", Part("accounts", Selector("", None))),
        ("/accounts(name eq 'x')", Part("accounts", Selector(None, "name eq 'x'"))),
        ("/accounts(name%20eq%20'a/b)')", Part("accounts", Selector(None, "name eq 'a/b)'"))),
        ("/accounts('a' eq name)", Part("accounts", Selector(None, "'a' eq name"))),
        ("/$syncsource", Part("$syncSource")),
        ("/$SYNCTARGET", Part("$syncTarget")),
        ("/%24SyncDigest", Part("$syncDigest")),
        ("/%24syncsource(%27id%27)", Part("$syncSource", Selector("id", None))),
        ("/$unknown", Part("$unknown")),
    ),
)
def test_a_part_is_read_in_every_spelling(raw: str, part: Part) -> None:
    assert parse_path(raw) == (part,)


@pytest.mark.parametrize(
    "raw",
    ("/accounts('a", "/accounts('a'", "/accounts()", "/accounts('a')x", "/a%FF", "/a%00", "/a%0a", "/" + "a" * 20_000),
)
def test_what_is_no_path_is_refused(raw: str) -> None:
    with pytest.raises(BadUrl):
        parse_path(raw)


def test_empty_parts_are_skipped() -> None:
    assert parse_path("//sdata///a/") == (Part("sdata"), Part("a"))


def test_a_target_has_groups_kind_property_and_segment() -> None:
    target = target_of(parse_path("/books/crm/-/sales/west/accounts('1')/addresses/$linked/$batch"), KINDS)
    assert (target.application, target.contract, target.dataset) == ("books", "crm", "-")
    assert target.groups == ("sales", "west")
    assert (target.kind, target.selector) == ("accounts", Selector("1", None))
    assert target.path == (Part("addresses"),)
    assert target.segment == "$linked"
    assert [part.name for part in target.segments] == ["$linked", "$batch"]


def test_a_kind_is_known_in_any_case_and_an_unknown_one_is_the_last_part() -> None:
    assert target_of(parse_path("/a/b/-/ACCOUNTS"), KINDS).kind == "ACCOUNTS"
    assert target_of(parse_path("/a/b/-/group/orders"), KINDS).kind == "orders"


def test_a_dataset_may_have_segments_of_its_own() -> None:
    target = target_of(parse_path("/a/b/-/$schema"), KINDS)
    assert (target.kind, target.segment) == ("", "$schema")


def test_nothing_plain_follows_a_segment() -> None:
    with pytest.raises(BadUrl, match="cannot follow"):
        target_of(parse_path("/a/b/-/$schema/accounts"), KINDS)


@pytest.mark.parametrize("name", ("trackingID", "trackingId", "trackingid", "TrackingId"))
def test_argument_names_are_read_in_any_case(name: str) -> None:
    assert Arguments(f"{name}=G1&other=ignored").tracking_id == "G1"


def test_a_run_stamp_is_opaque() -> None:
    arguments = Arguments("runName=nightly%20crm&runStamp=11/20/2026%2009:17:56")
    assert arguments.run == ("nightly crm", "11/20/2026 09:17:56")


def test_the_first_of_repeated_arguments_counts() -> None:
    assert Arguments("count=1&COUNT=2").number("count", None) == 1


def test_numbers_are_whole_and_not_negative() -> None:
    assert Arguments("count=0").number("count", 7) == 0
    assert Arguments("count=").number("count", 7) == 7
    assert Arguments("").number("count", 7) == 7
    for text in ("-1", "1.5", "ten", "1e3", "9" * 30, "%C2%B2"):
        with pytest.raises(BadUrl):
            Arguments(f"count={text}").number("count", 7)


def test_an_empty_argument_is_there() -> None:
    assert Arguments("select=").has("Select")
    assert not Arguments("").has("select")


def test_too_many_arguments_and_bad_ones_are_refused() -> None:
    with pytest.raises(BadUrl):
        Arguments("&".join(f"a{n}=1" for n in range(200)))
    with pytest.raises(BadUrl):
        Arguments("a=%FF")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30))
def test_any_key_survives_its_url(key: str) -> None:
    url = resource_url("http://x/sdata/a/b/-/accounts", key)
    assert url.isascii()
    assert " " not in url
    assert key_of_url(url, "http://x/sdata/a/b/-/accounts") == key
    assert parse_path(f"/accounts{quoted_selector(key)}")[0].selector == Selector(key, None)


def test_urls_are_written_with_literal_quotes_and_dollars() -> None:
    assert segment_url("http://x/accounts", "$syncSource", "G1") == "http://x/accounts/$syncSource('G1')"
    assert segment_url("http://x/accounts", "$linked") == "http://x/accounts/$linked"


def test_arguments_are_written_percent_encoded() -> None:
    url = with_arguments("http://x/a", runName="a b&c", runStamp="2026-03-02T09:30:00+01:00", where="", count=0)
    assert url == "http://x/a?runName=a%20b%26c&runStamp=2026-03-02T09:30:00%2B01:00&count=0"
    assert with_arguments(url, x=1).endswith("&x=1")
    assert Arguments(url.partition("?")[2]).run == ("a b&c", "2026-03-02T09:30:00+01:00")


def test_a_url_of_another_kind_has_no_key_for_us() -> None:
    assert key_of_url("http://x/orders('1')", "http://x/accounts") is None
    assert key_of_url("http://x/accounts(name eq 'x')", "http://x/accounts") is None
    assert key_of_url("http://x/accounts('1", "http://x/accounts") is None


def test_a_selector_must_say_something() -> None:
    with pytest.raises(BadUrl):
        read_selector("  ")
