"""What a volume makes of names and permissions is found out, remembered, and respected (spec contexts M3-M5)."""

import errno
import os
import stat
import unicodedata
from itertools import product

import pytest
from disk import future, grow, shown
from volumes import casefolding, mounted, ntfs

from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.files import REAL, Files
from tallystick.trees.names import POSIX, Volume
from tallystick.trees.options import Options
from tallystick.trees.pair import Pair
from tallystick.trees.probing import described, probe, remembered
from tallystick.trees.state import State

EVERY = [Volume(*marks) for marks in product((True, False), repeat=5)]


class Merging(Files):
    """A real directory that behaves like another volume: names are merged, refused, permissions forgotten."""

    def __init__(self, volume):
        self.behaves = volume

    def _folded(self, name):
        name = name if self.behaves.keeps_form else unicodedata.normalize("NFC", name)
        return name if self.behaves.keeps_case else name.casefold()

    def _there(self, name, at):
        """The name under which an entry stands, if one does."""
        return next((found for found in os.listdir(at) if self._folded(found) == self._folded(name)), name)

    def status(self, name, at):
        return super().status(self._there(name, at), at)

    def create(self, name, at, permissions):
        if self.behaves.windows_names and ":" in name:
            raise OSError(errno.EINVAL, "no such names here")
        if self._there(name, at) in os.listdir(at):
            raise FileExistsError(errno.EEXIST, "it stands there", name)
        return super().create(name, at, 0o644 if not self.behaves.permissions else permissions)

    def rename_new(self, source, source_at, target, target_at):
        if self._there(target, target_at) in os.listdir(target_at):
            raise FileExistsError(errno.EEXIST, "it stands there", target)
        super().rename_new(source, source_at, target, target_at)

    def make_link(self, target, name, at):
        if not self.behaves.links:
            raise PermissionError(errno.EPERM, "no links here")
        super().make_link(target, name, at)

    def permit(self, handle, permissions):
        if self.behaves.permissions:
            super().permit(handle, permissions)


@pytest.mark.parametrize("volume", EVERY, ids=described)
def test_a_volume_is_recognized_and_nothing_stays_behind(volume, tmp_path):
    with os.scandir(tmp_path):
        at = os.open(tmp_path, os.O_RDONLY)
    assert probe(Merging(volume), at, ".tally-new-x-1") == volume
    assert os.listdir(at) == []
    os.close(at)


@pytest.mark.parametrize("volume", EVERY, ids=described)
def test_what_is_remembered_is_what_was_found(volume):
    assert remembered(described(volume)) == volume


def test_what_is_no_description_is_a_posix_volume():
    assert remembered("") == remembered("111111") == remembered("0") == POSIX


def test_what_an_earlier_release_did_not_ask_is_asked_now(tmp_path):
    grow(tmp_path, {"root": {}})
    end = DirectoryEnd(str(tmp_path / "root"), future, Merging(Volume(keeps_case=False, links=False)))
    assert end.learn("0101", may_write=False) == "0101"
    assert end.volume == Volume(keeps_case=False)
    assert end.learn("0101", may_write=True) == "01010"
    assert end.volume == Volume(keeps_case=False, links=False)
    end.close()


def test_links_are_left_alone_where_the_volume_cannot_hold_them(tmp_path):
    start = {"link": "@a", "a": "1", "d": {"link": "@x"}, "new": {"deep": {"link": "@y", "b": "2"}}}
    grow(tmp_path, {"local": start, "remote": {"d": {"link": "a file there"}}})
    files = Merging(Volume(links=False))

    report = run(tmp_path, files)
    assert report.failed == {}
    assert [path for code, path, _ in report.warnings if code == "no_links"] == ["link", "d/link", "new/deep/link"]
    assert shown(tmp_path / "remote") == {"a": "1", "d": {"link": "a file there"}, "new": {"deep": {"b": "2"}}}
    assert shown(tmp_path / "local") == start

    (tmp_path / "remote" / "a").unlink()
    assert run(tmp_path, files).failed == {}
    assert shown(tmp_path / "local") == {name: start[name] for name in ("link", "d", "new")}

    (tmp_path / "local" / "link").unlink()
    grow(tmp_path / "local", {"link": "a file by now"})
    assert run(tmp_path, files).failed == {}
    assert shown(tmp_path / "remote")["link"] == "a file by now"


