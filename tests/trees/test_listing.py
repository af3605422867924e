"""Listings: entries by name, changed in place or built anew, with the same result."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from tallystick.trees.listing import FEW_NAMES, Entry, Listing, Mark

names = st.text("abcxyz\udc80é", min_size=1, max_size=3)


def entry(name, number=0, mark=Mark.FILE):
    return Entry(name, (0o100644, 7, number, number, number), mark, bytes((number % 256,)) * 32)


def shown(listing):
    return {found.name: found for found in listing}


@given(st.dictionaries(names, st.integers(0, 9)), st.dictionaries(names, st.integers(10, 19)), st.sets(names))
def test_changes_replace_add_and_remove_by_name(olds, news, gone):
    before = Listing.of([entry(*old) for old in olds.items()])
    after = before.changed_with([entry(*new) for new in news.items()], gone)

    expected = {name: number for name, number in olds.items() if name not in gone} | news
    assert shown(after) == {name: entry(name, number) for name, number in expected.items()}
    assert after.names == sorted(expected)
    assert shown(before) == {name: entry(name, number) for name, number in olds.items()}


def test_many_changes_at_once_give_what_few_at_a_time_give():
    number = 5 * FEW_NAMES
    before = Listing.of([entry(f"{place:04d}") for place in range(number)])
    news = [entry(f"{place:04d}", 1) for place in range(0, 2 * number, 3)]
    gone = {f"{place:04d}" for place in range(1, number, 5)}
    step = before
    for name in gone:
        step = step.changed_with([], {name})
    for new in news:
        step = step.changed_with([new])
    assert step.to_row() == before.changed_with(news, gone).to_row()


@given(st.lists(st.tuples(names, st.integers(0, 9)), unique_by=lambda pair: pair[0]))
def test_what_is_found_by_name_is_what_stands_there(listed):
    listing = Listing.of([entry(*pair) for pair in listed])
    for name, number in listed:
        assert listing.find(name) == entry(name, number)
        assert listing.mode(name) == 0o100644
    assert listing.find("nobody") is None
    assert listing.mode("nobody") == 0


def test_among_many_names_one_is_found_as_among_few():
    listing = Listing.of([entry(f"{place:04d}", place) for place in range(3 * FEW_NAMES)])
    assert listing.find("0100") == entry("0100", 100)
    assert listing.find("9999") is None


@given(st.lists(names, unique=True))
def test_a_stored_listing_is_the_same_one_and_sorting_it_changes_nothing_else(listed):
    listing = Listing.of([entry(name, len(name)) for name in listed])
    stored = Listing.from_row(*listing.to_row())
    assert list(stored) == list(listing)
    assert list(stored.by_name()) == sorted(listing, key=lambda found: found.name)


@given(st.lists(names, unique=True))
def test_a_listing_from_another_process_is_the_same_one(listed):
    listing = Listing.of([entry(name, len(name)) for name in listed])
    assert pickle.loads(pickle.dumps(listing)).to_row() == listing.to_row()
