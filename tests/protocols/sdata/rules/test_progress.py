"""How a digest moves: the check values of the description, the failure-safe cap, restores."""

from __future__ import annotations

import pytest

from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, digest_of, endpoint_key
from tallystick.protocols.sdata.codec.names import MISSING_PRIORITY
from tallystick.protocols.sdata.errors import TickGap
from tallystick.protocols.sdata.rules.progress import (
    OPEN_PASSES,
    Progress,
    assign,
    restore_ended,
    written,
)
from tallystick.protocols.sdata.rules.standing import (
    Page,
    Standing,
    check_contiguous,
    new_standing,
    pass_identity,
    restored,
)

A1, A2, A3 = "http://app1/x", "http://app2/x", "http://app3/x"
NOW = "2026-03-02T09:30:04Z"
THEN = "2026-03-01T00:00:00Z"


def digest(one: int, two: int, three: int, origin: str = A1) -> Digest:
    listed = [DigestEntry(A1, one, THEN, 1), DigestEntry(A2, two, THEN, 2), DigestEntry(A3, three, THEN, 3)]
    return digest_of(origin, listed)


def ticks(standing: Standing) -> tuple[int, int, int]:
    return (standing.digest.tick(A1), standing.digest.tick(A2), standing.digest.tick(A3))


def page_begun(standing: Standing, page: Page) -> Standing:
    progress = Progress(standing, NOW)
    progress.page_begun(page)
    return progress.standing()


def pass_ended(standing: Standing, page: Page, stamp: str) -> Standing:
    progress = Progress(standing, stamp)
    progress.pass_ended(page)
    return progress.standing()


def handled(standing: Standing, state: SyncState, source: Digest, stamp: str, uuid: str) -> Standing:
    progress = Progress(standing, stamp)
    progress.handled(state, source, uuid)
    return progress.standing()


def failed(standing: Standing, state: SyncState, source: Digest, stamp: str, uuid: str) -> Standing:
    progress = Progress(standing, stamp)
    progress.failed(state, source, uuid)
    return progress.standing()


def cap(standing: Standing, key: str) -> int | None:
    return Progress(standing, NOW).cap(key)


def at_app2(one: int = 5, two: int = 11, three: int = 8) -> Standing:
    return Standing(digest(one, two, three, A2), counter=two)


def page(source: Digest, identity: str = "p", **place: object) -> Page:
    return Page(source, identity, **place)  # type: ignore[arg-type]


# Ticks


def test_a_new_endpoint_lists_itself_at_tick_1_with_its_priority() -> None:
    standing = new_standing(A1, 4, THEN)
    assert standing.digest == digest_of(A1, [DigestEntry(A1, 1, THEN, 4)])
    assert standing.counter == 1


def test_a_local_change_takes_the_tick_and_then_increments_it() -> None:
    standing, state = assign(at_app2(), NOW, "ann")
    assert state == SyncState(A2, 11, NOW, "ann")
    assert (standing.counter, standing.digest.tick(A2)) == (12, 12)
    assert standing.digest.entries[A2].stamp == NOW


def test_the_published_check_values_of_application() -> None:
    """(5, 11, 8), entry (app1, 5), entry (app3, 8), end merge with (6, 10, 10) gives (6, 11, 10)."""
    source = digest(6, 10, 10)
    standing = page_begun(at_app2(), page(source))
    standing = handled(standing, SyncState(A1, 5), source, NOW, "u1")
    assert ticks(standing) == (6, 11, 8)
    standing = handled(standing, SyncState(A3, 8), source, NOW, "u3")
    assert ticks(standing) == (6, 11, 9)
    assert ticks(pass_ended(standing, page(source), NOW)) == (6, 11, 10)


def test_the_end_of_the_check_values_of_selection() -> None:
    standing = page_begun(Standing(digest(5, 8, 8, A2), counter=8), page(digest(6, 7, 9)))
    assert ticks(pass_ended(standing, page(digest(6, 7, 9)), NOW)) == (6, 8, 9)


