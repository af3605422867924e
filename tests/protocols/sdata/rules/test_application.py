from __future__ import annotations

import pytest

from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.errors import TickGap
from tallystick.protocols.sdata.rules.application import Decided, Incoming, apply_page
from tallystick.protocols.sdata.rules.conflicts import Verdict
from tallystick.protocols.sdata.rules.standing import Page, Standing, new_standing

SOURCE, OWN = "http://source/x", "http://own/x"
NOW = "2026-03-02T09:30:04Z"


class Shelf:
    """An endpoint's data, as simple as can be."""

    def __init__(self, standing: Standing, refuse: frozenset[str] = frozenset(), **states: SyncState) -> None:
        self.standing = standing
        self.refuse = refuse
        self.states = dict(states)

    def take(self, page: Page, *entries: Incoming, immediate: bool = False) -> list[Decided]:
        def attempt(index: int, verdict: Verdict) -> bool:
            uuid, state = entries[index]
            if uuid in self.refuse:
                return False
            self.states[uuid] = state
            return True

        self.standing, decided = apply_page(
            self.standing, page, entries, self.states.get, attempt, NOW, immediate=immediate
        )
        return decided


def source(tick: int) -> Digest:
    return digest_of(SOURCE, [DigestEntry(SOURCE, tick, "", 5)])


def entry(uuid: str, tick: int) -> Incoming:
    return Incoming(uuid, SyncState(SOURCE, tick, NOW))


def test_a_page_in_the_middle_advances_by_entries_only_and_the_last_merges_all() -> None:
    shelf = Shelf(new_standing(OWN, 5, NOW))
    shelf.take(Page(source(9), "p", 1, 2, last=False), entry("a", 2), entry("b", 5))
    assert shelf.standing.digest.tick(SOURCE) == 6
    shelf.take(Page(source(9), "p", 3, 0, first=False))
    assert shelf.standing.digest.tick(SOURCE) == 9


def test_an_empty_feed_merges() -> None:
    shelf = Shelf(new_standing(OWN, 5, NOW))
    assert shelf.take(Page(source(9), "p")) == []
    assert shelf.standing.digest.tick(SOURCE) == 9


def test_applied_versions_keep_their_state_unchanged() -> None:
    shelf = Shelf(new_standing(OWN, 5, NOW))
    assert shelf.take(Page(source(9), "p"), entry("a", 2)) == [Decided(Verdict.NEW, False)]
    assert shelf.states["a"] == SyncState(SOURCE, 2, NOW)
    assert shelf.standing.counter == 1


def test_a_replayed_page_changes_nothing() -> None:
    shelf = Shelf(new_standing(OWN, 5, NOW))
    page = Page(source(9), "p", 1, 2)
    shelf.take(page, entry("a", 2), entry("b", 3))
    states, digest = dict(shelf.states), shelf.standing.digest
    decided = shelf.take(page, entry("a", 2), entry("b", 3))
    assert [found.verdict for found in decided] == [Verdict.KNOWN, Verdict.KNOWN]
    assert (shelf.states, shelf.standing.digest) == (states, digest)


def test_a_poison_entry_delays_no_other() -> None:
    shelf = Shelf(new_standing(OWN, 5, NOW), frozenset("b"))
    decided = shelf.take(Page(source(9), "p", 1, 3), entry("a", 2), entry("b", 3), entry("c", 4))
    assert [found.failed for found in decided] == [False, True, False]
    assert set(shelf.states) == {"a", "c"}
    assert shelf.standing.digest.tick(SOURCE) == 3


def test_one_resource_twice_in_a_page_is_decided_by_what_the_first_entry_left() -> None:
    shelf = Shelf(new_standing(OWN, 5, NOW))
    decided = shelf.take(Page(source(9), "p", 1, 2), entry("a", 3), entry("a", 2))
    assert [found.verdict for found in decided] == [Verdict.NEW, Verdict.KNOWN]
    assert shelf.states["a"].tick == 3


def test_an_immediate_page_with_a_gap_changes_nothing_at_all() -> None:
    shelf = Shelf(new_standing(OWN, 5, NOW))
    before = shelf.standing
    with pytest.raises(TickGap):
        shelf.take(Page(source(4), ""), entry("a", 1), entry("b", 3), immediate=True)
    assert shelf.states == {}
    assert shelf.standing == before


def test_an_immediate_page_advances_by_its_entries_and_merges_nothing() -> None:
    shelf = Shelf(new_standing(OWN, 5, NOW))
    digest = digest_of(SOURCE, [DigestEntry(SOURCE, 2, "", 5), DigestEntry("http://third/x", 99, "", 5)])
    shelf.take(Page(digest, ""), entry("a", 1), immediate=True)
    assert shelf.standing.digest.tick(SOURCE) == 2
    assert shelf.standing.digest.tick("http://third/x") == 0


def test_target_tick_6_and_entry_tick_6_become_7() -> None:
    shelf = Shelf(Standing(digest_of(OWN, [DigestEntry(OWN, 1, "", 5), DigestEntry(SOURCE, 6, "", 5)])))
    shelf.take(Page(source(7), ""), entry("a", 6), immediate=True)
    assert shelf.standing.digest.tick(SOURCE) == 7


def test_a_lost_conflict_counts_as_seen_so_that_the_winner_flows_back_alone() -> None:
    own = Standing(digest_of(OWN, [DigestEntry(OWN, 4, "", 1)]), counter=4)
    shelf = Shelf(own, a=SyncState(OWN, 3, NOW))
    assert shelf.take(Page(source(3), "p"), entry("a", 2))[0].verdict is Verdict.CONFLICT_LOST
    assert shelf.standing.digest.tick(SOURCE) == 3
    assert shelf.states["a"] == SyncState(OWN, 3, NOW)
