"""Policies seen from both ends, and who wins by NEWER and MASTER."""

import pytest

from tallystick.core.policies import (
    ALL_METHODS,
    DEFAULT_POLICY,
    FieldPolicy,
    Method,
    Policy,
    Resolution,
    masters,
    newest,
    turn,
)
from tallystick.core.versions import Version, genesis_record


def version(origin: str, stamp: int, priority: int = 5, tick: int = 1) -> Version:
    return Version(origin, tick, b"x", stamp, frozenset(((origin, tick),)), priority=priority)


@pytest.mark.parametrize(
    ("one", "other"),
    (
        (Resolution.THIS, Resolution.OTHER),
        (Resolution.OTHER, Resolution.THIS),
        *[(same, same) for same in Resolution if same not in (Resolution.THIS, Resolution.OTHER)],
    ),
)
def test_only_this_and_other_change_places_when_a_resolution_is_turned(one, other):
    assert turn(one) is other


def test_a_policy_is_turned_in_every_field_and_turning_twice_is_the_policy():
    policy = Policy(
        frozenset((Method.CREATE,)),
        FieldPolicy(Resolution.NEWER, {"phone": Resolution.THIS}),
        FieldPolicy(Resolution.OTHER, {"name": Resolution.MERGE}),
    )
    turned = policy.turned()
    assert turned.strategy == policy.strategy
    assert turned.update == FieldPolicy(Resolution.NEWER, {"phone": Resolution.OTHER})
    assert turned.conflict == FieldPolicy(Resolution.THIS, {"name": Resolution.MERGE})
    assert turned.turned() == policy


def test_by_default_both_ends_take_every_change_that_had_seen_theirs():
    assert DEFAULT_POLICY.turned() == DEFAULT_POLICY
    assert DEFAULT_POLICY.strategy == ALL_METHODS
    assert DEFAULT_POLICY.update.default is Resolution.MERGE


def test_a_field_without_a_policy_of_its_own_goes_by_the_default():
    policy = FieldPolicy(Resolution.MASTER, {"phone": Resolution.THIS})
    assert policy.of("phone") is Resolution.THIS
    assert policy.of("name") is Resolution.MASTER


@pytest.mark.parametrize(
    ("winner", "loser"),
    (
        (version("b", stamp=2), version("a", stamp=1)),
        (version("b", stamp=2, priority=1), version("a", stamp=2, priority=9)),
        (version("a", stamp=2), version("b", stamp=2)),
        (version("a", stamp=2, tick=2), version("a", stamp=2, tick=1)),
        (version("b", stamp=1), genesis_record("a", 1, b"g", 99).versions[0]),
    ),
)
def test_newer_compares_stamps_then_priorities_then_origins(winner, loser):
    assert newest([winner, loser]) is winner
    assert newest([loser, winner]) is winner


def test_master_is_the_newest_made_where_the_record_was_born_in_whichever_incarnation():
    own, later, elsewhere = version("site.1", stamp=1), version("site.2", stamp=2), version("other.1", stamp=9)
    assert masters([elsewhere, own, later], "site.1") is later


def test_without_a_version_of_the_master_the_newest_wins():
    one, two = version("b.1", stamp=1), version("c.1", stamp=2)
    assert masters([one, two], "a.1") is two


def test_a_row_older_than_tracking_is_nobodys():
    """Its copies would each claim to be the master's."""
    old, edited = genesis_record("a.1", 1, b"g", 0).versions[0], version("b.1", stamp=1)
    assert masters([old, edited], "a.1") is edited
