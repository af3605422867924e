"""Directories opened as a pair: where its memory lies, and which of them is which."""

import os

import pytest
from disk import grow, shown

from tallystick.errors import ConfigurationError, UsageError
from tallystick.trees.merging import Reconcile, Side
from tallystick.trees.opening import Wishes, memory_of, open_directories, state_directory, synchronize
from tallystick.trees.plan import Half


def test_the_memory_is_the_same_in_whatever_order_two_trees_are_named(tmp_path):
    assert memory_of(["/a", "/b"], tmp_path) == memory_of(["/b", "/a"], tmp_path)
    assert memory_of(["/a", "/b"], tmp_path) != memory_of(["/a", "/c"], tmp_path)


def test_memories_lie_in_the_state_directory_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_directory() == tmp_path / "tallystick" / "trees"
    for unusable in ("", "relative/path"):
        monkeypatch.setenv("XDG_STATE_HOME", unusable)
        monkeypatch.setenv("HOME", "/home/anna")
        assert str(state_directory()) == "/home/anna/.local/state/tallystick/trees"


def test_a_link_to_a_directory_is_that_directory(tmp_path):
    grow(tmp_path, {"a": {"x": "1"}, "link": "@a"})
    synchronize(str(tmp_path / "link"), str(tmp_path / "b"), state=tmp_path / "memory")
    (tmp_path / "b" / "x").unlink()
    synchronize(str(tmp_path / "a"), str(tmp_path / "b"), state=tmp_path / "memory")
    assert shown(tmp_path / "a") == {}


@pytest.mark.parametrize("turned", (False, True))
def test_wishes_are_turned_with_the_pair(tmp_path, turned):
    first, second = ("b", "a") if turned else ("a", "b")
    for name in "ab":
        (tmp_path / name).mkdir()
    opened = open_directories(str(tmp_path / first), str(tmp_path / second), tmp_path / "memory")
    try:
        assert opened.first is (Side.REMOTE if turned else Side.LOCAL)
        push = opened.options(Wishes(direction="push"))
        assert push.half is (Half.DOWNLOAD if turned else Half.UPLOAD)
        assert opened.options(Wishes(direction="pull")).half is (Half.UPLOAD if turned else Half.DOWNLOAD)
        assert opened.options(Wishes(mirror=True)).pull is turned
        assert opened.options(Wishes(mirror=True, direction="pull")).pull is not turned
        this = opened.options(Wishes(conflict="this")).mode
        assert this is (Reconcile.REMOTE if turned else Reconcile.LOCAL)
        for odd in (Wishes(direction="up"), Wishes(conflict="ask"), Wishes(delete=False)):
            with pytest.raises(UsageError):
                opened.options(odd)
    finally:
        opened.close()


def test_a_dry_run_makes_no_directory_and_no_memory(tmp_path):
    grow(tmp_path, {"a": {"x": "1"}})
    report = synchronize(str(tmp_path / "a"), str(tmp_path / "b"), Wishes(dry_run=True), tmp_path / "memory")
    assert [action.path for action in report.actions] == ["x"]
    assert os.listdir(tmp_path) == ["a"]


def test_what_is_no_pair_of_directories_is_refused(tmp_path):
    grow(tmp_path, {"a": {"in": {}}, "file": "x"})
    for first, second, problem in (
        ("a", "file", ConfigurationError),
        ("no", "where", ConfigurationError),
        ("a", "a", UsageError),
        ("a", "a/in", UsageError),
        ("a/in", "a", UsageError),
    ):
        with pytest.raises(problem):
            open_directories(str(tmp_path / first), str(tmp_path / second), tmp_path / "memory")
    assert sorted(os.listdir(tmp_path)) == ["a", "file"]