def test_where_nothing_can_be_written_nothing_is_told(tmp_path):
    class Full(Files):
        def create(self, name, at, permissions):
            raise OSError(errno.EROFS, "read-only")

    at = os.open(tmp_path, os.O_RDONLY)
    assert probe(Full(), at, ".tally-new-x-1") is None
    os.close(at)


class Counting(Merging):
    probes = 0

    def create(self, name, at, permissions):
        self.probes += name.endswith("\u00e9-A")
        return super().create(name, at, permissions)


def run(tmp_path, files, remote=None, **options):
    local, remote = tmp_path / "local", remote or tmp_path / "remote"
    ends = [DirectoryEnd(str(root), future, found) for root, found in ((local, REAL), (remote, files))]
    pair = Pair(*ends, State(tmp_path / "state" / "pair.db"), future)
    try:
        return pair.run(Options(durable=False, **options))
    finally:
        pair.close()


def test_a_root_is_asked_once_and_never_by_a_dry_run(tmp_path):
    grow(tmp_path, {"local": {"x": "1"}, "remote": {}})
    files = Counting(POSIX)
    run(tmp_path, files, dry_run=True)
    assert files.probes == 0
    run(tmp_path, files)
    run(tmp_path, files)
    assert files.probes == 1


def test_twins_are_reported_and_never_overwritten_where_the_volume_merges_them(tmp_path):
    grow(tmp_path, {"local": {"Read": "upper", "read": "lower", "x": "1"}, "remote": {}})

    report = run(tmp_path, Merging(Volume(keeps_case=False)))

    assert shown(tmp_path / "remote") == {"Read": "upper", "x": "1"}
    assert [(code, path) for code, path, _ in report.warnings if code == "name_clash"] == [("name_clash", "read")]
    assert shown(tmp_path / "local") == {"Read": "upper", "read": "lower", "x": "1"}


