"""Deletions: what stays deleted, what comes back, what is held back (laws 2 and 3, DESIGN.md 4.3, 4.8)."""

from __future__ import annotations

import pytest

from tallystick.core.policies import Method, Policy
from tallystick.errors import GuardStopped
from tallystick.sync.verification import verify
from tallystick.testing.contract.ends import PEOPLE, Agreeing, End, Workshop, later, people, settle, sync


class DeletionContract(Agreeing):
    """Deletions: what stays deleted, what comes back, what is held back (laws 2 and 3, DESIGN.md 4.3, 4.8)."""

    def test_an_edit_that_never_saw_a_deletion_brings_the_record_back(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("DELETE FROM people WHERE id='p1'")
        later()
        b.execute("UPDATE people SET name='still here' WHERE id='p1'")
        done = sync(a, b)
        settle(a, b)
        assert done.total().conflicts >= 1
        assert people(a) == people(b)
        assert ("p1", "still here", "1", 30) in people(a)

    def test_a_deleted_record_does_not_come_back(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 1), ('p2', 'B', NULL, 2)")
        b, c = workshop.end("b", PEOPLE), workshop.end("c", PEOPLE)
        settle(a, b, c)
        a.execute("DELETE FROM people WHERE id='p1'")
        sync(a, b)
        sync(b, c)
        sync(c, a)
        assert [row[0] for end in (a, b, c) for row in people(end)] == ["p2", "p2", "p2"]

    def test_a_deletion_spares_rows_that_its_maker_had_not_seen(self, workshop: Workshop) -> None:
        schema = (
            "CREATE TABLE author (id TEXT PRIMARY KEY, name TEXT)",
            "CREATE TABLE book "
            "(id TEXT PRIMARY KEY, author_id TEXT REFERENCES author (id) ON DELETE CASCADE, title TEXT)",
        )
        a = workshop.end("a", *schema, "INSERT INTO author VALUES ('x', 'X')")
        b = workshop.end("b", *schema)
        sync(a, b)
        b.execute("INSERT INTO book VALUES ('unseen', 'x', 'T')")
        a.execute("DELETE FROM author WHERE id='x'")
        done = sync(a, b)
        settle(a, b)
        assert done.total().conflicts >= 1
        for end in (a, b):
            assert end.rows("SELECT id, author_id FROM book") == [("unseen", "x")]
            assert end.rows("SELECT id FROM author") == [("x",)]

    @pytest.mark.parametrize("action", ("", " ON DELETE CASCADE", " ON DELETE SET NULL"))
    @pytest.mark.parametrize("kind", ("INTEGER", "TEXT"))
    def test_a_tree_of_rows_is_deleted_whole(self, workshop: Workshop, kind: str, action: str) -> None:
        a, b = self._trees(workshop, f"id {kind} PRIMARY KEY, up {kind} REFERENCES node (id){action}, name TEXT")
        a.execute("DELETE FROM node WHERE name LIKE 'n%'")
        settle(a, b, allowed=-1)
        assert a.rows("SELECT name FROM node") == b.rows("SELECT name FROM node") == [("other",)]

    def test_a_tree_of_rows_with_two_columns_in_their_key_is_deleted_whole(self, workshop: Workshop) -> None:
        columns = "id INTEGER, part INTEGER DEFAULT 1, up INTEGER, name TEXT"
        keys = "PRIMARY KEY (id, part), FOREIGN KEY (up, part) REFERENCES node (id, part)"
        a, b = self._trees(workshop, f"{columns}, {keys}")
        a.execute("DELETE FROM node WHERE name LIKE 'n%'")
        settle(a, b, allowed=-1)
        assert a.rows("SELECT name FROM node") == b.rows("SELECT name FROM node") == [("other",)]

    def test_of_a_tree_that_is_deleted_the_way_to_an_unseen_row_stays(self, workshop: Workshop) -> None:
        a, b = self._trees(workshop, "id INTEGER PRIMARY KEY, up INTEGER REFERENCES node (id), name TEXT")
        b.execute("INSERT INTO node SELECT 99, id, 'unseen' FROM node WHERE name='n5'")
        a.execute("DELETE FROM node WHERE name LIKE 'n%'")
        settle(a, b, allowed=-1)
        for end in (a, b):
            named = [name for (name,) in end.rows("SELECT name FROM node ORDER BY name")]
            assert named == ["n1", "n2", "n5", "other", "unseen"]

    def _trees(self, workshop: Workshop, definition: str) -> tuple[End, End]:
        """Two ends that hold a tree of seven rows, and a row beside it."""
        a, b = (workshop.end(name, f"CREATE TABLE node ({definition})") for name in ("a", "b"))
        for number in range(1, 8):
            up = number // 2 or "NULL"
            a.execute(f"INSERT INTO node (id, up, name) VALUES ({number}, {up}, 'n{number}')")
        a.execute("INSERT INTO node (id, name) VALUES (8, 'other')")
        sync(a, b)
        return a, b

    @pytest.mark.parametrize(
        ("parent", "child", "row", "unseen"),
        (
            (
                "CREATE TABLE owner (id TEXT PRIMARY KEY, code TEXT NOT NULL UNIQUE)",
                "CREATE TABLE pet (id TEXT PRIMARY KEY, code TEXT REFERENCES owner (code) ON DELETE CASCADE)",
                "INSERT INTO owner VALUES ('x', 'c')",
                "INSERT INTO pet VALUES ('p', 'c')",
            ),
            (
                "CREATE TABLE owner (a TEXT, b TEXT, PRIMARY KEY (a, b))",
                "CREATE TABLE pet (id TEXT PRIMARY KEY, a TEXT, b TEXT, "
                "FOREIGN KEY (a, b) REFERENCES owner (a, b) ON DELETE CASCADE)",
                "INSERT INTO owner VALUES ('x', 'y')",
                "INSERT INTO pet VALUES ('p', 'x', 'y')",
            ),
            (
                "CREATE TABLE owner (a TEXT, b TEXT, c TEXT NOT NULL, d TEXT NOT NULL, PRIMARY KEY (a, b), "
                "UNIQUE (c, d))",
                "CREATE TABLE pet (id TEXT PRIMARY KEY, c TEXT, d TEXT, "
                "FOREIGN KEY (c, d) REFERENCES owner (c, d) ON DELETE CASCADE)",
                "INSERT INTO owner VALUES ('x', 'y', 'z', 'w')",
                "INSERT INTO pet VALUES ('p', 'z', 'w')",
            ),
        ),
        ids=("unique-column", "composite-key", "composite-unique"),
    )
    def test_a_deletion_spares_unseen_rows_whatever_they_refer_by(
        self, workshop: Workshop, parent: str, child: str, row: str, unseen: str
    ) -> None:
        a, b = workshop.end("a", parent, child, row), workshop.end("b", parent, child)
        sync(a, b)
        b.execute(unseen)
        a.execute("DELETE FROM owner")
        assert sync(a, b).total().conflicts >= 1
        settle(a, b)
        for end in (a, b):
            assert end.rows("SELECT count(*) FROM owner") == [(1,)]
            assert end.rows("SELECT id FROM pet") == [("p",)]
        assert verify(a.replica, b.replica, deep=True).agree

    def test_deleting_most_of_a_resource_is_held_back(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n', NULL, {n})" for n in range(60))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE)
        sync(a, b)
        a.execute("DELETE FROM people WHERE age > 5", "UPDATE people SET name='edited' WHERE id='p1'")
        done = sync(a, b)
        assert sum(done.held.values()) == 54
        assert len(people(b)) == 60
        assert ("p1", "edited", None, 1) in people(b)
        sync(a, b, allowed=54)
        assert people(b) == people(a)

    @pytest.mark.parametrize("methods", ({Method.CREATE}, {Method.CREATE, Method.UPDATE}), ids=("create", "no-delete"))
    def test_the_guard_counts_no_deletions_that_the_strategy_declines(
        self, workshop: Workshop, methods: set[Method]
    ) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n', NULL, {n})" for n in range(60))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE)
        sync(a, b)
        a.execute("DELETE FROM people WHERE age > 5")
        assert not sync(a, b, policies={"": Policy(frozenset(methods))}).held
        assert len(people(b)) == 60

    @pytest.mark.parametrize(
        ("records", "deleted", "held"), ((1, 1, 0), (2, 2, 2), (60, 20, 0), (60, 21, 21), (80, 24, 0))
    )
    def test_the_guard_holds_more_than_twenty_and_three_in_ten_or_everything(
        self, workshop: Workshop, records: int, deleted: int, held: int
    ) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n', NULL, {n})" for n in range(records))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE)
        sync(a, b)
        a.execute(f"DELETE FROM people WHERE age < {deleted}")
        assert sum(sync(a, b).held.values()) == held
        assert len(people(b)) == records - (deleted - held)

    def test_the_guard_adds_up_what_small_runs_delete(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n', NULL, {n})" for n in range(60))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE)
        sync(a, b)
        a.execute("DELETE FROM people WHERE age < 15")
        assert not sync(a, b).held
        a.execute("DELETE FROM people WHERE age < 25")
        assert sum(sync(a, b).held.values()) == 10
        assert len(people(b)) == 45

    def test_the_guard_stops_a_run_that_would_overrule_most_edits(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n', NULL, {n})" for n in range(60))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE)
        sync(a, b)
        b.execute("UPDATE people SET name='B'")
        later()
        a.execute("UPDATE people SET name='A'")
        with pytest.raises(GuardStopped, match="60 of 60"):
            sync(a, b)
        assert {row[1] for row in people(b)} == {"B"}
        sync(a, b, allowed=60)
        assert {row[1] for row in people(b)} == {"A"}
