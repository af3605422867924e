"""Values, refusals and peculiarities of rows in PostgreSQL."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.core.values import Logical
from tallystick.errors import StorageError
from tallystick.site.engines.engine import Entry, Rejected

NAN = float("nan")
READ = {
    "boolean": (("'t'", 1), ("false", 0)),
    "smallint": (("-7", -7),),
    "integer": (("7", 7),),
    "bigint": (("9223372036854775807", 9223372036854775807),),
    "oid": (("4000000000", 4000000000),),
    "numeric": (
        ("1.500", "1.5"),
        ("100", "100"),
        ("'NaN'", "NaN"),
        ("0.000", "0"),
        ("-0.10", "-0.1"),
        ("1e20", "1" + "0" * 20),
    ),
    "numeric(10,2)": (("1.5", "1.5"), ("1.005", "1.01")),
    "real": (("1.1", 1.1), ("'NaN'", NAN), ("'-Infinity'", -math.inf), ("3", 3.0)),
    "double precision": (("0.1", 0.1), ("'Infinity'", math.inf), ("'NaN'", NAN), ("5", 5.0)),
    "text": (("'a\\b'", "a\\b"), ("''", "")),
    "varchar(5)": (("'ab '", "ab "),),
    "char(5)": (("'ab'", "ab"),),
    "bytea": (("'\\x00ff'", b"\x00\xff"), ("''", b"")),
    "date": (("'2020-02-03'", "2020-02-03"), ("'infinity'", "infinity")),
    "time": (("'04:05'", "04:05:00"), ("'04:05:06.7800'", "04:05:06.78")),
    "timestamp": (
        ("'2020-02-03 04:05'", "2020-02-03 04:05:00"),
        ("'2020-02-03 04:05:06.120'", "2020-02-03 04:05:06.12"),
    ),
    "timestamptz": (("'2020-02-03 04:05:06.5+02'", "2020-02-03 02:05:06.5+00"),),
    "uuid": (("'A0EEBC999C0B4EF8BB6D6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),),
    "json": (('\'{"b": 1, "a":  [1, 2]}\'', '{"a":[1,2],"b":1}'),),
    "jsonb": (('\'{"b": 1, "a":  "ü"}\'', '{"a":"ü","b":1}'),),
    "interval": (("'1 month 2 days 03:04:05'", "1 mon 2 days 03:04:05"),),
    "inet": (("'10.0.0.1'", "10.0.0.1/32"), ("'::1'", "::1/128"), ("'10.0.0.1/8'", "10.0.0.1/8")),
    "int[]": (("'{1,2}'", "{1,2}"),),
    "money": (("12", "$12.00"),),
    "point": (("'(1,2)'", "(1,2)"),),
    "xml": (("'<a/>'", "<a/>"),),
    "mood": (("'glad'", "glad"),),
    "short": (("'ab'", "ab"),),
}
LOGICAL = {
    "boolean": (Logical.BOOL, ""),
    "smallint": (Logical.INT64, ""),
    "oid": (Logical.INT64, ""),
    "numeric": (Logical.DECIMAL, ""),
    "numeric(10,2)": (Logical.DECIMAL, "10,2"),
    "numeric(5)": (Logical.DECIMAL, "5,0"),
    "real": (Logical.FLOAT64, "float4"),
    "double precision": (Logical.FLOAT64, ""),
    "text": (Logical.TEXT, ""),
    "varchar(5)": (Logical.TEXT, ""),
    "char(5)": (Logical.TEXT, "char 5"),
    "char": (Logical.TEXT, "char 1"),
    "bytea": (Logical.BYTES, ""),
    "date": (Logical.DATE, ""),
    "time(3)": (Logical.TIME, "3"),
    "timestamp": (Logical.TIMESTAMP, ""),
    "timestamp(0)": (Logical.TIMESTAMP, "0"),
    "timestamptz": (Logical.INSTANT, ""),
    "uuid": (Logical.UUID, ""),
    "jsonb": (Logical.JSON, ""),
    "interval": (Logical.TEXT, "interval"),
    "inet": (Logical.TEXT, "inet"),
    "int[]": (Logical.TEXT, "integer[]"),
    "mood": (Logical.TEXT, ""),
    "short": (Logical.TEXT, ""),
    "cents": (Logical.DECIMAL, "8,2"),
}
TYPES = (
    "CREATE TYPE mood AS ENUM ('glad', 'sad')",
    "CREATE DOMAIN short AS varchar(3) CHECK (value <> 'zzz')",
    "CREATE DOMAIN price AS numeric(8,2)",
    "CREATE DOMAIN cents AS price NOT NULL",
)


def same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or one == other
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("kind", READ)
def test_values_are_read_canonically_and_written_back_unchanged(postgresql_site, kind):
    site = postgresql_site(*TYPES, f"CREATE TABLE t (id INT PRIMARY KEY, value {kind})")
    cases = READ[kind]
    for number, (stored, _) in enumerate(cases):
        site.application.execute(f"INSERT INTO t VALUES ({number}, {stored})")
    site.application.execute("INSERT INTO t VALUES (99, NULL)")
    rows = site.rows("t")
    found = rows.values([(number,) for number in range(100)])
    for number, (_, value) in enumerate(cases):
        assert same(found[(number,)][0], value), found[(number,)]
    assert found[(99,)] == (None,)
    assert {address: str(values) for address, values in rows.scan()} == {a: str(v) for a, v in found.items()}
    with site.engine.write(), site.engine.capture_off():
        rows.insert([((100 + number,), values) for (number,), values in found.items()])
        rows.update([((number,), values) for (number,), values in found.items()])
        rows.insert([((1000 + number,), found[(0,)]) for number in range(20)])
        rows.update([((1000 + number,), found[(number % len(cases),)]) for number in range(20)])
    again = rows.values([(100 + number,) for number in range(100)])
    assert {a[0] - 100: str(v) for a, v in again.items()} == {a[0]: str(v) for a, v in found.items()}
    many = rows.values([(1000 + number,) for number in range(20)])
    assert all(str(many[(1000 + number,)]) == str(found[(number % len(cases),)]) for number in range(20))


@pytest.mark.parametrize("kind", LOGICAL)
def test_types_have_their_logical_type_and_detail(postgresql_application, kind):
    postgresql_application.execute(*TYPES, f"CREATE TABLE t (id INT PRIMARY KEY, value {kind})")
    engine = postgresql_application.engine()
    (table,) = engine.tables()
    column = table.column("value")
    assert (column.logical, column.detail) == LOGICAL[kind]
    engine.close()


@pytest.mark.parametrize("kind", [kind for kind in LOGICAL if kind not in ("mood", "short", "cents", "varchar(5)")])
def test_a_column_created_elsewhere_has_the_same_type_again(postgresql_application, kind):
    postgresql_application.execute(f"CREATE TABLE t (id INT PRIMARY KEY, value {kind})")
    engine = postgresql_application.engine()
    (table,) = engine.tables()
    postgresql_application.execute("DROP TABLE t")
    with engine.write():
        engine.create_table(table)
    (made,) = engine.tables()
    assert (made.column("value").logical, made.column("value").detail) == LOGICAL[kind]
    engine.close()


# Refusals --------------------------------------------------------------------------------------------------------

WRONG = (
    ("varchar(3)", "abcd"),
    ("varchar(3)", "abc   "),
    ("char(2)", "abc"),
    ("int", 1 << 40),
    ("bigint", "no number"),
    ("smallint", 1.5),
    ("boolean", 2),
    ("date", "yesterday or so"),
    ("timestamptz", "2020-13-01"),
    ("uuid", "nothing"),
    ("numeric(3,1)", "1000"),
    ("text", b"bytes"),
    ("bytea", "text"),
    ("bytea", 5),
    ("text", "a\0b"),
    ("text", "\ud800"),
    ("json", "{"),
    ("jsonb", '"\\u0000"'),
    ("mood", "angry"),
    ("short", "zzz"),
    ("int[]", "1,2"),
    ("int CHECK (value > 0)", -1),
    ("int NOT NULL", None),
)


def test_a_text_for_a_column_of_bytes_is_refused_as_no_bytes(postgresql_site):
    site = postgresql_site("CREATE TABLE t (id INT PRIMARY KEY, value bytea)")
    with site.engine.write(), pytest.raises(Rejected, match="column 'value' holds bytes, the value is no bytes"):
        site.rows("t").insert([((number,), ("text",)) for number in range(30)])


@pytest.mark.parametrize(("kind", "value"), WRONG)
@pytest.mark.parametrize("count", (1, 30))
def test_values_that_do_not_fit_are_refused_one_way_or_the_other(postgresql_site, kind, value, count):
    site = postgresql_site(*TYPES, f"CREATE TABLE t (id INT PRIMARY KEY, value {kind})")
    rows = site.rows("t")
    if not rows.definition.fields:
        pytest.skip("no field to write")
    before = site.application.rows("SELECT * FROM t")
    with site.engine.write():
        with pytest.raises(Rejected):
            rows.insert([((number,), (value,)) for number in range(count)])
        with pytest.raises(Rejected):
            rows.update([((number,), (value,)) for number in range(count)])
        site.engine.execute("INSERT INTO tally_origin(id, name) VALUES (98, 'the transaction goes on')")
    assert site.application.rows("SELECT * FROM t") == before
    assert site.engine.query("SELECT 1 FROM tally_origin WHERE id=98")


def test_the_message_is_that_of_the_database(postgresql_site):
    site = postgresql_site("CREATE TABLE t (id INT PRIMARY KEY, a INT CONSTRAINT positive CHECK (a > 0))")
    with site.engine.write(), pytest.raises(Rejected, match="positive"):
        site.rows("t").insert([((1,), (0,))])


def test_a_trigger_that_raises_refuses_the_row(postgresql_site):
    site = postgresql_site(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT)",
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not on sundays'; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no()",
    )
    with site.engine.write(), pytest.raises(Rejected, match="not on sundays"):
        site.rows("t").insert([((1,), (0,))])


def test_a_row_that_a_trigger_swallows_is_not_lost_silently(postgresql_site):
    site = postgresql_site(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT)",
        "INSERT INTO t VALUES (1, 1)",
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER swallow BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION swallow()",
    )
    rows = site.rows("t")
    with site.engine.write():
        with pytest.raises(Rejected):
            rows.insert([((2,), (2,))])
        with pytest.raises(Rejected):
            rows.update([((1,), (2,))])
        with pytest.raises(Rejected):
            rows.delete([(1,)])


def test_an_update_of_a_row_that_is_gone_is_refused(postgresql_site):
    site = postgresql_site("CREATE TABLE t (id INT PRIMARY KEY, a INT)", "INSERT INTO t VALUES (1, 1)")
    rows = site.rows("t")
    with site.engine.write():
        with pytest.raises(Rejected):
            rows.update([((1,), (5,)), ((2,), (5,))])
        with pytest.raises(Rejected):
            rows.update([((number,), (5,)) for number in range(1, 40)])
    assert site.application.rows("SELECT a FROM t") == [(1,)]


def test_row_level_security_is_a_matter_of_the_role_not_of_the_row(postgresql_site, postgresql_server):
    role = "tally_test_bound"
    postgresql_server.execute(f"DROP ROLE IF EXISTS {role}")
    postgresql_server.execute(f"CREATE ROLE {role} LOGIN")
    site = postgresql_site("CREATE TABLE t (id INT PRIMARY KEY, a INT)")
    try:
        site.application.execute(
            "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public, tally TO {role}",
            f"GRANT ALL ON SCHEMA public, tally TO {role}",
        )
        site.engine.native(f"SET ROLE {role}")
        with pytest.raises(StorageError, match="BYPASSRLS"), site.engine.write():
            site.rows("t").insert([((1,), (1,))])
        site.engine.native("RESET ROLE")
    finally:
        site.application.execute(f"DROP OWNED BY {role}")
        postgresql_server.execute(f"DROP ROLE {role}")


def test_a_generated_key_takes_the_integer_it_is_given(postgresql_site):
    site = postgresql_site("CREATE TABLE t (id INT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a INT)")
    rows = site.rows("t")
    with site.engine.write(), site.engine.capture_off():
        rows.insert([((7,), (1,))])
        rows.update([((7,), (2,))])
        rows.settle_sequence()
        assert rows.fresh(3) == [8, 9, 10]
    site.application.execute("INSERT INTO t (a) VALUES (3)")
    assert site.application.rows("SELECT id FROM t ORDER BY id") == [(7,), (11,)]


@pytest.mark.parametrize(
    "table",
    (
        ("CREATE TABLE t (id SERIAL PRIMARY KEY, a INT)",),
        (
            "CREATE SEQUENCE numbers INCREMENT 10",
            "CREATE TABLE t (id INT PRIMARY KEY DEFAULT nextval('numbers'), a INT)",
        ),
        ("CREATE TABLE t (id INT GENERATED BY DEFAULT AS IDENTITY (START 5) PRIMARY KEY, a INT)",),
    ),
)
def test_sequences_of_every_make_are_moved_on_and_never_back(postgresql_site, table):
    site = postgresql_site(*table)
    rows = site.rows("t")
    for number in (3, 40, 60, 100_000):
        with site.engine.write(), site.engine.capture_off():
            rows.insert([((number,), (1,))])
            rows.settle_sequence()
        site.application.execute("INSERT INTO t (a) VALUES (2)")
        with site.engine.write():
            rows.settle_sequence()
    taken = [row[0] for row in site.application.rows("SELECT id FROM t WHERE a = 2 ORDER BY ctid")]
    assert taken == sorted(set(taken))
    assert taken[-1] > 100_000
    with site.engine.write():
        assert not set(rows.fresh(20)) & {row[0] for row in site.application.rows("SELECT id FROM t")}


def test_fresh_integers_step_over_rows_that_the_sequence_does_not_know(postgresql_site):
    site = postgresql_site(
        "CREATE TABLE t (id SERIAL PRIMARY KEY, a INT)", "INSERT INTO t VALUES (2, 0), (3, 0), (5, 0)"
    )
    with site.engine.write():
        assert site.rows("t").fresh(4) == [1, 4, 6, 7]


# Keys and references ----------------------------------------------------------------------------------------------


def test_addresses_that_no_key_can_be_are_not_found(postgresql_site):
    site = postgresql_site(
        "CREATE TABLE u (id UUID PRIMARY KEY, a INT)",
        "CREATE TABLE d (day DATE, id INT, a INT, PRIMARY KEY (day, id))",
        "CREATE TABLE i (id INT PRIMARY KEY, a INT)",
        "CREATE TABLE v (id VARCHAR(3) PRIMARY KEY, a INT)",
        "INSERT INTO u VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1)",
        "INSERT INTO d VALUES ('2020-01-01', 1, 1)",
        "INSERT INTO i VALUES (1, 1)",
        "INSERT INTO v VALUES ('abc', 1)",
    )
    known = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    odd = [("no uuid",), ("\0passing",), (known,), (5,), (None,)]
    assert site.rows("u").values(odd) == {(known,): (1,)}
    days = [("2020-01-01", 1), ("no day", 1), ("2020-01-01", "x"), ("\0 1", "\0 1")]
    assert site.rows("d").values(days) == {("2020-01-01", 1): (1,)}
    assert site.rows("i").values([(1,), ("1",), (1 << 70,), ("\0 1",), (1.0,)]) == {(1,): (1,)}
    assert site.rows("v").values([("abcd",), ("abc",), ("abc ",)]) == {("abc",): (1,)}
    with site.engine.write():
        site.rows("i").delete([("no",), (1 << 70,)])


def test_a_record_whose_key_can_be_no_row_does_not_hide_the_others(postgresql_site):
    site = postgresql_site(
        "CREATE TABLE u (id UUID PRIMARY KEY, a INT)",
        "INSERT INTO u VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1)",
    )
    parked = Entry(50, "not a uuid", None, 50, 1, 50, 1, b"", None, 8, None)
    with site.engine.write():
        site.rows("u").put([parked], ())
    assert [values for _, values in site.rows("u").after(0, 1 << 60, 10)] == [(1,), None]


def test_references_of_any_integer_width_read_as_keys(postgresql_site):
    site = postgresql_site(
        "CREATE TABLE parent (id SMALLINT PRIMARY KEY, a INT)",
        "CREATE TABLE child (id BIGINT PRIMARY KEY, s SMALLINT REFERENCES parent, n BIGINT REFERENCES parent)",
        "INSERT INTO parent VALUES (3, 0)",
        "INSERT INTO child VALUES (1, 3, 3), (2, NULL, NULL)",
    )
    with site.engine.write():
        site.rows("parent").put([Entry(99, "parent-key", 3, 99, 1, 99, 1, b"h" * 32, None, 0, None)], [1])
    found = site.rows("child").values([(1,), (2,)])
    assert found == {(1,): ("parent-key", "parent-key"), (2,): (None, None)}


def test_a_key_under_another_collation_uses_its_index(postgresql_site):
    site = postgresql_site(
        'CREATE TABLE t (id TEXT COLLATE "en-x-icu" PRIMARY KEY, a INT)',
        "INSERT INTO t SELECT 'k' || i, i FROM generate_series(1, 5000) i",
        "ANALYZE t",
    )
    assert len(site.rows("t").after(0, 1 << 60, 100)) == 100
    assert site.rows("t").values([("k7",)]) == {("k7",): (7,)}
    plan = site.engine.native(
        "EXPLAIN SELECT * FROM unnest('{k7}'::text[]) k(c) "
        'JOIN t ON t.id = k.c::pg_catalog.text COLLATE "pg_catalog"."en-x-icu"'
    )
    assert any("Index" in line for (line,) in plan)


def test_vacating_finds_a_passing_value_for_many_types(postgresql_site):
    kinds = ("text", "varchar(8)", "smallint", "bigint", "numeric(6,2)", "uuid", "bytea", "date", "timestamptz")
    columns = ", ".join(f"c{index} {kind} NOT NULL UNIQUE" for index, kind in enumerate(kinds))
    site = postgresql_site(
        f"CREATE TABLE t (id INT PRIMARY KEY, {columns}, n TEXT UNIQUE)",
        *(
            f"INSERT INTO t VALUES ({n}, 'a{n}', 'b{n}', {n}, {n}, {n}, '0000000{n}-0000-0000-0000-000000000000', "
            f"'\\x0{n}', '2020-01-0{n}', '2020-01-0{n}', 'n{n}')"
            for n in (1, 2)
        ),
    )
    rows = site.rows("t")
    values = rows.values([(1,), (2,)])
    with site.engine.write(), site.engine.capture_off():
        rows.vacate([(1,), (2,)])
        rows.update([((1,), values[(2,)]), ((2,), values[(1,)])])
    assert rows.values([(1,), (2,)]) == {(1,): values[(2,)], (2,): values[(1,)]}


def test_a_type_without_passing_values_is_refused(postgresql_site):
    site = postgresql_site(
        "CREATE TABLE t (id INT PRIMARY KEY, a BOOLEAN NOT NULL UNIQUE)", "INSERT INTO t VALUES (1, true), (2, false)"
    )
    with site.engine.write(), pytest.raises(Rejected):
        site.rows("t").vacate([(1,), (2,)])


# Any text --------------------------------------------------------------------------------------------------------


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.text(), st.binary(), st.floats(), st.integers(-(1 << 63), (1 << 63) - 1)), max_size=20)
)
def test_whatever_is_written_is_read_again_or_refused(shared_rows, rows):
    site = shared_rows
    table = site.rows("t")
    with site.engine.write(), site.engine.capture_off():
        table.delete([address for address, _ in table.scan()])
        wanted = {}
        for number, (text, data, ratio, integer) in enumerate(rows):
            values = (data, integer, ratio, text)
            try:
                table.insert([((number,), values)])
            except Rejected:
                assert "\0" in text
            else:
                wanted[(number,)] = values
        found = table.values(list(wanted))
        assert all(all(map(same, found[address], values)) for address, values in wanted.items())
        table.update(list(wanted.items()))
        assert all(all(map(same, table.values([address])[address], values)) for address, values in wanted.items())


@pytest.fixture
def shared_rows(postgresql_site):
    return postgresql_site("CREATE TABLE t (id INT PRIMARY KEY, data BYTEA, integer BIGINT, ratio FLOAT8, text TEXT)")
