from __future__ import annotations

import pytest

from tallystick.protocols.sdata.codec.digests import (
    Digest,
    DigestEntry,
    SyncState,
    check_state,
    digest_of,
    endpoint_key,
    with_entry,
)
from tallystick.protocols.sdata.codec.names import MISSING_PRIORITY
from tallystick.protocols.sdata.errors import MalformedMessage

A = "http://a/accounts"


@pytest.mark.parametrize("other", ("http://A/Accounts", "http://a/accounts/", " http://a/accounts\n"))
def test_endpoints_are_compared_without_case_and_trailing_slash(other: str) -> None:
    assert endpoint_key(other) == endpoint_key(A)
    assert digest_of("", [DigestEntry(A, 7)]).tick(other) == 7


def test_an_unknown_endpoint_has_tick_0_and_the_weakest_wish_to_win() -> None:
    assert Digest("", {}).tick(A) == 0
    assert Digest("", {}).priority(A) == MISSING_PRIORITY > 9


def test_an_endpoint_listed_twice_with_different_ticks_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="twice"):
        digest_of("", [DigestEntry(A, 7), DigestEntry("http://A/accounts/", 8)])


def test_an_endpoint_listed_twice_alike_counts_once() -> None:
    digest = digest_of("", [DigestEntry(A, 7), DigestEntry("http://A/accounts/", 7)])
    assert list(digest.entries) == [A]


def test_an_entry_can_be_replaced() -> None:
    assert with_entry(digest_of("", [DigestEntry(A, 7)]), DigestEntry(A, 9)).tick(A) == 9


def test_a_state_may_reach_the_digest_but_not_exceed_it() -> None:
    digest = digest_of(A, [DigestEntry(A, 7)])
    check_state(SyncState(A, 6), digest)
    check_state(SyncState(A, 7), digest)  # tolerated (C17)
    check_state(SyncState("http://elsewhere", 99), digest)
    with pytest.raises(MalformedMessage, match="beyond"):
        check_state(SyncState(A, 8), digest)
