"""Copies on a volume that can share content: they take no space, and are copies all the same."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from disk import Ground

from tallystick.testing.faulty_disk import Faults, FaultyFiles
from tallystick.trees.files import REAL

SIZE = 32 << 20


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    """A directory on a new XFS volume."""
    if not shutil.which("mkfs.xfs") or os.geteuid() != 0:
        pytest.skip("a volume that shares content needs mkfs.xfs and the right to mount it")
    place = tmp_path_factory.mktemp("volume")
    with open(place / "image", "wb") as image:
        image.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(place / "image")], check=True)
    (place / "mounted").mkdir()
    done = subprocess.run(["mount", "-o", "loop", str(place / "image"), str(place / "mounted")], capture_output=True)
    if done.returncode:
        pytest.skip(f"a loop mount is not possible here: {done.stderr.decode().strip()}")
    yield place / "mounted"
    subprocess.run(["umount", str(place / "mounted")], check=True)


@pytest.fixture
def ground(volume, monkeypatch):
    monkeypatch.setattr("disk.FAST", str(volume))
    with Ground() as found:
        yield found


def free(place: Path) -> int:
    os.sync()
    found = os.statvfs(place)
    return found.f_bfree * found.f_frsize


def test_a_first_synchronization_of_large_files_takes_no_space(ground):
    content = os.urandom(SIZE)
    (ground.local / "big").write_bytes(content)
    before = free(ground.root)
    assert ground.run().succeeded
    assert before - free(ground.root) < SIZE / 4
    assert (ground.remote / "big").read_bytes() == content
    assert ground.run().actions == []


def test_a_large_file_that_comes_to_others_takes_no_space(ground):
    (ground.local / "small").write_text("1")
    ground.run()
    content = os.urandom(SIZE)
    (ground.local / "big").write_bytes(content)
    before = free(ground.root)
    assert ground.run().succeeded
    assert before - free(ground.root) < SIZE / 4
    assert (ground.remote / "big").read_bytes() == content


def test_an_edit_of_one_copy_leaves_the_other_as_it_is(ground):
    content = os.urandom(SIZE)
    (ground.local / "big").write_bytes(content)
    ground.run()
    with open(ground.remote / "big", "r+b") as file:
        file.write(b"edited")
    assert (ground.local / "big").read_bytes() == content
    assert ground.run().succeeded
    assert (ground.local / "big").read_bytes() == b"edited" + content[6:]


def test_a_disk_that_fails_while_it_shares_leaves_nothing_behind(ground):
    (ground.local / "big").write_bytes(os.urandom(SIZE))
    failing = FaultyFiles(Faults(error_at=1, error=errno.EIO, error_on=frozenset({"clone"})))
    assert set(ground.run(files=failing).failed) == {"big"}
    assert list(ground.remote.iterdir()) == []
    assert ground.run().succeeded


def test_a_volume_that_cannot_share_says_so(tmp_path):
    (tmp_path / "one").write_bytes(b"1")
    source = os.open(tmp_path / "one", os.O_RDONLY)
    other = os.memfd_create("other") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)
    assert REAL.clone(source, other) is False
    os.close(source)
    os.close(other)
