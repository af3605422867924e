"""core/filters.py: which records a filter selects, in memory, on SQLite and on PostgreSQL."""

import sqlite3
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tallystick.core import filters
from tallystick.core.filter_expressions import Field, Like
from tallystick.core.filter_values import matches
from tallystick.core.values import CANONICAL, Logical, canonical_any
from tallystick.errors import FilterError

TYPES = {
    "n": Logical.INT64,
    "d": Logical.DECIMAL,
    "f": Logical.FLOAT64,
    "s": Logical.TEXT,
    "r": Logical.REFERENCE,
    "ok": Logical.BOOL,
    "day": Logical.DATE,
    "at": Logical.TIMESTAMP,
    "since": Logical.INSTANT,
    "clock": Logical.TIME,
    "u": Logical.UUID,
    "blob": Logical.BYTES,
    "doc": Logical.JSON,
    "x": Logical.ANY,
    "y": Logical.ANY,
}


def selects(source, record=None, types=TYPES):
    return filters.evaluate(filters.parse(source), record or {}, types)


ANN = {
    "n": 5,
    "d": "10.5",
    "f": 0.25,
    "s": "Ann O'Neill",
    "r": "7",
    "ok": 1,
    "day": "2020-02-03",
    "at": "2020-02-03 10:11:12.5",
    "since": "2020-02-03 10:11:12+00",
    "clock": "08:30:00",
    "u": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    "x": 3,
    "y": "3",
}


@pytest.mark.parametrize(
    "source",
    (
        "n eq 5",
        "n ne 4 and n lt 6 and n le 5 and n gt 4 and n ge 5",
        "n eq 5.0",
        "n eq '5'",
        "d eq 10.50",
        "d gt 9",
        "d between 10 and 11",
        "d - 0.5 eq 10",
        "s eq 'Ann O''Neill'",
        "s gt 'An' and s lt 'Ao'",
        "s in ('x', \"Ann O'Neill\")",
        "s like 'Ann%' and s like '%Ne_ll' and s like '%'",
        "r eq '7' and r eq 7",
        "ok",
        "ok eq true",
        "ok eq 1",
        "not not ok",
        "(n eq 5) eq ok",
        "day eq @2020-02-03@",
        "day eq '2020-02-03'",
        "at gt day",
        "at eq @2020-02-03T10:11:12.500Z@",
        "since eq @2020-02-03T11:11:12+01:00@",
        "clock gt '08:00' and hour(clock) eq 8 and minute(clock) eq 30",
        "u eq '{6F9619FF-8B86-D011-B42D-00C04FC964FF}'",
        "x eq 3 and y eq 3 and y eq '3' and x eq '3'",
        "x + y eq 6",
        "blob eq null and doc eq null",
        "n ne null and null ne n",
        "concat(s, '!', y) eq 'Ann O''Neill!3'",
        "left(s, 3) eq 'Ann' and right(s, 4) eq 'eill' and left(s, 99) eq s and right(s, 0) eq ''",
        "substring(s, 5, 2) eq 'O''' and substring(s, 5) eq 'O''Neill' and substring(s, 99) eq ''",
        "lower(s) eq 'ann o''neill' and upper('straße é') eq 'STRAßE é'",
        "trim('  a b  ') eq 'a b'",
        "length(s) eq 11 and len(s) eq 11 and length('😀') eq 1",
        "locate('nn', s) eq 2 and locate('z', s) eq 0",
        "abs(-3) eq 3 and sign(-3) eq -1 and sign(0) eq 0",
        "round(2.576, 2) eq 2.58 and round(2.5) eq 3 and round(-2.5) eq -3 and round(7, 2) eq 7",
        "trunc(2.576, 2) eq 2.57 and trunc(-2.5) eq -2",
        "floor(2.576) eq 2 and floor(-2.1) eq -3 and ceil(2.576) eq 3 and ceil(-2.1) eq -2",
        "year(at) eq 2020 and month(at) eq 2 and day(at) eq 3",
        "hour(since) eq 10 and minute(since) eq 11 and second(at) eq 12",
        "2 mul 5 + 3 mul 2 eq 16",
        "7 div 2 eq 3.5 and 7 mod 2 eq 1 and -7 mod 2 eq -1 and 5.5 mod 2 eq 1.5",
        "-n eq -5 and -(5) eq -5",
    ),
)
def test_a_record_is_selected_where_the_condition_is_true(source):
    assert selects(source, ANN)


