"""What every engine must do, asked of SQLite and of PostgreSQL in the same words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tallystick.core.values import Logical
from tallystick.site.engines.engine import Entry, Mark, Rejected
from tallystick.site.ledger import DELETED, WHOLE
from tallystick.site.schema import Column, Reference, Table

PERSON = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, mail TEXT UNIQUE, age INTEGER)"
BOOK = "CREATE TABLE book (id INTEGER PRIMARY KEY, person_id INTEGER REFERENCES person (id), title TEXT)"
LINK = (
    "CREATE TABLE link (person_id INTEGER NOT NULL REFERENCES person (id), label TEXT NOT NULL, note TEXT, "
    "PRIMARY KEY (person_id, label))"
)
NATURAL = "CREATE TABLE code (id TEXT PRIMARY KEY, meaning TEXT)"


@pytest.fixture(params=("sqlite", "postgresql"))
def application(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{request.param}_application")


@pytest.fixture
def make(application: Any, tracked_site: Any) -> Any:
    """Makes the application's tables and tracks them all."""
    return lambda *statements: tracked_site(application, *statements)


def entry(seq: int, key: str, local: Any = None, **changed: Any) -> Entry:
    plain = Entry(seq, key, local, seq, 1, seq, 1000 + seq, b"h" * 32, None, 0, None)
    return plain._replace(**changed)


# Portable SQL ----------------------------------------------------------------------------------------------------


def test_placeholders_and_our_names_are_left_alone_inside_strings_and_identifiers(make):
    site = make(PERSON)
    rows = site.engine.query("SELECT 'tally_meta ?', ? AS \"tally_x ?%\" FROM tally_meta WHERE name=?", ("v", "site"))
    assert rows == [("tally_meta ?", "v")]


def test_numbers_bytes_and_nulls_come_back_as_they_went_in(make):
    site = make(PERSON)
    values = (7, "key", b"\x00\xff")
    with site.engine.write():
        site.engine.execute("INSERT INTO tally_managed(resource, key, content) VALUES (?, ?, ?)", values)
        site.engine.executemany(
            "INSERT INTO tally_conflict(id, resource, key, at, kind, run, version) VALUES (?, 7, ?, ?, 'x', ?, ?)",
            [(1, "a", 1 << 60, None, b""), (2, "b", 0, "run", b"v")],
        )
    assert site.engine.query("SELECT resource, key, content FROM tally_managed") == [values]
    found = site.engine.query("SELECT id, at, run, version FROM tally_conflict ORDER BY id")
    assert found == [(1, 1 << 60, None, b""), (2, 0, "run", b"v")]


@pytest.mark.parametrize("text", ("a\0b", "\\u0041", "\ud800", "\\", "%s $1 ?", "é\0", "", "'\""))
def test_any_text_survives_in_our_tables(make, text):
    site = make(PERSON)
    if site.engine.dialect == "sqlite" and text == "\ud800":
        pytest.skip("sqlite3 takes no lone surrogates")
    with site.engine.write():
        site.engine.execute("INSERT INTO tally_managed(resource, key, content) VALUES (1, ?, ?)", (text, b"x"))
    assert site.engine.query("SELECT key FROM tally_managed WHERE key=?", (text,)) == [(text,)]
    assert site.engine.query_in("SELECT key FROM tally_managed WHERE key IN (*)", (), [text, "other"]) == [(text,)]


def test_in_takes_any_number_of_values(make):
    site = make(PERSON)
    with site.engine.write():
        site.engine.executemany(
            "INSERT INTO tally_managed(resource, key, content) VALUES (?, ?, ?)", ((1, f"k{n}", b"") for n in range(50))
        )
    sql = "SELECT key FROM tally_managed WHERE resource=? AND key IN (*)"
    assert site.engine.query_in(sql, (1,), []) == []
    found = site.engine.query_in(sql, (1,), [f"k{n}" for n in range(40_000)])
    assert sorted(found) == sorted((f"k{n}",) for n in range(50))


def test_in_on_a_table_of_the_application_finds_nothing_for_values_of_another_type(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'Ann', NULL, 5)")
    sql = 'SELECT "id" FROM "person" WHERE "id" IN (*)'
    with site.engine.write():
        assert site.engine.query_in(sql, (), ["no number", 1, "a\0b", None]) == [(1,)]
        assert site.engine.query_in(sql, (), ["no number"]) == []


# Transactions ----------------------------------------------------------------------------------------------------


def test_a_write_that_raises_leaves_nothing(make):
    site = make(PERSON)

    def fails() -> None:
        with site.engine.write():
            site.engine.execute("INSERT INTO tally_origin(id, name) VALUES (99, 'x')")
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert site.engine.query("SELECT 1 FROM tally_origin WHERE id=99") == []
    assert not site.engine.writing


def test_a_write_inside_a_write_joins_it(make):
    site = make(PERSON)

    def fails() -> None:
        with site.engine.write():
            with site.engine.write():
                site.engine.execute("INSERT INTO tally_origin(id, name) VALUES (99, 'x')")
            assert site.engine.writing
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert site.engine.query("SELECT 1 FROM tally_origin WHERE id=99") == []


