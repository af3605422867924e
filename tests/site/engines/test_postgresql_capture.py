"""What PostgreSQL's triggers notice, and in which order the marks can be followed."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import SchemaError
from tallystick.site.engines.engine import Mark
from tallystick.site.engines.postgresql_capture import in_sequence
from tallystick.site.stamping import stamp

ITEM = "CREATE TABLE item (id BIGINT PRIMARY KEY DEFERRABLE, tag TEXT, n INT)"
THREE = "INSERT INTO item VALUES (1, 'one', 0), (2, 'two', 0), (3, 'three', 0)"
PARTS = (
    "CREATE TABLE event (id BIGINT, region TEXT, n INT, PRIMARY KEY (id, region)) PARTITION BY LIST (region)",
    "CREATE TABLE event_north PARTITION OF event FOR VALUES IN ('n')",
    "CREATE TABLE event_rest PARTITION OF event DEFAULT PARTITION BY RANGE (id)",
    "CREATE TABLE event_low PARTITION OF event_rest FOR VALUES FROM (0) TO (100)",
    "CREATE TABLE event_high PARTITION OF event_rest FOR VALUES FROM (100) TO (1000)",
)


def follow(places: dict[Any, str], marks: list[Mark]) -> dict[Any, str]:
    """Who is where after the marks, followed one by one."""
    places = dict(places)
    for mark in marks:
        if mark.kind == "T":
            places.clear()
        elif mark.kind == "I":
            places[mark.new] = "new"
        elif mark.kind == "D":
            places.pop(mark.old, None)
        elif mark.old != mark.new:
            assert mark.new not in places
            places[mark.new] = places.pop(mark.old)
    return places


# Moves of primary keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    (
        "UPDATE item SET id = CASE id WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE id END",
        "UPDATE item SET id = id % 3 + 1",
        "UPDATE item SET id = id + 1",
        "UPDATE item SET id = 4 - id, n = 7",
        "UPDATE item SET id = id * 10 WHERE id <> 2",
        "UPDATE item SET id = CASE id WHEN 1 THEN 2 WHEN 2 THEN 1 WHEN 3 THEN 30 END, n = id",
    ),
)
def test_keys_that_trade_places_in_one_statement_can_be_followed(postgresql_site, statement):
    site = postgresql_site(ITEM, THREE)
    site.application.execute(statement)
    places = follow({(1,): "one", (2,): "two", (3,): "three"}, site.marks("item"))
    assert places == {(number,): tag for number, tag in site.application.rows("SELECT id, tag FROM item")}


def test_records_keep_their_keys_when_rows_trade_places(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    before = {entry.local: entry.key for entry, _ in site.rows("item").after(0, 1 << 60, 10)}
    site.application.execute("UPDATE item SET id = id % 3 + 1", "UPDATE item SET id = id % 3 + 1")
    with site.ledger.write():
        stamp(site.ledger)
    after = {entry.local: entry.key for entry, _ in site.rows("item").after(0, 1 << 60, 10)}
    assert after == {(number + 1) % 3 + 1: key for number, key in before.items()}


def test_moved_rows_name_what_they_changed_and_standing_rows_too(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    site.application.execute(
        "UPDATE item SET id = CASE id WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE 3 END, "
        "n = CASE id WHEN 1 THEN 0 ELSE 5 END, tag = CASE id WHEN 1 THEN 'ONE' ELSE tag END"
    )
    named: dict[Any, set[str]] = {}
    places = {(1,): "one", (2,): "two", (3,): "three"}
    for mark in site.marks("item"):
        assert mark.columns is not None
        named.setdefault(places[mark.old], set()).update(mark.columns)
        places[mark.new] = places.pop(mark.old)
    assert named == {"one": {"id", "tag"}, "two": {"id", "n"}, "three": {"n"}}


def test_a_trigger_that_updates_the_same_table_does_not_mix_its_moves_with_ours(postgresql_site):
    site = postgresql_site(
        ITEM,
        THREE,
        "INSERT INTO item VALUES (50, 'fifty', 0)",
        "CREATE FUNCTION chase() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF pg_trigger_depth() = 1 THEN UPDATE item SET id = id + 1 WHERE id >= 50; END IF; RETURN NULL; END $$",
        "CREATE TRIGGER a_chase AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION chase()",
    )
    site.application.execute("UPDATE item SET id = id % 3 + 1 WHERE id < 50")
    places = follow({(1,): "one", (2,): "two", (3,): "three", (50,): "fifty"}, site.marks("item"))
    assert places == {(number,): tag for number, tag in site.application.rows("SELECT id, tag FROM item")}


def test_every_row_can_move_at_once(postgresql_site):
    site = postgresql_site(ITEM, "INSERT INTO item SELECT i, 't' || i, 0 FROM generate_series(1, 3000) i")
    site.application.execute("UPDATE item SET id = id + 1")
    places = follow({(n,): f"t{n}" for n in range(1, 3001)}, site.marks("item"))
    assert places == {(n + 1,): f"t{n}" for n in range(1, 3001)}


@given(st.permutations(range(8)), st.sets(st.integers(0, 7)))
def test_simultaneous_moves_come_in_an_order_that_can_be_followed(targets, still):
    moves = [((old,), (new,), "") for old, new in enumerate(targets) if old not in still and new not in still]
    places = {(old,): old for old, _, _ in [(m[0][0], 0, 0) for m in moves]}
    wanted = {new: old[0] for old, new, _ in moves}
    for old, new, _ in in_sequence(moves, lambda index: (f"passing {index}",)):
        assert new not in places
        places[new] = places.pop(old)
    assert places == wanted


# What else writes ------------------------------------------------------------------------------------------------


def test_truncate_removes_everybody(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    site.application.execute("TRUNCATE item", "INSERT INTO item VALUES (1, 'again', 0)")
    assert [mark.kind for mark in site.marks("item")] == ["T", "I"]
    with site.ledger.write():
        stamp(site.ledger)
    live = [entry for entry, _ in site.rows("item").after(0, 1 << 60, 10, (), False)]
    assert [entry.local for entry in live] == [1]
    assert live[0].key not in ("1", "2", "3")


def test_a_truncate_that_cascades_is_marked_on_both_tables(postgresql_site):
    site = postgresql_site(
        "CREATE TABLE item (id BIGINT PRIMARY KEY, tag TEXT)",
        "CREATE TABLE part (id BIGINT PRIMARY KEY, item_id BIGINT REFERENCES item (id))",
        "INSERT INTO item VALUES (1, 'x')",
        "INSERT INTO part VALUES (5, 1)",
    )
    site.application.execute("TRUNCATE item CASCADE")
    assert [[mark.kind for mark in site.marks(wire)] for wire in ("item", "part")] == [["T"], ["T"]]


def test_copy_and_merge_like_statements_are_marked(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    with site.application.connection.cursor().copy("COPY item FROM STDIN") as sink:
        sink.write_row((9, "nine", 0))
    site.application.execute(
        "WITH gone AS (DELETE FROM item WHERE id = 1 RETURNING *) INSERT INTO item SELECT 11, tag, n FROM gone"
    )
    assert site.told("item") == [("D", (1,), None), ("I", None, (9,)), ("I", None, (11,))]


def test_a_session_that_silences_triggers_is_still_marked(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    site.application.execute(
        "SET session_replication_role = replica", "UPDATE item SET n = 1 WHERE id = 1", "TRUNCATE item"
    )
    assert [mark.kind for mark in site.marks("item")] == ["U", "T"]


def test_an_update_without_a_change_leaves_no_mark(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    site.application.execute(
        "UPDATE item SET n = n", "UPDATE item SET n = 0, tag = tag WHERE id = 1", "DELETE FROM item WHERE id = 99"
    )
    assert site.marks("item") == []


ODD_TYPES = {
    "json": ("'{\"a\": 1}'", "'{\"a\":  1}'"),
    "jsonb": ("'{\"a\": 1}'", "'{\"a\": 2}'"),
    "xml": ("'<a/>'", "'<b/>'"),
    "point": ("'(1,2)'", "'(1,3)'"),
    "polygon": ("'((0,0),(1,1),(1,0))'", "'((0,0),(1,1),(2,0))'"),
    "interval": ("'1 day'", "'24 hours'"),
    "float8": ("0", "'-0'"),
    "float4": ("1.1", "1.2"),
    "int4[]": ("'{1,2}'", "'{2,1}'"),
    "numrange": ("'[1,2)'", "'[1,3)'"),
    "tsvector": ("'a b'", "'a c'"),
    "inet": ("'10.0.0.1'", "'10.0.0.1/8'"),
    "money": ("1", "2"),
    "bit varying": ("'1'", "'10'"),
    "mood": ("'glad'", "'sad'"),
    "short": ("'a'", "'b'"),
    "pair": ("'(1,a)'", "'(1,b)'"),
    'text COLLATE "blind"': ("'a'", "'A'"),
}


@pytest.mark.parametrize("kind", ODD_TYPES)
def test_a_change_of_any_type_is_seen(postgresql_site, kind):
    old, new = ODD_TYPES[kind]
    site = postgresql_site(
        "CREATE TYPE mood AS ENUM ('glad', 'sad')",
        "CREATE DOMAIN short AS varchar(3) CHECK (value <> 'zzz')",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        f"CREATE TABLE odd (id INT PRIMARY KEY, value {kind}, other INT)",
        f"INSERT INTO odd VALUES (1, {old}), (2, NULL)",
    )
    site.application.execute(
        f"UPDATE odd SET value = {old}", f"UPDATE odd SET value = {new}", f"UPDATE odd SET value = {new}, other = 1"
    )
    told = [(mark.old, mark.columns) for mark in site.marks("odd")]
    assert sorted(told, key=str) == sorted(
        [((2,), {"value"}), ((1,), {"value"}), ((2,), {"value"}), ((1,), {"other"}), ((2,), {"other"})], key=str
    )


@pytest.mark.parametrize(
    ("kind", "stored", "address"),
    (
        ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("numeric(10,2)", "1.50", "1.5"),
        ("timestamptz", "'2020-02-03 04:05:06+02'", "2020-02-03 02:05:06+00"),
        ("date", "'2020-02-03'", "2020-02-03"),
        ("bytea", "'\\x00ff'", b"\x00\xff"),
        ("boolean", "true", 1),
        ("float8", "0.1", 0.1),
        ("char(5)", "'ab'", "ab"),
        ("smallint", "7", 7),
        ("citext", "'MiXed'", "MiXed"),
    ),
)
def test_keys_of_any_type_are_told_as_rows_tell_them(postgresql_site, kind, stored, address):
    site = postgresql_site(
        "CREATE DOMAIN citext AS text" if kind == "citext" else "SELECT 1",
        f"CREATE TABLE odd (id {kind} PRIMARY KEY, n INT)",
        f"CREATE TABLE pair (a INT, b {kind}, n INT, PRIMARY KEY (a, b))",
    )
    site.application.execute(
        "SET timezone = 'Asia/Tokyo'",
        "SET datestyle = 'SQL, DMY'",
        "SET extra_float_digits = 0",
        "SET bytea_output = 'escape'",
        "SET standard_conforming_strings = on",
        f"INSERT INTO odd VALUES ({stored}, 0)",
        f"INSERT INTO pair VALUES (3, {stored}, 0)",
        "SET standard_conforming_strings = off",
        "UPDATE odd SET n = 1",
        "UPDATE pair SET n = 1",
    )
    assert site.told("odd") == [("I", None, (address,)), ("U", (address,), (address,))]
    assert site.told("pair") == [("I", None, (3, address)), ("U", (3, address), (3, address))]
    assert list(site.rows("odd").values([(address,)])) == [(address,)]
    assert list(site.rows("pair").values([(3, address)])) == [(3, address)]
    assert [found for found, _ in site.rows("odd").scan()] == [(address,)]
    with site.ledger.write():
        assert stamp(site.ledger) == 2
    assert [values for _, values in site.rows("odd").after(0, 1 << 60, 9)] == [(1,)]
    assert [values for _, values in site.rows("pair").after(0, 1 << 60, 9)] == [(1,)]


# Partitions ------------------------------------------------------------------------------------------------------


def test_partitioned_tables_are_one_table(postgresql_site):
    site = postgresql_site(*PARTS, "INSERT INTO event VALUES (1, 'n', 0), (2, 's', 0), (200, 'w', 0)")
    assert [table.name for table in site.engine.tables()] == ["event"]
    assert len(list(site.rows("event").scan())) == 3


def test_writes_through_the_table_and_into_partitions_are_marked_once(postgresql_site):
    site = postgresql_site(*PARTS)
    site.application.execute(
        "INSERT INTO event VALUES (1, 'n', 0), (2, 's', 0), (200, 'w', 0)",
        "INSERT INTO event_north VALUES (3, 'n', 0)",
        "INSERT INTO event_rest VALUES (4, 'x', 0)",
        "INSERT INTO event_high VALUES (201, 'x', 0)",
    )
    ids = [(1, "n"), (2, "s"), (3, "n"), (4, "x"), (200, "w"), (201, "x")]
    assert site.told("event") == [("I", None, address) for address in ids]
    site.marks("event", clear=True)
    site.application.execute(
        "UPDATE event SET n = 1", "DELETE FROM event_rest", "UPDATE event_north SET n = 2 WHERE id = 1"
    )
    told = site.told("event")
    assert [item for item in told if item[0] == "U"] == sorted([("U", a, a) for a in ids] + [("U", (1, "n"), (1, "n"))])
    assert [item[1] for item in told if item[0] == "D"] == [(2, "s"), (4, "x"), (200, "w"), (201, "x")]


def test_a_row_that_changes_partition_is_not_lost(postgresql_site):
    site = postgresql_site(*PARTS, "INSERT INTO event VALUES (1, 'n', 0), (2, 's', 0), (3, 's', 0)")
    site.application.execute(
        "UPDATE event SET region = 'w', n = 5 WHERE id = 1", "UPDATE event_rest SET id = id + 100 WHERE id = 2"
    )
    with site.ledger.write():
        stamp(site.ledger)
    found = {entry.key: values for entry, values in site.rows("event").after(0, 1 << 60, 10, (), False)}
    assert found == {"1,w": (5,), "102,s": (0,), "3,s": (0,)}


def test_emptying_one_partition_removes_its_rows_only(postgresql_site):
    site = postgresql_site(*PARTS, "INSERT INTO event VALUES (1, 'n', 0), (2, 's', 0), (200, 'w', 0)")
    site.application.execute("TRUNCATE event_low")
    assert site.told("event") == [("D", (2, "s"), None)]
    site.application.execute("TRUNCATE event")
    assert "T" in [mark.kind for mark in site.marks("event")]


@pytest.mark.parametrize(
    "change",
    (
        ("ALTER TABLE event DETACH PARTITION event_north",),
        (
            "CREATE TABLE event_east (LIKE event INCLUDING ALL)",
            "INSERT INTO event_east VALUES (77, 'e', 7)",
            "ALTER TABLE event_rest DETACH PARTITION event_high",
            "ALTER TABLE event ATTACH PARTITION event_east FOR VALUES IN ('e')",
        ),
        ("DROP TABLE event_north",),
    ),
)
def test_partitions_that_come_and_go_are_noticed_and_compared(postgresql_site, change):
    site = postgresql_site(*PARTS, "INSERT INTO event VALUES (1, 'n', 0), (2, 's', 0)")
    structure = site.engine.structure()
    site.application.execute(*change)
    assert site.engine.structure() != structure
    with site.ledger.write():
        stamp(site.ledger)
    live = {entry.key for entry, _ in site.rows("event").after(0, 1 << 60, 10, (), False)}
    assert live == {f"{number},{region}" for number, region in site.application.rows("SELECT id, region FROM event")}


def test_a_partition_made_later_is_captured_after_the_next_stamping(postgresql_site):
    site = postgresql_site(*PARTS)
    site.application.execute("CREATE TABLE event_east PARTITION OF event FOR VALUES IN ('e')")
    with site.ledger.write():
        stamp(site.ledger)
    site.application.execute("INSERT INTO event_east VALUES (5, 'e', 0)")
    assert site.told("event") == [("I", None, (5, "e"))]


def test_children_of_old_style_inheritance_are_tables_of_their_own(postgresql_site):
    site = postgresql_site(
        "CREATE TABLE base (id INT PRIMARY KEY, a TEXT)",
        "CREATE TABLE derived (PRIMARY KEY (id)) INHERITS (base)",
        "INSERT INTO base VALUES (1, 'b')",
        "INSERT INTO derived VALUES (1, 'd')",
    )
    assert list(site.rows("base").scan()) == [((1,), ("b",))]
    assert list(site.rows("derived").scan()) == [((1,), ("d",))]
    with site.engine.write(), site.engine.capture_off():
        site.rows("base").update([((1,), ("x",))])
        site.rows("base").delete([(1,)])
    assert site.application.rows("SELECT id, a FROM base") == [(1, "d")]


# Losing capture --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    (
        (
            "ALTER TABLE item DISABLE TRIGGER ALL",
            "UPDATE item SET n = 9 WHERE id = 1",
            "ALTER TABLE item ENABLE TRIGGER ALL",
        ),
        (
            "ALTER TABLE item DISABLE TRIGGER tally_update",
            "UPDATE item SET n = 9 WHERE id = 1",
            "ALTER TABLE item ENABLE ALWAYS TRIGGER tally_update",
        ),
        ("DROP TRIGGER tally_update ON item", "UPDATE item SET n = 9 WHERE id = 1"),
        ("ALTER TABLE item ALTER n TYPE BIGINT USING CASE id WHEN 1 THEN 9 ELSE n END",),
        ("ALTER TABLE item DROP COLUMN n", "ALTER TABLE item ADD COLUMN n INT DEFAULT 9"),
        (
            "CREATE TABLE fresh (LIKE item INCLUDING ALL)",
            "INSERT INTO fresh SELECT id, tag, CASE id WHEN 1 THEN 9 ELSE n END FROM item",
            "DROP TABLE item",
            "ALTER TABLE fresh RENAME TO item",
        ),
    ),
)
def test_changes_that_bypassed_lost_capture_are_found(postgresql_site, change):
    site = postgresql_site("CREATE TABLE item (id BIGINT PRIMARY KEY, tag TEXT, n INT)", THREE)
    site.application.execute(*change)
    with site.ledger.write():
        assert stamp(site.ledger) >= 1
    found = {entry.local: values for entry, values in site.rows("item").after(0, 1 << 60, 10, (), False)}
    assert found == {number: (n, tag) for number, tag, n in site.application.rows("SELECT id, tag, n FROM item")}
    entries = site.rows("item").by_locals([1])
    assert entries[1].tick > 3
    site.application.execute("UPDATE item SET tag = 'after'")
    assert len(site.marks("item")) == 3


def test_vacuum_and_analyze_change_nothing(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    structure = site.engine.structure()
    site.application.execute("VACUUM FULL item", "ANALYZE item", "REINDEX TABLE item", "CREATE INDEX ON item (tag)")
    assert site.engine.structure() == structure


def test_a_table_with_a_foreign_part_is_refused(postgresql_application, tracked_site):
    if not _has_file_fdw(postgresql_application):
        pytest.skip("the server has no foreign data wrapper to try with")
    with pytest.raises(SchemaError) as refused:
        tracked_site(
            postgresql_application,
            "CREATE EXTENSION file_fdw",
            "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
            "CREATE TABLE item (id INT PRIMARY KEY, tag TEXT)",
            "CREATE FOREIGN TABLE item_far () INHERITS (item) SERVER files OPTIONS (filename '/dev/null')",
        )
    assert "item_far" in str(refused.value)


def _has_file_fdw(application: Any) -> bool:
    return bool(application.rows("SELECT 1 FROM pg_available_extensions WHERE name = 'file_fdw'"))


# Rights and names ------------------------------------------------------------------------------------------------


def test_an_application_role_needs_no_rights_on_our_schema(postgresql_site, postgresql_server):
    role = "tally_test_clerk"
    postgresql_server.execute(f"DROP ROLE IF EXISTS {role}")
    postgresql_server.execute(f"CREATE ROLE {role} LOGIN")
    site = postgresql_site(*PARTS, ITEM, THREE)
    try:
        site.application.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}", f"SET ROLE {role}")
        site.application.execute(
            "SET search_path = nowhere",
            "UPDATE public.item SET n = 1 WHERE id = 1",
            "INSERT INTO public.item VALUES (7, 'x', 1)",
            "DELETE FROM public.item WHERE id = 2",
            "UPDATE public.item SET id = 8 WHERE id = 7",
            "INSERT INTO public.event VALUES (1, 'n', 0)",
            "TRUNCATE public.event_north",
            "TRUNCATE public.item",
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            site.application.rows("SELECT * FROM tally.mark")
        assert [mark.kind for mark in site.marks("item")] == ["U", "I", "D", "U", "T"]
        assert [mark.kind for mark in site.marks("event")] == ["I", "D"]
    finally:
        site.application.execute("RESET ROLE", f"DROP OWNED BY {role}")
        postgresql_server.execute(f"DROP ROLE {role}")


def test_objects_planted_in_the_search_path_are_not_called(postgresql_site):
    site = postgresql_site(
        ITEM,
        "CREATE SCHEMA trap",
        "CREATE FUNCTION trap.boom(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END'",
        "CREATE OPERATOR trap.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.boom)",
    )
    site.application.execute(
        "SET search_path = trap, pg_catalog, public", "INSERT INTO item VALUES (1, 'x', 0)", "UPDATE item SET n = 5"
    )
    assert [mark.kind for mark in site.marks("item")] == ["I", "U"]


NAMES = (
    'we"ird',
    "per%cent %s %%",
    "quest?ion $1",
    "a b",
    "$tally$ $body$",
    "x'; DROP SCHEMA tally CASCADE; --",
    "back\\slash",
    "ünï",
)


@pytest.mark.parametrize("name", NAMES)
def test_names_cannot_break_out_of_our_statements(postgresql_site, name):
    table, column = ('"' + text.replace('"', '""') + '"' for text in (name, name + " c"))
    site = postgresql_site(
        f"CREATE TABLE {table} ({column} BIGINT PRIMARY KEY DEFERRABLE, {table} TEXT UNIQUE, n INT)",
        f"INSERT INTO {table} VALUES (1, 'a', NULL), (2, 'b', 1)",
    )
    (tracked,) = site.ledger.resources()
    site.application.execute(
        f"UPDATE {table} SET {table} = 'x' WHERE {column} = 1",
        f"UPDATE {table} SET n = NULL",
        f"UPDATE {table} SET {column} = 3 - {column}",
        f"DELETE FROM {table} WHERE {column} = 1",
        f"INSERT INTO {table} VALUES (9, 'i', NULL)",
    )
    marks = site.marks(tracked.wire)
    assert marks[0].columns == {name}
    assert follow({(1,): "x", (2,): "b"}, marks) == {(2,): "x", (9,): "new"}
    with site.ledger.write():
        stamp(site.ledger)
    rows = tracked.rows
    assert len(rows.after(0, 1 << 60, 9, (), False)) == 2
    with site.engine.write(), site.engine.capture_off():
        rows.lock_rows([(2,), (9,)])
        fields = {item.column: None for item in tracked.definition.fields}
        values = tuple({**fields, name: "v"}.values())
        rows.insert([((n,), tuple({**fields, name: f"v{n}"}.values())) for n in range(100, 130)])
        rows.update([((n,), tuple({**fields, name: f"w{n}"}.values())) for n in range(100, 130)])
        rows.update([((100,), values)])
        rows.vacate([(100,)])
        rows.delete([(n,) for n in range(100, 130)])
        rows.settle_sequence()
    site.application.execute(f"TRUNCATE {table}")
    assert [mark.kind for mark in site.marks(tracked.wire)] == ["T"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_partitions_cannot_break_out_either(postgresql_site, name):
    part = '"' + name.replace('"', '""') + ' p"'
    site = postgresql_site(
        f"CREATE TABLE event ({part} BIGINT PRIMARY KEY, n INT) PARTITION BY LIST ({part})",
        f"CREATE TABLE {part} PARTITION OF event FOR VALUES IN (1)",
        f"INSERT INTO {part} VALUES (1, 1)",
    )
    site.application.execute("UPDATE event SET n = 2", f"TRUNCATE {part}")
    assert [(mark.kind, mark.old) for mark in site.marks("event")] == [("U", (1,)), ("D", (1,))]


@pytest.mark.parametrize(
    "altered",
    (
        "ALTER TABLE item DROP COLUMN n",
        "ALTER TABLE item RENAME COLUMN n TO m",
    ),
)
def test_the_application_goes_on_after_a_column_went(postgresql_site, altered):
    site = postgresql_site(ITEM, THREE)
    site.application.execute(altered)
    site.application.execute("UPDATE item SET tag = 'still captured' WHERE tag = 'two'")
    site.application.execute("INSERT INTO item SELECT 9, 'new'")
    site.application.execute("DELETE FROM item WHERE tag = 'one'")
    site.application.execute("TRUNCATE item")
    with pytest.raises(SchemaError), site.ledger.write():
        stamp(site.ledger)


def test_an_integer_key_may_be_called_otherwise(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    site.application.execute("ALTER TABLE item RENAME COLUMN id TO number")
    site.application.execute("UPDATE item SET tag = 'changed' WHERE number = 2")
    site.application.execute("INSERT INTO item VALUES (9, 'new', 0)")
    with site.ledger.write():
        assert stamp(site.ledger) == 2


def test_what_was_written_while_a_column_was_called_otherwise_is_found(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    site.application.execute("ALTER TABLE item RENAME COLUMN n TO m")
    site.application.execute("UPDATE item SET tag = 'unmarked' WHERE id = 2")
    site.application.execute("ALTER TABLE item RENAME COLUMN m TO n")
    site.application.execute("ALTER TABLE item ADD COLUMN extra TEXT")
    with site.ledger.write():
        assert stamp(site.ledger) == 1


# Floats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ("REAL", "DOUBLE PRECISION"))
@pytest.mark.parametrize(
    ("before", "after", "changed"),
    (
        ("'0'", "'-0'", True),
        ("'-0'", "'-0'", False),
        ("'NaN'", "'NaN'", False),
        ("'NaN'", "'0'", True),
        ("'-Infinity'", "'-Infinity'", False),
        ("'0.1'", "'0.1'", False),
        ("NULL", "NULL", False),
        ("NULL", "'0'", True),
        ("'1'", "NULL", True),
    ),
)
def test_a_float_changes_when_its_bits_do(postgresql_site, kind, before, after, changed):
    rows = f"INSERT INTO item VALUES (1, {before}, 0), (2, {before}, 0)"
    site = postgresql_site(f"CREATE TABLE item (id BIGINT PRIMARY KEY, x {kind}, n INT)", rows)
    site.application.execute(f"UPDATE item SET x = {after}, n = 1", f"UPDATE item SET x = {after} WHERE id = 1")
    expected = [{"x", "n"} if changed else {"n"}] * 2
    assert [mark.columns for mark in site.marks("item")] == expected
