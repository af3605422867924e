"""Unique values that rows exchange, and those that are taken (DESIGN.md 4.3)."""

from __future__ import annotations

from tallystick.sync.verification import verify
from tallystick.testing.contract.ends import Agreeing, Workshop, settle, sync


class UniquenessContract(Agreeing):
    """Unique values that rows exchange, and those that are taken (DESIGN.md 4.3)."""

    def test_two_rows_can_swap_a_unique_value(self, workshop: Workshop) -> None:
        schema = "CREATE TABLE seat (id TEXT PRIMARY KEY, place INTEGER NOT NULL UNIQUE)"
        a = workshop.end("a", schema, "INSERT INTO seat VALUES ('x', 1), ('y', 2)")
        b = workshop.end("b", schema)
        sync(a, b)
        a.execute(
            "UPDATE seat SET place=9 WHERE id='x'",
            "UPDATE seat SET place=1 WHERE id='y'",
            "UPDATE seat SET place=2 WHERE id='x'",
        )
        assert sync(a, b).parked == 0
        assert b.rows("SELECT id, place FROM seat ORDER BY id") == [("x", 2), ("y", 1)]

    def test_new_rows_whose_unique_values_are_taken_stay_parked(self, workshop: Workshop) -> None:
        schema = "CREATE TABLE seat (id TEXT PRIMARY KEY, place INTEGER NOT NULL UNIQUE)"
        a = workshop.end("a", schema, "INSERT INTO seat VALUES ('x', 1), ('y', 2)")
        b = workshop.end("b", schema, "INSERT INTO seat VALUES ('p', 1), ('q', 2)")
        assert [sync(a, b).parked for _ in range(3)] == [4, 4, 4]
        assert a.rows("SELECT id FROM seat ORDER BY id") == [("x",), ("y",)]
        assert b.rows("SELECT id FROM seat ORDER BY id") == [("p",), ("q",)]
        b.execute("UPDATE seat SET place=place+10")
        settle(a, b)
        assert len(a.rows("SELECT id FROM seat")) == 4
        assert verify(a.replica, b.replica, deep=True).agree

    def test_a_row_that_cannot_swap_does_not_stop_others_from_it(self, workshop: Workshop) -> None:
        schema = "CREATE TABLE seat (id TEXT PRIMARY KEY, place INTEGER NOT NULL UNIQUE)"
        a = workshop.end("a", schema, "INSERT INTO seat VALUES ('x', 1), ('y', 2), ('z', 3)")
        b = workshop.end("b", schema)
        sync(a, b)
        b.execute("INSERT INTO seat VALUES ('own', 4)")
        a.execute(
            "UPDATE seat SET place=9 WHERE id='x'",
            "UPDATE seat SET place=1 WHERE id='y'",
            "UPDATE seat SET place=2 WHERE id='x'",
            "UPDATE seat SET place=4 WHERE id='z'",
        )
        sync(a, b)
        assert b.rows("SELECT id, place FROM seat ORDER BY id") == [("own", 4), ("x", 2), ("y", 1), ("z", 3)]