def test_a_savepoint_undoes_only_what_happened_inside(make):
    site = make(PERSON)

    def refused() -> None:
        with site.engine.savepoint():
            site.engine.execute("INSERT INTO tally_origin(id, name) VALUES (99, 'undone')")
            site.engine.execute("INSERT INTO tally_origin(id, name) VALUES (98, 'again')")

    with site.engine.write():
        site.engine.execute("INSERT INTO tally_origin(id, name) VALUES (98, 'kept')")
        with pytest.raises(Rejected):
            refused()
    assert site.engine.query("SELECT id FROM tally_origin WHERE id>=98") == [(98,)]


def test_a_read_sees_one_moment(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'Ann', NULL, 5)")
    with site.engine.read():
        before = list(site.rows("person").scan())
        site.application.execute("UPDATE person SET name='changed'")
        assert list(site.rows("person").scan()) == before
    assert list(site.rows("person").scan()) != before


def test_writes_of_two_processes_follow_each_other(make, application):
    site = make(PERSON)
    other = application.engine()
    with site.engine.write():
        site.engine.execute("INSERT INTO tally_origin(id, name) VALUES (98, 'first')")
        assert other.query("SELECT id FROM tally_origin WHERE id=98") == []
    with other.write():
        assert other.query("SELECT id FROM tally_origin WHERE id=98") == [(98,)]
    other.close()
    other.close()


# Our tables ------------------------------------------------------------------------------------------------------


def test_dropping_the_ledger_leaves_the_application_as_it_was(application, tracked_site):
    application.execute(PERSON, BOOK, "INSERT INTO person VALUES (1, 'Ann', NULL, 5)")
    engine = application.engine()
    assert not engine.has_ledger()
    tables = engine.tables()
    engine.close()
    site = tracked_site(application)
    assert site.engine.has_ledger()
    with site.engine.write():
        site.engine.drop_ledger()
    site.engine.leave()
    assert not site.engine.has_ledger()
    assert site.engine.tables() == tables
    application.execute("UPDATE person SET age=6")
    site.engine.close()


def test_a_database_tells_itself_from_another(make, application):
    site = make(PERSON)
    again = application.engine()
    assert again.identity() == site.engine.identity() != ""
    again.close()


# Structure -------------------------------------------------------------------------------------------------------


def by_name(engine: Any) -> dict[str, Table]:
    return {table.name: table for table in engine.tables()}


def test_tables_are_read_with_keys_references_and_constraints(application):
    application.execute(
        PERSON,
        "CREATE TABLE book (id INTEGER PRIMARY KEY, "
        "person_id INTEGER NOT NULL REFERENCES person (id) ON DELETE CASCADE, "
        "title TEXT NOT NULL, shelf INTEGER, place INTEGER, UNIQUE (shelf, place))",
        "CREATE UNIQUE INDEX one_title ON book (title)",
        "CREATE UNIQUE INDEX lowered ON book (lower(title))",
        LINK,
        "CREATE TABLE nokey (a TEXT)",
    )
    engine = application.engine()
    tables = by_name(engine)
    assert sorted(tables) == ["book", "link", "nokey", "person"]
    book = tables["book"]
    assert book.primary_key == ("id",)
    assert book.references == (Reference(("person_id",), "person", ("id",), "CASCADE"),)
    assert set(book.unique) == {("shelf", "place"), ("title",)}
    assert [column.name for column in book.columns] == ["id", "person_id", "title", "shelf", "place"]
    assert not book.column("title").nullable
    assert book.column("shelf").nullable
    assert tables["person"].acted_on
    assert not book.acted_on
    assert tables["link"].primary_key == ("person_id", "label")
    assert tables["nokey"].primary_key == ()
    engine.close()


def test_generated_columns_are_told_apart(application):
    application.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER GENERATED ALWAYS AS (a * 2) STORED)"
    )
    engine = application.engine()
    (table,) = engine.tables()
    assert [column.generated for column in table.columns] == [False, False, True]
    engine.close()


ODD = "we\"ird ? % $1 %s tally_x '; DROP"


def test_odd_names_are_only_names(make):
    quoted = '"' + ODD.replace('"', '""') + '"'
    site = make(
        f'CREATE TABLE {quoted} (id INTEGER PRIMARY KEY, {quoted} TEXT, "b?" TEXT UNIQUE)',
        f"INSERT INTO {quoted} VALUES (1, 'x', 'y'), (2, 'z', 'w')",
    )
    (tracked,) = site.ledger.resources()
    names = tracked.definition.columns
    rows = tracked.rows
    assert sorted(address for address, _ in rows.scan()) == [(1,), (2,)]
    assert len(rows.after(0, 1 << 60, 10)) == 2
    with site.engine.write(), site.engine.capture_off():
        rows.insert([((3,), ("n",) * len(names))])
        rows.update([((3,), ("u",) * len(names))])
        rows.update([((n,), (f"v{n}",) * len(names)) for n in (1, 2, 3)] * 1)
        rows.vacate([(1,), (2,)])
        rows.delete([(3,)])
        rows.settle_sequence()
        assert rows.fresh(1)[0] > 2
    site.application.execute(
        f"UPDATE {quoted} SET {quoted} = 'changed' WHERE id = 1", f"DELETE FROM {quoted} WHERE id = 2"
    )
    marks = site.marks(tracked.wire)
    assert [(mark.kind, mark.old) for mark in marks if mark.kind != "E"] == [("U", (1,)), ("D", (2,))]
    assert next(mark.columns for mark in marks if mark.kind == "U") == {ODD}


