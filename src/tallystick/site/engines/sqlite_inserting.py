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
_VALUES = re.compile(r"VALUES (\([^()]*\))")


def insert_many(connection: sqlite3.Connection, sql: str, rows: Iterable[Sequence[Any]]) -> None:
    """What ``executemany`` does with an INSERT of one ``VALUES (...)``, one that is refused refuses its neighbours.

    Use it inside a transaction that is rolled back then.
    """
    waiting = rows if isinstance(rows, list) else list(rows)
    whole = len(waiting) - len(waiting) % TOGETHER
    if whole:
        many = _of_many(sql)
        for start in range(0, whole, TOGETHER):
            connection.execute(many, list(chain.from_iterable(waiting[start : start + TOGETHER])))
    connection.executemany(sql, waiting[whole:])


@lru_cache(64)
def _of_many(sql: str) -> str:
    """The statement that inserts TOGETHER rows."""
    made, count = _VALUES.subn(lambda found: "VALUES " + ", ".join([found[1]] * TOGETHER), sql)
    assert count == 1, sql
    return made
