"""What loses its name and stands nowhere else is kept for a while."""

import os

import pytest
from disk import Ground, grow, shown

from tallystick.trees.history import RETENTION_DAYS, purge
from tallystick.trees.merging import Reconcile

DAY_NS = 86_400 * 10**9


@pytest.fixture
def ground():
    with Ground() as found:
        yield found


def test_the_loser_of_a_conflict_is_kept_with_its_time(ground):
    grow(ground.local, {"d": {"a": "0"}, "l": "@d"})
    ground.run()
    grow(ground.local, {"d": {"a": "mine"}, "l": "@d/a"})
    grow(ground.remote, {"d": {"a": "theirs"}, "l": "@d/b"})
    os.utime(ground.remote / "d" / "a", ns=(5, 5))
    report = ground.run(mode=Reconcile.LOCAL, history=ground.root / "history")
    assert shown(ground.remote)["d"] == {"a": "mine"}
    assert report.kept["d/a"].read_text() == "theirs"
    assert report.kept["d/a"].stat().st_mtime_ns == 5
    assert os.readlink(report.kept["l"]) == "d/b"


def test_what_a_mirror_removes_although_nobody_saw_it_is_kept(ground):
    grow(ground.local, {"a": "x", "n": "leaf"})
    grow(ground.remote, {"a": "x", "own": {"deep": "only there"}, "n": {"inside": "a leaf"}})
    report = ground.run(mode=Reconcile.MIRROR, confirm_deletions=True, history=ground.root / "history")
    assert shown(ground.remote) == {"a": "x", "n": "leaf"}
    assert {path: place.read_text() for path, place in report.kept.items()} == {
        "own/deep": "only there",
        "n/inside": "a leaf",
    }


def test_what_cannot_be_kept_is_not_replaced(ground):
    grow(ground.local, {"a": "0"})
    ground.run()
    grow(ground.local, {"a": "mine"})
    grow(ground.remote, {"a": "theirs"})
    (ground.root / "history").write_text("a file where the directory should be")
    report = ground.run(mode=Reconcile.LOCAL, history=ground.root / "history")
    assert list(report.failed) == ["a"]
    assert shown(ground.remote) == {"a": "theirs"}
    (ground.root / "history").unlink()
    assert ground.run(mode=Reconcile.LOCAL, history=ground.root / "history").succeeded
    assert shown(ground.remote) == {"a": "mine"}


def test_old_runs_are_forgotten_and_nothing_else(tmp_path):
    (tmp_path / "20250101T000000.000000Z" / "d").mkdir(parents=True)
    (tmp_path / "20250105T000000.000000Z").mkdir()
    (tmp_path / "notes").mkdir()
    first_of_january = 1_735_689_600 * 10**9
    assert purge(tmp_path, first_of_january + RETENTION_DAYS * DAY_NS) == []
    assert [run.name[:8] for run in purge(tmp_path, first_of_january + (RETENTION_DAYS + 1) * DAY_NS)] == ["20250101"]
    assert sorted(os.listdir(tmp_path)) == ["20250105T000000.000000Z", "notes"]
    assert purge(tmp_path / "nowhere", 0) == []