def test_a_created_table_is_read_as_it_was_meant(application):
    engine = application.engine()
    parent = Table("parent", (Column("id", "", Logical.INT64, False), Column("name", "", Logical.TEXT)), ("id",))
    kinds = [item for item in Logical if item not in (Logical.ANY, Logical.REFERENCE)]
    child = Table(
        'ch"ild',
        (
            Column("a", "", Logical.TEXT, False),
            Column("b", "", Logical.INT64, False),
            *(Column(f"c_{item.value}", "", item) for item in kinds),
            Column("price", "", Logical.DECIMAL, False, "10,2"),
            Column("parent_id", "", Logical.INT64),
            Column("self_a", "", Logical.TEXT),
            Column("self_b", "", Logical.INT64),
        ),
        ("b", "a"),
        (
            Reference(("parent_id",), "parent", ("id",), "SET NULL", on_update="CASCADE"),
            Reference(("self_b", "self_a"), 'ch"ild', ("b", "a")),
        ),
        (("price", "parent_id"),),
    )
    with engine.write():
        engine.create_table(parent)
        engine.create_table(child)
    found = by_name(engine)
    made = found['ch"ild']
    assert made.primary_key == ("b", "a")
    assert set(made.references) == set(child.references)
    assert made.unique == child.unique
    for column in child.columns:
        assert made.column(column.name).logical is column.logical, column.name
        assert made.column(column.name).nullable is column.nullable, column.name
    assert made.column("price").detail == "10,2"
    assert found["parent"].acted_on
    application.execute("INSERT INTO parent (name) VALUES ('x')")
    assert application.rows("SELECT id FROM parent") == [(1,)]
    engine.close()


def test_tables_that_refer_to_each_other_can_be_created(application):
    engine = application.engine()
    columns = (Column("id", "", Logical.INT64, False), Column("other", "", Logical.INT64))
    with engine.write():
        engine.create_table(Table("first", columns, ("id",), (Reference(("other",), "second", ("id",)),)))
        engine.create_table(Table("second", columns, ("id",), (Reference(("other",), "first", ("id",)),)))
    assert {name: table.references[0].parent for name, table in by_name(engine).items()} == {
        "first": "second",
        "second": "first",
    }
    engine.close()


def test_added_columns_are_nullable(application):
    application.execute(PERSON, "INSERT INTO person VALUES (1, 'Ann', NULL, 5)")
    engine = application.engine()
    table = Table(
        "person", (Column("born", "", Logical.DATE, False), Column("p", "", Logical.DECIMAL, True, "6,3")), ("id",)
    )
    with engine.write():
        engine.add_columns(table, ["born", "p"])
    made = by_name(engine)["person"]
    assert (made.column("born").logical, made.column("born").nullable) == (Logical.DATE, True)
    assert made.column("p").detail == "6,3"
    engine.close()


# Capture ---------------------------------------------------------------------------------------------------------


def test_every_kind_of_write_is_marked(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'Ann', 'a', 5), (2, 'Bob', 'b', 6)")
    assert site.marks("person") == []
    site.application.execute(
        "INSERT INTO person VALUES (3, 'Cleo', 'c', 7)",
        "UPDATE person SET name='Anna', age=50 WHERE id=1",
        "DELETE FROM person WHERE id=2",
    )
    assert site.told("person") == [("D", (2,), None), ("I", None, (3,)), ("U", (1,), (1,))]
    (update,) = [mark for mark in site.marks("person") if mark.kind == "U"]
    assert update.columns == {"name", "age"}


def test_marks_carry_the_time_of_the_change(make):
    site = make(PERSON)
    before = site.ledger.now()
    site.application.execute("INSERT INTO person VALUES (1, 'Ann', NULL, 5)")
    (mark,) = [mark for mark in site.marks("person") if mark.kind == "I"]
    assert before - 5 <= mark.at <= site.ledger.now() + 5


def test_nulls_count_as_values(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, NULL, 'a', 5)")
    site.application.execute("UPDATE person SET name='x', mail=NULL, age=5")
    (mark,) = [mark for mark in site.marks("person") if mark.kind == "U"]
    assert mark.columns == {"name", "mail"}


def test_an_update_that_changes_nothing_names_no_column(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'Ann', 'a', 5)")
    site.application.execute(
        "UPDATE person SET name=name", "UPDATE person SET age=5", "UPDATE person SET age=1 WHERE id=9"
    )
    assert not any(mark.columns for mark in site.marks("person") if mark.kind == "U")


def test_what_is_rolled_back_leaves_no_mark(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'Ann', 'a', 5)")
    site.application.execute(
        "BEGIN", "UPDATE person SET age=6", "INSERT INTO person VALUES (2, 'b', 'b', 2)", "ROLLBACK"
    )
    assert site.marks("person") == []