@pytest.mark.parametrize(
    "source",
    (
        "n eq 4",
        "s like 'ann%'",
        "s eq 'ann o''neill'",
        "s like 'Ann'",
        "not ok",
        "n between 6 and 9",
        "n in (1, 2)",
        "at eq day",
        "n eq null",
        "d div 0 gt 0",
        "x gt y",
    ),
)
def test_a_record_is_not_selected_where_the_condition_is_false_or_null(source):
    assert not selects(source, ANN)


NULL, TRUE, FALSE = "(n eq 1)", "(1 eq 1)", "(1 eq 2)"


@pytest.mark.parametrize(
    ("source", "truth"),
    (
        (f"{NULL} and {TRUE}", None),
        (f"{NULL} and {FALSE}", False),
        (f"{TRUE} and {NULL}", None),
        (f"{NULL} or {TRUE}", True),
        (f"{NULL} or {FALSE}", None),
        (f"not {NULL}", None),
        ("n eq n", None),
        ("n ne 5", None),
        ("n in (1, 2)", None),
        ("1 in (1, n)", True),
        ("1 in (2, n)", None),
        ("n between 1 and 2", None),
        ("1 between 2 and n", False),
        ("1 between n and 0", False),
        ("1 between 0 and n", None),
        ("s like '%'", None),
        ("concat(s, 'x') eq 'x'", None),
        ("1 + n eq 1", None),
        ("n eq null", True),
        ("n ne null", False),
        ("length(s) eq null", True),
        ("(1 div 0) eq null", True),
        ("f eq null", True),
    ),
)
def test_null_is_neither_true_nor_false(source, truth):
    assert selects(source) is (truth is True)
    assert selects(f"not ({source})") is (truth is False)


@pytest.mark.parametrize("value", (float("nan"), float("inf"), float("-inf")))
def test_what_is_no_finite_number_is_null_to_a_comparison(value):
    assert not selects("f eq f or f lt 0 or f ge 0 or f ne 1", {"f": value})
    assert not selects("d lt 0 or d ge 0", {"d": str(value)})


LIKES = (
    ("", "", True),
    ("", "%", True),
    ("a", "", False),
    ("abc", "a%c", True),
    ("abc", "a_c", True),
    ("abc", "_", False),
    ("a*c", "a*c", True),
    ("abc", "a*c", False),
    ("a[b]c?", "a[b]c?", True),
    ("aXbXc", "%X%X%", True),
    ("aXbc", "%X%X%", False),
    ("a\\b", "a\\b", True),
    ("a\nb", "a%b", True),
    ("a" * 5_000, "%a" * 200 + "b", False),
)


@pytest.mark.parametrize(("text", "pattern", "expected"), LIKES)
def test_like_knows_two_wildcards_and_nothing_else(text, pattern, expected):
    assert matches(text, pattern) is expected


@pytest.mark.parametrize(
    ("source", "complaint"),
    (
        ("price gt 1", "there is no property 'price'; the properties are at, blob, clock, d,"),
        ("n eq 'five'", "five is text, not a number"),
        ("at eq 'soon'", "soon is text, not a date or timestamp"),
        ("n eq @2020-01-01@", "different kinds are compared: n is a number and 2020-01-01"),
        ("s", "s is text, not a condition"),
        ("5", "5 is a number, not a condition"),
        ("not s eq 'x'", "s is text, not a condition"),
        ("n like '1%'", "n is a number, not text"),
        ("blob eq 'x'", "blob is binary or JSON and cannot be compared"),
        ("doc eq doc", "doc is binary or JSON"),
        ("n lt null", "use eq null or ne null"),
        ("n in (1, null)", "null is null and cannot be compared"),
        ("n + null eq 1", "null is null, not a number"),
        ("null", "null is null, not a condition"),
        ("null eq null", "compare a property with null"),
        ("left(s) eq 'x'", "left is called with 1 arguments; write left(text, count)"),
        ("left(s, n) eq 'x'", "left needs a whole number there"),
        ("left(s, -1) eq 'x'", "from 0 to"),
        ("substring(s, 0) eq 'x'", "from 1 to"),
        ("round(n, 1, 2) eq 1", "write round(number[, count])"),
        ("concat() eq ''", "write concat(text, ...)"),
        ("currentDate() gt day", "tomorrow"),
        ("sleep(10) eq 1", "there is no function 'sleep'; the functions are concat, left"),
    ),
)
def test_a_filter_that_does_not_fit_is_refused_in_plain_words(source, complaint):
    expression = filters.parse(source)
    for ask in (
        lambda: filters.predicate(expression, TYPES),
        lambda: filters.compile(expression, TYPES, quoted, dialect="sqlite"),
        lambda: filters.compile(expression, TYPES, quoted, dialect="postgresql"),
    ):
        with pytest.raises(FilterError) as caught:
            ask()
        assert complaint in str(caught.value)


