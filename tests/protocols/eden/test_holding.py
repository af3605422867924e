"""Guards of the active side: what would take away too much is held, and everything else goes on."""

from dataclasses import replace

import pytest

from tallystick.core.policies import FieldPolicy, Resolution
from tallystick.errors import GuardStopped
from tallystick.protocols.eden.store import Target
from tallystick.sync.guards import Guard

STORES = ("memory", "sqlite", "postgresql")
ORG, OFFICE = "org_organisation", "org_office"
UUIDS = [f"urn:uuid:11111111-0000-4000-8000-{number:012d}" for number in range(40)]
OFFICES = [f"urn:uuid:22222222-0000-4000-8000-{number:012d}" for number in range(40)]
ALL = Guard(allowed=-1)


@pytest.fixture
def agreed(network, here, there):
    """``here`` has pulled 40 organisations with an office each from ``there``."""
    for number, uuid in enumerate(UUIDS):
        there.put(uuid, f"One {number}")
        there.put(OFFICES[number], f"HQ {number}", OFFICE, organisation_id=Target(ORG, uuid))
    here.connect(there)
    here.sync(there)
    network.pass_time(here, there)
    return here, there


def transfer(here, there, direction, guard=None):
    active = here.active(there)
    active.guard = guard or active.guard
    done = getattr(active, direction)(here.task(there))
    assert done.error is None, done.error
    return done


def ends(here, there, direction):
    """Source and target of a direction, seen from ``here``."""
    return (there, here) if direction == "pull" else (here, there)


@pytest.mark.parametrize("direction", ("pull", "push"))
def test_many_deletions_are_held_and_everything_else_goes_on(network, agreed, direction):
    here, there = agreed
    source, target = ends(here, there, direction)
    for uuid in UUIDS[:30]:
        source.remove(uuid)
    source.edit(UUIDS[39], name="Edited")
    done = transfer(here, there, direction)
    assert done.held[ORG] == 30
    assert len(target.names()) == 40
    assert "Edited" in target.names()
    assert any("the guard held back 30 deletions of org_organisation" in (one.message or "") for one in entries(here))
    network.pass_time(here, there)
    assert transfer(here, there, direction).held[ORG] == 30  # they do not get lost
    done = transfer(here, there, direction, ALL)
    assert (done.held, len(target.names())) == ({}, 10)
    assert transfer(here, there, direction).held == {}


@pytest.mark.parametrize("direction", ("pull", "push"))
def test_few_deletions_pass(agreed, direction):
    here, there = agreed
    source, target = ends(here, there, direction)
    for uuid in UUIDS[:3]:
        source.remove(uuid)
    assert transfer(here, there, direction).held == {}
    assert len(target.names()) == 37


@pytest.mark.parametrize("direction", ("pull", "push"))
def test_deletions_of_components_are_counted_by_themselves(network, agreed, direction):
    here, there = agreed
    source, target = ends(here, there, direction)
    for uuid in OFFICES[:30]:
        source.remove(uuid, OFFICE)
    assert transfer(here, there, direction).held == {OFFICE: 30}
    assert len(target.names(OFFICE)) == 40
    network.pass_time(here, there)
    assert transfer(here, there, direction, ALL).held == {}
    assert len(target.names(OFFICE)) == 10


def test_an_allowance_lets_so_many_pass_and_no_more(agreed):
    here, there = agreed
    for uuid in UUIDS[:30]:
        there.remove(uuid)
    assert transfer(here, there, "pull", Guard(allowed=29)).held[ORG] == 30
    assert transfer(here, there, "pull", Guard(allowed=30)).held == {}


def test_many_small_passes_count_together(kind_of_store, network, agreed):
    if kind_of_store == "memory":
        pytest.skip("a store in memory looks back on nothing")
    here, there = agreed
    held = []
    for start in range(0, 40, 8):
        for uuid in UUIDS[start : start + 8]:
            there.remove(uuid)
        held.append(bool(transfer(here, there, "pull").held))
        network.pass_time(here, there)
    assert held == [False, False, True, True, True]
    assert len(here.names()) == 24


@pytest.mark.parametrize("plain", (True, False))
def test_local_edits_do_not_lose_all_at_once(network, agreed, plain):
    network.wire.plain = plain
    here, there = agreed
    for uuid in UUIDS:
        here.edit(uuid, name=f"Mine {uuid[-2:]}")
    network.pass_time(here, there)
    for uuid in UUIDS:
        there.edit(uuid, name=f"Theirs {uuid[-2:]}")
    active, task = here.active(there), replace(here.task(there), conflict=Resolution.NEWER)
    stopped = active.pull(task)
    assert isinstance(stopped.error, GuardStopped)
    assert "40 of 40" in str(stopped.error)
    assert all(name.startswith("Mine") for name in here.names())
    active.guard = ALL
    assert active.pull(task).error is None
    assert all(name.startswith("Theirs") for name in here.names())


@pytest.mark.parametrize("mine", (FieldPolicy(Resolution.THIS), FieldPolicy(Resolution.NEWER)))
def test_a_conflict_that_ours_wins_loses_nothing(network, agreed, mine):
    here, there = agreed
    for uuid in UUIDS:
        there.edit(uuid, name=f"Theirs {uuid[-2:]}")
    network.pass_time(here, there)
    for uuid in UUIDS:
        here.edit(uuid, name=f"Mine {uuid[-2:]}")
    done = here.active(there).pull(replace(here.task(there), update=mine, conflict=mine.default))
    assert done.error is None
    assert all(name.startswith("Mine") for name in here.names())


def entries(site):
    return site.store.entries
