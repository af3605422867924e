from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocols.sdata.codec.digest_messages import (
    DigestMessage,
    read_digest_message,
    read_state,
    read_tick,
    write_digest_message,
    write_state,
)
from tallystick.protocols.sdata.codec.digests import DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.codec.documents import parse_document
from tallystick.protocols.sdata.codec.names import MISSING_PRIORITY
from tallystick.protocols.sdata.errors import MalformedMessage

SYNC = "http://schemas.sage.com/sdata/sync/2008/1"
ATOM = "http://www.w3.org/2005/Atom"
SDATA = "http://schemas.sage.com/sdata/2008/1"
OWN = "http://own/accounts"
OTHER = "http://other/accounts"


def digest_xml(*entries: str, origin: str = f"<sync:origin>{OWN}</sync:origin>") -> str:
    inner = "".join(f"<sync:digestEntry>{entry}</sync:digestEntry>" for entry in entries)
    return f'<sync:digest xmlns:sync="{SYNC}">{origin}{inner}</sync:digest>'


def entry_xml(inner: str) -> bytes:
    return f'<entry xmlns="{ATOM}" xmlns:sdata="{SDATA}" xmlns:sync="{SYNC}">{inner}</entry>'.encode()


ENTRY = f"<sync:endpoint>{OWN}</sync:endpoint><sync:tick>5</sync:tick>"


@pytest.mark.parametrize(
    "data",
    (
        entry_xml(f"<sdata:payload>{digest_xml(ENTRY)}</sdata:payload>"),
        entry_xml(digest_xml(ENTRY)),
        digest_xml(ENTRY).encode(),
        f'<feed xmlns="{ATOM}">{digest_xml(ENTRY)}</feed>'.encode(),
        b"\xef\xbb\xbf" + entry_xml(digest_xml(ENTRY)),
    ),
)
def test_a_digest_is_found_inside_the_payload_and_beside_it(data: bytes) -> None:
    digest = read_digest_message(data)
    assert digest.origin == OWN
    assert digest.tick(OWN) == 5


def test_the_origin_is_optional_on_input() -> None:
    assert read_digest_message(digest_xml(ENTRY, origin="").encode()).origin == ""


def test_a_missing_tick_is_0_and_a_missing_priority_weaker_than_9() -> None:
    digest = read_digest_message(digest_xml(f"<sync:endpoint>{OWN}</sync:endpoint>").encode())
    assert digest.entries[OWN] == DigestEntry(OWN, 0, "", MISSING_PRIORITY)
    zero = digest_xml(ENTRY + "<sync:conflictPriority>0</sync:conflictPriority>")
    assert read_digest_message(zero.encode()).priority(OWN) == MISSING_PRIORITY


def test_ticks_are_64_bit() -> None:
    assert read_tick(str(2**63 - 1)) == 2**63 - 1
    assert read_tick(None) == read_tick("") == 0


@pytest.mark.parametrize("text", ("-1", str(2**63), "1.5", "1_000", "ten", "0x10"))
def test_wrong_ticks_are_refused(text: str) -> None:
    with pytest.raises(MalformedMessage, match="no tick"):
        read_tick(text)


@pytest.mark.parametrize(
    ("data", "match"),
    (
        (entry_xml("<title>nothing</title>"), "no digest"),
        (entry_xml(digest_xml(ENTRY) + digest_xml(ENTRY)), "more than one digest"),
        (digest_xml("<sync:tick>3</sync:tick>").encode(), "no endpoint"),
        (digest_xml(ENTRY, ENTRY.replace("5", "6")).encode(), "twice"),
        (digest_xml(ENTRY.replace("5", "five")).encode(), "no tick"),
        (digest_xml(ENTRY + "<sync:stamp>last week</sync:stamp>").encode(), "no date"),
        (digest_xml(ENTRY + "<sync:conflictPriority>high</sync:conflictPriority>").encode(), "no conflict priority"),
        (b"<html/>", "instead of"),
    ),
)
def test_an_unusable_digest_says_why(data: bytes, match: str) -> None:
    with pytest.raises(MalformedMessage, match=match):
        read_digest_message(data)


def test_ticks_and_priorities_are_written_within_1_to_9() -> None:
    digest = digest_of(OWN, [DigestEntry(OWN, 0, "", 0), DigestEntry(OTHER, 4, "", MISSING_PRIORITY)])
    written = read_digest_message(write_digest_message(DigestMessage(digest)))
    assert written.entries[OWN] == DigestEntry(OWN, 1, "1970-01-01T00:00:00Z", 1)
    assert written.priority(OTHER) == 9


def test_a_foreign_endpoint_of_which_nothing_is_held_is_left_out() -> None:
    digest = digest_of(OWN, [DigestEntry(OWN, 3), DigestEntry(OTHER, 0)])
    assert read_digest_message(write_digest_message(DigestMessage(digest))).tick(OTHER) == 0


text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), min_size=1
)
endpoints = text.filter(lambda found: found.strip().rstrip("/") == found and found != "")
stamps = st.sampled_from(["2026-03-02T09:30:00Z", "2026-03-02T09:30:00.1234567Z"])
entries = st.builds(DigestEntry, endpoints, st.integers(1, 2**63 - 1), stamps, st.integers(1, 9))


@given(endpoints, st.lists(entries, max_size=4, unique_by=lambda entry: entry.endpoint.lower()))
def test_any_digest_survives_the_wire(origin: str, listed: list[DigestEntry]) -> None:
    digest = digest_of(origin, listed)
    assert read_digest_message(write_digest_message(DigestMessage(digest, "t", "", "a"))) == digest


@given(endpoints, st.integers(0, 2**63 - 1), stamps, st.one_of(st.just(""), text))
def test_any_state_survives_the_wire(endpoint: str, tick: int, stamp: str, user: str) -> None:
    state = SyncState(endpoint, tick, stamp, user)
    element = parse_document(f'<a xmlns:sync="{SYNC}">{write_state(state)}</a>'.encode())[0]
    assert read_state(element) == state


def test_a_state_without_endpoint_is_refused() -> None:
    element = parse_document(f'<s:syncState xmlns:s="{SYNC}"><s:tick>1</s:tick></s:syncState>'.encode())
    with pytest.raises(MalformedMessage, match="no endpoint"):
        read_state(element)
