"""Scope by white lists: spec contexts W1-W5, K3, K6."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.contexts import BWList, WhiteList
from tallystick.contexts.keys import binding_of
from tallystick.contexts.white_lists import WhiteListScope


def scope(*entries, mount="/home/u", mapped="", inner=()):
    return WhiteListScope(BWList(list(entries)), binding_of("c", mount, mapped), inner)


def regex(path, *excludes):
    return WhiteList(path, list(excludes), is_path_regex=True, is_exclude_regex=True)


@pytest.mark.parametrize("entries", ((), (WhiteList(),), (WhiteList("/"),), (WhiteList("."),)))
def test_no_entries_or_a_path_that_names_the_root_mean_everything(entries):
    assert scope(*entries).everything
    assert scope(*entries).includes("any/thing")


# W1: a union; an exclude counts only inside its own entry.
UNION = (WhiteList("/src", ["/tmp"]), WhiteList("/src/tmp/keep"))


@pytest.mark.parametrize(
    ("path", "included"),
    (
        ("src", True),
        ("src/a.py", True),
        ("src/tmp", False),
        ("src/tmp/x", False),
        ("src/tmp/keep", True),
        ("src/tmp/keep/x", True),
        ("src2/a.py", False),
        ("other", False),
    ),
)
def test_the_union_of_entries(path, included):
    assert scope(*UNION).includes(path) is included


# W2: whole segments, single files, parents only as holders.
@pytest.mark.parametrize(
    ("entry", "path", "included"),
    (
        ("/data", "data/x", True),
        ("/data", "data2/x", False),
        ("/a/config.json", "a/config.json", True),
        ("/a/config.json", "a/other.json", False),
        ("/a/config.json", "a", False),
        ("data/", "data", True),
        ("a//b", "a/b/c", True),
    ),
)
def test_an_entry_names_whole_segments(entry, path, included):
    assert scope(WhiteList(entry)).includes(path) is included


def test_parents_are_entered_and_not_included():
    narrow = scope(WhiteList("/a/b/c"))
    assert [narrow.enters(path) for path in ("a", "a/b", "a/b/c", "a/b/c/d", "a/x", "x")] == [True] * 4 + [False] * 2
    assert not narrow.includes("a/b")


# W3: liberal anchoring.
@pytest.mark.parametrize("path", ("/src", "src", "/home/u/src", "/home/u/src/"))
@pytest.mark.parametrize("exclude", ("/tmp", "tmp", "/src/tmp", "src/tmp", "/home/u/src/tmp"))
def test_every_spelling_of_an_exclude_means_the_same_directory(path, exclude):
    found = scope(WhiteList(path, [exclude]))
    assert found.includes("src/a")
    assert not found.includes("src/tmp")
    assert not found.includes("src/tmp/deep")
    assert found.includes("src/a/tmp")
    assert found.includes("src/tmp2")


def test_the_mapped_prefix_anchors_too():
    found = scope(WhiteList("c:\\Users\\A\\Downloads\\keep"), mapped="C:\\Users\\A\\Downloads")
    assert found.includes("keep/x")
    assert not found.includes("other")


@pytest.mark.parametrize("exclude", ("cache", "/cache", "project-a/cache", "/home/u/project-a/cache"))
def test_a_literal_exclude_below_a_pattern(exclude):
    found = scope(WhiteList("project-.*", [exclude], is_path_regex=True))
    assert found.includes("project-a/x")
    assert not found.includes("project-a/cache/x")
    assert found.includes("project-a/cache2")


def test_a_literal_exclude_below_a_pattern_is_found_at_any_depth_of_the_included_path():
    found = scope(WhiteList("project-.*", ["cache"], is_path_regex=True))
    assert not found.includes("project-b/deep/cache/x")


@pytest.mark.parametrize("exclude", ("", "/", "."))
def test_an_empty_exclude_excludes_nothing(exclude):
    assert scope(WhiteList("src", [exclude])).includes("src/a")


# W4: regular expressions match whole segments.
@pytest.mark.parametrize(
    ("entry", "path", "included"),
    (
        (regex("project-.*", "cache.*"), "project-alpha/x", True),
        (regex("project-.*", "cache.*"), "project-beta/cache/temp.log", False),
        (regex("project-.*", "cache.*"), "other/x", False),
        (regex("src"), "src/x", True),
        (regex("src"), "src2/x", False),
        (regex("src"), "a/src", False),
        (regex("/home/u/src"), "src/x", True),
        (regex("/home/u"), "anything", True),
        (regex("a/.*/c"), "a/b/c/d", True),
        (regex("a/.*/c"), "a/b/d", False),
        (regex("x*"), "y", False),
        *((regex("a", exclude), "a/b/c", False) for exclude in ("a", "a/b", "b", "a/b/c", "b/c", "c", "/home/u/a/b")),
        *((regex("a", exclude), "a/b/c", True) for exclude in ("a/c", "b/", "d", "")),
    ),
)
def test_patterns(entry, path, included):
    assert scope(entry).includes(path) is included


def test_a_pattern_enters_every_directory_that_it_does_not_exclude():
    found = scope(regex("a/b", "tmp"))
    assert found.enters("a")
    assert found.enters("zzz")
    assert not found.enters("a/b/tmp")


# W5, K3, K6
def test_explain_names_the_entry_that_decided():
    found = scope(*UNION)
    assert found.explain("src/tmp/keep/x")[:2] == (True, 1)
    assert found.explain("src/tmp/x")[:2] == (False, 0)
    assert "/tmp" in found.explain("src/tmp/x").reason
    assert found.explain("zzz") == (False, None, "no white list entry includes it")
    assert "entry 1 (/src)" in found.explain("src/a").reason


def test_an_entry_that_includes_nothing_present_is_named():
    assert scope(*UNION, WhiteList("/srx")).idle_entries(["src/a", "src/tmp/keep"]) == ["/srx"]


def test_a_nested_mount_is_out_of_scope():
    found = scope(WhiteList(), inner=["cache/deep"])
    assert not found.everything
    assert not found.includes("cache/deep/x")
    assert not found.enters("cache/deep")
    assert found.includes("cache/x")
    assert "mounted at cache/deep" in found.explain("cache/deep").reason


def test_the_fingerprint_follows_entries_prefix_and_nested_mounts():
    prints = {
        scope(WhiteList("a")).fingerprint(),
        scope(WhiteList("b")).fingerprint(),
        scope(WhiteList("a", ["x"])).fingerprint(),
        scope(regex("a")).fingerprint(),
        scope(WhiteList("a"), mapped="/other").fingerprint(),
        scope(WhiteList("a"), inner=["i"]).fingerprint(),
    }
    assert len(prints) == 6
    assert scope(WhiteList("a")).fingerprint() == scope(WhiteList("a")).fingerprint()


segments = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map("/".join)
entries = st.lists(
    st.builds(WhiteList, segments, st.lists(segments, max_size=2))
    | st.builds(lambda path, excludes: regex(path, *excludes), segments, st.lists(segments, max_size=2)),
    min_size=1,
    max_size=3,
)


@given(entries, segments)
def test_every_included_path_can_be_reached_through_entered_directories(entries, path):
    found = scope(*entries)
    if found.includes(path):
        parts = path.split("/")
        assert all(found.enters("/".join(parts[:depth])) for depth in range(1, len(parts)))


@given(entries, entries, segments)
def test_the_scope_of_two_lists_is_the_union_of_both(one, other, path):
    assert scope(*one, *other).includes(path) == (scope(*one).includes(path) or scope(*other).includes(path))
