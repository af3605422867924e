"""Served places for the tests of the native protocol."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from places import Place

MakePlace = Callable[..., Place]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[MakePlace]:
    """Makes places; all are closed afterwards."""
    made: list[Place] = []

    def make(name: str, *statements: str) -> Place:
        made.append(Place(tmp_path / f"{name}.db", statements))
        return made[-1]

    yield make
    for one in made:
        one.close()