def test_ticks_never_go_down() -> None:
    standing = handled(at_app2(), SyncState(A1, 2), digest(3, 1, 1), NOW, "u")
    assert ticks(standing) == (5, 11, 8)
    assert ticks(pass_ended(standing, page(digest(1, 1, 1)), NOW)) == (5, 11, 8)


def test_the_stamp_of_an_entry_changes_only_when_its_tick_does() -> None:
    standing = pass_ended(at_app2(), page(digest(6, 1, 8)), NOW)
    assert [standing.digest.entries[key].stamp for key in (A1, A2, A3)] == [NOW, THEN, THEN]


def test_unknown_endpoints_are_added_with_the_sources_priority() -> None:
    standing = pass_ended(new_standing(A2, 5, THEN), page(digest(6, 1, 9)), NOW)
    assert standing.digest.entries[A3] == DigestEntry(A3, 9, NOW, 3)
    standing = handled(new_standing(A2, 5, THEN), SyncState("http://App9/x/", 3), digest(6, 1, 9), NOW, "u")
    assert standing.digest.entries["http://app9/x"] == DigestEntry("http://App9/x", 4, NOW, MISSING_PRIORITY)


def test_ones_own_priority_is_configured_and_taken_from_nobody() -> None:
    standing = pass_ended(new_standing(A2, 5, THEN), page(digest(1, 20, 1)), NOW)
    assert standing.digest.entries[A2].priority == 5


def test_own_entry_and_counter_are_one_and_follow_both_rules() -> None:
    standing = handled(at_app2(), SyncState(A2, 30), digest(1, 31, 1), NOW, "u")
    assert (standing.counter, standing.digest.tick(A2)) == (31, 31)
    standing = pass_ended(at_app2(), page(digest(1, 40, 1)), NOW)
    assert (standing.counter, standing.digest.tick(A2)) == (40, 40)


# Immediate mode


def test_an_immediate_entry_may_be_the_next_one_or_a_duplicate_but_not_later() -> None:
    known = digest(6, 1, 1)
    check_contiguous(known, [SyncState(A1, 6)])
    check_contiguous(known, [SyncState(A1, 3)])
    check_contiguous(known, [SyncState(A1, 6), SyncState(A1, 7), SyncState(A1, 5), SyncState(A1, 8)])
    with pytest.raises(TickGap, match="tick 7"):
        check_contiguous(known, [SyncState(A1, 7)])
    with pytest.raises(TickGap, match="tick 8"):
        check_contiguous(known, [SyncState(A1, 6), SyncState(A1, 8)])


def test_an_endpoint_that_nobody_knows_begins_at_tick_1() -> None:
    check_contiguous(Digest(A2, {}), [SyncState(A1, 1), SyncState(A1, 2)])
    with pytest.raises(TickGap):
        check_contiguous(Digest(A2, {}), [SyncState(A1, 2)])


# The failure-safe cap


def test_the_digest_never_passes_a_failed_tick() -> None:
    source = digest(9, 1, 1)
    standing = page_begun(at_app2(), page(source))
    standing = failed(standing, SyncState(A1, 6), source, NOW, "u6")
    assert ticks(standing)[0] == 6
    standing = handled(standing, SyncState(A1, 7), source, NOW, "u7")
    assert ticks(standing)[0] == 6
    assert ticks(pass_ended(standing, page(source), NOW))[0] == 6


def test_the_smallest_failed_tick_counts_and_what_else_the_source_claims_waits_for_a_pass_without_failures() -> None:
    source = digest(9, 1, 20)
    standing = page_begun(at_app2(), page(source))
    standing = failed(standing, SyncState(A1, 6), source, NOW, "u6")
    standing = failed(standing, SyncState(A1, 7), source, NOW, "u7")
    assert cap(standing, A1) == 6
    assert cap(standing, A3) is None
    standing = pass_ended(standing, page(source), NOW)
    assert ticks(standing) == (6, 11, 8)
    standing = page_begun(standing, page(source))
    for tick in (6, 7):
        standing = handled(standing, SyncState(A1, tick), source, NOW, f"u{tick}")
    assert ticks(pass_ended(standing, page(source), NOW)) == (9, 11, 20)


