"""Every planted bug is noticed within a thousand histories, and leaves nothing behind."""

import pytest

from tallystick.testing.simulate import simulate
from tallystick.testing.simulated_bugs import BUGS, planted


@pytest.mark.parametrize("name", sorted(BUGS))
def test_a_planted_bug_is_noticed_within_a_thousand_seeds(name):
    assert simulate(0, 1_000, name, stop=True).broken, BUGS[name].what


def test_there_are_ten_planted_bugs_at_least():
    assert len(BUGS) >= 10


@pytest.mark.parametrize("name", sorted(BUGS))
def test_a_bug_is_there_only_while_it_is_planted(name):
    before = [getattr(owner, attribute) for owner, attribute, _ in BUGS[name].patches]
    with planted(name):
        for owner, attribute, value in BUGS[name].patches:
            assert getattr(owner, attribute) is value
    assert [getattr(owner, attribute) for owner, attribute, _ in BUGS[name].patches] == before
