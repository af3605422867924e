"""What no message may do to us: entities, DTDs, other encodings, endless nesting, endless size."""

from __future__ import annotations

import pytest

from tallystick.protocols.sdata.codec.documents import (
    LONGEST_PROLOG,
    Limits,
    expect_root,
    harmless,
    parse_document,
)
from tallystick.protocols.sdata.codec.feeds import FeedReader, read_feed
from tallystick.protocols.sdata.errors import (
    DoctypeRefused,
    EncodingRefused,
    MalformedMessage,
    MessageTooLarge,
    UnknownNamespace,
)

BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE feed [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>
<feed xmlns="http://www.w3.org/2005/Atom"><title>&c;</title></feed>"""


@pytest.mark.parametrize(
    "data",
    (
        BOMB,
        b"<!DOCTYPE feed><feed/>",
        b"\xef\xbb\xbf<!DOCTYPE feed SYSTEM 'http://127.0.0.1/x.dtd'><feed/>",
        b"<?xml version='1.0'?><!-- x --><?pi?>\n<!DOCTYPE f [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><f>&x;</f>",
        b"<!-- a > b --><!DOCTYPE\nfeed><feed/>",
        b"<!doctype html><html/>",
        b"<!ELEMENT feed ANY><feed/>",
    ),
)
def test_a_doctype_is_refused_before_anything_is_expanded(data: bytes) -> None:
    with pytest.raises(DoctypeRefused):
        parse_document(data)
    with pytest.raises(DoctypeRefused):
        read_feed(data)
    with pytest.raises(DoctypeRefused):
        _byte_by_byte(data)


def _byte_by_byte(data: bytes) -> None:
    reader = FeedReader()
    for at in range(len(data)):
        reader.feed(data[at : at + 1])


def test_an_undeclared_entity_is_no_xml() -> None:
    with pytest.raises(MalformedMessage, match="well-formed"):
        parse_document(b"<feed>&xxe;</feed>")


@pytest.mark.parametrize(
    "data",
    (
        "<feed/>".encode("utf-16"),
        "<feed/>".encode("utf-16-be"),
        "<feed/>".encode("utf-16-le"),
        b"<?xml version='1.0' encoding='iso-8859-1'?><feed/>",
        b"<?xml version='1.0' encoding=\"utf-7\"?><feed/>",
        b"<?xml version='1.0' encoding='utf-16'?><feed/>",
    ),
)
def test_only_utf_8_is_read(data: bytes) -> None:
    with pytest.raises(EncodingRefused):
        parse_document(data)


@pytest.mark.parametrize("declared", ("utf-8", "UTF-8", "us-ascii"))
def test_utf_8_and_its_part_are_read_under_any_spelling(declared: str) -> None:
    assert parse_document(f"<?xml version='1.0' encoding='{declared}'?><feed/>".encode()).tag == "feed"


@pytest.mark.parametrize(
    "data", (b"\xef\xbb\xbf<feed/>", b"\n <feed/>", b"\xef\xbb\xbf\r\n<?xml version='1.0'?><feed/>")
)
def test_a_byte_order_mark_and_white_space_in_front_are_forgiven(data: bytes) -> None:
    assert parse_document(data).tag == "feed"


@pytest.mark.parametrize(
    "data", (b"", b"   ", b"\xef\xbb\xbf", b"hello", b"<feed>", b"<feed/><feed/>", b"<feed>\xff</feed>", b"{}")
)
def test_what_is_no_xml_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_document(data)
    with pytest.raises(MalformedMessage):
        read_feed(data)


def test_a_message_has_at_most_so_many_bytes() -> None:
    with pytest.raises(MessageTooLarge, match="10 bytes"):
        parse_document(b"<feed>too long</feed>", Limits(size=10))


def test_a_prolog_without_end_is_given_up() -> None:
    with pytest.raises(MalformedMessage, match="does not begin"):
        harmless(b"<!-- " + b"x" * LONGEST_PROLOG)
    with pytest.raises(MalformedMessage, match="does not begin"):
        harmless(b" " * (LONGEST_PROLOG + 1))


def test_nesting_beyond_the_parsers_own_bound_is_no_crash() -> None:
    with pytest.raises(MalformedMessage):
        parse_document(b"<a>" * 5000 + b"</a>" * 5000)


def test_comments_and_instructions_mean_nothing() -> None:
    root = parse_document(b"<a>x<!-- no -->y<?no no?>z</a>")
    assert root.text == "xyz"


def test_the_right_element_in_the_wrong_namespace_is_named() -> None:
    root = parse_document(b'<tracking xmlns="http://schemas.sage.com/sdata/2008"/>')
    with pytest.raises(UnknownNamespace, match=r"sdata/2008'"):
        expect_root(root, "{http://schemas.sage.com/sdata/2008/1}tracking")
    with pytest.raises(MalformedMessage, match="instead of feed"):
        expect_root(root, "{http://www.w3.org/2005/Atom}feed")
