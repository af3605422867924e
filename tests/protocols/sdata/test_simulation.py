"""Random histories: what the rules promise, and that breaking one of them is noticed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tallystick.protocols.sdata.rules.progress import Progress
from tallystick.testing import sdata_simulation as simulation
from tallystick.testing.sdata_simulation import Settings, simulate


@pytest.mark.parametrize("mixed", (False, True), ids=["equal", "mixed"])
def test_two_endpoints_always_converge_and_lose_nothing(mixed: bool) -> None:
    found = simulate(Settings(nodes=2, mixed=mixed), range(150))
    assert (found["diverged"], found["restless"], found["lossy"]) == (0, 0, 0)
    assert found["conflicts"] > 100


@pytest.mark.parametrize("nodes", (3, 4, 5))
@pytest.mark.parametrize("star", (False, True), ids=["mesh", "star"])
def test_more_endpoints_with_equal_priorities_converge_and_lose_nothing(nodes: int, star: bool) -> None:
    found = simulate(Settings(nodes=nodes, star=star, tied_stamps=False), range(60))
    assert (found["diverged"], found["restless"], found["lossy"]) == (0, 0, 0)


def test_different_priorities_in_a_star_converge() -> None:
    found = simulate(Settings(nodes=4, star=True, mixed=True), range(60))
    assert (found["diverged"], found["restless"], found["lossy"]) == (0, 0, 0)


def test_different_priorities_in_a_mesh_lose_no_edit_though_they_may_diverge() -> None:
    found = simulate(Settings(nodes=3, mixed=True), range(150))
    assert (found["restless"], found["lossy"]) == (0, 0)
    assert found["diverged"] <= 8


def test_many_failures_only_delay() -> None:
    found = simulate(Settings(nodes=3, failures=0.5, aborts=0.4, restarts=0.2), range(60))
    assert (found["diverged"], found["restless"], found["lossy"]) == (0, 0, 0)


@pytest.mark.parametrize("nodes", (2, 3))
def test_restored_endpoints_converge(nodes: int) -> None:
    found = simulate(Settings(nodes=nodes, restores=2), range(100))
    assert (found["diverged"], found["restless"]) == (0, 0)


def test_a_restored_endpoint_hears_of_changes_that_a_failure_keeps_from_its_peers_digest() -> None:
    found = simulate(Settings(nodes=3, restores=2), range(354, 355))
    assert (found["diverged"], found["lossy"]) == (0, 0)


def test_what_lost_against_a_failed_entry_is_sent_again_when_a_restore_loses_the_winner() -> None:
    found = simulate(Settings(nodes=3, restores=2), range(477, 478))
    assert (found["diverged"], found["restless"], found["lossy"]) == (0, 0, 0)


def test_a_history_is_a_function_of_its_seed() -> None:
    assert simulate(Settings(nodes=3), range(5)) == simulate(Settings(nodes=3), range(5))


def test_without_the_cap_failed_entries_are_lost_and_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress, "cap", lambda progress, key: None)
    found = simulate(Settings(nodes=2), range(30))
    assert found["diverged"] > 0


def test_without_clearing_by_complete_passes_endpoints_never_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress, "clear", lambda progress, source, began: None)
    found = simulate(Settings(nodes=4, star=True, failures=0.3), range(120))
    assert found["restless"] + found["diverged"] > 0


def test_without_the_restore_rule_ticks_are_issued_twice_and_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def naive(history: simulation.History, index: int) -> None:
        history.nodes[index] = history.backups[index].copy()

    monkeypatch.setattr(simulation.History, "restore", naive)
    found = simulate(Settings(nodes=2, restores=2), range(100))
    assert found["diverged"] > 0


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "tallystick.testing.sdata_simulation", "--seeds", "3", "--nodes", "5"]
    run = subprocess.run(command, capture_output=True, check=True, text=True)
    assert json.loads(run.stdout)["histories"] == 3
