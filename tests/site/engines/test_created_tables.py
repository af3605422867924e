"""What a table has that is created for a peer's resource (DESIGN.md 4.7)."""

from __future__ import annotations

import pytest
from postgresql_ends import workshop_of

from tallystick.sync.verification import verify
from tallystick.testing.contract import sync

SQLITE = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL DEFAULT 'nobody', "
    "n INTEGER DEFAULT -7, f REAL DEFAULT 1.5, d NUMERIC(8,2) DEFAULT 0.25, b BOOLEAN NOT NULL DEFAULT TRUE, "
    "day DATE DEFAULT CURRENT_DATE, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, raw BLOB DEFAULT x'00ff', "
    "odd INTEGER DEFAULT (1 + abs(random() % 5)), code TEXT, CHECK (n < 100))",
    "CREATE INDEX by_number ON parent (n DESC, day)",
    "CREATE INDEX by_name ON parent (name)",
    "CREATE INDEX by_half ON parent (n) WHERE n > 0",
    "CREATE UNIQUE INDEX partly ON parent (code) WHERE n > 0",
)
POSTGRESQL = (
    "CREATE TABLE parent (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL DEFAULT 'nobody', "
    "n int DEFAULT -7, f float8 DEFAULT 1.5, d numeric(8,2) DEFAULT 0.25, b boolean NOT NULL DEFAULT true, "
    "day date DEFAULT CURRENT_DATE, at timestamptz DEFAULT now(), raw bytea DEFAULT '\\x00ff', "
    "j jsonb DEFAULT '{}', odd int DEFAULT 1 + 1, CHECK (n < 100))",
    "CREATE INDEX by_number ON parent (n DESC, day)",
    "CREATE INDEX by_name ON parent (name)",
    "CREATE INDEX by_lower ON parent (lower(name))",
)


@pytest.fixture(params=("sqlite sqlite", "sqlite postgresql", "postgresql postgresql", "postgresql sqlite"))
def created(request, postgresql_database, tmp_path):
    """The first end's engine, both ends, and the report of their first meeting."""
    kinds = request.param.split()
    for ends in workshop_of(postgresql_database, tmp_path, *kinds):
        a, b = ends.end("a", *(SQLITE if kinds[0] == "sqlite" else POSTGRESQL)), ends.end("b")
        yield request.param, a, b, sync(a, b)


def _made(end, kind):
    end.execute("INSERT INTO parent (f) VALUES (2.5)")
    raw = "hex(raw)" if kind.endswith("sqlite") else "upper(encode(raw, 'hex'))"
    return end.rows(f"SELECT name, n, d, {raw}, b, day IS NOT NULL AND at IS NOT NULL FROM parent WHERE f=2.5")


def test_the_application_inserts_at_both_as_it_did_at_the_first(created):
    kind, a, b, _ = created
    ((name, n, d, raw, flag, timed),) = _made(b, kind)
    assert (name, n, float(d), bool(flag), bool(timed)) == ("nobody", -7, 0.25, True, True)
    assert raw == "00FF"
    sync(a, b)
    assert a.rows("SELECT count(*) FROM parent WHERE f=2.5") == [(1,)]
    assert verify(a.replica, b.replica, deep=True).agree


def test_what_could_not_be_taken_over_is_told(created):
    kind, _, _, report = created
    (told,) = [note for note in report.notes if note.startswith("left out")]
    assert told.startswith("left out of the new table parent: ")
    assert "its CHECK constraints" in told
    assert "the default of odd" in told
    assert ("the index by_half" in told) is kind.startswith("sqlite")
    assert ("the index by_lower" in told) is kind.startswith("postgresql")
    assert ("the index by_name" in told) is (kind == "sqlite postgresql")


def test_plain_indexes_are_there_in_their_order(created):
    kind, _, b, _ = created
    if kind.endswith("sqlite"):
        found = dict(b.rows("SELECT name, sql FROM sqlite_master WHERE type='index' AND sql<>''"))
    else:
        found = dict(b.rows("SELECT indexname, indexdef FROM pg_indexes WHERE tablename='parent'"))
    assert "DESC" in found["by_number"]
    assert ("by_name" in found) is (kind != "sqlite postgresql")
    assert not {"by_half", "by_lower", "partly"} & found.keys()


def test_an_integer_is_never_given_twice_where_it_was_not(tmp_path, postgresql_database):
    for ends in workshop_of(postgresql_database, tmp_path, "sqlite"):
        a, b = ends.end("a", *SQLITE), ends.end("b")
        sync(a, b)
        b.execute("INSERT INTO parent (id, f) VALUES (9, 1)", "DELETE FROM parent WHERE id=9")
        b.execute("INSERT INTO parent (f) VALUES (2)")
        assert b.rows("SELECT id FROM parent") == [(10,)]


def test_what_is_unique_among_some_rows_only_refuses_no_other(tmp_path, postgresql_database):
    for ends in workshop_of(postgresql_database, tmp_path, "sqlite"):
        a, b = ends.end("a", *SQLITE), ends.end("b")
        a.execute("INSERT INTO parent (code, n) VALUES ('x', 0), ('x', 0), ('x', 5)")
        assert sync(a, b).parked == 0
        assert b.rows("SELECT count(*) FROM parent WHERE code='x'") == [(3,)]
        a.execute("REPLACE INTO parent (id, code, n) VALUES (50, 'x', 6)")
        sync(a, b)
        assert b.rows("SELECT n FROM parent ORDER BY n") == [(0,), (0,), (6,)]
        assert verify(a.replica, b.replica, deep=True).agree