def test_a_failed_tick_below_the_digest_takes_nothing_back() -> None:
    standing = failed(at_app2(), SyncState(A1, 2), digest(9, 1, 1), NOW, "u2")
    assert ticks(standing)[0] == 5


def test_a_failure_is_over_when_the_resource_is_handled_whoever_sends_it() -> None:
    standing = failed(at_app2(), SyncState(A1, 6), digest(9, 1, 1), NOW, "u6")
    standing = handled(standing, SyncState(A3, 8), digest(9, 1, 20), NOW, "u6")
    assert not standing.failures
    assert ticks(pass_ended(standing, page(digest(9, 1, 20)), NOW))[0] == 9


def test_a_failure_is_over_when_a_complete_later_pass_does_not_bring_it() -> None:
    source = digest(9, 1, 1)
    standing = page_begun(at_app2(), page(source, "one"))
    standing = failed(standing, SyncState(A1, 6), source, NOW, "u6")
    standing = pass_ended(standing, page(source, "one"), NOW)
    assert standing.failures, "not cleared by the pass in which it failed"
    standing = page_begun(standing, page(source, "two"))
    standing = pass_ended(standing, page(source, "two"), NOW)
    assert not standing.failures
    assert ticks(standing)[0] == 9


def test_a_failure_stays_when_the_pass_cannot_know_of_it() -> None:
    standing = failed(at_app2(), SyncState(A1, 6), digest(9, 1, 1), NOW, "u6")
    older = digest(6, 1, 1)
    standing = pass_ended(page_begun(standing, page(older, "two")), page(older, "two"), NOW)
    assert standing.failures


def test_a_failure_stays_when_it_failed_again_in_that_pass() -> None:
    source = digest(9, 1, 1)
    standing = failed(page_begun(at_app2(), page(source, "one")), SyncState(A1, 6), source, NOW, "u6")
    standing = page_begun(standing, page(source, "two"))
    standing = failed(standing, SyncState(A1, 6), source, NOW, "u6")
    standing = pass_ended(standing, page(source, "two"), NOW)
    assert cap(standing, A1) == 6


@pytest.mark.parametrize(
    "pages",
    (
        [{"first": False, "last": True, "start": 3}],  # its beginning was not seen
        [{"start": 1, "entries": 2, "last": False}, {"first": False, "start": 5}],  # a page is missing
    ),
)
def test_a_failure_stays_when_the_pass_was_not_seen_whole(pages: list[dict[str, object]]) -> None:
    source = digest(9, 1, 1)
    standing = failed(at_app2(), SyncState(A1, 6), source, NOW, "u6")
    for place in pages:
        standing = page_begun(standing, page(source, "two", **place))
    standing = pass_ended(standing, page(source, "two", **pages[-1]), NOW)
    assert standing.failures


def test_a_pass_of_several_pages_is_followed_to_its_end() -> None:
    source = digest(9, 1, 1)
    standing = failed(at_app2(), SyncState(A1, 6), source, NOW, "u6")
    first = page(source, "two", start=1, entries=2, last=False)
    second = page(source, "two", start=3, entries=1, first=False)
    standing = page_begun(page_begun(standing, first), second)
    assert not pass_ended(standing, second, NOW).failures


def test_passes_without_a_name_are_not_followed() -> None:
    assert not page_begun(at_app2(), page(digest(1, 1, 1), "")).passes
    assert pass_identity("id", "o", "n", "s") == "id"
    assert pass_identity("", A1, "nightly", "1") == pass_identity("", A1, "nightly", "1") != ""
    assert pass_identity("", A1, "", "") == ""


