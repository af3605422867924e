"""A run that is cut short between placing and remembering: its own writes are nobody's edits (docs/trees.md)."""

import shutil

import pytest
from disk import Ground, contents, grow, regrow, remembered, shown
from hypothesis import given, settings
from hypothesis import strategies as st
from test_second_part import in_parts
from woods import perturbed, roots

from tallystick.testing.faulty_disk import Crash, Faults, FaultyFiles
from tallystick.trees import placing, steps
from tallystick.trees.intended import intentions
from tallystick.trees.merging import Reconcile
from tallystick.trees.part import Part
from tallystick.trees.plan import Half
from tallystick.trees.state import State

ONE = {"f": "one", "d": {"x": "x", "y": "y"}, "s": "script"}
TWO = {"f": "two", "d": {"x": "x"}, "n": {"deep": {"z": "z"}}, "s": "script!"}


@pytest.fixture
def ground():
    with Ground() as found:
        yield found


@pytest.fixture
def forgetful(monkeypatch):
    """Runs a pair that dies before it remembers anything."""

    def run(ground, **options):
        with monkeypatch.context() as patching:
            patching.setattr(Part, "remember", _die)
            with pytest.raises(Crash):
                ground.run(confirm_deletions=True, **options)

    return run


def _die(*_):
    raise Crash("dead")


def noted(ground):
    state = State(ground.state)
    with state.held():
        return intentions(state)


@pytest.mark.parametrize(
    "then",
    (
        {**TWO, "f": "three"},
        {"f": "two"},
        {**TWO, "f": "one"},
        {**TWO, "d": {"x": "x", "y": "y"}},
        {**TWO, "s": "script"},
        {**TWO, "n": "a file now"},
        {**TWO, "f": {"now": "a directory"}},
        ONE,
        {},
    ),
    ids=("edited", "removed", "put back", "made again", "permitted back", "a leaf", "a directory", "all back", "empty"),
)
@pytest.mark.parametrize("side", ("local", "remote"))
def test_what_is_done_where_it_came_from_to_what_was_placed_is_no_conflict(ground, forgetful, side, then):
    grow(ground.local, ONE)
    ground.run()
    root = getattr(ground, side)
    regrow(root, TWO)
    forgetful(ground)
    assert shown(ground.local) == shown(ground.remote) == TWO

    regrow(root, then)
    report = ground.run(confirm_deletions=True)

    assert not report.plan.conflicts
    assert shown(ground.local) == shown(ground.remote) == then
    remembered(ground)
    assert not noted(ground)
    assert ground.run().actions == []


def test_a_first_run_that_was_cut_short_is_gone_on_with(ground, forgetful):
    """What only one of two directories of one name held was placed in the other."""
    grow(ground.local, {"d": {"a": "a", "e": {"b": "b"}}})
    grow(ground.remote, {"d": {"c": "c"}})
    forgetful(ground)
    regrow(ground.local, {"d": {"a": "a, edited", "e": {}, "c": "c"}})

    ground.run()

    assert shown(ground.remote) == shown(ground.local) == {"d": {"a": "a, edited", "e": {}, "c": "c"}}


def test_what_was_meant_and_never_placed_is_no_base(ground, monkeypatch):
    """Both sides changed a file that the killed run did not come to: a conflict."""
    grow(ground.local, ONE)
    ground.run()
    regrow(ground.local, TWO)
    with monkeypatch.context() as patching:
        patching.setattr(placing._Placer, "_publish", _die)
        with pytest.raises(Crash):
            ground.run(confirm_deletions=True)
    assert shown(ground.remote) == ONE
    grow(ground.remote, {"f": "theirs"})
    grow(ground.local, {"f": "mine"})

    ground.run(confirm_deletions=True)

    assert shown(ground.local) == shown(ground.remote)
    assert {"theirs", "mine"} <= contents(shown(ground.local))


def test_what_was_edited_where_it_was_placed_loses_nothing(ground, forgetful):
    """Whether it had been placed before cannot be told any more, so both stay."""
    grow(ground.local, {"f": "one"})
    ground.run()
    grow(ground.local, {"f": "two"})
    forgetful(ground)
    grow(ground.remote, {"f": "theirs"})

    ground.run()

    assert contents(shown(ground.local)) == contents(shown(ground.remote)) == {"two", "theirs"}


def test_what_was_placed_before_the_last_batch_may_be_edited_on_either_side(ground, forgetful, monkeypatch):
    monkeypatch.setattr(steps, "BATCH_FILES", 2)
    wood = {name: f"the {name}" for name in "abcdef"}
    grow(ground.local, wood)
    forgetful(ground)
    grow(ground.remote, {"a": "edited there"})
    grow(ground.local, {"b": "edited here"})

    report = ground.run()

    assert not report.plan.conflicts
    assert shown(ground.local) == shown(ground.remote) == {**wood, "a": "edited there", "b": "edited here"}


def test_what_failed_in_a_batch_is_not_taken_for_placed(ground, forgetful, monkeypatch):
    monkeypatch.setattr(steps, "BATCH_FILES", 2)
    grow(ground.local, dict.fromkeys("abcdef", "one"))
    ground.run()
    grow(ground.local, dict.fromkeys("abcdef", "two"))

    def edit(name, arguments):
        if name == "exchange" and not (ground.remote / "edited").exists():
            (ground.remote / "edited").touch()
            (ground.remote / "a").unlink()
            (ground.remote / "a").write_text("theirs")

    forgetful(ground, files=FaultyFiles(Faults(meanwhile=edit)))
    (ground.remote / "edited").unlink()

    ground.run()
    ground.run()

    assert shown(ground.local) == shown(ground.remote)
    assert {"two", "theirs"} <= contents(shown(ground.local))