def test_without_types_every_property_is_what_it_is_compared_with():
    record = {"a": "10.5", "b": 3, "c": "x", "d": "2020-01-01T00:00:00Z"}
    assert selects("a gt 9 and b eq '3' and c eq 'x' and d lt @2020-01-02@ and nothing eq null", record, None)
    assert not selects("c gt 1 or c lt 1", record, None)


# SQL -----------------------------------------------------------------------------------------------------------


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("dialect", ("sqlite", "postgresql"))
def test_what_a_user_writes_never_becomes_sql(dialect):
    poison = "'; drop table t; --"
    expression = filters.parse(
        f's eq "{poison}" or s like "{poison}%" or x in ("{poison}") or concat(s, "{poison}") eq "x"'
    )
    sql, parameters = filters.compile(expression, TYPES, quoted, dialect=dialect)
    assert "drop" not in sql
    assert sum(poison in str(parameter) for parameter in parameters) == 4


def test_percent_signs_of_columns_are_doubled_where_the_placeholder_has_one():
    expression = filters.parse("[100%] eq 1")
    types = {"100%": Logical.INT64}
    assert '"100%%"' in filters.compile(expression, types, quoted, dialect="postgresql").sql
    assert '"100%"' in filters.compile(expression, types, quoted, dialect="sqlite").sql


def test_column_names_come_through_the_callable_only():
    sql = filters.compile(filters.parse("s eq 'x'"), TYPES, lambda name: "t.column_7", dialect="sqlite").sql
    assert "t.column_7" in sql
    assert '"s"' not in sql


@pytest.fixture(scope="module")
def table():
    connection = sqlite3.connect(":memory:")
    for name, (count, function) in filters.SQLITE_FUNCTIONS.items():
        connection.create_function(name, count, function, deterministic=True)
    connection.execute(
        "CREATE TABLE t (n INTEGER, d NUMERIC(10,2), f REAL, s TEXT COLLATE NOCASE, r, ok BOOLEAN, day DATE, at TEXT,"
        " since TIMESTAMP, clock TEXT, u TEXT, blob BLOB, doc TEXT, x, y)"
    )
    yield connection
    connection.close()


@pytest.mark.parametrize(("text", "pattern", "expected"), LIKES)
def test_like_on_sqlite_knows_two_wildcards_and_nothing_else(table, text, pattern, expected):
    sql, parameters = filters.compile(Like(Field("s"), pattern), TYPES, quoted, dialect="sqlite")
    (found,) = table.execute(f"SELECT {sql} FROM (SELECT ? AS s)", (*parameters, text)).fetchone()
    assert bool(found) is expected


def canonical(raw):
    return {name: CANONICAL.get(TYPES[name], canonical_any)(value) for name, value in zip(TYPES, raw, strict=True)}


def agree_on_sqlite(connection, expression, rows):
    connection.execute("DELETE FROM t")
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(TYPES))})", rows)
    stored = connection.execute("SELECT rowid, * FROM t").fetchall()
    sql, parameters = filters.compile(expression, TYPES, quoted, dialect="sqlite")
    found = {rowid for (rowid,) in connection.execute(f"SELECT rowid FROM t WHERE {sql}", parameters)}
    selected = filters.predicate(expression, TYPES)
    assert found == {rowid for rowid, *raw in stored if selected(canonical(raw))}


