"""Names and types that two ends do not share are told when their tables meet, and only then."""

from __future__ import annotations

from tallystick.testing.contract import sync


def test_names_that_are_taken_for_the_same_are_told_once(sqlite_workshop):
    a = sqlite_workshop.end("a", 'CREATE TABLE "InvoiceLine" (id TEXT PRIMARY KEY, "UnitPrice" REAL, note TEXT)')
    b = sqlite_workshop.end("b", "CREATE TABLE invoice_line (id TEXT PRIMARY KEY, unit_price REAL, note TEXT)")
    a.execute("INSERT INTO InvoiceLine VALUES ('k', 1.5, 'n')")
    assert sync(a, b).notes == [
        "taken for the same in InvoiceLine: InvoiceLine and invoice_line, UnitPrice and unit_price"
    ]
    assert b.rows("SELECT * FROM invoice_line") == [("k", 1.5, "n")]
    assert sync(a, b).notes == []


def test_types_that_are_not_the_same_are_told(sqlite_workshop):
    a = sqlite_workshop.end("a", "CREATE TABLE t (id TEXT PRIMARY KEY, at TEXT, price NUMERIC(10,2), v)")
    b = sqlite_workshop.end("b", "CREATE TABLE t (id TEXT PRIMARY KEY, at DATETIME, price NUMERIC(12,2), v INTEGER)")
    (told,) = sync(a, b).notes
    assert told == (
        "of two types in t: at is text and timestamp, price is decimal(10,2) and decimal(12,2), v is anything and int64"
    )


def test_many_columns_are_counted(sqlite_workshop):
    columns = [", ".join(f'"{name}{n}" TEXT' for n in range(10)) for name in ("Col", "col")]
    ends = [
        sqlite_workshop.end(name, f"CREATE TABLE t (id TEXT PRIMARY KEY, {listed})")
        for name, listed in zip("ab", columns, strict=True)
    ]
    assert sync(*ends).notes[0].endswith("Col5 and col5 and 4 more")


def test_equal_tables_and_created_ones_need_no_word(sqlite_workshop):
    a = sqlite_workshop.end("a", "CREATE TABLE t (id TEXT PRIMARY KEY, price NUMERIC(10,2))")
    assert sync(a, sqlite_workshop.end("b")).notes == []