def test_many_rows_of_one_statement_are_all_marked(make):
    site = make(PERSON)
    values = ", ".join(f"({n}, 'n', 'm{n}', {n % 3})" for n in range(1, 1001))
    site.application.execute(f"INSERT INTO person VALUES {values}")
    assert {mark.new for mark in site.marks("person", clear=True) if mark.kind == "I"} == {(n,) for n in range(1, 1001)}
    site.application.execute("UPDATE person SET name='x', age=CASE WHEN id%2=0 THEN 0 ELSE age END")
    for mark in site.marks("person", clear=True):
        if mark.kind == "U":
            number = mark.old[0]
            assert mark.columns == ({"name", "age"} if number % 2 == 0 and number % 3 else {"name"})
    site.application.execute("DELETE FROM person WHERE id>500")
    assert {mark.old for mark in site.marks("person") if mark.kind == "D"} == {(n,) for n in range(501, 1001)}


def test_composite_and_text_keys_are_marked_exactly(make):
    odd = ["a,b", "[1]", "it''s", 'quo"te', "back\\slash", "", "ünï", "{x}", "NULL", "\\x41", "%", "\n\t"]
    site = make(PERSON, LINK, NATURAL, "INSERT INTO person VALUES (1, 'Ann', 'a', 5)")
    for text in odd:
        site.application.execute(
            f"INSERT INTO link VALUES (1, '{text}', 'n')", f"INSERT INTO code VALUES ('{text}', 'm')"
        )
    plain = [text.replace("''", "'") for text in odd]
    assert [mark.new for mark in site.marks("link") if mark.kind == "I"] == [(1, text) for text in plain]
    assert [mark.new for mark in site.marks("code") if mark.kind == "I"] == [(text,) for text in plain]
    assert set(site.rows("link").values([(1, text) for text in plain])) == {(1, text) for text in plain}
    assert set(site.rows("code").values([(text,) for text in plain])) == {(text,) for text in plain}


def test_rows_that_a_cascade_removes_are_marked(make):
    site = make(
        PERSON,
        BOOK.replace("REFERENCES person (id)", "REFERENCES person (id) ON DELETE CASCADE"),
        "INSERT INTO person VALUES (1, 'Ann', 'a', 5)",
        "INSERT INTO book VALUES (7, 1, 't'), (8, 1, 'u')",
    )
    site.application.execute("DELETE FROM person")
    assert site.told("book") == [("D", (7,), None), ("D", (8,), None)]


def test_an_upsert_marks_what_it_did(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'Ann', 'a', 5)")
    site.application.execute(
        "INSERT INTO person VALUES (1, 'Anna', 'a', 5), (2, 'Bob', 'b', 6) "
        "ON CONFLICT (id) DO UPDATE SET name=excluded.name"
    )
    assert site.told("person") == [("I", None, (2,)), ("U", (1,), (1,))]


def test_cleared_marks_are_gone_and_later_ones_stay(make):
    site = make(PERSON)
    site.application.execute("INSERT INTO person VALUES (1, 'Ann', 'a', 5)")
    assert site.marks("person", clear=True)
    assert site.marks("person") == []
    site.application.execute("INSERT INTO person VALUES (2, 'Ann', 'b', 5)")
    assert site.told("person") == [("I", None, (2,))]


def test_our_own_writes_leave_no_marks_while_capture_is_off(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'Ann', 'a', 5)")
    rows = site.rows("person")
    with site.engine.write():
        with site.engine.capture_off():
            rows.insert([((2,), (1, "b", "B"))])
            rows.update([((1,), (2, "c", "C"))])
            rows.delete([(2,)])
        rows.insert([((3,), (1, "d", "D"))])
    assert site.told("person") == [("I", None, (3,))]
    site.application.execute("UPDATE person SET age=9 WHERE id=1")
    assert ("U", (1,), (1,)) in site.told("person")


def test_a_refusal_while_capture_is_off_does_not_leave_it_off(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'Ann', 'a', 5)")
    rows = site.rows("person")
    with site.engine.write():
        with pytest.raises(Rejected), site.engine.capture_off():
            rows.insert([((1,), (1, "b", "B"))])
        rows.update([((1,), (2, "c", "C"))])
    assert [mark.kind for mark in site.marks("person") if mark.kind != "E"] == ["U"]


def test_marks_of_our_own_rows_can_be_dropped_while_effects_elsewhere_stay(make, application):
    body = "UPDATE person SET age=age+1 WHERE id=100"
    trigger = {
        "sqlite": (f"CREATE TRIGGER counted AFTER INSERT ON book BEGIN {body}; END",),
        "postgresql": (
            f"CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$",
            "CREATE TRIGGER counted AFTER INSERT ON book FOR EACH ROW EXECUTE FUNCTION counted()",
        ),
    }[application.dialect]
    site = make(PERSON, BOOK, *trigger, "INSERT INTO person VALUES (100, 'Ann', 'a', 5)")
    assert site.tracked("book").definition.triggers == ("counted",)
    site.application.execute("INSERT INTO book VALUES (1, 100, 'theirs')")
    with site.engine.write():
        before = site.engine.last_mark()
        site.rows("book").insert([((2,), (100, "ours")), ((3,), (100, "ours too"))])
        site.engine.drop_marks(site.tracked("book").number, before, [(2,)])
    assert site.told("book") == [("I", None, (1,)), ("I", None, (3,))]
    assert [mark.columns for mark in site.marks("person") if mark.kind == "U"].count(frozenset({"age"})) >= 1