words = st.one_of(
    st.sampled_from(
        ("", "a", "A", "ab", "aB", "é", "É", "a%b", "a_b", "*", "[a]", "?", " a ", "5", "05", "5.0", "-1.5", "1e3",
         "true", "f", "2020-02-03", "2020-02-30", "2020-02-03T10:11", "2020-02-03 10:11:12.123456789",
         "2020-02-03T10:11:12+02:00", "0001-01-01T00:00:00+10:00", "10:11", "10:11:12.5", "25:00:00",
         "6F9619FF8B86D011B42D00C04FC964FF", "{6f9619ff-8b86-d011-b42d-00c04fc964ff}", "😀", "\\", "1_0", " 7 ")
    ),
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=5),
)  # fmt: skip
numbers = st.one_of(
    st.integers(-5, 5),
    st.sampled_from((2**63 - 1, -(2**63), 2**53, 2**53 + 1)),
    st.floats(),
    st.floats(-3, 3, width=16),
)
raws = st.one_of(st.none(), st.none(), numbers, words, words, st.binary(max_size=3))
table_rows = st.lists(st.tuples(*[raws] * len(TYPES)), min_size=1, max_size=6)


def written(value):
    return filters.text(value)


def number_literal(value):
    return format(Decimal(value), "f") if isinstance(value, int) else format(Decimal(repr(value)), "f")


number_literals = st.one_of(
    st.integers(-5, 5), st.sampled_from((2**63 - 1, 2**53, 2**53 + 1)), st.floats(-3, 3, width=16)
).map(number_literal)
text_literals = words.map(lambda word: "'" + word.replace("'", "''") + "'")
moment_literals = st.datetimes(datetime(2020, 2, 2), datetime(2020, 2, 4)).map(
    lambda moment: f"@{moment.isoformat()}Z@"
)
moment_literals |= st.sampled_from(("@2020-02-03@", "@2020-02-03T10:11:12Z@", "@2020-02-03T08:11:12Z@"))

number_fields = st.sampled_from(("n", "d", "f", "x", "ok"))
text_fields = st.sampled_from(("s", "r", "x", "u"))
moment_fields = st.sampled_from(("day", "at", "since"))


def calls(inner, *formats):
    return st.one_of(*(inner.map(form.format) for form in formats))


number_sources = st.recursive(
    number_fields | number_literals,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(("+", "-", "mul", "div", "mod")), inner).map(
            lambda each: f"({' '.join(each)})"
        ),
        calls(
            inner, "abs({})", "sign({})", "round({})", "round({}, 1)", "trunc({}, 2)", "floor({})", "ceil({})", "-({})"
        ),
        calls(text_fields, "length({})", "locate('a', {})"),
        calls(moment_fields, "year({})", "month({})", "day({})", "hour({})", "minute({})", "second({})"),
        st.sampled_from(("hour(clock)", "minute(clock)", "second(clock)")),
    ),
    max_leaves=4,
)
text_sources = st.recursive(
    text_fields | text_literals,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda each: f"concat({each[0]}, {each[1]})"),
        calls(inner, "left({}, 1)", "right({}, 2)", "right({}, 0)", "substring({}, 2)", "substring({}, 2, 1)"),
        calls(inner, "lower({})", "upper({})", "trim({})"),
    ),
    max_leaves=3,
)
moment_sources = moment_fields | moment_literals
orders = st.sampled_from(("eq", "ne", "lt", "le", "gt", "ge"))


def comparisons(sources):
    return st.one_of(
        st.tuples(sources, orders, sources).map(" ".join),
        st.tuples(sources, sources, sources).map(lambda each: f"{each[0]} between {each[1]} and {each[2]}"),
        st.tuples(sources, st.lists(sources, min_size=1, max_size=3)).map(
            lambda each: f"{each[0]} in ({', '.join(each[1])})"
        ),
    )


