"""Ends come to agree, and then to rest (laws 1 and 4)."""

from __future__ import annotations

from tallystick.sync.replica import Scope
from tallystick.sync.verification import verify
from tallystick.testing.contract.ends import NUMBERED, PEOPLE, Agreeing, End, Workshop, people, settle, sync


class ConvergenceContract(Agreeing):
    """Ends come to agree, and then to rest (laws 1 and 4)."""

    def test_changes_on_both_sides_meet(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("UPDATE people SET age=31 WHERE id='p1'", "INSERT INTO people VALUES ('p4', 'Dora', NULL, 5)")
        b.execute("UPDATE people SET age=41 WHERE id='p2'", "DELETE FROM people WHERE id='p3'")
        sync(a, b)
        assert people(a) == people(b) == [("p1", "Ann", "1", 31), ("p2", "Bob", "2", 41), ("p4", "Dora", None, 5)]

    def test_three_ends_in_a_ring_come_to_rest(self, workshop: Workshop) -> None:
        ends = [
            workshop.end(name, PEOPLE, f"INSERT INTO people VALUES ('{name}', '{name}', NULL, 1)") for name in "abc"
        ]
        settle(*ends)
        for number, end in enumerate(ends):
            end.execute(
                f"UPDATE people SET age={number} WHERE id='a'", f"INSERT INTO people VALUES ('n{number}', 'x', NULL, 1)"
            )
        settle(*ends)
        assert people(ends[0]) == people(ends[1]) == people(ends[2])
        assert verify(ends[0].replica, ends[2].replica).agree

    def test_a_second_pass_sends_and_writes_nothing(self, pair: tuple[End, End]) -> None:
        a, b = pair
        scope = Scope(("people",))
        before = [end.replica.digest("", scope) for end in pair]
        assert sync(a, b).records == 0
        assert [end.replica.digest("", scope) for end in pair] == before

    def test_a_row_changed_and_changed_back_sends_nothing(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("UPDATE people SET age=99 WHERE id='p1'", "UPDATE people SET age=30 WHERE id='p1'")
        assert sync(a, b).records == 0

    def test_a_renamed_table_keeps_its_records_and_its_name_on_the_wire(self, workshop: Workshop) -> None:
        a = workshop.end("a", *NUMBERED, "INSERT INTO author VALUES (1, 'Ann')", "INSERT INTO book VALUES (1, 1, 'T')")
        b = workshop.end("b", *NUMBERED)
        sync(a, b)
        a.execute(
            "INSERT INTO author VALUES (2, 'before')",
            "ALTER TABLE author RENAME TO writer",
            "INSERT INTO writer VALUES (3, 'after')",
            "UPDATE writer SET name='Anna' WHERE id=1",
        )
        b.execute("INSERT INTO book VALUES (2, 1, 'U')")
        sync(a, b)
        assert b.rows("SELECT name FROM author ORDER BY name") == [("Anna",), ("after",), ("before",)]
        assert a.rows("SELECT name, title FROM writer JOIN book ON author_id=writer.id ORDER BY title") == [
            ("Anna", "T"),
            ("Anna", "U"),
        ]
        assert sync(a, b).records == 0
        assert verify(a.replica, b.replica, deep=True).agree

    def test_what_two_ends_told_a_third_is_not_sent_again(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 1), ('p2', 'Bob', NULL, 2)")
        b, c = workshop.end("b", PEOPLE), workshop.end("c", PEOPLE)
        settle(a, b, c)
        a.execute("UPDATE people SET age=5", "INSERT INTO people VALUES ('p3', 'Cleo', NULL, 3)")
        assert sync(a, b).records == 3
        assert sync(b, c).records == 3
        assert sync(a, c).records == 0
        assert people(a) == people(b) == people(c)

    def test_a_row_changed_five_times_is_one_change(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute(*(f"UPDATE people SET age={age} WHERE id='p1'" for age in range(50, 55)))
        assert sync(a, b).records == 1
        assert people(b) == people(a)

    def test_an_end_without_a_field_passes_it_on(self, workshop: Workshop) -> None:
        narrow = "CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, age INTEGER)"
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', '12', 1), ('p2', 'Bob', '34', 2)")
        b, c = workshop.end("b", narrow), workshop.end("c", PEOPLE)
        sync(a, b)
        sync(b, c)
        assert people(c) == people(a)
        b.execute("UPDATE people SET age=9 WHERE id='p1'")
        settle(a, b, c)
        assert people(a) == people(c) == [("p1", "Ann", "12", 9), ("p2", "Bob", "34", 2)]

    def test_an_end_that_cannot_show_a_record_passes_it_on(self, workshop: Workshop) -> None:
        strict = "CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, phone TEXT, age INTEGER CHECK (age < 100))"
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('old', 'M', NULL, 500), ('young', 'Y', NULL, 5)")
        b, c = workshop.end("b", strict), workshop.end("c", PEOPLE)
        sync(a, b)
        sync(b, c)
        assert people(b) == [("young", "Y", None, 5)]
        assert people(c) == people(a)
