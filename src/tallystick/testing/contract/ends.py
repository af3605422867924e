"""Ends for the contract: a replica and the application's own view of the same data, and what tests do with them."""

from __future__ import annotations

import time
from typing import Any, Protocol

import pytest

from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.sync.agreement import Plan, Report, agree
from tallystick.sync.replica import Replica, Wanted


class End(Protocol):
    """One end with the application's view of it."""

    replica: Replica

    def execute(self, *statements: str) -> None:
        """Run statements of the application and commit."""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows as the application sees them."""


class Workshop(Protocol):
    """Makes ends."""

    def end(self, name: str, *statements: str) -> End:
        """A new end whose database holds what the statements make."""


PEOPLE = "CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, phone TEXT, age INTEGER)"
NUMBERED = (
    "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INTEGER REFERENCES author (id), title TEXT)",
)


def sync(a: End, b: End, **wanted: Any) -> Report:
    """Bring two ends into agreement."""
    return agree(a.replica, b.replica, Plan(**wanted))


def by(resolution: Resolution, **fields: Resolution) -> dict[str, Policy]:
    """A conflict policy for everything."""
    return {"": Policy(conflict=FieldPolicy(resolution, fields))}


def settle(*ends: End, **wanted: Any) -> None:
    """Let every pair synchronize until nothing moves."""
    for _ in range(6):
        moved = sum(sync(a, b, **wanted).records for a in ends for b in ends if a is not b)
        if not moved:
            return
    raise AssertionError("the ends do not come to rest")


def later() -> None:
    """Let the wall clock move on, so that what follows is newer by any clock."""
    time.sleep(0.01)


def people(end: End) -> list[tuple[Any, ...]]:
    """All people, ordered."""
    return end.rows("SELECT id, name, phone, age FROM people ORDER BY id")


def wanted(*names: str) -> Wanted:
    """A wish for tables that are there."""
    return Wanted([], list(names))


class Agreeing:
    """What every part of the contract begins with."""

    @pytest.fixture
    def pair(self, workshop: Workshop) -> tuple[End, End]:
        """Two ends that agree on three people."""
        a = workshop.end(
            "a",
            PEOPLE,
            "INSERT INTO people VALUES ('p1', 'Ann', '1', 30), ('p2', 'Bob', '2', 40), ('p3', 'Cleo', NULL, NULL)",
        )
        b = workshop.end("b", PEOPLE)
        sync(a, b)
        return a, b
