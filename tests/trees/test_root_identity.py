"""Roots are known again by what their file system is, not by what its device is called today (spec contexts G3)."""

import os

import pytest
from disk import Ground, grow, shown
from volumes import disk

from tallystick.trees.problems import RootChanged
from tallystick.trees.root_identity import RootIdentity

KNOWN = RootIdentity("2049", "2", "", "77", "1234-ABCD")


@pytest.mark.parametrize(
    ("found", "same", "why"),
    (
        (KNOWN, True, "nothing changed"),
        (KNOWN._replace(device="2065"), True, "a stick that got another device"),
        (KNOWN._replace(device="2065", file_system="78"), True, "its file system states the device"),
        (KNOWN._replace(device="2065", volume=""), True, "no volumes are listed, the file system is the same"),
        (KNOWN._replace(volume="", file_system=""), True, "only the device is known"),
        (KNOWN._replace(volume="5678-EF01"), False, "another stick on the same device, with the same inode"),
        (KNOWN._replace(volume="", file_system="78"), False, "another file system on the same device"),
        (KNOWN._replace(volume="", file_system="", device="2065"), False, "another device and nothing else known"),
        (KNOWN._replace(inode="3"), False, "another directory of the same file system"),
    ),
)
def test_a_root_is_known_by(found, same, why):
    assert found.is_same(KNOWN) is same, why


def test_a_generation_tells_a_directory_from_an_earlier_one_with_its_inode():
    aged = KNOWN._replace(generation="7")
    assert aged.is_same(KNOWN)
    assert aged.is_same(aged)
    assert not aged._replace(generation="8").is_same(aged)
    assert not KNOWN.is_same(aged)


@pytest.mark.parametrize(
    ("text", "parsed"),
    (
        ("2049:2:7:77:1234-ABCD", RootIdentity("2049", "2", "7", "77", "1234-ABCD")),
        ("2049:2:::1234-ABCD", RootIdentity("2049", "2", "", "", "1234-ABCD")),
        ("2049:2:7", RootIdentity("2049", "2", "7")),
        ("2049:2", RootIdentity("2049", "2")),
    ),
)
def test_what_is_written_is_read_again_and_so_is_what_earlier_releases_wrote(text, parsed):
    assert RootIdentity.parsed(text) == parsed
    assert str(parsed) == text


@pytest.fixture
def ground():
    with Ground() as made:
        made.local.mkdir(exist_ok=True)
        yield made


def test_a_stick_is_known_again_on_another_device(ground, tmp_path):
    with disk(tmp_path / "stick", ground.local):
        before = os.stat(ground.local).st_dev
        grow(ground.local, {"a": "content"})
        assert ground.run().succeeded
    (tmp_path / "busy").mkdir()
    with disk(tmp_path / "other", tmp_path / "busy"), disk(tmp_path / "stick", ground.local):
        assert os.stat(ground.local).st_dev != before
        (ground.local / "a").unlink()
        assert ground.run(confirm_deletions=True).succeeded
        assert "a" not in shown(ground.remote)


def test_another_stick_on_the_same_device_stops_the_run(ground, tmp_path):
    with disk(tmp_path / "stick", ground.local):
        before = os.stat(ground.local)
        grow(ground.local, {"a": "content"})
        assert ground.run().succeeded
    with disk(tmp_path / "other", ground.local):
        found = os.stat(ground.local)
        assert (found.st_dev, found.st_ino) == (before.st_dev, before.st_ino)
        with pytest.raises(RootChanged):
            ground.run(confirm_deletions=True)
    assert shown(ground.remote)["a"] == "content"