SPELLINGS = (
    (Volume(keeps_case=False), "Readme", "README"),
    (Volume(keeps_form=False), unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")),
)


@pytest.mark.parametrize("inside", ("", "dir"))
@pytest.mark.parametrize(("volume", "old", "new"), SPELLINGS)
def test_a_renaming_to_another_spelling_on_a_volume_that_merges_both_is_one(tmp_path, volume, old, new, inside):
    wood = {old: {"f": "text"}} if inside else {old: "text"}
    grow(tmp_path, {"local": wood, "remote": {}})
    run(tmp_path, Merging(volume))
    (tmp_path / "remote" / old).rename(tmp_path / "remote" / new)

    report = run(tmp_path, Merging(volume))

    assert (report.succeeded, report.held, report.bytes) == (True, [], 0)
    assert shown(tmp_path / "local") == shown(tmp_path / "remote") == {new: wood[old]}
    assert run(tmp_path, Merging(volume)).actions == []


@pytest.mark.parametrize(("volume", "old", "new"), SPELLINGS)
def test_a_renaming_to_another_spelling_reaches_a_volume_that_merges_both(tmp_path, volume, old, new):
    grow(tmp_path, {"local": {old: "text"}, "remote": {}})
    run(tmp_path, Merging(volume))
    (tmp_path / "local" / old).rename(tmp_path / "local" / new)

    for _ in range(2):
        assert run(tmp_path, Merging(volume)).succeeded

    assert shown(tmp_path / "local") == shown(tmp_path / "remote") == {new: "text"}
    assert run(tmp_path, Merging(volume)).actions == []


def test_an_edit_under_the_old_spelling_survives_a_renaming_on_a_volume_that_merges_both(tmp_path):
    grow(tmp_path, {"local": {"Readme": "text"}, "remote": {}})
    files = Merging(Volume(keeps_case=False))
    run(tmp_path, files)
    (tmp_path / "remote" / "Readme").rename(tmp_path / "remote" / "README")
    (tmp_path / "local" / "Readme").write_text("edited")

    for _ in range(3):
        run(tmp_path, files)

    assert shown(tmp_path / "local") == {"Readme": "edited", "README": "text"}
    assert shown(tmp_path / "remote") == {"README": "text"}


def test_a_twin_that_gave_way_arrives_when_the_other_has_gone(tmp_path):
    grow(tmp_path, {"local": {"Read": "upper", "read": "lower", "x": "1"}, "remote": {}})
    files = Merging(Volume(keeps_case=False))
    run(tmp_path, files)
    (tmp_path / "local" / "Read").unlink()

    for _ in range(2):
        assert run(tmp_path, files).succeeded

    assert shown(tmp_path / "local") == shown(tmp_path / "remote") == {"read": "lower", "x": "1"}


def test_permissions_that_a_volume_forgets_are_not_taken_away_elsewhere(tmp_path):
    grow(tmp_path, {"local": {"run": "1!", "x": "1"}, "remote": {}})
    files = Merging(Volume(permissions=False))
    run(tmp_path, files)
    (tmp_path / "remote" / "run").write_text("2")
    run(tmp_path, files)

    assert (tmp_path / "local" / "run").read_text() == "2"
    assert stat.S_IMODE((tmp_path / "local" / "run").stat().st_mode) & 0o111
    assert run(tmp_path, files).actions == []


def test_a_real_volume_that_merges_names_overwrites_nothing(tmp_path):
    names = {"Read": "upper", "read": "lower", "x": "1!", "Sub": {"a": "2"}, "sub": {"b": "3"}, "l": "@x"}
    grow(tmp_path, {"local": names})
    with mounted(casefolding, tmp_path) as remote:
        found = run(tmp_path, REAL, remote)
        assert sorted(path for code, path, _ in found.warnings if code == "name_clash") == ["read", "sub"]
        there = {name.casefold(): (remote / name) for name in os.listdir(remote)}
        assert there.keys() == {"read", "sub", "x", "l"}
        assert there["read"].read_text() == "upper"
        assert run(tmp_path, REAL, remote).actions == []

        (remote / "x").write_text("edited there")
        (tmp_path / "local" / "Read").rename(tmp_path / "local" / "Written")
        run(tmp_path, REAL, remote)
        assert run(tmp_path, REAL, remote).succeeded

        assert (tmp_path / "local" / "x").read_text() == "edited there"
        assert stat.S_IMODE((tmp_path / "local" / "x").stat().st_mode) & 0o111
        assert (remote / "Written").read_text() == "upper"
        assert (tmp_path / "local" / "read").read_text() == "lower"
        assert (tmp_path / "local" / "sub" / "b").read_text() == "3"


def test_names_and_permissions_that_ntfs_does_not_take_stay_as_they_are_here(tmp_path):
    grow(tmp_path, {"local": {"aux.txt": "device", "a:b": "stream", "x": "1!", "l": "@x", "d": {"y": "2"}}})
    with mounted(ntfs, tmp_path) as remote:
        found = run(tmp_path, REAL, remote)
        assert found.succeeded
        assert sorted(path for code, path, _ in found.warnings if code == "illegal_name") == ["a:b", "aux.txt"]
        assert sorted(os.listdir(remote)) == ["d", "l", "x"]
        assert run(tmp_path, REAL, remote).actions == []

        (remote / "x").write_text("edited there")
        assert run(tmp_path, REAL, remote).succeeded

    assert shown(tmp_path / "local") == {
        "aux.txt": "device", "a:b": "stream", "x": "edited there!", "l": "@x", "d": {"y": "2"}
    }  # fmt: skip