conditions = st.recursive(
    st.one_of(
        comparisons(number_sources),
        comparisons(text_sources),
        comparisons(moment_sources),
        comparisons(st.sampled_from(("clock", "'10:11:12'", "'10:11'"))),
        st.tuples(text_sources, text_literals).map(" like ".join),
        st.tuples(st.sampled_from(sorted(TYPES)), st.sampled_from(("eq", "ne"))).map(
            lambda each: " ".join(each) + " null"
        ),
        st.tuples(st.sampled_from(("x", "s", "r")), orders, number_literals | moment_literals).map(" ".join),
        st.tuples(st.just("x"), orders, st.just("y")).map(" ".join),
        st.sampled_from(("x in (y, x)", "x between y and x", "ok", "n", "x", "ok eq true", "(n eq 1) eq ok", "true")),
    ),
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.lists(inner, min_size=2, max_size=3).map(lambda each: " and ".join(f"({one})" for one in each)),
        st.lists(inner, min_size=2, max_size=3).map(lambda each: " or ".join(f"({one})" for one in each)),
    ),
    max_leaves=4,
)


def comparable(source):
    """The expression, or None for the few that compare what cannot be compared (a literal that does not convert)."""
    try:
        expression = filters.parse(source)
        filters.predicate(expression, TYPES)
    except FilterError:
        return None
    return expression


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(conditions.map(comparable).filter(bool), table_rows)
def test_sqlite_selects_exactly_the_records_that_memory_selects(table, expression, rows):
    agree_on_sqlite(table, expression, rows)


@pytest.mark.parametrize(
    "source",
    ("s eq 'A'", "s like 'a%'", "s in ('a', 'É')", "lower(s) eq 'a'", "s lt 'b'", "n eq 5", "d eq 5", "x eq 5",
     "x gt y", "not (x ne y)", "r eq 5", "day ge '2020-02-03'", "at lt @2020-02-03T10:11:12.2Z@", "clock eq '10:11'",
     "ok", "f gt 0",
     "u eq '6f9619ff-8b86-d011-b42d-00c04fc964ff'", "blob eq null", "doc ne null", "n mul n gt 0", "abs(n) gt 0"),
)  # fmt: skip
def test_sqlite_and_memory_agree_on_every_storage_class_in_every_column(table, source):
    values = (None, 0, 1, 5, -(2**63), 2**63 - 1, 0.0, 5.0, 1e300, float("inf"), "", "a", "A", "É", "5", " 5 ", "5.0",
              "abc", "true", "2020-02-03", "2020-02-03T10:11:12.1999999Z", "10:11", b"", b"a",
              "6F9619FF8B86D011B42D00C04FC964FF")  # fmt: skip
    rows = [(value,) * len(TYPES) for value in values]
    rows += [(value,) * (len(TYPES) - 1) + (values[(index * 7) % len(values)],) for index, value in enumerate(values)]
    agree_on_sqlite(table, filters.parse(source), rows)


def test_the_longest_filter_that_is_read_can_be_asked_of_sqlite(table):
    source = " or ".join(f"n eq {number}" for number in range(166))
    agree_on_sqlite(table, filters.parse(source), [(3,) + (None,) * (len(TYPES) - 1)])


# PostgreSQL ----------------------------------------------------------------------------------------------------

NATIVE = {name: logical for name, logical in TYPES.items() if name not in ("x", "y")}


@pytest.fixture(scope="module")
def postgresql(postgresql_server):
    connection = pytest.importorskip("psycopg").connect(postgresql_server)
    connection.execute("SET TIME ZONE 'Asia/Kolkata'")
    connection.execute(
        "CREATE TEMPORARY TABLE t (n bigint, d numeric(30,3), f float8, s text, r varchar, ok boolean, day date,"
        " at timestamp, since timestamptz, clock time, u uuid, blob bytea, doc jsonb)"
    )
    connection.commit()
    yield connection
    connection.close()


