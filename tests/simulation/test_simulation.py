"""The simulator holds the rules to the laws, and the same seed is the same history."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from tallystick.testing.simulate import main, one_history, simulate, trace

SEEDS = 3_000


@pytest.fixture(scope="module")
def totals():
    return simulate(0, SEEDS)


def test_no_history_breaks_a_law(totals):
    assert totals.broken == []


@pytest.mark.parametrize(
    "event",
    (
        "edits",
        "conflicts",
        "decisions",
        "clones",
        "restores",
        "crashes",
        "tombstones purged",
        "filtered passes",
        "rows older than tracking",
        "histories with a fork",
        "siblings at the end",
        "lost",
        "reply lost",
        "twice",
        "passes broken off",
    ),
)
def test_everything_that_can_go_wrong_does(totals, event):
    assert totals.counts[event] >= 20
    assert totals.counts["histories"] == SEEDS


def test_the_same_seed_is_the_same_history():
    assert trace(17) == trace(17)
    assert trace(17) != trace(18)
    assert trace(17)[-1] == "every law holds"


def test_the_same_seed_is_the_same_history_in_every_process():
    """Nothing may hang on the order of sets, which differs from process to process."""
    command = [sys.executable, "-m", "tallystick.testing.simulate", "--start", "300", "--seeds", "40", "--trace"]
    outputs = [
        subprocess.run(
            command, capture_output=True, check=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].count("every law holds") == 40


def test_the_command_prints_totals_and_exits_with_nothing_broken(capsys):
    assert main(["--seeds", "20", "--json", "--processes", "1"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["broken"] == []
    assert printed["totals"]["histories"] == 20


def test_the_command_names_the_seeds_that_break_a_law(capsys):
    assert main(["--seeds", "60", "--processes", "1", "--bug", "losers-forgotten"]) == 1
    assert "no silent loss" in capsys.readouterr().out


def test_a_seed_that_breaks_a_law_can_be_traced(capsys):
    seed = simulate(0, 500, "losers-forgotten", stop=True).broken[0].seed
    assert main(["--start", str(seed), "--seeds", "1", "--trace", "--bug", "losers-forgotten"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("broken: ")


def test_master_shows_the_same_where_copies_older_than_tracking_met_a_record_made_later():
    """A and C had the row before tracking and agreed with nothing sent; B made one under its key; C edited its own.

    A's claim to be where the row was born ends with its version, also where B's stands beside it: C, which never heard
    of that claim, shows the same.
    """
    assert one_history(53962, Counter()) == ""