def test_three_hundred_columns_are_marked_one_by_one(make):
    columns = ", ".join(f"c{n} INTEGER" for n in range(300))
    site = make(f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {columns})", "INSERT INTO wide (id, c0) VALUES (1, 1)")
    site.application.execute("UPDATE wide SET c0=2, c58=1, c59=1, c60=1, c119=1, c299=1")
    (mark,) = [mark for mark in site.marks("wide") if mark.kind == "U"]
    assert mark.columns == {"c0", "c58", "c59", "c60", "c119", "c299"}


def follow(before: dict[Any, str], marks: list[Mark]) -> dict[Any, str]:
    """Who is where after the marks, followed one by one. New rows are called by the address they came to."""
    places = dict(before)
    for mark in marks:
        if mark.kind == "T":
            places.clear()
        elif mark.kind == "I":
            places[mark.new] = f"new {mark.new}"
        elif mark.kind == "D":
            places.pop(mark.old, None)
        elif mark.kind == "U" and mark.old != mark.new:
            assert mark.new not in places, "moved onto a row that is still there"
            places[mark.new] = places.pop(mark.old)
    return places


@pytest.mark.parametrize(
    "statements",
    (
        ("UPDATE person SET id=10 WHERE id=1",),
        (
            "UPDATE person SET id=10 WHERE id=1",
            "UPDATE person SET id=1 WHERE id=2",
            "UPDATE person SET id=2 WHERE id=10",
        ),
        (
            "DELETE FROM person WHERE id=1",
            "UPDATE person SET id=1 WHERE id=2",
            "INSERT INTO person VALUES (2, 'new', NULL, 1)",
        ),
        (
            "DELETE FROM person WHERE id=3",
            "INSERT INTO person VALUES (3, 'new', NULL, 1)",
            "UPDATE person SET id=4 WHERE id=3",
        ),
        ("UPDATE person SET id=-id",),
        ("UPDATE person SET id=id+100, name=name||'!'", "UPDATE person SET id=id-99"),
    ),
)
def test_following_the_marks_leads_every_row_to_its_place(make, statements):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'one', NULL, 5), (2, 'two', NULL, 6), (3, 'three', NULL, 7)")
    site.application.execute(*statements)
    places = follow({(1,): "one", (2,): "two", (3,): "three"}, site.marks("person"))
    for number, name in site.application.rows("SELECT id, name FROM person"):
        assert places.pop((number,)).startswith(name.rstrip("!"))
    assert places == {}


def test_moved_rows_name_the_columns_they_changed(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'one', NULL, 5)")
    site.application.execute("UPDATE person SET id=2, name='x'")
    (mark,) = [mark for mark in site.marks("person") if mark.kind == "U"]
    assert (mark.old, mark.new, mark.columns) == ((1,), (2,), {"id", "name"})


# Noticing that capture was lost ------------------------------------------------------------------------------------


def test_capture_that_is_intact_is_known_to_be(make, application):
    site = make(PERSON)
    tracked = site.tracked("person")
    assert site.engine.capture_intact(tracked.number, tracked.definition)
    structure = site.engine.structure()
    site.application.execute("INSERT INTO person VALUES (1, 'one', NULL, 5)")
    assert site.engine.structure() == structure
    other = application.engine()
    assert other.structure() == structure
    other.close()


def test_installing_again_replaces_what_is_there(make):
    site = make(PERSON)
    tracked = site.tracked("person")
    with site.engine.write():
        site.engine.install_capture(tracked.number, tracked.definition)
        assert site.engine.capture_intact(tracked.number, tracked.definition)
    site.application.execute("INSERT INTO person VALUES (1, 'one', NULL, 5)")
    assert site.told("person") == [("I", None, (1,))]


def test_a_new_column_changes_the_structure(make):
    site = make(PERSON)
    structure = site.engine.structure()
    site.application.execute("ALTER TABLE person ADD COLUMN born TEXT")
    assert site.engine.structure() != structure


def test_removed_capture_marks_nothing(make):
    site = make(PERSON)
    tracked = site.tracked("person")
    structure = site.engine.structure()
    with site.engine.write():
        site.engine.remove_capture(tracked.number, "person")
    assert site.engine.structure() != structure
    assert not site.engine.capture_intact(tracked.number, tracked.definition)
    site.application.execute("INSERT INTO person VALUES (1, 'one', NULL, 5)")
    assert site.marks("person") == []


def test_a_rebuilt_table_is_noticed(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'one', NULL, 5)")
    structure, tracked = site.engine.structure(), site.tracked("person")
    site.application.execute(
        PERSON.replace("person", "rebuilt"),
        "INSERT INTO rebuilt SELECT * FROM person",
        "DROP TABLE person",
        "ALTER TABLE rebuilt RENAME TO person",
    )
    assert site.engine.structure() != structure
    assert not site.engine.capture_intact(tracked.number, tracked.definition)


# Ledger entries --------------------------------------------------------------------------------------------------


def test_entries_come_back_as_they_were_put(make):
    site = make(PERSON)
    rows = site.rows("person")
    entries = [
        entry(1, "1", 1, extra=b"e", rendered=b"r", flags=WHOLE),
        entry(2, "5f0c", 7, hash=b""),
        entry(3, "gone", None, flags=DELETED, hash=b""),
        entry(1 << 50, "big", (1 << 62) + 1, stamp=1 << 61),
    ]
    with site.engine.write():
        rows.put(entries, ())
    assert [found for found, _ in rows.after(0, 1 << 60, 10)] == entries
    assert rows.by_keys(["gone", "1", "nobody"]) == {"1": entries[0], "gone": entries[2]}
    assert rows.by_locals([7, 1, 99, (1 << 62) + 1]) == {7: entries[1], 1: entries[0], (1 << 62) + 1: entries[3]}
    assert rows.by_keys([]) == {}
    assert rows.by_locals([]) == {}