pg_words = st.sampled_from(
    ("", "a", "A", "ab", "é", "É", "a%b", "*", "[a]", " a ", "5", "5.0", "2020-02-03", "\\", "😀")
)
pg_moments = st.datetimes(datetime(2020, 2, 2), datetime(2020, 2, 4))
pg_rows = st.lists(
    st.tuples(
        st.none() | st.integers(-5, 5) | st.sampled_from((2**63 - 1, -(2**63))),
        st.none() | st.decimals(-3, 3, places=3),
        st.none() | st.floats(-3, 3, width=16) | st.sampled_from((float("nan"), float("inf"))),
        st.none() | pg_words,
        st.none() | pg_words,
        st.none() | st.booleans(),
        st.none() | pg_moments.map(datetime.date),
        st.none() | pg_moments,
        st.none() | pg_moments.map(lambda moment: moment.replace(tzinfo=UTC)),
        st.none() | pg_moments.map(datetime.time),
        st.none() | st.just("6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        st.none() | st.binary(max_size=2),
        st.none() | st.just('{"a": 1}'),
    ),
    min_size=1,
    max_size=5,
)


def canonical_from_postgresql(row):
    """The record as a site reads it: text of dates in UTC, then the canonical form of each type."""
    record = {}
    for (name, logical), value in zip(NATIVE.items(), row, strict=True):
        if isinstance(value, datetime) and value.tzinfo:
            value = value.astimezone(UTC)
        if not isinstance(value, None | bool | int | float | bytes | Decimal):
            value = str(value)
        record[name] = CANONICAL.get(logical, canonical_any)(value)
    return record


exact = st.sampled_from(("n", "d", "ok", "1", "-2", "0.5", "1.125", "abs(d)", "round(d, 1)", "trunc(d, 2)", "floor(d)"))
exact |= st.sampled_from(("ceil(d)", "sign(n)", "length(s)", "locate('a', s)", "n mod 3", "n mul 2", "n - 1", "-(n)"))
exact |= st.sampled_from(("year(day)", "month(at)", "day(since)", "hour(since)", "minute(at)", "second(clock)", "f"))
pg_texts = st.sampled_from(("s", "r", "'a'", "'É'", "lower(s)", "upper(r)", "left(s, 1)", "right(s, 2)", "trim(s)"))
pg_texts |= st.sampled_from(("concat(s, r)", "substring(s, 2)", "substring(s, 1, 1)", "right(r, 0)", "''", "'b'"))
pg_conditions = st.recursive(
    st.one_of(
        comparisons(exact),
        comparisons(pg_texts),
        comparisons(moment_fields | moment_literals),
        comparisons(st.sampled_from(("clock", "'10:11'", "'00:00:00'"))),
        st.tuples(pg_texts, pg_words.map(lambda word: f"'{word}%'")).map(" like ".join),
        st.tuples(st.sampled_from(sorted(NATIVE)), st.sampled_from(("eq", "ne"))).map(
            lambda each: " ".join(each) + " null"
        ),
        st.sampled_from(
            ("ok", "u eq '6F9619FF8B86D011B42D00C04FC964FF'", "u ne s", "s gt 1", "r eq 5", "(n eq 1) eq ok")
        ),
    ),
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.lists(inner, min_size=2, max_size=3).map(lambda each: " and ".join(f"({one})" for one in each)),
        st.lists(inner, min_size=2, max_size=3).map(lambda each: " or ".join(f"({one})" for one in each)),
    ),
    max_leaves=3,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(pg_conditions, pg_rows)
@example("at ge '2020-02-03' and since lt @2020-02-03T00:00:00+02:00@", [])
def test_postgresql_selects_exactly_the_records_that_memory_selects(postgresql, source, rows):
    expression = filters.parse(source)
    sql, parameters = filters.compile(expression, NATIVE, quoted, dialect="postgresql")
    with postgresql.cursor() as cursor:
        cursor.execute("DELETE FROM t")
        cursor.executemany(f"INSERT INTO t VALUES ({', '.join(['%s'] * len(NATIVE))})", rows)
        stored = cursor.execute("SELECT ctid::text, * FROM t").fetchall()
        found = {place for (place,) in cursor.execute(f"SELECT ctid::text FROM t WHERE {sql}", parameters)}
    postgresql.rollback()
    selected = filters.predicate(expression, NATIVE)
    assert found == {place for place, *row in stored if selected(canonical_from_postgresql(row))}


@pytest.mark.parametrize("source", ("s gt @2020-01-01@", "left(s, 10) eq day"))
def test_postgresql_refuses_to_compare_text_with_dates(source):
    with pytest.raises(FilterError, match="text cannot be compared with a date on PostgreSQL"):
        filters.compile(filters.parse(source), NATIVE, quoted, dialect="postgresql")


def test_postgresql_refuses_to_compare_properties_of_no_known_type():
    with pytest.raises(FilterError, match="x and y are of types that cannot be compared here"):
        filters.compile(filters.parse("x eq y"), TYPES, quoted, dialect="postgresql")
