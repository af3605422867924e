"""Watermarks never jump over what was not transferred."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocols.eden.codec.times import SECOND
from tallystick.protocols.eden.watermarks import (
    CLOCK_DOUBT,
    REMEMBERED,
    Answered,
    clock_of,
    eden_watermark,
    known_seq,
    next_pull,
    next_push,
    remember,
    state_seq,
    state_text,
)

T = datetime(2026, 11, 20, 8, tzinfo=UTC)
LATER = T + timedelta(hours=1)


def test_a_second_after_the_newest_record_once_that_second_is_over():
    assert next_pull(None, [T, T - SECOND], peer_now=LATER) == T + SECOND


def test_the_newest_second_is_asked_for_again_while_it_lasts():
    assert next_pull(None, [T], peer_now=T) == T
    assert next_pull(None, [T], peer_now=T + timedelta(milliseconds=900)) == T


def test_nothing_transferred_moves_nothing():
    assert next_pull(T, [], peer_now=LATER) == T
    assert next_pull(None, [None], peer_now=LATER) is None


def test_a_row_from_the_future_does_not_pull_the_watermark_along():
    assert next_pull(None, [T, T + timedelta(days=365)], peer_now=LATER) == T + SECOND
    assert next_pull(T, [LATER + timedelta(days=1)], peer_now=LATER) == T


def test_a_rejected_row_that_is_not_parked_holds_it_back():
    assert next_pull(T, [LATER], peer_now=LATER + SECOND, rejected=[T + SECOND]) == T + SECOND
    assert next_pull(T, [LATER], peer_now=LATER + SECOND, rejected=[None]) == T


def test_a_watermark_never_goes_back():
    assert next_pull(LATER, [T], peer_now=LATER) == LATER


def test_the_peers_clock_is_its_date():
    assert clock_of("Fri, 20 Nov 2026 08:00:00 GMT", LATER) == T
    assert clock_of(None, LATER) == LATER - CLOCK_DOUBT
    assert clock_of("nonsense", LATER) == LATER - CLOCK_DOUBT


seconds = st.integers(0, 100)


@given(st.lists(seconds, max_size=8), st.lists(seconds, max_size=8), seconds, st.integers(-10_000, 10_000))
def test_no_row_that_the_peer_writes_later_lies_behind_the_watermark(written, future, passed, skew):
    """A peer stamps with its own clock, whatever ours says; rows dated in its future included."""
    peer_now = T + timedelta(seconds=passed + skew)
    times = [peer_now - timedelta(seconds=ago) for ago in written] + [
        peer_now + timedelta(seconds=ahead) for ahead in future
    ]
    watermark = next_pull(None, times, peer_now=peer_now)
    if watermark is not None:
        assert all(later >= watermark for later in (peer_now, peer_now + SECOND))
        assert watermark <= peer_now + SECOND


def test_a_push_never_counts_what_was_not_sent():
    assert next_push(5, 9) == 9
    assert next_push(5, 9, unsent=[8, 7]) == 6
    assert next_push(5, 9, unsent=[3]) == 5


# What a served peer has ------------------------------------------------------------------------------------------


def test_a_peer_is_known_by_the_watermark_that_our_answer_gave_it():
    answers = remember((), None, T, 7)
    assert known_seq(answers, T + SECOND) == 7
    assert known_seq(answers, T) is None
    assert known_seq(answers, None) is None


def test_of_answers_that_lead_to_one_watermark_the_earliest_counts():
    answers = remember(remember((), None, T, 7), T + SECOND, T, 9)
    assert known_seq(answers, T + SECOND) == 7


def test_an_empty_answer_moves_what_the_peer_has():
    answers = remember(remember((), None, T, 7), T + SECOND, None, 12)
    assert known_seq(answers, T + SECOND) == 12


def test_a_watermark_that_the_peer_chose_itself_is_answered_again():
    assert remember((), T, None, 7) == ()
    assert remember((), T + SECOND, T, 7) == ()


def test_what_is_remembered_is_bounded():
    answers = ()
    for number in range(100):
        answers = remember(answers, None, T + number * SECOND, number)
    assert len(answers) == REMEMBERED
    assert answers[-1] == Answered(T + 100 * SECOND, 99)


def test_real_eden_asks_from_a_second_after_the_newest_record():
    assert eden_watermark(T + timedelta(milliseconds=5)) == T + SECOND
    assert eden_watermark(None) is None


class Peer:
    """A real Eden that pulls, and a site that answers it; ``lost`` answers never arrive."""

    def __init__(self):
        self.answers, self.msince, self.has = (), None, set()

    def pull(self, log, lost):
        reached = known_seq(self.answers, self.msince)
        head = len(log)
        sent = [
            (seq, moment)
            for seq, moment in enumerate(log, 1)
            if (seq > reached if reached is not None else self.msince is None or moment >= self.msince)
        ]
        newest = max((moment for _, moment in sent), default=None)
        self.answers = remember(self.answers, self.msince, newest, head)
        if not lost:
            self.has |= {seq for seq, _ in sent}
            self.msince = eden_watermark(newest) or self.msince


@given(st.lists(st.tuples(st.lists(st.integers(-50, 50), max_size=4), st.booleans()), max_size=10))
def test_a_peer_that_starts_with_us_misses_nothing_whatever_the_times_and_losses(rounds):
    peer, log = Peer(), []
    for number, (times, lost) in enumerate(rounds):
        log += [T + timedelta(seconds=number * 3 + one) for one in times]
        peer.pull(log, lost)
    peer.pull(log, lost=False)
    peer.pull(log, lost=False)
    assert peer.has == set(range(1, len(log) + 1))


# Between two Tallystick sites --------------------------------------------------------------------------------------


def test_a_state_is_bound_to_site_and_scope():
    state = state_text("site", "scope", 12)
    assert state_seq("site", "scope", state) == 12
    assert state_seq("other", "scope", state) is None
    assert state_seq("site", "other", state) is None


@pytest.mark.parametrize("text", (None, "", "x", ".5", "abc.def", "1.-1", "1." + "9" * 40))
def test_a_damaged_state_is_none(text):
    assert state_seq("site", "scope", text) is None