def test_put_replaces_entries_by_their_seqs(make):
    site = make(PERSON)
    rows = site.rows("person")
    with site.engine.write():
        rows.put([entry(seq, f"k{seq}", seq) for seq in range(1, 100)], ())
        rows.put([entry(200, "k5", 5), entry(201, "k6", 6)], [5, 6])
    assert rows.by_keys(["k5"])["k5"].seq == 200
    assert [found.seq for found, _ in rows.after(0, 10, 100)] == [1, 2, 3, 4, 7, 8, 9, 10]
    with site.engine.write():
        rows.forget_all()
    assert rows.after(0, 1 << 60, 10) == []


def test_after_keeps_to_its_bounds(make):
    site = make(PERSON)
    rows = site.rows("person")
    with site.engine.write():
        rows.put(
            [
                entry(1, "a", 1, origin=1, tick=1),
                entry(2, "b", 2, origin=1, tick=2, extra=b"x"),
                entry(3, "c", None, origin=2, tick=1, flags=DELETED),
                entry(4, "d", 4, origin=2, tick=9),
                entry(5, "e", 5, origin=1, tick=1, flags=WHOLE),
            ],
            (),
        )

    def keys(*bounds: Any) -> str:
        return "".join(found.key for found, _ in rows.after(*bounds))

    assert keys(0, 10, 10) == "abcde"
    assert keys(1, 4, 10) == "bcd"
    assert keys(0, 10, 2) == "ab"
    assert keys(0, 10, 10, [(1, 5), (2, 1)]) == "bde"
    assert keys(0, 10, 10, (), True) == "c"
    assert keys(0, 10, 10, (), False) == "abde"


def test_locals_of_every_identity_come_back(make):
    site = make(PERSON, LINK, NATURAL)
    with site.engine.write():
        site.rows("link").put([entry(1, "k,l", "1,'a''b'")], ())
        site.rows("code").put([entry(2, "\\\\back", "\\back"), entry(3, "plain")], ())
    assert site.rows("link").by_locals(["1,'a''b'"])["1,'a''b'"].key == "k,l"
    assert site.rows("code").by_locals(["\\back"])["\\back"].key == "\\\\back"
    assert site.rows("code").by_keys(["plain"])["plain"].local is None


@pytest.mark.parametrize("key", ("nul\0key", "\\ubad", "\\\\ufine", "ключ", "a'b\"c", "x" * 2000))
def test_any_key_can_be_held(make, key):
    site = make(NATURAL)
    rows = site.rows("code")
    with site.engine.write():
        rows.put([entry(1, key)], ())
    assert [found.key for found, _ in rows.after(0, 10, 10)] == [key]
    assert rows.by_keys([key])[key].seq == 1


# Reading rows ----------------------------------------------------------------------------------------------------


def test_after_gives_the_rows_of_entries(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'Ann', 'a', 5), (2, 'Bob', NULL, NULL)")
    found = site.rows("person").after(0, 1 << 60, 10)
    assert [(item.key, item.local, values) for item, values in found] == [
        ("1", 1, (5, "a", "Ann")),
        ("2", 2, (None, None, "Bob")),
    ]
    site.application.execute("DELETE FROM person WHERE id=1")
    assert [values for _, values in site.rows("person").after(0, 1 << 60, 10)] == [None, (None, None, "Bob")]


def test_after_gives_rows_of_natural_and_composite_keys(make):
    site = make(
        PERSON,
        LINK,
        NATURAL,
        "INSERT INTO person VALUES (1, 'Ann', 'a', 5)",
        "INSERT INTO link VALUES (1, 'it,s', 'n')",
        "INSERT INTO code VALUES ('\\x', 'back'), ('plain', 'p')",
    )
    assert [(item.key, values) for item, values in site.rows("link").after(0, 1 << 60, 9)] == [("1,it\\,s", ("n",))]
    found = {item.key: values for item, values in site.rows("code").after(0, 1 << 60, 9)}
    assert found == {"\\\\x": ("back",), "plain": ("p",)}


def test_values_finds_what_exists(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'Ann', 'a', 5), (2, 'Bob', NULL, NULL)")
    rows = site.rows("person")
    assert rows.values([(1,), (2,), (3,)]) == {(1,): (5, "a", "Ann"), (2,): (None, None, "Bob")}
    assert rows.values([]) == {}
    assert len(rows.values([(n,) for n in range(30_000)])) == 2


def test_scan_gives_every_row_and_references_as_keys(make):
    site = make(
        PERSON,
        BOOK,
        "INSERT INTO person VALUES (1, 'Ann', 'a', 5), (2, 'Bob', 'b', 6)",
        "INSERT INTO book VALUES (10, 1, 't'), (11, NULL, 'u')",
    )
    with site.engine.write():
        site.rows("person").put([entry(999, "ann-key", 1)], [1])
    site.application.execute("INSERT INTO person VALUES (5, 'new', 'n', 1)", "INSERT INTO book VALUES (12, 5, 'v')")
    found = sorted(site.rows("book").scan())
    assert found == [((10,), ("ann-key", "t")), ((11,), (None, "u")), ((12,), ("\\?5", "v"))]
    assert site.rows("book").values([(10,)]) == {(10,): ("ann-key", "t")}


