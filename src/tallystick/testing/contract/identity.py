"""Records stay themselves, and refer to each other, whatever integers they have (DESIGN.md 4.4)."""

from __future__ import annotations

from tallystick.sync.verification import repair, verify
from tallystick.testing.contract.ends import NUMBERED, Agreeing, Workshop, later, settle, sync


class IdentityContract(Agreeing):
    """Records stay themselves, and refer to each other, whatever integers they have (DESIGN.md 4.4)."""

    def test_new_rows_under_one_integer_stay_two_records_with_their_children(self, workshop: Workshop) -> None:
        a = workshop.end("a", *NUMBERED, "INSERT INTO author VALUES (1, 'old')")
        b = workshop.end("b", *NUMBERED)
        sync(a, b)
        for end, name in ((a, "A"), (b, "B")):
            end.execute(f"INSERT INTO author VALUES (2, '{name}')", f"INSERT INTO book VALUES (1, 2, 'by {name}')")
        settle(a, b)
        for end in (a, b):
            found = end.rows("SELECT name, title FROM book JOIN author ON author.id=book.author_id ORDER BY title")
            assert found == [("A", "by A"), ("B", "by B")]
        assert verify(a.replica, b.replica, deep=True).agree

    def test_an_integer_used_again_is_a_new_record(self, workshop: Workshop) -> None:
        a = workshop.end("a", *NUMBERED, "INSERT INTO author VALUES (1, 'first')")
        b = workshop.end("b", *NUMBERED)
        sync(a, b)
        a.execute("DELETE FROM author WHERE id=1", "INSERT INTO author VALUES (1, 'second')")
        later()
        b.execute("UPDATE author SET name='edited first' WHERE id=1")
        settle(a, b)
        assert sorted(a.rows("SELECT name FROM author")) == [("edited first",), ("second",)]
        assert sorted(b.rows("SELECT name FROM author")) == [("edited first",), ("second",)]

    def test_a_moved_row_is_told_from_the_deleted_one_whose_integer_it_took(self, workshop: Workshop) -> None:
        a = workshop.end("a", *NUMBERED, "INSERT INTO author VALUES (4, 'four'), (7, 'seven')")
        b = workshop.end("b", *NUMBERED)
        sync(a, b)
        b.execute("UPDATE author SET name='seven of b' WHERE id=7")
        later()
        a.execute("DELETE FROM author WHERE id=7", "UPDATE author SET id=7 WHERE id=4")
        settle(a, b)
        assert verify(a.replica, b.replica, deep=True).agree
        repair(a.replica, b.replica)
        assert a.rows("SELECT id, name FROM author") == [(7, "four")]
        assert b.rows("SELECT name FROM author") == [("four",)]

    def test_primary_keys_can_swap(self, workshop: Workshop) -> None:
        a = workshop.end(
            "a", *NUMBERED, "INSERT INTO author VALUES (1, 'x'), (2, 'y')", "INSERT INTO book VALUES (1, 1, 'of x')"
        )
        b = workshop.end("b", *NUMBERED)
        sync(a, b)
        a.execute(
            "UPDATE book SET author_id=NULL",
            "UPDATE author SET id=3 WHERE id=1",
            "UPDATE author SET id=1 WHERE id=2",
            "UPDATE author SET id=2 WHERE id=3",
            "UPDATE book SET author_id=2",
        )
        settle(a, b)
        assert a.rows("SELECT name FROM author JOIN book ON author.id=author_id") == [("x",)]
        assert b.rows("SELECT name FROM author JOIN book ON author.id=author_id") == [("x",)]
        assert verify(a.replica, b.replica).agree

    def test_a_link_that_moves_to_another_parent_loses_no_edit_made_elsewhere(self, workshop: Workshop) -> None:
        schema = (
            NUMBERED[0],
            "CREATE TABLE link (author_id INTEGER REFERENCES author (id), tag TEXT, note TEXT, "
            "PRIMARY KEY (author_id, tag))",
        )
        rows = "INSERT INTO author VALUES (1, 'x'), (2, 'y')", "INSERT INTO link VALUES (1, 't', 'first')"
        a, b = workshop.end("a", *schema, *rows), workshop.end("b", *schema)
        sync(a, b)
        b.execute("UPDATE link SET note='edited at b'")
        later()
        a.execute("UPDATE link SET author_id=2, note='moved at a'")
        done = sync(a, b)
        assert done.total().conflicts >= 1
        settle(a, b)
        joined = "SELECT name, note FROM link JOIN author ON author.id=author_id ORDER BY name"
        assert a.rows(joined) == b.rows(joined)
        assert ("y", "moved at a") in a.rows(joined)
        assert verify(a.replica, b.replica, deep=True).agree
        b.execute("UPDATE link SET note='again' WHERE note='moved at a'")
        sync(a, b)
        assert ("y", "again") in a.rows(joined)

    def test_rows_that_refer_to_each_other_arrive(self, workshop: Workshop) -> None:
        schema = "CREATE TABLE staff (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES staff (id), name TEXT)"
        a = workshop.end("a", schema)
        b = workshop.end("b", schema)
        sync(a, b)
        a.execute(
            "INSERT INTO staff VALUES (1, NULL, 'one')",
            "INSERT INTO staff VALUES (2, 1, 'two')",
            "UPDATE staff SET boss=2 WHERE id=1",
        )
        b.execute("INSERT INTO staff VALUES (1, NULL, 'taken')")
        settle(a, b)
        pairs = "SELECT s.name, t.name FROM staff s JOIN staff t ON t.id=s.boss ORDER BY s.name"
        assert a.rows(pairs) == b.rows(pairs) == [("one", "two"), ("two", "one")]
