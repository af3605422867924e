"""Names: spec contexts K2, K7, M3-M5."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.trees.conflict_names import NAME_LIMIT, conflict_names
from tallystick.trees.names import (
    POSIX,
    Volume,
    check_path,
    clash_losers,
    hidden_names,
    illegal_on_windows,
    link_leaves,
    portability,
    twins,
)
from tallystick.trees.problems import UnsafePath
from tallystick.trees.reading import digest_of, link_digest

MERGING = Volume(keeps_case=False, keeps_form=False)
MAC = Volume(keeps_form=False)
WINDOWS = Volume(keeps_case=False, windows_names=True)
NFC, NFD = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")


@pytest.mark.parametrize(
    "path",
    (
        "",
        "/etc/passwd",
        "../x",
        "a/../x",
        "a/..",
        ".",
        "./a",
        "a//b",
        "a/",
        "a\0b",
        ".tally-new-1",
        "d/.tally-x",
        "n" * 256,
        "é" * 128,
        "/".join(["d"] * 600),
    ),
)
def test_a_path_from_outside_that_could_leave_the_tree_is_refused(path):
    with pytest.raises(UnsafePath):
        check_path(path)


@pytest.mark.parametrize("path", ("a", "a/b.c", "...", "a\\b", "c:", "caf\udcff", "-rf", "n" * 255))
def test_ordinary_paths_pass_unchanged(path):
    assert check_path(path) == path


@pytest.mark.parametrize(
    ("path", "target", "leaves"),
    (
        ("l", "a", False),
        ("l", "/etc", True),
        ("l", "..", True),
        ("d/l", "..", False),
        ("d/l", "../x", False),
        ("d/l", "../../x", True),
        ("d/l", "a/../../../x", True),
        ("d/l", "a/./b/../..", False),
        ("l", "", True),
        ("d/l", "../d/../../d", True),
    ),
)
def test_links_that_leave_the_tree(path, target, leaves):
    assert link_leaves(path, target) is leaves


@pytest.mark.parametrize(
    "name",
    (
        *(f"a{character}b" for character in '<>:"|?*\\'),
        "a\x01",
        "dot.",
        "space ",
        "CON",
        "con",
        "prn.txt",
        "AUX.tar.gz",
        "nul",
        *(f"COM{n}" for n in range(1, 10)),
        *(f"lpt{n}.log" for n in range(1, 10)),
    ),
)
def test_names_illegal_on_windows(name):
    assert illegal_on_windows(name)
    assert hidden_names([name], WINDOWS) == {name: "illegal_name"}
    assert hidden_names([name], POSIX) == {}
    assert name in portability([name])


@pytest.mark.parametrize("name", ("a", "COM0", "COM10", "console", "com", ".hidden", "a.b", "日本", "nul-x"))
def test_names_legal_on_windows(name):
    assert illegal_on_windows(name) is None


@pytest.mark.parametrize(
    ("names", "volume", "materialised", "losers"),
    (
        (["A", "a"], MERGING, (), {"a"}),
        (["A", "a"], MERGING, ("a",), {"A"}),
        (["A", "a"], POSIX, (), set()),
        (["A", "a"], MAC, (), set()),
        ([NFC, NFD], MAC, (), {max(NFC, NFD)}),
        ([NFC, NFD], POSIX, (), set()),
        (["Straße", "STRASSE"], MERGING, (), {"Straße"}),
        (["A", "a", "b"], MERGING, (), {"a"}),
    ),
)
def test_of_names_that_a_volume_merges_one_is_written(names, volume, materialised, losers):
    assert clash_losers(names, volume, materialised) == losers


def test_twins_are_reported_everywhere():
    assert twins(["a", "A", "b", NFC, NFD]) == [["A", "a"], sorted([NFC, NFD])]
    assert set(portability(["A", "a"])) == {"a"}
    assert set(portability([NFC, NFD])) == {max(NFC, NFD)}
    assert portability(["a", "b"]) == {}


@given(st.sets(st.text("aAéE\u0301ß", min_size=1, max_size=3)), st.sampled_from([MERGING, MAC, WINDOWS]))
def test_what_is_shown_on_a_volume_never_clashes(names, volume):
    shown = names - set(hidden_names(names, volume))
    assert twins(shown, volume) == []


@pytest.mark.parametrize(
    ("name", "copy"),
    (
        ("report.txt", "report.conflict-abababab.txt"),
        ("a.tar.gz", "a.tar.conflict-abababab.gz"),
        (".bashrc", ".bashrc.conflict-abababab"),
        ("Makefile", "Makefile.conflict-abababab"),
    ),
)
def test_the_name_of_a_conflict_copy(name, copy):
    assert next(conflict_names(name, b"\xab" * 32)) == copy


def test_a_link_and_a_file_that_holds_its_target_have_copies_of_different_names():
    assert link_digest("a") != link_digest("b") != digest_of(b"a") != link_digest("a")


@given(
    st.text(st.characters(blacklist_characters="/\0", codec="utf-8"), min_size=1, max_size=120),
    st.binary(min_size=32, max_size=32),
)
def test_every_conflict_name_fits_and_they_grow_apart(name, digest):
    names = list(conflict_names(name, digest))
    assert len(names) == 8
    assert len(set(names)) == 8
    assert all(len(found.encode()) <= NAME_LIMIT and "/" not in found for found in names)