def test_references_to_dead_records_are_unresolved(make):
    site = make(PERSON, BOOK, "INSERT INTO person VALUES (1, 'Ann', 'a', 5)", "INSERT INTO book VALUES (10, 1, 't')")
    with site.engine.write():
        site.rows("person").put([entry(999, "1", 1, flags=DELETED)], [1])
    assert site.rows("book").values([(10,)]) == {(10,): ("\\?1", "t")}


# Writing rows ----------------------------------------------------------------------------------------------------


def test_rows_are_inserted_updated_and_deleted(make):
    site = make(PERSON)
    rows = site.rows("person")
    with site.engine.write():
        rows.insert([((n,), (n, f"m{n}", f"n{n}")) for n in range(1, 101)])
        rows.update([((n,), (0, None, "few")) for n in range(1, 4)])
        rows.update([((n,), (1, f"x{n}", "many")) for n in range(50, 101)])
        rows.delete([(n,) for n in range(4, 50)] + [(7777,)])
    found = site.application.rows("SELECT id, name, mail, age FROM person ORDER BY id")
    assert found[:3] == [(n, "few", None, 0) for n in (1, 2, 3)]
    assert found[3:] == [(n, "many", f"x{n}", 1) for n in range(50, 101)]


def test_nothing_to_write_is_nothing(make):
    site = make(PERSON)
    rows = site.rows("person")
    with site.engine.write():
        rows.insert([])
        rows.update([])
        rows.delete([])
        rows.vacate([])
        rows.put([], [])


@pytest.mark.parametrize("count", (2, 40))
def test_a_refused_batch_leaves_nothing_of_itself(make, count):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'Ann', 'taken', 5), (2, 'Bob', 'b', 6)")
    rows = site.rows("person")
    with site.engine.write():
        with pytest.raises(Rejected) as refused:
            rows.insert([((n,), (1, f"m{n}", "x")) for n in range(10, 10 + count)] + [((99,), (1, "taken", "x"))])
        assert refused.value.kind == "unique"
        assert "mail" in str(refused.value) or "unique" in str(refused.value).lower()
        rows.insert([((n,), (1, f"m{n}", "x")) for n in range(10, 10 + count)])
        with pytest.raises(Rejected) as refused:
            rows.update([((n,), (2, "same", "y")) for n in range(10, 10 + count)])
        assert refused.value.kind == "unique"
    assert site.application.rows("SELECT count(*) FROM person WHERE name='x'") == [(count,)]
    assert site.application.rows("SELECT count(*) FROM person WHERE name='y'") == [(0,)]


@pytest.mark.parametrize("count", (0, 1, 99, 100, 101, 650))
def test_columns_of_any_number_of_rows_are_inserted(make, count):
    site = make(PERSON)
    numbers = list(range(1, count + 1))
    columns = [numbers, [n % 90 for n in numbers], [f"m{n}" for n in numbers], [None] * count]
    with site.engine.write():
        site.rows("person").insert_columns(columns)
        sql = "INSERT INTO tally_managed(resource, key, content) VALUES (7, ?, ?)"
        site.engine.insert_many(sql, ((str(n), b"x") for n in numbers))
    found = site.application.rows("SELECT id, age, mail, name FROM person ORDER BY id")
    assert found == list(zip(*columns, strict=True))
    assert site.engine.query("SELECT count(*) FROM tally_managed WHERE resource=7") == [(count,)]


def test_many_rows_of_very_many_columns_are_inserted(make):
    names = [f"c{n}" for n in range(400)]
    site = make(f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {', '.join(f'{name} INTEGER' for name in names)})")
    rows, numbers = site.rows("wide"), list(range(1, 251))
    with site.engine.write():
        rows.insert_columns([numbers] * 401)
    assert site.application.rows("SELECT count(*), sum(c0), sum(c399) FROM wide") == [(250, 31375, 31375)]


def test_a_table_whose_name_looks_like_values_takes_many_rows(make):
    site = make('CREATE TABLE "VALUES (1)" (id INTEGER PRIMARY KEY, name TEXT)')
    with site.engine.write():
        site.rows("values(1)").insert_columns([list(range(1, 251)), ["x"] * 250])
    assert site.application.rows('SELECT count(*), max(id) FROM "VALUES (1)"') == [(250, 250)]


@pytest.mark.parametrize("count", (40, 650))
def test_refused_columns_leave_nothing_of_themselves(make, count):
    site = make(PERSON, "INSERT INTO person VALUES (1000, 'Bob', 'taken', 6)")
    numbers = list(range(1, count + 1))
    columns = [numbers, [1] * count, [*(f"m{n}" for n in numbers[1:]), "taken"], ["x"] * count]
    with site.engine.write():
        with pytest.raises(Rejected) as refused:
            site.rows("person").insert_columns(columns)
        assert refused.value.kind == "unique"
    assert site.application.rows("SELECT id FROM person") == [(1000,)]


