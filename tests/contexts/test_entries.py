"""File entries: packed keys, parts, and what is refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.contexts.entries import (
    FILE,
    FileEntry,
    ancestors,
    check_changes,
    check_key,
    entry_of,
    packed,
    packed_parts,
    unpacked,
)
from tallystick.contexts.problems import EntryRejected

NAMES = st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from("\udc80\udcff\uf8fe/"))


@given(NAMES)
def test_packing_a_key_makes_it_unicode_and_can_be_undone(key):
    made = packed(key)
    made.encode()
    assert unpacked(made) == key


@given(NAMES, NAMES)
def test_different_keys_are_packed_differently(one, other):
    assert (packed(one) == packed(other)) == (one == other)


def test_the_parts_of_a_file_are_read_back():
    parts = [(bytes([number]) * 32, 1000 + number) for number in range(3)]
    entry = FileEntry(FILE, 0o644, 3003, 0, b"d" * 32, packed_parts(parts))
    assert entry.parts == parts
    assert entry.hashes == [name for name, _ in parts]
    assert packed_parts(parts[:1]) == b""
    assert FileEntry(FILE, 0o644, 5, 0, b"d" * 32).parts == [(b"d" * 32, 5)]
    assert FileEntry(FILE, 0o644).parts == []


def test_the_content_of_a_record_is_the_entry_with_names_in_order():
    entry = FileEntry(FILE, 0o755, 9, 8, b"d" * 32, b"c" * 72, "", 1, 2)
    assert list(entry.content()) == sorted(entry.content())
    assert entry_of(msgspec.msgpack.encode(entry.content())) == entry


def test_the_directories_above_a_key_are_named_nearest_first():
    assert ancestors("/a/b/c") == ["/a/b", "/a"]
    assert ancestors("/a") == []


@pytest.mark.parametrize("key", ("/a/.tally-x", "/a/..", "/a/" + "n" * 256, "/a/\0", "/" + "d/" * 600 + "x", "/\ud800"))
def test_a_name_in_a_known_folder_is_checked_like_every_other(key):
    with pytest.raises(EntryRejected):
        check_changes([("/a/good", None), (key, None)])
    with pytest.raises(EntryRejected):
        check_key(key)
