"""Many rows in few statements: SQLite gives Python's lock away and takes it back with every statement it runs.

Beside other threads each of these exchanges may take milliseconds, and even alone they cost as much as the row.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

TOGETHER = 100
"""Rows in one statement."""
_BOUND = 30_000
"""Values that one statement may hold: SQLite takes 32,766 unless it was built to take more."""
_VALUES = re.compile(r"VALUES (\([^()]*\))")


def insert_many(connection: sqlite3.Connection, sql: str, rows: Iterable[Sequence[Any]]) -> None:
    """What ``executemany`` does with an INSERT of one ``VALUES (...)``, one that is refused refuses its neighbours.

    Use it inside a transaction that is rolled back then.
    """
    waiting = rows if isinstance(rows, list) else list(rows)
    whole = len(waiting) - len(waiting) % TOGETHER
    many = _of_many(sql) if whole and TOGETHER * len(waiting[0]) <= _BOUND else None
    if many is not None:
        for start in range(0, whole, TOGETHER):
            connection.execute(many, list(chain.from_iterable(waiting[start : start + TOGETHER])))
        waiting = waiting[whole:]
    connection.executemany(sql, waiting)


@lru_cache(64)
def _of_many(sql: str) -> str | None:
    """The statement that inserts TOGETHER rows; None where a name in it looks like the values."""
    made, count = _VALUES.subn(lambda found: "VALUES " + ", ".join([found[1]] * TOGETHER), sql)
    return made if count == 1 else None
