from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.jobs.leases import GRACE, TERM, Lease, LeaseLost, claim, is_stale, may_write, release, renew

T = datetime(2026, 11, 20, 8, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_free_task_can_be_claimed_by_one_worker_only():
    first = claim(None, "t", "a", T)
    assert first == Lease("t", "a", T + TERM, 1)
    assert claim(first, "t", "b", T + SECOND) is None


def test_a_lease_that_ended_can_be_taken_over_but_not_at_once():
    first = claim(None, "t", "a", T)
    assert claim(first, "t", "b", first.until) is None
    second = claim(first, "t", "b", first.until + GRACE)
    assert (second.owner, second.number) == ("b", 2)


def test_the_same_worker_claims_anew_with_a_new_number():
    first = claim(None, "t", "a", T)
    again = claim(first, "t", "a", T + SECOND)
    assert again.number == 2
    with pytest.raises(LeaseLost):
        renew(first, again, T + 2 * SECOND)


def test_a_lease_is_renewed_while_it_lasts():
    first = claim(None, "t", "a", T)
    renewed = renew(first, first, T + TERM / 2)
    assert (renewed.until, renewed.number) == (T + TERM / 2 + TERM, 1)
    with pytest.raises(LeaseLost, match="ended before it was renewed"):
        renew(first, first, first.until)
    with pytest.raises(LeaseLost, match="another worker"):
        renew(first, None, T)


def test_a_released_task_is_free_at_once_and_keeps_its_number():
    first = claim(None, "t", "a", T)
    free = release(first, first, T + SECOND)
    assert is_stale(free, T + SECOND)
    assert claim(free, "t", "b", T + SECOND).number == 2


def test_releasing_what_was_taken_over_changes_nothing():
    first = claim(None, "t", "a", T)
    second = claim(first, "t", "b", first.until + GRACE)
    assert release(first, second, second.until) == second
    assert release(first, None, T) is None


def test_work_under_an_older_lease_is_refused():
    assert may_write(2, 2)
    assert may_write(3, 2)
    assert not may_write(1, 2)


steps = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(("claim", "renew", "release", "sleep")), st.integers(0, 200)),
    max_size=40,
)


@given(steps, st.fixed_dictionaries({name: st.integers(-4, 4) for name in "abc"}))
def test_no_two_workers_ever_believe_in_their_lease_at_once(steps, skews):
    """Whatever they do and however long they sleep, with clocks that differ by less than the grace time."""
    current, held, now = None, {}, T

    def clock(worker):
        return now + timedelta(seconds=skews[worker])

    for worker, step, passed in steps:
        now += timedelta(seconds=passed)
        lease = held.get(worker)
        if step == "claim":
            found = claim(current, "t", worker, clock(worker))
            if found is not None:
                current = held[worker] = found
        elif step == "renew" and lease is not None:
            try:
                current = held[worker] = renew(lease, current, clock(worker))
            except LeaseLost:
                del held[worker]
        elif step == "release" and lease is not None:
            current = release(held.pop(worker), current, clock(worker))
        believing = [one for one, other in held.items() if clock(one) < other.until]
        assert len(believing) <= 1
        assert all(may_write(held[one].number, current.number) for one in believing)
