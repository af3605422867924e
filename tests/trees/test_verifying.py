"""Comparing two trees: everything is read, nothing is trusted, nothing is changed."""

import os

from disk import future, grow

from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.files import Files
from tallystick.trees.ignoring import IgnoreRules
from tallystick.trees.scope import Everything
from tallystick.trees.verifying import compare


def verdict(tmp_path, scope=None, files=None):
    ends = [DirectoryEnd(str(tmp_path / name), future, files or Files()) for name in "ab"]
    try:
        return compare(ends[0], ends[1], scope or Everything())
    finally:
        for end in ends:
            end.close()


def test_equal_trees_agree_whatever_their_times(tmp_path):
    wood = {"x": "1", "d": {"e": {}, "l": "@../x", "run": "s!"}}
    grow(tmp_path, {"a": wood, "b": wood})
    os.utime(tmp_path / "a" / "x", (1, 1))
    found = verdict(tmp_path)
    assert found.agree
    assert (found.files, found.bytes) == (3, 6)


def test_every_kind_of_difference_is_named(tmp_path):
    grow(tmp_path, {"a": {"same": "1", "x": "1", "d": {"only": "a"}, "k": "file", "l": "@x", "p": "p", "e": {}}})
    grow(tmp_path, {"b": {"same": "1", "x": "2", "d": {}, "k": {}, "l": "@p", "p": "p!", "n": "new"}})
    found = verdict(tmp_path)
    assert not found.agree
    assert found.different == ["k", "l", "x"]
    assert (found.only_a, found.only_b, found.permissions) == (["d/only", "e"], ["n"], ["p"])


def test_bits_that_rotted_without_a_trace_are_found(tmp_path):
    grow(tmp_path, {"a": {"x": "good"}, "b": {"x": "evil"}})
    stats = (tmp_path / "a" / "x").stat()
    os.utime(tmp_path / "b" / "x", ns=(stats.st_atime_ns, stats.st_mtime_ns))
    assert verdict(tmp_path).different == ["x"]


def test_what_is_out_of_scope_does_not_count(tmp_path):
    grow(tmp_path, {"a": {"x": "1", "a.o": "a"}, "b": {"x": "1", "b.o": "b"}})
    assert verdict(tmp_path, IgnoreRules({}, ["*.o"])).agree


def test_what_cannot_be_read_is_no_agreement(tmp_path):
    grow(tmp_path, {"a": {"x": "1"}, "b": {"x": "1"}})

    class Unreadable(Files):
        def open_read(self, name, at):
            raise PermissionError(13, "Permission denied")

    found = verdict(tmp_path, files=Unreadable())
    assert not found.agree
    assert len(found.unreadable) == 2
