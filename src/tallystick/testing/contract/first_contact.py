"""How two ends meet for the first time: tables, copies, doubts (DESIGN.md 4.4, 4.7)."""

from __future__ import annotations

import pytest

from tallystick.core.policies import Resolution
from tallystick.errors import IdentityDoubt
from tallystick.sync.verification import verify
from tallystick.testing.contract.ends import NUMBERED, PEOPLE, Agreeing, End, Workshop, by, people, settle, sync, wanted


class FirstContactContract(Agreeing):
    """How two ends meet for the first time: tables, copies, doubts (DESIGN.md 4.4, 4.7)."""

    def test_everything_reaches_an_empty_end(self, pair: tuple[End, End]) -> None:
        a, b = pair
        assert people(b) == people(a)
        assert verify(a.replica, b.replica, deep=True).agree

    def test_a_missing_table_is_created(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 1)")
        b = workshop.end("b")
        sync(a, b)
        assert people(b) == people(a)

    def test_a_created_table_has_its_columns_in_the_declared_order(self, workshop: Workshop) -> None:
        a = workshop.end(
            "a", "CREATE TABLE z (zip TEXT, id TEXT PRIMARY KEY, alpha TEXT)", "INSERT INTO z VALUES ('1', 'k', 'b')"
        )
        b = workshop.end("b")
        sync(a, b)
        assert b.rows("SELECT * FROM z") == [("1", "k", "b")]

    def test_equal_copies_agree_with_nothing_sent(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n{n}', NULL, {n})" for n in range(200))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE, rows)
        done = sync(a, b)
        assert done.records == 0
        assert done.total().conflicts == 0
        assert verify(a.replica, b.replica).agree

    def test_copies_that_differ_little_send_only_the_difference(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n{n}', NULL, {n})" for n in range(500))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE, rows)
        a.execute("UPDATE people SET name='changed' WHERE id='p7'", "DELETE FROM people WHERE id='p9'")
        done = sync(a, b)
        assert done.records <= 6
        settle(a, b)
        assert verify(a.replica, b.replica).agree

    def test_unrelated_rows_under_one_integer_stop_the_run(self, workshop: Workshop) -> None:
        ends = []
        for name in ("a", "b"):
            rows = ", ".join(f"({n}, '{name} {n}')" for n in range(1, 41))
            ends.append(workshop.end(name, NUMBERED[0], f"INSERT INTO author VALUES {rows}"))
        before = [end.rows("SELECT * FROM author ORDER BY id") for end in ends]
        with pytest.raises(IdentityDoubt) as stopped:
            sync(*ends)
        assert stopped.value.exit_code == 4
        assert [end.rows("SELECT * FROM author ORDER BY id") for end in ends] == before

    def test_unrelated_rows_can_be_kept_apart(self, workshop: Workshop) -> None:
        ends = []
        for name in ("a", "b"):
            rows = ", ".join(f"({n}, '{name} {n}')" for n in range(1, 41))
            books = ", ".join(f"({n}, {n}, '{name} book {n}')" for n in range(1, 41))
            ends.append(
                workshop.end(name, *NUMBERED, f"INSERT INTO author VALUES {rows}", f"INSERT INTO book VALUES {books}")
            )
        sync(*ends, identity="separate")
        for end in ends:
            assert end.rows("SELECT count(*) FROM author") == [(80,)]
            joined = "SELECT count(*) FROM book JOIN author ON author.id=book.author_id "
            assert end.rows(joined + "WHERE title=replace(name, ' ', ' book ')") == [(80,)]

    def test_rows_can_be_matched_by_a_natural_column(self, workshop: Workshop) -> None:
        a = workshop.end("a", NUMBERED[0], "INSERT INTO author VALUES (1, 'Ann'), (2, 'Bob')")
        b = workshop.end("b", NUMBERED[0], "INSERT INTO author VALUES (1, 'Bob'), (2, 'Cleo')")
        sync(a, b, identity="natural:name")
        for end in (a, b):
            assert sorted(end.rows("SELECT name FROM author")) == [("Ann",), ("Bob",), ("Cleo",)]

    def test_an_edit_after_equal_copies_met_is_no_conflict(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES ('p1', 'Ann', NULL, 1), ('p2', 'Bob', NULL, 2)"
        a, b, c = (workshop.end(name, PEOPLE, rows) for name in "abc")
        settle(a, b, c)
        b.execute("UPDATE people SET age=7 WHERE id='p1'")
        assert [sync(*ends).total().conflicts for ends in ((a, b), (b, c), (c, a))] == [0, 0, 0]
        assert people(a) == people(b) == people(c)
        assert people(a)[0] == ("p1", "Ann", None, 7)

    def test_equal_integers_are_one_record_when_told_so(self, workshop: Workshop) -> None:
        ends = []
        for name in ("a", "b"):
            rows = ", ".join(f"({n}, '{name} {n}')" for n in range(1, 41))
            ends.append(workshop.end(name, NUMBERED[0], f"INSERT INTO author VALUES {rows}"))
        sync(*ends, identity="same", allowed=-1)
        settle(*ends)
        shown = [end.rows("SELECT id, name FROM author ORDER BY id") for end in ends]
        assert shown[0] == shown[1]
        assert len(shown[0]) == 40

    def test_rows_that_may_be_two_things_are_never_mixed(self, workshop: Workshop) -> None:
        schema = "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT, born INTEGER)"
        same = ", ".join(f"({n}, 'n{n}', {n})" for n in range(2, 101))
        a = workshop.end("a", schema, f"INSERT INTO author VALUES (1, 'Ann', 1900), {same}")
        b = workshop.end("b", schema, f"INSERT INTO author VALUES (1, 'Bob', 1950), {same}")
        sync(a, b, policies=by(Resolution.MERGE))
        settle(a, b, policies=by(Resolution.MERGE))
        shown = [end.rows("SELECT name, born FROM author WHERE id=1") for end in (a, b)]
        assert shown[0] == shown[1]
        assert shown[0][0] in (("Ann", 1900), ("Bob", 1950))

    def test_a_table_takes_in_those_that_it_refers_to(self, workshop: Workshop) -> None:
        a = workshop.end("a", *NUMBERED, "INSERT INTO author VALUES (1, 'Ann')", "INSERT INTO book VALUES (1, 1, 'T')")
        b = workshop.end("b")
        sync(a, b, only=("book",))
        assert b.rows("SELECT name, title FROM book JOIN author ON author.id=author_id") == [("Ann", "T")]

    def test_a_plain_copy_of_rows_made_since_tracking_began_holds_the_same_records(self, workshop: Workshop) -> None:
        a = workshop.end("a", *NUMBERED, "INSERT INTO author VALUES (1, 'old')")
        b = workshop.end("b", *NUMBERED)
        sync(a, b)
        a.execute("INSERT INTO author VALUES (2, 'new'), (3, 'newer')", "INSERT INTO book VALUES (1, 2, 'by new')")
        settle(a, b)
        c = workshop.end(
            "c",
            *NUMBERED,
            "INSERT INTO author VALUES (1, 'old'), (2, 'new'), (3, 'newer'), (4, 'own')",
            "INSERT INTO book VALUES (1, 2, 'by new'), (2, 4, 'by own')",
        )
        c.replica.prepare(wanted("author", "book"))
        c.execute("DELETE FROM author WHERE id=3", "UPDATE author SET name='old, edited' WHERE id=1")
        assert sync(a, c).total().conflicts == 0
        settle(a, b, c)
        for end in (a, b, c):
            assert end.rows("SELECT name FROM author ORDER BY id") == [("old, edited",), ("new",), ("newer",), ("own",)]
            named = "SELECT title, name FROM book JOIN author ON author.id=author_id ORDER BY title"
            assert end.rows(named) == [("by new", "new"), ("by own", "own")]
        assert verify(a.replica, c.replica, deep=True).agree

    def test_a_row_of_a_plain_copy_that_was_edited_before_the_first_contact_is_not_doubled(
        self, workshop: Workshop
    ) -> None:
        rows = ", ".join(f"({n}, 'n{n}')" for n in range(1, 31))
        a, b = workshop.end("a", NUMBERED[0]), workshop.end("b", NUMBERED[0])
        sync(a, b)
        a.execute(f"INSERT INTO author VALUES {rows}")
        settle(a, b)
        c = workshop.end("c", NUMBERED[0], f"INSERT INTO author VALUES {rows}, (31, 'own of c')")
        a.execute("INSERT INTO author VALUES (31, 'own of a')", "UPDATE author SET name='edited at a' WHERE id=5")
        c.execute("UPDATE author SET name='edited at c' WHERE id=4", "UPDATE author SET name='too' WHERE id=5")
        done = sync(a, c)
        assert done.total().conflicts >= 2
        settle(a, b, c)
        names = "SELECT name FROM author WHERE name NOT LIKE 'n%' ORDER BY name"
        for end in (a, b, c):
            assert end.rows("SELECT count(*) FROM author") == [(32,)]
            assert {("own of a",), ("own of c",)} <= set(end.rows(names))
        assert a.rows(names) == b.rows(names) == c.rows(names)
        assert verify(a.replica, c.replica, deep=True).agree

    def test_equal_integers_of_a_plain_copy_are_one_record_when_told_so(self, workshop: Workshop) -> None:
        a, b = workshop.end("a", NUMBERED[0]), workshop.end("b", NUMBERED[0])
        sync(a, b)
        a.execute("INSERT INTO author VALUES (1, 'Ann'), (2, 'Bob')")
        c = workshop.end("c", NUMBERED[0], "INSERT INTO author VALUES (1, 'Anna'), (2, 'Rob')")
        sync(a, c, identity="same", allowed=-1)
        settle(a, c)
        assert (
            a.rows("SELECT id FROM author ORDER BY id") == c.rows("SELECT id FROM author ORDER BY id") == [(1,), (2,)]
        )

    def test_a_plain_copy_that_has_agreed_with_others_stops_the_run_instead_of_doubling(
        self, workshop: Workshop
    ) -> None:
        rows = ", ".join(f"({n}, 'n{n}')" for n in range(1, 31))
        a, b = workshop.end("a", NUMBERED[0]), workshop.end("b", NUMBERED[0])
        sync(a, b)
        a.execute(f"INSERT INTO author VALUES {rows}")
        sync(a, b)
        c = workshop.end("c", NUMBERED[0], f"INSERT INTO author VALUES {rows}")
        d = workshop.end("d", NUMBERED[0])
        sync(c, d)
        d.execute("UPDATE author SET name='edited at d' WHERE id=3")
        sync(c, d)
        with pytest.raises(IdentityDoubt, match="rows of 'author' are the same") as stopped:
            sync(a, c)
        assert "untrack SITE author" in str(stopped.value.hint)
        assert [len(end.rows("SELECT id FROM author")) for end in (a, b, c, d)] == [30] * 4
        sync(a, c, identity="separate")
        assert len(a.rows("SELECT id FROM author")) == 60

    def test_rows_that_refer_to_each_other_are_known_again_in_a_plain_copy(self, workshop: Workshop) -> None:
        schema = "CREATE TABLE staff (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES staff (id), name TEXT)"
        rows = "INSERT INTO staff VALUES (1, NULL, 'top'), (2, 1, 'middle'), (3, 2, 'below')"
        a, b = workshop.end("a", schema), workshop.end("b", schema)
        sync(a, b)
        a.execute(rows)
        sync(a, b)
        c = workshop.end("c", schema, rows)
        assert sync(a, c).total().created == 0
        settle(a, b, c)
        assert [len(end.rows("SELECT id FROM staff")) for end in (a, b, c)] == [3, 3, 3]
        assert verify(a.replica, c.replica, deep=True).agree
