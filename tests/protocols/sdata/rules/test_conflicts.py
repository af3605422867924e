from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.rules.conflicts import Verdict, judge, source_wins

N1, N2, N3 = "http://n1/x", "http://n2/x", "http://n3/x"


def digest(one: int, two: int, three: int) -> Digest:
    return digest_of("", [DigestEntry(N1, one, "", 1), DigestEntry(N2, two, "", 2), DigestEntry(N3, three, "", 3)])


SOURCE, TARGET = digest(6, 7, 9), digest(5, 8, 8)


@pytest.mark.parametrize(
    ("case", "source", "target", "verdict"),
    (
        ("a", (N1, 5), (N1, 4), Verdict.NEWER),
        ("b", (N1, 5), (N2, 6), Verdict.NEWER),
        ("c", (N1, 5), (N2, 7), Verdict.CONFLICT_WON),
        ("d", (N1, 5), (N3, 7), Verdict.NEWER),
        ("e", (N3, 8), (N2, 7), Verdict.CONFLICT_LOST),
    ),
)
def test_the_published_check_values(
    case: str, source: tuple[str, int], target: tuple[str, int], verdict: Verdict
) -> None:
    assert judge(SyncState(*source), SyncState(*target), SOURCE, TARGET) is verdict, case


def test_what_nobody_here_has_heard_of_is_new() -> None:
    assert judge(SyncState(N1, 5), None, SOURCE, TARGET) is Verdict.NEW


@pytest.mark.parametrize(("tick", "verdict"), ((5, Verdict.KNOWN), (6, Verdict.KNOWN), (4, Verdict.NEWER)))
def test_of_one_endpoint_the_greater_tick_is_newer_and_the_same_is_known(tick: int, verdict: Verdict) -> None:
    assert judge(SyncState(N1, 5), SyncState("http://N1/x/", tick), SOURCE, TARGET) is verdict


def test_what_we_made_knowing_theirs_stays() -> None:
    assert judge(SyncState(N1, 4), SyncState(N2, 7), SOURCE, TARGET) is Verdict.SEEN


def test_comparisons_are_strict() -> None:
    """A digest tick equal to a state's tick says that the state is not known (C7)."""
    assert judge(SyncState(N1, 5), SyncState(N2, 7), digest(6, 7, 9), digest(5, 8, 8)) is Verdict.CONFLICT_WON
    assert judge(SyncState(N1, 5), SyncState(N2, 7), digest(6, 8, 9), digest(5, 8, 8)) is Verdict.NEWER
    assert judge(SyncState(N1, 5), SyncState(N2, 7), digest(6, 7, 9), digest(6, 8, 8)) is Verdict.SEEN


EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"


@pytest.mark.parametrize(
    ("theirs", "ours", "stamps", "endpoints", "won"),
    (
        (1, 9, (EARLY, LATE), (N2, N1), True),  # the lower number wins, whatever the time
        (9, 1, (LATE, EARLY), (N1, N2), False),
        (5, 5, (LATE, EARLY), (N2, N1), True),  # equal: the later stamp
        (5, 5, (EARLY, LATE), (N1, N2), False),
        (5, 5, (EARLY, EARLY), (N1, N2), True),  # equal: the smaller endpoint
        (5, 5, (EARLY, EARLY), (N2, N1), False),
        (9, None, (EARLY, LATE), (N2, N1), True),  # missing is weaker than 9
        (None, 9, (LATE, EARLY), (N1, N2), False),
    ),
)
def test_priority_then_stamp_then_endpoint_decide(
    theirs: int | None, ours: int | None, stamps: tuple[str, str], endpoints: tuple[str, str], won: bool
) -> None:
    incoming, current = SyncState(endpoints[0], 5, stamps[0]), SyncState(endpoints[1], 5, stamps[1])
    source = digest_of("", [] if theirs is None else [DigestEntry(endpoints[0], 5, "", theirs)])
    target = digest_of("", [] if ours is None else [DigestEntry(endpoints[1], 5, "", ours)])
    assert source_wins(incoming, current, source, target) is won


states = st.builds(SyncState, st.sampled_from([N1, N2, N3]), st.integers(1, 3), st.sampled_from([EARLY, LATE]))
digests = st.lists(st.tuples(st.sampled_from([N1, N2, N3]), st.integers(1, 4)), unique_by=lambda pair: pair[0]).map(
    lambda pairs: digest_of("", [DigestEntry(endpoint, tick, "", int(endpoint[8])) for endpoint, tick in pairs])
)


@given(states, states)
def test_both_ends_of_a_conflict_come_to_one_winner(one: SyncState, other: SyncState) -> None:
    everybody = digest_of("", [DigestEntry(endpoint, 9, "", int(endpoint[8])) for endpoint in (N1, N2, N3)])
    if one.endpoint != other.endpoint:
        assert source_wins(one, other, everybody, everybody) != source_wins(other, one, everybody, everybody)


@given(states, states, digests, digests)
def test_a_version_is_never_called_seen_and_applied_at_once(
    incoming: SyncState, current: SyncState, source: Digest, target: Digest
) -> None:
    verdict = judge(incoming, current, source, target)
    if verdict.applies and incoming.endpoint != current.endpoint:
        assert source.tick(current.endpoint) > current.tick or target.tick(incoming.endpoint) <= incoming.tick
