"""The catalog of a store (tallystick.content.catalog)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tallystick.content.bundles import Entry, Layout
from tallystick.content.catalog import Catalog
from tallystick.content.packs import Place


def names(*numbers: int) -> list[bytes]:
    return [bytes([number]) * 32 for number in numbers]


def place(offset: int, *numbers: int) -> Place:
    entries = [Entry(name, position * 10, 10) for position, name in enumerate(names(*numbers))]
    return Place(offset, Layout(False, entries, 16, 16 + 10 * len(entries)))


@pytest.fixture
def catalog(tmp_path):
    found = Catalog(tmp_path / "catalog.db")
    found.add("one", 100, [place(8, 1, 2), place(90, 3)], 1)
    found.add("two", 100, [place(8, 4, 5)], 2)
    yield found
    found.close()


def test_a_catalog_of_an_earlier_release_loses_its_index_by_bundle(tmp_path: Path) -> None:
    Catalog(tmp_path / "catalog.db").close()
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.execute("CREATE INDEX chunk_by_bundle ON chunk (bundle)")
    opened = Catalog(tmp_path / "catalog.db")
    opened.add("one", 100, [place(8, 1)], 1)
    assert opened.held(names(1, 2)) == set(names(1))
    opened.close()
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'chunk_by_bundle'").fetchall() == []


def test_packs_that_are_forgotten_take_their_chunks_along(catalog: Catalog) -> None:
    catalog.forget({"one"})
    assert catalog.packs() == {"two": None}
    assert catalog.held(names(1, 2, 3, 4, 5)) == set(names(4, 5))
    catalog.forget(())
    assert catalog.totals() == (2, 20, 100)


def test_a_chunk_that_is_served_from_a_later_pack_outlives_the_earlier_one(catalog: Catalog) -> None:
    catalog.add("three", 100, [place(8, 2)], 3)
    catalog.forget({"one"})
    assert catalog.held(names(1, 2)) == set(names(2))


def test_the_states_say_how_much_of_each_pack_is_live(catalog: Catalog) -> None:
    states = {state.name: (state.content, state.live) for state in catalog.states(names(1, 3, 9))}
    assert states == {"one": (30, 20), "two": (20, 0)}
    assert catalog.live_in("one") == names(1, 3)
    assert catalog.live_in("two") == []
    assert {state.live for state in catalog.states(names(4))} == {0, 10}
    assert catalog.live_in("one") == []


def test_a_live_chunk_that_moved_meanwhile_is_not_in_its_old_pack_any_more(catalog: Catalog) -> None:
    catalog.states(names(1, 2))
    catalog.add("three", 100, [place(8, 2)], 3)
    assert catalog.live_in("one") == names(1)


def test_all_chunks_come_in_the_order_in_which_they_stand(catalog: Catalog) -> None:
    assert list(catalog.chunks()) == names(1, 2, 3, 4, 5)
