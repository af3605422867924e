from __future__ import annotations

from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.rules.selection import Head, Range, ranges, select

N1, N2, N3 = "http://n1/x", "http://n2/x", "http://n3/x"


def digest(one: int, two: int, three: int) -> Digest:
    return digest_of("", [DigestEntry(N1, one), DigestEntry(N2, two), DigestEntry(N3, three)])


def test_the_published_check_values() -> None:
    first, second = digest(6, 7, 9), digest(5, 8, 8)
    assert ranges(second, first) == (Range(N1, 5, 6), Range(N3, 8, 9))
    assert ranges(first, second) == (Range(N2, 7, 8),)


def test_an_absent_tick_is_0_so_that_a_first_pass_brings_everything() -> None:
    assert ranges(Digest("", {}), digest(6, 7, 9)) == (Range(N1, 0, 6), Range(N2, 0, 7), Range(N3, 0, 9))
    assert ranges(digest(0, 0, 0), digest(6, 7, 9)) == (Range(N1, 0, 6), Range(N2, 0, 7), Range(N3, 0, 9))


def test_entries_come_by_endpoint_and_tick_and_never_beyond_the_own_digest() -> None:
    heads = [
        Head("c", SyncState(N3, 8)),
        Head("b", SyncState(N1, 5)),
        Head("a", SyncState("http://N1/x/", 4)),
        Head("not yet", SyncState(N1, 6)),
        Head("known", SyncState(N2, 6)),
        Head("nobody's", SyncState("http://n4/x", 1)),
    ]
    assert [head.uuid for head in select(digest(4, 7, 8), digest(6, 7, 9), heads)] == ["a", "b", "c"]


def test_a_target_ahead_of_us_gets_nothing() -> None:
    assert ranges(digest(9, 9, 9), digest(6, 7, 9)) == ()


def test_a_targets_own_changes_come_back_whatever_caps_our_digest() -> None:
    """After a restore it asks for them; what it does not hear of it would give again to other changes."""
    posted = digest_of(N2, [DigestEntry(N1, 6), DigestEntry(N2, 1), DigestEntry(N3, 9)])
    heads = [Head("held", SyncState(N2, 3)), Head("ours", SyncState(N1, 7))]
    assert [head.uuid for head in select(posted, digest(6, 2, 9), heads)] == ["held"]