def test_an_intention_is_forgotten_with_the_run_that_carried_it_out(ground):
    grow(ground.local, ONE)
    ground.run()
    regrow(ground.local, TWO)
    ground.run(confirm_deletions=True)
    assert not noted(ground)


def test_what_is_out_of_scope_by_now_is_not_taken_up(ground, forgetful):
    grow(ground.local, {"a": "a", "b": "b"})
    forgetful(ground)

    ground.run(patterns=["b"])
    (ground.local / "b").unlink()
    ground.run()

    assert shown(ground.local) == {"a": "a", "b": "b"}


def test_two_processes_note_what_they_place_and_what_both_noted_is_taken_up(ground, forgetful):
    wood = {f"d{number}": {name: f"{name} of {number}" for name in "abc"} for number in range(4)}
    with in_parts() as ended:
        grow(ground.local, wood)
        ground.run()
        for number in range(4):
            grow(ground.local / f"d{number}", {"a": "edited"})
        forgetful(ground)
        assert len(noted(ground)) == 2
        for number in range(4):
            grow(ground.local / f"d{number}", {"a": f"edited again {number}"})
        report = ground.run()
        assert not report.plan.conflicts
        assert shown(ground.local) == shown(ground.remote)
        assert shown(ground.remote)["d3"]["a"] == "edited again 3"
        grow(ground.local / "d0", {"b": "x"})
        grow(ground.local / "d3", {"b": "x"})
        ground.run()
        assert ended[-1] == "done"
        assert not noted(ground)


def test_another_root_takes_nothing_up(ground, forgetful):
    grow(ground.local, {"a": "a"})
    ground.run()
    grow(ground.local, {"b": "b"})
    forgetful(ground)
    shutil.move(ground.remote, ground.root / "away")
    shutil.copytree(ground.root / "away", ground.remote)
    (ground.local / "b").unlink()

    ground.run(accept_root=True)

    assert shown(ground.local) == shown(ground.remote) == {"a": "a", "b": "b"}


def test_a_memory_of_an_earlier_release_takes_intentions(ground, forgetful):
    grow(ground.local, ONE)
    ground.run()
    state = State(ground.state)
    with state.held():
        state.connection.execute("DROP TABLE intended")
        state.connection.execute("DROP TABLE intention")
    grow(ground.local, {"f": "two"})
    forgetful(ground)
    grow(ground.local, {"f": "three"})

    assert not ground.run().plan.conflicts


# Laws ---------------------------------------------------------------------------------------------

CUTS = st.tuples(st.integers(1, 40), st.booleans())


def cut(ground, moment, late, **options):
    """A run that dies at its n-th change, or, when it has fewer, before it remembers."""
    remember = Part.remember
    Part.remember = _die
    try:
        ground.run(files=FaultyFiles(Faults(crash_at=moment, late=late)), confirm_deletions=True, **options)
    except Crash:
        pass
    finally:
        Part.remember = remember


def completed(ground):
    """The reports of runs until one leaves nothing to do.

    A file that was being moved may have both names yet: what happens to one shows at the other, which waits for a run.
    """
    reports = []
    while not reports or (not reports[-1].succeeded and len(reports) < 8):
        reports.append(ground.run(confirm_deletions=True))
    assert reports[-1].succeeded
    return reports


@given(roots, st.lists(st.tuples(CUTS, st.sampled_from(Half)), min_size=1, max_size=3), st.data())
@settings(max_examples=60)
def test_where_one_side_changes_alone_it_is_followed_however_often_runs_are_cut_short(start, cuts, data):
    with Ground() as ground:
        grow(ground.local, start)
        ground.run()
        for (moment, late), half in cuts:
            regrow(ground.local, data.draw(perturbed(shown(ground.local))))
            cut(ground, moment, late, half=half)
        wanted = data.draw(perturbed(shown(ground.local)))
        regrow(ground.local, wanted)

        for report in completed(ground):
            assert not report.plan.conflicts
            assert not report.rescued
        assert shown(ground.local) == shown(ground.remote) == wanted
        remembered(ground)
        assert ground.run().actions == []


@given(roots, CUTS, st.sampled_from([Reconcile.SAFE, Reconcile.ADD, Reconcile.MIRROR]), st.data())
@settings(max_examples=60)
def test_what_is_written_on_either_side_after_a_run_was_cut_short_is_never_lost(start, moment, mode, data):
    with Ground() as ground:
        grow(ground.local, start)
        ground.run()
        regrow(ground.local, data.draw(perturbed(shown(ground.local))))
        regrow(ground.remote, data.draw(perturbed(shown(ground.remote))))
        cut(ground, *moment, mode=mode)
        written = set()
        for root in (ground.local, ground.remote):
            for name in data.draw(st.sets(st.sampled_from("abcde"), max_size=3)):
                written.add(value := f"{root.name} wrote {name}")
                grow(root, {name: value})

        completed(ground)
        ground.run(confirm_deletions=True)

        assert shown(ground.local) == shown(ground.remote)
        assert written <= contents(shown(ground.local))
        remembered(ground)
