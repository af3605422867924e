"""File systems that are mounted below a root: one that is away is nobody's deletion (spec contexts G4)."""

import os
import subprocess
from contextlib import contextmanager

import pytest
from disk import Ground, grow, regrow, shown
from test_second_part import in_parts

AWAY = "its file system is not mounted"


@contextmanager
def mounted(place):
    """A file system of its own at a directory; skips where none can be mounted."""
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False)
    if os.geteuid() != 0 or made.returncode:
        pytest.skip("mounting takes root and a system that lets it")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture(params=["in one part", "in the first part", "in the second part"])
def ground(request):
    with Ground() as made:
        grow(made.local, {f"d{number}": {"a": "content"} for number in range(4)})
        made.above = "d3" if request.param == "in the second part" else "d0"
        made.stick = made.local / made.above / "stick"
        made.stick.mkdir()
        with mounted(made.stick):
            grow(made.stick, {"kept": "content", "inner": {"deep": "content"}})
            assert made.run().succeeded
        if request.param == "in one part":
            yield made
        else:
            with in_parts():
                yield made


def away(report):
    """Where the report says that a file system is missing."""
    return [path for code, path, why in report.warnings if AWAY in why]


def beside(ground):
    """What the other side holds of it."""
    return shown(ground.remote)[ground.above]["stick"]


def test_files_of_a_file_system_that_is_away_stay_on_the_other_side(ground):
    (ground.local / "d1" / "a").write_text("edited meanwhile")
    for _ in range(2):
        report = ground.run(confirm_deletions=True)
        assert not report.succeeded
        assert away(report) == [f"{ground.above}/stick"]
        assert beside(ground) == {"kept": "content", "inner": {"deep": "content"}}
    assert shown(ground.remote)["d1"] == {"a": "edited meanwhile"}


def test_one_that_comes_back_goes_on_as_it_was_left(ground):
    ground.run()
    (ground.remote / ground.above / "stick" / "kept").write_text("edited there while it was away")
    ground.run()
    with mounted(ground.stick):
        grow(ground.stick, {"kept": "content", "inner": {"deep": "content"}, "new": "on the stick"})
        report = ground.run()
        assert report.succeeded
        assert report.conflicts == []
        assert shown(ground.local) == shown(ground.remote)
        assert beside(ground) == {
            "kept": "edited there while it was away",
            "inner": {"deep": "content"},
            "new": "on the stick",
        }


def test_removing_the_empty_directory_deletes_what_stood_there(ground):
    ground.run()
    ground.stick.rmdir()
    assert ground.run(confirm_deletions=True).succeeded
    assert shown(ground.remote)[ground.above] == {"a": "content"}


def test_a_directory_that_is_filled_without_it_is_like_any_other(ground):
    grow(ground.stick, {"kept": "another content"})
    assert ground.run(confirm_deletions=True).succeeded
    assert shown(ground.local)[ground.above]["stick"] == beside(ground) == {"kept": "another content"}
    (ground.stick / "kept").unlink()
    assert ground.run(confirm_deletions=True).succeeded
    assert beside(ground) == {}


def test_one_that_was_emptied_while_it_is_mounted_is_emptied_on_the_other_side(ground):
    with mounted(ground.stick):
        assert ground.run(confirm_deletions=True).succeeded
        assert beside(ground) == {}


def test_file_systems_in_file_systems_are_told_apart(ground):
    with mounted(ground.stick):
        regrow(ground.stick, {"inner": {}, "kept": "content"})
        with mounted(ground.stick / "inner"):
            grow(ground.stick / "inner", {"deep": "content"})
            assert ground.run().succeeded
        report = ground.run(confirm_deletions=True)
        assert away(report) == [f"{ground.above}/stick/inner"]
        assert beside(ground) == {"inner": {"deep": "content"}, "kept": "content"}
