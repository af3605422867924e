"""What tools for trees get wrong in the field, one by one (issue: what tree tools get wrong, right)."""

import os
import sqlite3
import unicodedata

import pytest
from disk import Ground, future, grow, shown

from tallystick.trees.files import Files
from tallystick.trees.names import Volume
from tallystick.trees.opening import Wishes, synchronize
from tallystick.trees.plan import Verb

NFC, NFD = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))


@pytest.fixture
def ground():
    with Ground() as found:
        yield found


def agreed(ground):
    assert shown(ground.local) == shown(ground.remote)
    return shown(ground.local)


# Links, modes, holes, names of one file ---------------------------------------------------------------


def test_hard_links_become_files_of_their_own_and_an_edit_reaches_both(ground):
    grow(ground.local, {"a": "one"})
    os.link(ground.local / "a", ground.local / "b")
    assert ground.run().succeeded
    assert agreed(ground) == {"a": "one", "b": "one"}
    assert (ground.remote / "a").stat().st_ino != (ground.remote / "b").stat().st_ino
    (ground.local / "a").write_text("edited through one name")
    assert ground.run().succeeded
    assert agreed(ground) == {"a": "edited through one name", "b": "edited through one name"}
    (ground.remote / "a").write_text("only this one")
    assert ground.run().succeeded
    assert agreed(ground)["b"] == "edited through one name", "an edit at the other side splits them"


@pytest.mark.parametrize("size", (10, 2 << 20))
@pytest.mark.parametrize("inside", (False, True), ids=("single file", "whole directory"))
def test_extended_attributes_travel_with_content_when_asked_for(tmp_path, size, inside):
    source = tmp_path / "a" / "d" if inside else tmp_path / "a"
    source.mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (source / "x").write_bytes(os.urandom(size))
    try:
        os.setxattr(source / "x", "user.colour", b"blue")
    except OSError:
        pytest.skip("this volume keeps no extended attributes")
    for wishes, expected in ((Wishes(), []), (Wishes(xattrs=True), ["user.colour"])):
        synchronize(str(tmp_path / "a"), str(tmp_path / "b"), wishes, tmp_path / "memory")
        copy = tmp_path / "b" / source.relative_to(tmp_path / "a") / "x"
        assert os.listxattr(copy) == expected
        (source / "x").write_bytes(os.urandom(size))
    assert os.getxattr(copy, "user.colour") == b"blue"


def test_empty_directories_appear_and_go(ground):
    grow(ground.local, {"d": {"e": {}}, "keep": "k"})
    ground.run()
    assert agreed(ground) == {"d": {"e": {}}, "keep": "k"}
    (ground.remote / "d" / "e").rmdir()
    ground.run()
    assert agreed(ground) == {"d": {}, "keep": "k"}


def test_a_link_becomes_a_file_and_back(ground):
    grow(ground.local, {"a": "@b", "b": "content"})
    ground.run()
    grow(ground.local, {"a": "content"})
    ground.run()
    assert agreed(ground) == {"a": "content", "b": "content"}
    grow(ground.remote, {"a": "@b"})
    ground.run()
    assert agreed(ground) == {"a": "@b", "b": "content"}


def test_a_directory_replaced_by_a_link_deletes_nothing_behind_the_link(ground):
    grow(ground.local, {"real": {"x": "1"}, "d": {"x": "1"}})
    ground.run()
    grow(ground.local, {"d": "@real"})
    assert ground.run(confirm_deletions=True).succeeded
    assert agreed(ground) == {"real": {"x": "1"}, "d": "@real"}


# Renames --------------------------------------------------------------------------------------------------


def test_a_renamed_directory_of_many_files_moves_no_content(ground):
    grow(ground.local, {"old": {f"f{number}": f"content {number}" for number in range(30)}, "stay": "s"})
    ground.run()
    inodes = {path.name: path.stat().st_ino for path in (ground.remote / "old").iterdir()}
    os.rename(ground.local / "old", ground.local / "new")
    report = ground.run()
    assert report.succeeded
    assert not report.held
    assert report.bytes == 0
    assert {path.name: path.stat().st_ino for path in (ground.remote / "new").iterdir()} == inodes


def test_a_rename_on_one_side_meets_an_edit_on_the_other(ground):
    grow(ground.local, {"a": "start of a document"})
    ground.run()
    os.rename(ground.local / "a", ground.local / "b")
    grow(ground.remote, {"a": "edited document"})
    ground.run()
    assert agreed(ground) == {"a": "edited document", "b": "start of a document"}


