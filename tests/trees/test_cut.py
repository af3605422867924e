import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.trees.cut import Cut, cut_of
from tallystick.trees.listing import packed
from tallystick.trees.nodes import joined

NAMES = ("a", "a-b", "a.", "b", "c", "\udcff", "é")


def names_in(paths):
    """What names the directories in each directory."""

    def common(directory):
        start = len(directory) + 1 if directory else 0
        inside = [path for path in paths if path and path.startswith(f"{directory}/" if directory else "")]
        return {path[start:].partition("/")[0] for path in inside}

    return common


def test_both_parts_hold_about_as_much():
    entries = {"": 4, **{f"d{number}": 100 for number in range(4)}}
    assert cut_of(entries, names_in(entries)) == Cut("", frozenset({"d2", "d3"}), "d2")


def test_a_directory_that_holds_nearly_everything_is_cut_itself():
    entries = {"": 1, "src": 2, "src/x": 50, "src/y": 50, "docs": 1}
    assert cut_of(entries, names_in(entries)) == Cut("src", frozenset({"y"}), "y")


def test_only_directories_that_may_be_cut_off_are():
    entries = {"": 3, "a": 50, "b": 50, "c": 50}
    assert cut_of(entries, lambda directory: {"a", "b"}).names == {"a", "b"}
    assert cut_of(entries, lambda directory: {"b"}).names == {"b"}


@pytest.mark.parametrize("entries", ({}, {"": 1000}, {"": 1, "only": 1000}, {"": 1000, "small": 10}))
def test_trees_without_two_heavy_parts_are_not_cut(entries):
    assert cut_of(entries, names_in(entries)) is None


paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(paths, st.integers(1, 50), max_size=20))
def test_parts_are_closed_and_a_span_holds_all_of_the_second(found):
    entries = {"": 1, **found}
    for path in found:
        while path := path.rpartition("/")[0]:
            entries.setdefault(path, 1)
    cut = cut_of(entries, names_in(entries))
    if cut is None:
        return
    second = {path for path in entries if cut.holds(path)}
    first = entries.keys() - second
    assert second == {path for path in entries for top in cut.paths if path == top or path.startswith(f"{top}/")}
    total, weight = sum(entries.values()), sum(entries[path] for path in second)
    assert 0.2 * total < weight <= 0.5 * total + 0.5 * 0.65 * total
    start, end = cut.span
    assert all(start <= packed(path) and (not end or packed(path) < end) for path in second)
    for path in first:
        assert not cut.is_below(path) or cut.directory == path or cut.directory.startswith(f"{path}/") or not path


def test_it_is_known_what_leads_to_the_second_part():
    cut = Cut("a/b", frozenset({"x", "y"}), "x")
    assert [directory for directory in ("", "a", "a/b", "a/b/x", "ab", "b") if cut.is_below(directory)] == [
        "",
        "a",
        "a/b",
    ]
    assert cut.runs_through("", {"a"})
    assert cut.runs_through("a", {"b"})
    assert cut.runs_through("a/b", {"y", "z"})
    assert cut.runs_through("", None)
    assert not (cut.runs_through("", {"b"}))
    assert not (cut.runs_through("a", {"x"}))
    assert not (cut.runs_through("a/b", {"z"}))
    assert cut.holds(joined("a/b", "x"))
    assert cut.holds("a/b/x/deep")
    assert not (cut.holds("a/b"))
    assert not (cut.holds("a/b/xx"))
    assert not (cut.holds("x"))
