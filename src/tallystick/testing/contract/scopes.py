"""What travels where only a part is wanted: filters, one direction, some methods (DESIGN.md 4.5, 4.6)."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.core.policies import Method, Policy
from tallystick.sync.agreement import Plan, preview
from tallystick.testing.contract.ends import PEOPLE, Agreeing, End, Workshop, people, settle, sync


class ScopeContract(Agreeing):
    """What travels where only a part is wanted: filters, one direction, some methods (DESIGN.md 4.5, 4.6)."""

    def test_only_matching_records_travel_and_leavers_are_kept(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 30), ('p2', 'B', NULL, 5)")
        b = workshop.end("b", PEOPLE)
        where = {"people": "age gt 18"}
        sync(a, b, where=where)
        assert [row[0] for row in people(b)] == ["p1"]
        a.execute("UPDATE people SET age=6 WHERE id='p1'", "UPDATE people SET age=20 WHERE id='p2'")
        sync(a, b, where=where)
        assert [row[0] for row in people(b)] == ["p1", "p2"]
        sync(a, b)
        assert people(b) == people(a)

    def test_leavers_can_be_deleted_at_the_receiver_only(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 30)")
        b = workshop.end("b", PEOPLE)
        wanted = {"where": {"people": "age gt 18"}, "delete_left": True, "direction": "push"}
        sync(a, b, **wanted)
        a.execute("UPDATE people SET age=6 WHERE id='p1'")
        sync(a, b, **wanted)
        assert people(b) == []
        assert len(people(a)) == 1

    def test_the_guard_counts_leavers_like_deletions_and_a_preview_shows_them(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n', NULL, {n + 20})" for n in range(60))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE)
        wanted: dict[str, Any] = {"where": {"people": "age gt 18"}, "delete_left": True, "direction": "push"}
        sync(a, b, **wanted)
        a.execute("UPDATE people SET age=6 WHERE age > 25", "UPDATE people SET name='edited' WHERE id='p1'")
        (found,) = preview(a.replica, b.replica, Plan(**wanted)).values()
        assert found["people"] == {"changes": 1, "deletions": 54, "held": 54}
        for _ in range(2):
            assert list(sync(a, b, **wanted).held.values()) == [54]
            assert len(people(b)) == 60
            assert ("p1", "edited", None, 21) in people(b)
        assert not sync(a, b, **wanted, allowed=54).held
        assert [row[0] for row in people(b)] == ["p0", "p1", "p2", "p3", "p4", "p5"]
        assert len(people(a)) == 60

    def test_the_guard_counts_no_leavers_that_the_receiver_does_not_show(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n', NULL, {n})" for n in range(60))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE)
        wanted = {"where": {"people": "age gt 55"}, "delete_left": True, "direction": "push"}
        sync(a, b, **wanted)
        a.execute("UPDATE people SET name='edited' WHERE age < 56", "UPDATE people SET age=1 WHERE id='p59'")
        assert not sync(a, b, **wanted).held
        assert [row[0] for row in people(b)] == ["p56", "p57", "p58"]
        a.execute("UPDATE people SET name='again' WHERE age < 56")
        assert not sync(a, b, **wanted).held

    @pytest.mark.parametrize("action", ("CASCADE", "SET NULL"))
    def test_a_leaver_that_rows_refer_to_stays_and_takes_nothing_along(self, workshop: Workshop, action: str) -> None:
        schema = (
            "CREATE TABLE author (id TEXT PRIMARY KEY, age INTEGER)",
            "CREATE TABLE book (id TEXT PRIMARY KEY, "
            f"author_id TEXT REFERENCES author (id) ON DELETE {action} ON UPDATE CASCADE)",
        )
        rows = "INSERT INTO author VALUES ('x', 30), ('y', 30)", "INSERT INTO book VALUES ('b', 'x')"
        a, b = workshop.end("a", *schema, *rows), workshop.end("b", *schema)
        wanted = {"where": {"author": "age gt 18"}, "delete_left": True}
        sync(a, b, **wanted)
        a.execute("UPDATE author SET age=6")
        sync(a, b, **wanted)
        sync(a, b, **wanted)
        assert b.rows("SELECT id FROM author") == [("x",)]
        for end in (a, b):
            assert end.rows("SELECT id, author_id FROM book") == [("b", "x")]

    def test_leavers_stay_where_the_strategy_lets_nothing_be_deleted(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 30), ('p2', 'Bob', NULL, 40)")
        b = workshop.end("b", PEOPLE)
        kept: dict[str, Any] = {
            "where": {"people": "age gt 18"},
            "delete_left": True,
            "policies": {"": Policy(frozenset({Method.CREATE, Method.UPDATE}))},
        }
        sync(a, b, **kept)
        a.execute("UPDATE people SET age=6 WHERE id='p1'")
        (_, found) = preview(b.replica, a.replica, Plan(**kept)).values()
        assert found["people"]["deletions"] == 0
        sync(a, b, **kept)
        assert [row[0] for row in people(b)] == ["p1", "p2"]

    @pytest.mark.parametrize("action", ("NO ACTION", "CASCADE", "SET NULL"))
    def test_rows_that_leave_together_go_together(self, workshop: Workshop, action: str) -> None:
        schema = (
            "CREATE TABLE author (id TEXT PRIMARY KEY, age INTEGER, guide TEXT REFERENCES author (id))",
            "CREATE TABLE book (id TEXT PRIMARY KEY, year INTEGER, "
            f"author_id TEXT REFERENCES author (id) ON DELETE {action})",
        )
        rows = (
            "INSERT INTO author VALUES ('x', 30, NULL), ('y', 31, 'x'), ('z', 32, NULL), ('u', 33, 'z')",
            "INSERT INTO book VALUES ('of x', 2001, 'x'), ('of y', 2001, 'y'), ('of u', 2001, 'u')",
        )
        a, b = workshop.end("a", *schema, *rows), workshop.end("b", *schema)
        wanted: dict[str, Any] = {"where": {"author": "age gt 18", "book": "year gt 2000"}, "delete_left": True}
        sync(a, b, **wanted)
        a.execute("UPDATE author SET age=6 WHERE id<>'u'", "UPDATE book SET year=1 WHERE author_id<>'u'")
        (found, _) = preview(a.replica, b.replica, Plan(**wanted)).values()
        assert (found["author"]["deletions"], found["book"]["deletions"]) == (2, 2)
        sync(a, b, **wanted, allowed=2)
        assert b.rows("SELECT id FROM author ORDER BY id") == [("u",), ("z",)]
        assert b.rows("SELECT id FROM book") == [("of u",)]
        assert a.rows("SELECT count(*) FROM book WHERE author_id IS NOT NULL") == [(3,)]
        assert sync(a, b, **wanted).records == 0

    @pytest.mark.parametrize("later", ({}, {"people": "age gt 3"}, {"people": "name eq 'Ann'"}))
    def test_what_left_a_filter_comes_back_when_the_filter_lets_it(
        self, workshop: Workshop, later: dict[str, str]
    ) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 30), ('p2', 'Bob', NULL, 40)")
        b = workshop.end("b", PEOPLE)
        wanted = {"where": {"people": "age gt 18"}, "delete_left": True}
        sync(a, b, **wanted)
        a.execute("UPDATE people SET age=6 WHERE id='p1'")
        sync(a, b, **wanted)
        assert [row[0] for row in people(b)] == ["p2"]
        sync(a, b, where=later)
        assert ("p1", "Ann", None, 6) in people(b)
        b.execute("UPDATE people SET age=7 WHERE id='p1'")
        sync(a, b, where=later)
        assert people(a)[0][3] == 7
        assert sync(a, b, where=later).records == 0

    def test_push_takes_nothing_back(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("UPDATE people SET age=1 WHERE id='p1'")
        b.execute("UPDATE people SET age=2 WHERE id='p2'")
        sync(a, b, direction="push")
        assert [row[3] for row in people(a)] == [1, 40, None]
        assert [row[3] for row in people(b)] == [1, 2, None]

    def test_methods_that_are_not_allowed_are_held_and_passed_on(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'A', NULL, 1), ('p2', 'B', NULL, 2)")
        b, c = workshop.end("b", PEOPLE), workshop.end("c", PEOPLE)
        settle(a, b, c)
        a.execute("DELETE FROM people WHERE id='p1'")
        sync(a, b, policies={"": Policy(frozenset({Method.CREATE, Method.UPDATE}))})
        assert len(people(b)) == 2
        sync(b, c)
        assert [row[0] for row in people(c)] == ["p2"]
