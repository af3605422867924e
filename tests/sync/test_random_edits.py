"""Whatever applications do to odd tables, with synchronizations in between: what must hold afterwards holds."""

from __future__ import annotations

import random
import sqlite3
from itertools import combinations, count

import pytest
from postgresql_ends import workshop_of
from random_edits import NAMED, SHARED_KEYS, TOKEN, Editor, odd_schema

from tallystick.core.policies import Resolution
from tallystick.sync.verification import verify
from tallystick.testing.contract import by, settle, sync

POLICIES = (*[Resolution.NEWER] * 3, Resolution.MERGE, Resolution.MASTER, Resolution.KEEP_BOTH)
OF_TWO = (*POLICIES, Resolution.THIS)
"""THIS is an end: it means the same to everybody only where there are two."""
ENFORCED = ("ON", "ON", "ON", "OFF")
ROUNDS = 5


def is_sqlite(end):
    return isinstance(end.connection, sqlite3.Connection)


class History:
    """Sites of one random schema, and what happened to them."""

    def __init__(self, seed, workshop, sites):
        self.chance = random.Random(seed)
        self.enforced = self.chance.choice(ENFORCED)
        self.wanted = {
            "policies": by(self.chance.choice(OF_TWO if len(sites) == 2 else POLICIES)),
            "allowed": -1,
            "identity": "same",
        }
        numbers, state = count(1), self.chance.getstate()
        self.ends = []
        for name, kind in zip(sites, workshop.kinds_of(len(sites)), strict=True):
            self.chance.setstate(state)  # one schema, in the words of each database
            schema = odd_schema(self.chance, kind)
            pragma = [f"PRAGMA foreign_keys={self.enforced}"] * (kind == "sqlite")
            self.ends.append(workshop.end(name, *schema, *pragma))
        self.editors = [Editor(self.chance, end.connection, numbers) for end in self.ends]

    def happen(self):
        if self.chance.random() < 0.5:
            self.meet()
        for _ in range(ROUNDS):
            for editor in self.editors:
                for _ in range(self.chance.randint(0, 5)):
                    editor.edit()
            if self.chance.random() < 0.6:
                self.meet()
        settle(*self.ends, **self.wanted)

    def meet(self):
        """Any two of the sites synchronize."""
        sync(*sorted(self.chance.sample(self.ends, 2), key=self.ends.index), **self.wanted)

    def lost(self):
        """What was written, not overwritten by anybody, and is nowhere."""
        kept = set().union(*(editor.shown() for editor in self.editors))
        for end in self.ends:
            own = "tally_" if is_sqlite(end) else "tally."
            for where in (f"whole FROM {own}sibling", f"version FROM {own}conflict", f"extra FROM {own}record"):
                kept.update(token for (raw,) in end.rows(f"SELECT {where}") for token in TOKEN.findall(raw or b""))
        written = set().union(*(editor.written for editor in self.editors))
        return written - kept - set().union(*(editor.overwritten for editor in self.editors))

    def check(self, a, b):
        """Nothing more to say, the same knowledge, rows as the ledgers have them; but for rows without a name."""
        done = sync(a, b, **self.wanted)
        assert done.records == 0
        verdict = verify(a.replica, b.replica, deep=True)
        found = [problem for by_wire in verdict.corrupt.values() for listed in by_wire.values() for problem in listed]
        unnamed = {key for key, problem in found if problem == "unnamed"}
        expected = ["unnamed"] * self.shared_keys(verdict.resources, a, b)
        assert [problem for _, problem in found] == expected, verdict
        for item in verdict.differences:
            assert not item.knowledge or {*item.only_a, *item.only_b, *item.both} <= unnamed, verdict
        assert done.parked or not verdict.differences, verdict

    def shared_keys(self, resources, *ends):
        """How many keys several rows of one end have; a table that had such rows from the beginning is left out."""
        shared = [keys for keys in SHARED_KEYS if keys.split()[0] in resources]
        return sum(len(end.rows(f"SELECT 1 FROM {keys} HAVING count(*)>1")) for end in ends for keys in shared)


@pytest.mark.parametrize(
    ("sites", "seed"),
    [("ab", seed) for seed in (*range(8), 51, 93, 104)] + [("abc", seed) for seed in (1, 3, 1077, 1097)],
)
def test_what_applications_do_is_agreed_on_and_nothing_is_lost(sqlite_workshop, sites, seed):
    _played(History(seed, sqlite_workshop, sites))


@pytest.mark.parametrize("kinds", ("postgresql postgresql", "postgresql sqlite", "sqlite postgresql sqlite"))
@pytest.mark.parametrize("seed", range(4))
def test_the_same_holds_on_postgresql_and_between_the_engines(kinds, seed, postgresql_pool, tmp_path):
    take, give = postgresql_pool
    taken = []

    def database():
        taken.append(take())
        return taken[-1]

    for workshop in workshop_of(database, tmp_path, *kinds.split()):
        _played(History(seed, workshop, "abc"[: len(kinds.split())]))
    for url in taken:
        give(url)


def _played(history):
    history.happen()
    for a, b in combinations(history.ends, 2):
        history.check(a, b)
    for end in filter(is_sqlite, history.ends):
        assert history.enforced == "OFF" or end.rows("PRAGMA foreign_key_check") == []
        assert end.rows("SELECT * FROM tally_mark") == []
    assert history.lost() == set()


def test_random_edits_come_through_to_every_table(sqlite_workshop):
    chance = random.Random(1)
    end = sqlite_workshop.end("a", *odd_schema(chance))
    editor = Editor(chance, end.connection, count(1))
    for _ in range(400):
        editor.edit()
    assert len(editor.written) > 100
    assert len(editor.overwritten) > 50
    assert [table for table in NAMED if not end.rows(f"SELECT 1 FROM {table}")] == []
