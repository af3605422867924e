"""Archives that are made of entries when they are read: real zips of a size known beforehand (spec contexts U5)."""

import io
import stat
import zipfile

import pytest

from tallystick.contexts import zips
from tallystick.contexts.entries import DIRECTORY, FILE, LINK, FileEntry
from tallystick.contexts.zips import Member, Written, fits, link_bytes, written, zips_of

MTIME = 1_700_000_000 * 10**9


def made(members, contents):
    """The bytes of an archive of these members."""
    return b"".join(
        written(
            Written(name, entry, [link_bytes(entry)] if entry.kind == LINK else contents.get(name, []))
            for name, entry in members
        )
    )


def file(size, mode=0o644, mtime=MTIME):
    return FileEntry(FILE, mode, size, mtime, bytes(32))


MEMBERS = [
    Member("a.txt", file(5)),
    Member("d", FileEntry(DIRECTORY, 0o755, 0, MTIME)),
    Member("d/übel", file(300_000, 0o755)),
    Member("empty", file(0, mtime=-5)),
    Member("link", FileEntry(LINK, 0o777, 5, MTIME, target="a.txt")),
]
CONTENTS = {"a.txt": [b"hel", b"lo"], "d/übel": [bytes(100_000)] * 3, "empty": []}


def test_the_size_is_known_before_anything_is_read():
    (archive,) = zips_of(MEMBERS)

    assert len(made(MEMBERS, CONTENTS)) == archive.size


def test_every_member_comes_out_with_its_kind_mode_and_time():
    with zipfile.ZipFile(io.BytesIO(made(MEMBERS, CONTENTS))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.txt", "d/", "d/übel", "empty", "link"]
        assert (archive.read("a.txt"), archive.read("empty"), archive.read("link")) == (b"hello", b"", b"a.txt")
        modes = [info.external_attr >> 16 for info in archive.infolist()]
        assert [stat.S_IFMT(mode) for mode in modes] == [0o100000, 0o040000, 0o100000, 0o100000, 0o120000]
        assert stat.S_IMODE(modes[2]) == 0o755
        assert archive.getinfo("a.txt").date_time == (2023, 11, 14, 22, 13, 20)
        assert archive.getinfo("empty").date_time[0] == 1980


def test_no_archive_is_larger_than_a_gibibyte_nor_has_more_members_than_the_format_counts(monkeypatch):
    monkeypatch.setattr(zips, "MAX_BYTES", 1000)
    by_size = zips_of(Member(name, file(300)) for name in "abcdef")
    assert [[name for name, _ in archive.members] for archive in by_size] == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert all(archive.size <= 1000 for archive in by_size)

    monkeypatch.setattr(zips, "MAX_MEMBERS", 4)
    by_number = zips_of(Member(name, file(0)) for name in "abcdef")
    assert [len(archive.members) for archive in by_number] == [4, 2]
    assert zips_of([]) == []


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    (("a", 1 << 20, True), ("a", (1 << 30) - 200, True), ("a", 1 << 30, False), ("a\udcff", 1, False)),
)
def test_what_no_archive_can_hold_stays_out(name, size, expected):
    assert fits(name, file(size)) is expected


def test_the_tag_changes_with_what_is_in_it():
    (one,), (other,) = zips_of([Member("a", file(1))]), zips_of([Member("a", file(1, 0o600))])

    assert one.tag != other.tag
    assert one.tag == zips_of([Member("a", file(1))])[0].tag
