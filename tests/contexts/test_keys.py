"""Keys, mounts and mapping: spec contexts K1-K4, M1, M2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.contexts.keys import (
    Binding,
    InvalidBinding,
    PathAlreadyBound,
    PrefixAlreadyBound,
    below,
    binding_of,
    check_bindings,
    inner_mounts,
    normal,
)
from tallystick.errors import ValueRejected


@pytest.mark.parametrize(
    ("path", "expected"),
    (
        ("/a/b", "/a/b"),
        ("/a//b/", "/a/b"),
        ("/a/./b", "/a/b"),
        ("a/b", "/a/b"),
        ("/", ""),
        ("c:\\a", "/c:/a"),
        ("C:\\Users\\A", "/c:/Users/A"),
        ("C:/Users/A/", "/c:/Users/A"),
        ("/c:/a", "/c:/a"),
        ("c:", "/c:"),
        ("/a\\b", "/a\\b"),
        ("/home/u/下载", "/home/u/下载"),
        ("/caf\u0065\u0301", "/cafe\u0301"),
        ("/a\udcff", "/a\udcff"),
        ("/ab:c", "/ab:c"),
    ),
)
def test_the_normal_form(path, expected):
    assert normal(path) == expected
    assert normal(expected) == expected


def test_dotdot_is_refused():
    with pytest.raises(ValueRejected, match=r"\.\."):
        normal("/a/../b")


@pytest.mark.parametrize(
    ("prefix", "key", "expected"),
    (
        ("/data", "/data/r.txt", "r.txt"),
        ("/data", "/data", ""),
        ("/data", "/data2/r.txt", None),
        ("/data/a", "/data/r.txt", None),
        ("", "/data/r.txt", "data/r.txt"),
        ("/c:/Users/A", "/c:/users/a/x", "x"),
        ("/c:/Users/A", "/c:/Users/A2/x", None),
        ("/Data", "/data/x", None),
    ),
)
def test_what_lies_below_a_prefix(prefix, key, expected):
    assert below(prefix, key) == expected


def test_a_key_is_the_full_path_in_the_session_unless_mapped():
    assert binding_of("c", "/data").key("r.txt") == "/data/r.txt"
    mapped = binding_of("c", "/home/u/下载", "c:\\Users\\A\\Downloads")
    assert mapped.key("照片/a.jpg") == "/c:/Users/A/Downloads/照片/a.jpg"
    assert mapped.relative("/c:/users/a/downloads/照片/a.jpg") == "照片/a.jpg"
    assert mapped.relative("/home/u/下载/a.jpg") is None


@given(st.lists(st.text(st.characters(blacklist_characters="/\0", codec="utf-8"), min_size=1), max_size=4))
def test_relative_inverts_key(segments):
    binding = Binding("c", "/m", "/p")
    relative = "/".join(segments)
    assert binding.relative(binding.key(relative)) == relative


@pytest.mark.parametrize(
    ("context_id", "path", "mapped", "field"),
    (
        (None, "/work", "", "context_id"),
        ("", "/work", "", "context_id"),
        ("c", None, "", "path"),
        ("c", "", "", "path"),
        ("c", "work", "", "path"),
        ("c", "/", "", "path"),
        ("c", "c:\\", "", "path"),
        ("c", "/a/../b", "", "path"),
        ("c", "/a\0b", "", "path"),
        ("c", "/work", "/", "mapping_policy.path"),
        ("c", "/work", "downloads", "mapping_policy.path"),
        ("c", "/work", "c:\\a\\..", "mapping_policy.path"),
    ),
)
def test_an_impossible_mount_is_refused_at_bind_by_field(context_id, path, mapped, field):
    with pytest.raises(InvalidBinding, match=r"\[InvalidBinding\]") as caught:
        binding_of(context_id, path, mapped)
    assert caught.value.field == field


def test_a_path_is_bound_once():
    with pytest.raises(PathAlreadyBound):
        check_bindings([binding_of("c", "/work")], [binding_of("d", "/work/")])


@pytest.mark.parametrize("mapped", ("/data", "/data/sub", "/"[:0] + "/data/"))
def test_overlapping_prefixes_of_one_context_are_refused(mapped):
    with pytest.raises(PrefixAlreadyBound):
        check_bindings([binding_of("c", "/data")], [binding_of("c", "/other", mapped)])


def test_one_context_at_two_paths_is_two_subtrees_and_mounts_nest():
    outer, inner = binding_of("c", "/work"), binding_of("d", "/work/cache/deep")
    check_bindings([outer], [inner, binding_of("c", "/elsewhere")])
    assert inner_mounts(outer, [outer, inner]) == ["cache/deep"]
    assert inner_mounts(inner, [outer, inner]) == []
