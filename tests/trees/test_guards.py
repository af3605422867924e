"""Guards over deletions: spec contexts G1, G2, G5."""

import pytest
from woods import carried_out, shown, tree

from tallystick.trees.guards import Facts, Limits, base_files, check_held, guarded
from tallystick.trees.merging import Reconcile
from tallystick.trees.plan import Half, plan
from tallystick.trees.problems import DeletionsHeld
from tallystick.trees.settling import settle

LIMITS = Limits()


def files(number, start=0):
    return {f"f{position}": f"value {position}" for position in range(start, number)}


def guarded_plan(base, local, remote, limits=LIMITS, done=True, mode=Reconcile.SAFE):
    found = plan(tree(base), tree(local), tree(remote), mode)
    return guarded(found, Facts(base_files(tree(base)), done), limits)


# G1: more than half and at least 10, or more than 1,000.
@pytest.mark.parametrize(
    ("number", "gone", "held"),
    (
        (18, 9, False),
        (20, 10, False),
        (19, 10, True),
        (12, 9, False),
        (1002, 501, False),
        (3000, 1000, False),
        (3000, 1001, True),
    ),
)
def test_mass_deletion_is_held(number, gone, held):
    base = {"keep": "X", **files(number - 1)}
    found = guarded_plan(base, {"keep": "Y", **files(number - 1, start=gone)}, base)
    assert bool(found.held) is held
    assert [action.path for action in found.actions if not action.deletes] == ["keep"]
    assert len(found.held) == (gone if held else 0)


def test_the_limits_are_adjustable():
    base = files(10)
    assert guarded_plan(base, files(10, start=3), base, Limits(share=0.2, at_least=2)).held
    assert not guarded_plan(base, files(10, start=9), base, Limits(share=0.95)).held


def test_a_mass_rename_is_no_mass_deletion():
    base = {"old": files(40), "keep": "X"}
    assert not guarded_plan(base, {"new": files(40), "keep": "X"}, base).held


@pytest.mark.parametrize("side", ("local", "remote"))
def test_a_side_that_was_emptied_deletes_nothing(side):
    base = {"a": "X", "b": "Y"}
    pair = ({}, base) if side == "local" else (base, {})
    found = guarded_plan(base, *pair)
    assert not found.actions
    assert side in found.held[0][1]
    assert shown(settle(found)) == shown(tree(base))


@pytest.mark.parametrize(("base", "local"), (({"a": "X"}, {}), ({"d": {"a": "X", "b": "X"}}, {"d": {}})))
def test_a_single_file_or_a_root_whose_directories_remain_is_not_an_emptied_side(base, local):
    assert not guarded_plan(base, local, base).held


def test_before_the_first_download_succeeded_absence_proves_nothing():
    base = {"a": "X", "b": "X", "c": "X"}
    found = guarded_plan(base, {"b": "Y", "c": "X"}, {**base, "c": "Z"}, done=False)
    assert [action.path for action, _ in found.held] == ["a"]
    assert sorted(action.path for action in found.actions) == ["b", "c"]


def test_a_mirror_is_guarded_too():
    assert guarded_plan({}, {}, {"a": "X"}, mode=Reconcile.MIRROR).actions
    assert guarded_plan({"a": "X", "b": "X"}, {}, {"a": "X", "b": "X"}, mode=Reconcile.MIRROR).held


def test_held_paths_are_named_and_a_confirmed_run_carries_them_out():
    base = {"a": "X", "b": "Y"}
    found = guarded_plan(base, {}, base)
    with pytest.raises(DeletionsHeld) as caught:
        check_held(found)
    assert caught.value.paths == ["a", "b"]
    assert caught.value.exit_code == 4
    confirmed = plan(settle(found), tree({}), tree(base), half=Half.UPLOAD)
    assert shown(carried_out(confirmed)[1]) == {}


def test_a_directory_about_to_become_a_leaf_waits_with_the_deletions_it_needs():
    base = {"d": files(12), "keep": "X"}
    found = guarded_plan(base, {"d": "leaf", "keep": "X"}, base)
    assert [action.path for action, _ in found.held] == ["d"]
    assert not found.actions