# Names that other volumes merge -----------------------------------------------------------------------------


@pytest.mark.parametrize("twins", (("Read", "read"), (NFC, NFD), ("STRASSE", "straße")))
def test_twins_are_reported_before_anything_is_written_and_never_overwritten(ground, twins):
    grow(ground.local, {twins[0]: "first", twins[1]: "second", "other": "o"})
    merging = Volume(keeps_case=False, keeps_form=False)
    dry = ground.run(volumes=(Volume(), merging), dry_run=True)
    assert [code for code, _, _ in dry.warnings] == ["name_clash"]
    assert shown(ground.remote) == {}
    ground.run(volumes=(Volume(), merging))
    assert set(shown(ground.remote).values()) in ({"first", "o"}, {"second", "o"})
    assert len(shown(ground.local)) == 3
    assert ground.run(volumes=(Volume(), merging)).actions == []


def test_twins_travel_where_the_volume_keeps_them_apart(ground):
    grow(ground.local, {NFC: "composed", NFD: "decomposed", "A": "1", "a": "2"})
    report = ground.run()
    assert {code for code, _, _ in report.warnings} == {"portability"}
    assert agreed(ground) == {NFC: "composed", NFD: "decomposed", "A": "1", "a": "2"}


def test_a_renaming_that_only_changes_case_is_one(ground):
    grow(ground.local, {"Readme": "text of the readme"})
    ground.run()
    os.rename(ground.local / "Readme", ground.local / "README")
    assert ground.run().succeeded
    assert agreed(ground) == {"README": "text of the readme"}


# Databases ----------------------------------------------------------------------------------------------------


def test_a_database_that_is_written_all_the_time_is_never_torn(ground):
    """Every copy that is made is a state in which both tables hold the same."""
    writer = sqlite3.connect(ground.local / "live.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    for table in "ab":
        writer.execute(f"CREATE TABLE {table} (n)")

    class WrittenMeanwhile(Files):
        calls = 0

        def read(self, handle, size):
            WrittenMeanwhile.calls += 1
            if WrittenMeanwhile.calls % 3 == 0 and WrittenMeanwhile.calls < 40:
                writer.execute("BEGIN")
                for table in "ab":
                    writer.execute(f"INSERT INTO {table} VALUES (randomblob(3000))")
                writer.execute("COMMIT")
            return super().read(handle, size)

    for _ in range(4):
        ground.run(files=WrittenMeanwhile())
        if (ground.remote / "live.db").exists():
            assert counts(ground) in [(n, n) for n in range(100)]
    WrittenMeanwhile.calls = 1000
    assert ground.run(files=WrittenMeanwhile()).succeeded
    expected = writer.execute("SELECT count(*) FROM a").fetchone()[0]
    assert counts(ground) == (expected, expected)
    writer.close()


def counts(ground):
    """What a program would read from the copy, looked at in a place of its own."""
    place = ground.root / "look"
    grow(ground.root, {"look": {}})
    for path in ground.remote.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    reader = sqlite3.connect(place / "live.db")
    try:
        assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return tuple(reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in "ab")
    finally:
        reader.close()


# Space and clocks ---------------------------------------------------------------------------------------------


def test_too_little_space_is_refused_before_anything_is_written(ground):
    class Full(Files):
        def free_space(self, handle):
            return 1000

    grow(ground.local, {"big": "x" * 2000, "d": {"more": "y" * 100}})
    report = ground.run(files=Full())
    assert {problem.code for problem in report.failed.values()} == {"NoSpace"}
    assert shown(ground.remote) == {}
    assert ground.run().succeeded


@pytest.mark.parametrize("step", (-3600, 3600, -10 * 365 * 86_400))
def test_a_clock_that_steps_loses_no_edit(ground, step):
    """The clock of the second run differs from that of the first, and files have times from either."""
    grow(ground.local, {"a": "0", "b": "0"})
    ground.run()
    stepped = lambda: future() + step * 10**9  # noqa: E731
    grow(ground.local, {"a": "1"})
    before = (ground.local / "a").stat()
    os.utime(ground.local / "a", ns=(before.st_atime_ns, before.st_mtime_ns + step * 10**9))
    assert ground.run(clock=stepped).succeeded
    grow(ground.remote, {"b": "2"})
    assert ground.run(clock=stepped).succeeded
    assert ground.run().succeeded
    assert agreed(ground) == {"a": "1", "b": "2"}
    assert [action.verb for action in ground.run(clock=stepped).actions if action.verb is not Verb.PERMIT] == []