def test_only_so_many_passes_are_followed_at_once() -> None:
    standing = at_app2()
    for number in range(OPEN_PASSES + 5):
        standing = page_begun(standing, page(digest(1, 1, 1), f"p{number}"))
    assert len(standing.passes) == OPEN_PASSES
    assert "p0" not in standing.passes


def test_a_failure_of_ones_own_origin_holds_the_digest_back_but_not_the_counter() -> None:
    standing = failed(at_app2(), SyncState(A2, 9), digest(1, 20, 1), NOW, "u9")
    assert standing.digest.tick(A2) == 9
    assert standing.counter == 11
    standing, state = assign(standing, NOW)
    assert (state.tick, standing.counter, standing.digest.tick(A2)) == (11, 12, 9)
    standing = handled(standing, SyncState(A2, 9), digest(1, 20, 1), NOW, "u9")
    assert standing.digest.tick(A2) == 12


# Restores


def test_a_restored_endpoint_gives_no_tick_twice_and_publishes_what_it_has() -> None:
    standing = restored(at_app2(two=5), [digest(1, 9, 1), digest(1, 7, 1)])
    assert (standing.counter, standing.digest.tick(A2)) == (9, 5)
    standing, state = assign(standing, NOW)
    assert (state.tick, standing.digest.tick(A2)) == (9, 5)


def test_the_inbound_passes_bring_its_own_changes_back_and_then_it_publishes_again() -> None:
    source = digest(1, 9, 1)
    standing = page_begun(restored(at_app2(two=5), [source]), page(source))
    standing = handled(standing, SyncState(A2, 7), source, NOW, "u")
    assert standing.digest.tick(A2) == 8
    standing = pass_ended(standing, page(source), NOW)
    assert standing.digest.tick(A2) == 9
    standing, _ = assign(standing, NOW)
    assert restore_ended(standing, NOW).digest.tick(A2) == standing.counter == 10


# Administration


def test_writing_the_digest_raises_ticks_sets_priorities_and_lowers_nothing() -> None:
    wish = digest_of("", [DigestEntry(A1, 2, "", 9), DigestEntry(A2, 50, "", 7), DigestEntry(A3, 20)])
    standing = written(at_app2(), wish, NOW)
    assert ticks(standing) == (5, 50, 20)
    assert standing.counter == 50
    assert [standing.digest.entries[endpoint_key(key)].priority for key in (A1, A2, A3)] == [9, 7, 3]


def test_however_many_fail_and_recover_the_steps_stay_small() -> None:
    """Every entry of a pass fails, then every one is handled, smallest first: the cap follows without searching."""
    source = digest(20_001, 1, 1)
    progress = Progress(at_app2(one=1), NOW)
    for tick in range(1, 20_001):
        progress.failed(SyncState(A1, tick), source, f"u{tick}")
    assert progress.cap(A1) == 1
    for tick in range(1, 20_001):
        progress.handled(SyncState(A1, tick), source, f"u{tick}")
        assert progress.cap(A1) == (tick + 1 if tick < 20_000 else None)
    standing = progress.standing()
    assert (standing.failures, standing.digest.tick(A1)) == ({}, 20_001)


def test_a_second_failure_of_a_resource_takes_the_place_of_the_first() -> None:
    source = digest(9, 1, 1)
    standing = failed(at_app2(), SyncState(A1, 6), source, NOW, "u")
    standing = failed(standing, SyncState(A1, 8), source, NOW, "u")
    assert cap(standing, A1) == 8
    assert len(standing.failures) == 1


def test_a_working_copy_leaves_the_standing_as_it_was() -> None:
    before = at_app2()
    progress = Progress(before, NOW)
    progress.handled(SyncState(A1, 7), digest(9, 1, 1), "u")
    progress.assign()
    assert before == at_app2()
    assert progress.standing() != before