def test_a_missing_parent_or_a_check_is_refused(make):
    site = make("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER CHECK (a > 0), b TEXT NOT NULL)")
    rows = site.rows("t")
    with site.engine.write():
        for values in ((-1, "x"), (1, None)):
            with pytest.raises(Rejected) as refused:
                rows.insert([((1,), values)])
            assert refused.value.kind == "constraint"
        rows.insert([((1,), (1, "x"))])
    assert site.application.rows("SELECT * FROM t") == [(1, 1, "x")]


def test_text_that_a_column_cannot_hold_is_refused_or_kept(make):
    site = make(NATURAL)
    rows = site.rows("code")
    with site.engine.write():
        for text in ("a\0b", "\ud800"):
            try:
                rows.insert([((f"k{len(text)}",), (text,))])
            except Rejected:
                continue
            assert rows.values([(f"k{len(text)}",)]) == {(f"k{len(text)}",): (text,)}
        rows.insert([(("fine",), ("fine",))])
    assert ("fine",) in site.application.rows("SELECT id FROM code")


def test_rows_can_let_go_of_unique_values_and_swap_them(make):
    site = make(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b TEXT NOT NULL UNIQUE, c INTEGER NOT NULL UNIQUE)",
        "INSERT INTO t VALUES (1, 'a1', 'b1', 1), (2, 'a2', 'b2', 2)",
    )
    rows = site.rows("t")
    with site.engine.write():
        rows.vacate([(1,), (2,)])
        rows.update([((1,), ("a2", "b2", 2)), ((2,), ("a1", "b1", 1))])
    assert site.application.rows("SELECT * FROM t ORDER BY id") == [(1, "a2", "b2", 2), (2, "a1", "b1", 1)]


def test_vacated_rows_hold_values_that_nobody_has(make):
    site = make(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT NOT NULL UNIQUE, c INTEGER NOT NULL UNIQUE)",
        "INSERT INTO t VALUES " + ", ".join(f"({n}, 'b{n}', {n})" for n in range(1, 201)),
    )
    with site.engine.write():
        site.rows("t").vacate([(n,) for n in range(1, 101)])
    rows = site.application.rows("SELECT b, c FROM t WHERE id<=100")
    taken = {(f"b{n}", n) for n in range(1, 201)}
    assert not {text for text, _ in rows} & {text for text, _ in taken}
    assert not {number for _, number in rows} & {number for _, number in taken}


def test_fresh_integers_are_free(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'a', 'a', 1), (5, 'b', 'b', 2)")
    rows = site.rows("person")
    with site.engine.write():
        fresh = rows.fresh(10)
        assert len(set(fresh)) == 10
        assert not {1, 5} & set(fresh)
        rows.insert([((number,), (1, f"f{number}", "x")) for number in fresh])


def test_numbers_given_by_the_database_stay_clear_of_inserted_ones(application, tracked_site):
    engine = application.engine()
    table = Table("t", (Column("id", "", Logical.INT64, False), Column("a", "", Logical.TEXT)), ("id",))
    with engine.write():
        engine.create_table(table)
    engine.close()
    site = tracked_site(application)
    application.execute("INSERT INTO t (a) VALUES ('one')")
    with site.engine.write():
        site.rows("t").insert([((4,), ("four",)), ((90_000,), ("far",))])
        site.rows("t").settle_sequence()
        site.rows("t").settle_sequence()
    application.execute("INSERT INTO t (a) VALUES ('next')")
    assert application.rows("SELECT id FROM t WHERE a='next'")[0][0] > 90_000
    site.engine.close()


def test_numbers_beyond_bounds_keep_their_value(make):
    site = make("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT, f DOUBLE PRECISION)")
    rows = site.rows("t")
    cases = [
        (1, ((1 << 63) - 1, math.inf)),
        (2, (-(1 << 63), -math.inf)),
        (3, (0, 0.1)),
        (4, (None, 5e-324)),
        (5, (None, 1.7976931348623157e308)),
        (6, (None, -0.0)),
    ]
    with site.engine.write():
        rows.insert([((n,), (f, i)) for n, (i, f) in cases])
    found = rows.values([(n,) for n, _ in cases])
    assert {address[0]: (values[1], values[0]) for address, values in found.items()} == dict(cases)
    if site.engine.dialect != "sqlite":  # SQLite stores a negative zero as zero
        assert math.copysign(1, found[(6,)][0]) == -1


def test_large_values_survive(make, application):
    kind = {"sqlite": "BLOB", "postgresql": "BYTEA"}[application.dialect]
    site = make(f"CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b {kind})")
    rows = site.rows("t")
    text, data = "ünïcode\t\n\\" * 1_000_000, bytes(range(256)) * 40_000
    with site.engine.write():
        rows.insert([((1,), (text, data))])
    assert rows.values([(1,)]) == {(1,): (text, data)}


def test_an_application_that_renumbers_while_we_read_is_not_mixed(make):
    site = make(PERSON, "INSERT INTO person VALUES (1, 'one', NULL, 1), (2, 'two', NULL, 2)")
    with site.engine.read():
        before = site.rows("person").after(0, 1 << 60, 10)
        site.application.execute("UPDATE person SET id=30 WHERE id=1", "UPDATE person SET id=1 WHERE id=2")
        assert site.rows("person").after(0, 1 << 60, 10) == before
