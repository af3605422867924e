"""A table that applications write in many tests, and the question that follows."""

from __future__ import annotations

from tallystick.sync.verification import verify

ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT UNIQUE, note TEXT)"


def agree_deeply(*ends):
    for other in ends[1:]:
        verdict = verify(ends[0].replica, other.replica, deep=True)
        assert verdict.agree, verdict
