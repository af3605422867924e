"""Copies and restores are noticed, and what they made is renamed by everybody alike."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.history import (
    NONCE_BITS,
    RECENT,
    Contact,
    Fork,
    Histories,
    Relation,
    begin_anew,
    begin_elsewhere,
    common_ticks,
    compare,
    meet,
    origin_of,
    renamed,
    renamed_vector,
    renamed_version,
    site_of,
    speak,
    thinned,
)
from tallystick.core.join import edit, join
from tallystick.core.versions import Record, Seen, created_record, genesis_record


def grown(count: int, seed: int, start: tuple[Contact, ...] = ()) -> tuple[Contact, ...]:
    """A history continued by ``count`` contacts."""
    random, history = Random(seed), start
    for _ in range(count):
        number = history[-1].number + 1 if history else 1
        history = thinned((*history, Contact(number, random.randrange(1, 1 << NONCE_BITS), {"r": number})))
    return history


def site(origin: str, *spoken: int) -> Histories:
    """A site that spoke with the given nonces, one tick each."""
    histories = Histories(origin)
    for tick, nonce in enumerate(spoken, 1):
        histories = speak(histories, nonce, {"r": tick})
    return histories


# Speaking


def test_an_origin_is_a_site_and_an_incarnation():
    assert origin_of("s", 7) == "s.7"
    assert site_of("s.7") == "s"


def test_a_contact_is_noted_when_there_is_something_new_and_only_then():
    first = speak(Histories("a.1"), 11, {"r": 1}, 5)
    assert first.contacts["a.1"] == (Contact(1, 11, {"": 5, "r": 1}),)
    assert speak(first, 12, {"r": 1}, 5) is first
    assert speak(Histories("a.1"), 12, {"r": 0}) == Histories("a.1")
    assert speak(first, 13, {"r": 2}, 6).contacts["a.1"][-1] == Contact(2, 13, {"": 6, "r": 2})
    assert speak(first, 14, {"r": 1, "q": 1}, 5).contacts["a.1"][-1].number == 2


def test_passing_on_what_others_made_counts_too():
    first = speak(Histories("a.1"), 11, {"r": 1}, 5)
    assert speak(first, 12, {"r": 1}, 6).contacts["a.1"][-1].nonce == 12


# Comparing


@pytest.mark.parametrize(
    ("mine", "theirs", "relation"),
    (
        ((), (), Relation.SAME),
        ((1,), (), Relation.AHEAD),
        ((), (1,), Relation.BEHIND),
        ((1, 2), (1, 2), Relation.SAME),
        ((1, 2, 3), (1, 2), Relation.AHEAD),
        ((1,), (1, 2), Relation.BEHIND),
        ((1, 2), (1, 3), Relation.FORKED),
        ((1, 2, 4), (1, 3), Relation.FORKED),
        ((1,), (3,), Relation.FORKED),
    ),
)
def test_two_histories_of_one_origin_are_the_beginning_of_one_another_or_have_forked(mine, theirs, relation):
    one, other = site("a.1", *mine).contacts.get("a.1", ()), site("a.1", *theirs).contacts.get("a.1", ())
    assert compare(one, other) is relation


def test_the_fork_lies_after_the_last_common_contact():
    one, other = site("a.1", 1, 2, 3).contacts["a.1"], site("a.1", 1, 2, 4).contacts["a.1"]
    assert common_ticks(one, other) == {"": 0, "r": 2}
    assert common_ticks(one, ()) == {}


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 99))
def test_thinning_never_makes_a_fork_of_a_history_and_its_beginning(before, after, seed):
    start = grown(before, seed)
    longer = grown(after, seed + 1, start)
    assert compare(longer, start) in (Relation.SAME, Relation.AHEAD)
    assert compare(start, longer) in (Relation.SAME, Relation.BEHIND)


@given(st.integers(0, 300), st.integers(1, RECENT), st.integers(1, RECENT), st.integers(0, 99))
def test_recent_forks_are_noticed_from_both_sides(before, mine, theirs, seed):
    start = grown(before, seed)
    one, other = grown(mine, seed + 1000, start), grown(theirs, seed + 2000, start)
    assert compare(one, other) is Relation.FORKED
    assert compare(other, one) is Relation.FORKED
    assert common_ticks(one, other).get("r", 0) <= before


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 600), st.integers(0, 99))
def test_an_owner_who_went_back_notices_however_long_ago_it_was(before, mine, theirs, seed):
    start = grown(before, seed)
    one, other = grown(mine, seed + 1000, start), grown(mine + theirs, seed + 2000, start)
    restored, peer = Histories("a.1", {"a.1": one}), Histories("b.1", {"a.1": other})
    for meeting in (meet(restored, peer, 98), meet(peer, restored, 99)):
        (fork,) = meeting.forks
        assert fork.after.get("r", 0) <= before
        assert meeting.histories.forks.keys() == {"a.1"}
    assert meet(restored, peer, 98).began


def test_a_history_stays_short():
    assert len(grown(5_000, 1)) < 150
    assert grown(5_000, 1)[0].number == 1


# Meeting


def test_sites_that_know_each_other_take_over_the_longer_histories_and_nothing_else():
    one, other = site("a.1", 1, 2), site("b.1", 7)
    mine = meet(one, other, 99)
    assert mine.forks == ()
    assert not mine.began
    assert mine.histories.contacts == {**one.contacts, **other.contacts}
    later = speak(one, 3, {"r": 3})
    assert meet(other, later, 99).histories.contacts["a.1"] == later.contacts["a.1"]


def test_a_restored_site_begins_anew_when_a_peer_knows_more_of_it():
    backup, peer = site("a.1", 1), Histories("b.1", site("a.1", 1, 2).contacts)
    meeting = meet(backup, peer, 99)
    assert meeting.began
    assert meeting.histories.origin == "a.99"
    assert meeting.forks == (), "it handed out nothing that anybody could mistake"
    assert meeting.histories.contacts["a.1"] == peer.contacts["a.1"]
    assert not meet(peer, backup, 98).began


def test_a_restored_site_that_wrote_on_gives_its_changes_to_a_branch_and_so_does_its_peer():
    restored, peer = site("a.1", 1, 20, 30), Histories("b.1", site("a.1", 1, 2, 3, 4).contacts)
    mine, theirs = meet(restored, peer, 98), meet(peer, restored, 99)
    assert mine.forks == (Fork("a.1", {"": 0, "r": 1}, "a.20"),)
    assert theirs.forks == (Fork("a.1", {"": 0, "r": 1}, "a.2"),)
    assert (mine.histories.origin, theirs.histories.origin) == ("a.20", "b.1")
    assert mine.histories.contacts == theirs.histories.contacts
    assert {origin: len(history) for origin, history in mine.histories.contacts.items()} == {
        "a.1": 1,
        "a.2": 3,
        "a.20": 2,
    }


def test_third_parties_notice_a_fork_without_the_site_and_name_the_branches_as_it_does():
    one, other = Histories("x.1", site("a.1", 1, 20).contacts), Histories("y.1", site("a.1", 1, 2).contacts)
    assert meet(one, other, 99).forks[0].branch == "a.20"
    assert meet(other, one, 99).forks[0].branch == "a.2"
    owner = meet(site("a.1", 1, 20), meet(other, one, 99).histories, 98)
    assert owner.histories.origin == "a.20"


def test_who_hears_of_a_fork_renames_what_it_holds():
    forked = meet(Histories("x.1", site("a.1", 1, 20).contacts), Histories("y.1", site("a.1", 1, 2).contacts), 99)
    third = Histories("z.1", site("a.1", 1, 2, 3).contacts)
    meeting = meet(third, forked.histories, 98)
    assert meeting.forks == (Fork("a.1", {"": 0, "r": 1}, "a.2"),)
    assert meeting.histories.forks == {"a.1": {"": 0, "r": 1}}


def test_a_site_whose_origin_others_know_to_have_forked_leaves_it():
    forked = meet(Histories("x.1", site("a.1", 1, 20).contacts), Histories("y.1", site("a.1", 1, 2).contacts), 99)
    still = site("a.1", 1)
    assert meet(still, forked.histories, 98).histories.origin == "a.98"


def test_two_copies_that_meet_part():
    one = other = site("a.1", 1)
    assert meet(one, other, 98).histories.origin == "a.98"
    assert meet(other, one, 99).histories.origin == "a.99"
    wrote, also = speak(one, 5, {"r": 2}), speak(other, 6, {"r": 2})
    assert meet(wrote, also, 98).histories.origin == "a.5"
    assert meet(also, wrote, 99).histories.origin == "a.6"


def test_meeting_again_changes_nothing_more():
    restored, peer = site("a.1", 1, 20), Histories("b.1", site("a.1", 1, 2).contacts)
    mine, theirs = meet(restored, peer, 98).histories, meet(peer, restored, 99).histories
    assert meet(mine, theirs, 97) == (mine, (), False)
    assert meet(theirs, mine, 97) == (theirs, (), False)


def test_a_meeting_that_only_one_end_committed_is_repeated():
    restored, peer = site("a.1", 1, 20), Histories("b.1", site("a.1", 1, 2).contacts)
    mine = meet(restored, peer, 98).histories
    theirs = meet(peer, mine, 99)
    assert theirs.forks == (Fork("a.1", {"": 0, "r": 1}, "a.2"),)
    assert meet(mine, theirs.histories, 97).histories == theirs.histories.__class__(
        mine.origin, theirs.histories.contacts, theirs.histories.forks
    )


def test_a_copied_file_begins_anew_and_issues_anew_what_it_never_handed_out():
    meeting = begin_elsewhere(site("a.1", 1, 2), 99)
    assert meeting.histories.origin == "a.99"
    assert meeting.forks == (Fork("a.1", {"": 0, "r": 2}, "a.99"),)
    assert meeting.began
    assert begin_elsewhere(Histories("a.1"), 99).forks[0].after == {}
    assert begin_anew(Histories("a.1"), 5).origin == "a.5"


# Renaming

FORK = Fork("a.1", {"r": 5}, "a.9")


def test_names_beyond_the_fork_go_to_the_branch_and_nothing_else_changes():
    before = created_record("a.1", 5, b"x", 1)
    after = edit(before, ("a.1", 7), 2, b"y", {"n": 1}, changed={"n"})
    record = renamed(after, "r", FORK)
    (version,) = record.versions
    assert (version.origin, version.tick, version.dots) == ("a.9", 7, frozenset((("a.9", 7),)))
    assert (version.fields, version.rest) == ({"n": ("a.9", 7)}, ("a.1", 5))
    assert version.past.vector == record.seen.vector == {"a.1": 5, "a.9": 7}
    assert (version.stamp, version.hash, version.content) == (2, b"y", {"n": 1})
    assert renamed_version(after.versions[0], "r", FORK) == version


def test_a_record_without_names_beyond_the_fork_is_left_alone():
    for record in (created_record("a.1", 5, b"x", 1), created_record("b.1", 9, b"x", 1)):
        assert renamed(record, "r", FORK) is record
    beyond = created_record("a.1", 6, b"x", 1)
    assert renamed(beyond, "elsewhere", FORK).seen.vector == {"a.9": 6}, "nothing of that resource is common"


def test_rows_older_than_tracking_keep_their_genesis_names():
    record = renamed(genesis_record("a.1", 6, b"g", 0), "r", FORK)
    assert record.seen == Seen({"a.1": 5, "a.9": 6}, frozenset((b"g",)))
    assert record.versions[0].genesis == frozenset((b"g",))


@pytest.mark.parametrize(
    ("vector", "expected"),
    (
        ({}, {}),
        ({"a.1": 5}, {"a.1": 5}),
        ({"a.1": 8, "b.1": 2}, {"a.1": 5, "a.9": 8, "b.1": 2}),
        ({"a.1": 8, "a.9": 9}, {"a.1": 5, "a.9": 9}),
    ),
)
def test_digests_are_renamed_as_records_are(vector, expected):
    assert renamed_vector(vector, "r", FORK) == expected


def test_a_vector_of_a_resource_with_nothing_in_common_forgets_the_forked_origin():
    assert renamed_vector({"a.1": 3}, "elsewhere", FORK) == {"a.9": 3}


ticks = st.integers(1, 9)


@given(st.lists(st.tuples(st.sampled_from(["a.1", "b.1"]), ticks), min_size=1, max_size=4, unique=True))
def test_renaming_and_joining_may_change_places(dots):
    records = [created_record(origin, tick, b"%d" % tick, tick) for origin, tick in dots]
    joined, apart = records[0], renamed(records[0], "r", FORK)
    for record in records[1:]:
        joined, apart = join(joined, record), join(apart, renamed(record, "r", FORK))
    expected = renamed(joined, "r", FORK)
    names = {name for version in expected.versions for name in version.dots}
    assert {name for version in apart.versions for name in version.dots} >= names
    assert isinstance(apart, Record)


def test_a_third_copy_goes_back_to_its_own_last_common_contact_and_not_to_that_of_two_others():
    """Two copies parted at their second contact, which the third, parted from both before, never had."""
    one, other = site("a.1", 1, 2, 3), site("a.1", 1, 2, 4)
    parted = meet(one, other, 99).histories
    assert parted.forks == {"a.1": {"": 0, "r": 2}}
    third = site("a.1", 1, 20, 30)
    meeting = meet(third, parted, 98)
    assert meeting.forks == (Fork("a.1", {"": 0, "r": 1}, "a.20"),)
    assert meeting.histories.forks == {"a.1": {"": 0, "r": 1}}
    assert meet(parted, third, 97).forks == (Fork("a.1", {"": 0, "r": 1}, "a.2"),)
