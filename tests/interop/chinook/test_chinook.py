"""The Chinook database as it is published, for SQLite and for PostgreSQL: a real schema that nobody made for us.

Self-references, foreign keys without cascade, a link table with a composite key, NUMERIC(10,2), dates, unicode; names
and types differ between the two scripts.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

import tallystick
from tallystick.sync.verification import verify

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "chinook"
RECORDS = 15607
EDINBURGH = 8
"""Rows with 'Edinburgh ', a blank at the end."""
BAND = (
    "INSERT INTO {artist} ({name}) VALUES ('{who}')",
    "INSERT INTO {album} ({title}, {artist_id}) SELECT 'by {who}', max({artist_id}) FROM {artist}",
    "INSERT INTO {track} ({name}, {album_id}, {media_type_id}, {milliseconds}, {unit_price}) "
    "SELECT 'played by {who}', max({album_id}), 1, 1000, 0.99 FROM {album}",
    "INSERT INTO {playlist} ({name}) VALUES ('list of {who}')",
    "INSERT INTO {playlist_track} SELECT (SELECT max({playlist_id}) FROM {playlist}), max({track_id}) FROM {track}",
    "INSERT INTO {employee} ({last_name}, {first_name}, {reports_to}) VALUES ('{who}', 'chief', 1)",
    "INSERT INTO {employee} ({last_name}, {first_name}, {reports_to}) "
    "SELECT '{who}', 'assistant', max({employee_id}) FROM {employee}",
)
"""What both sides add before they meet: every row takes an integer that the other side takes too."""


class Names(dict):
    """Column and table names: as they are in the script for PostgreSQL, or as the one for SQLite spells them."""

    def __init__(self, camel: bool, **given: str) -> None:
        super().__init__(given)
        self.camel = camel

    def __missing__(self, name: str) -> str:
        return "".join(part.capitalize() for part in name.split("_")) if self.camel else name


@pytest.fixture
def sqlite_copy(tmp_path):
    """Makes copies of the SQLite file; skips where the data is not there."""
    source = DATA / "Chinook_Sqlite_AutoIncrementPKs.sqlite"
    if not source.exists():
        pytest.skip(f"the Chinook database is not at {DATA}")

    def copy(name: str) -> Path:
        return Path(shutil.copyfile(source, tmp_path / f"{name}.db"))

    return copy


@pytest.fixture
def postgresql_copy(postgresql_database):
    """The URL of a PostgreSQL database that holds the script's tables and rows."""
    import psycopg

    script = DATA / "Chinook_PostgreSql_AutoIncrementPKs.sql"
    if not script.exists():
        pytest.skip(f"the Chinook database is not at {DATA}")
    text = script.read_text(encoding="utf-8")
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute(text[text.index("CREATE TABLE album") :])
    return postgresql_database


def write(path, who):
    """The band's rows, through the application's own connection."""
    if str(path).startswith("postgresql"):
        import psycopg

        with psycopg.connect(path) as connection:
            for statement in BAND:
                connection.execute(statement.format_map(Names(False, who=who)))
        return
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys=ON")
    for statement in BAND:
        connection.execute(statement.format_map(Names(True, who=who)))
    connection.commit()
    connection.close()


def rows(path, query):
    """Rows as the application sees them; names in ``query`` in braces."""
    if str(path).startswith("postgresql"):
        import psycopg

        with psycopg.connect(path) as connection:
            return connection.execute(query.format_map(Names(False))).fetchall()
    connection = sqlite3.connect(path)
    found = connection.execute(query.format_map(Names(True))).fetchall()
    connection.close()
    return found


def both_bands_are_whole(path):
    """Every row that refers to a new one refers to the right one, whatever integers they have here."""
    joined = rows(
        path,
        "SELECT ar.{name}, al.{title}, t.{name}, p.{name} FROM {artist} ar JOIN {album} al "
        "ON al.{artist_id}=ar.{artist_id} JOIN {track} t ON t.{album_id}=al.{album_id} JOIN {playlist_track} l "
        "ON l.{track_id}=t.{track_id} JOIN {playlist} p ON p.{playlist_id}=l.{playlist_id} "
        "WHERE al.{title} LIKE 'by %' AND t.{name} LIKE 'played by %' ORDER BY ar.{name}",
    )
    assert joined == [(who, f"by {who}", f"played by {who}", f"list of {who}") for who in ("here", "there")]
    reports = rows(
        path,
        "SELECT a.{last_name}, c.{last_name}, c.{first_name}, c.{reports_to} FROM {employee} a JOIN {employee} c "
        "ON c.{employee_id}=a.{reports_to} WHERE a.{first_name}='assistant' ORDER BY a.{last_name}",
    )
    assert reports == [(who, who, "chief", 1) for who in ("here", "there")]
    assert rows(path, "SELECT count(*) FROM {artist}") == [(277,)]


def edinburgh(path):
    """The records whose city is Edinburgh."""
    customers = rows(path, "SELECT {customer_id} FROM {customer} WHERE {city} LIKE 'Edinburgh%'")
    invoices = rows(path, "SELECT {invoice_id} FROM {invoice} WHERE {billing_city} LIKE 'Edinburgh%'")
    return {("customer", str(key)) for (key,) in customers} | {("invoice", str(key)) for (key,) in invoices}


def agree_deeply(a, b):
    verdict = verify(a.replica, b.replica, deep=True)
    assert verdict.agree, verdict


def test_two_copies_match_by_themselves(sqlite_copy):
    with tallystick.open(sqlite_copy("a")) as a, tallystick.open(sqlite_copy("b")) as b:
        done = a.sync(b)
        assert (done.records, done.total().conflicts, done.waiting) == (0, 0, 0)
        assert len(done.tracked) == 11
        assert sum(item.count for item in a.resources()) == RECORDS
        agree_deeply(a, b)


def test_new_rows_under_the_same_integers_stay_apart_with_their_children(sqlite_copy):
    here, there = sqlite_copy("a"), sqlite_copy("b")
    with tallystick.open(here) as a, tallystick.open(there) as b:
        a.sync(b)
        write(here, "here")
        write(there, "there")
        done = a.sync(b)
        assert (done.total().conflicts, done.waiting) == (0, 0)
        both_bands_are_whole(here)
        both_bands_are_whole(there)
        assert sqlite3.connect(there).execute("PRAGMA foreign_key_check").fetchall() == []
        assert a.sync(b).records == 0
        agree_deeply(a, b)


def test_rows_added_before_the_first_contact_are_kept_apart_when_told_so(sqlite_copy):
    here, there = sqlite_copy("a"), sqlite_copy("b")
    write(here, "here")
    write(there, "there")
    with tallystick.open(here) as a, tallystick.open(there) as b:
        a.sync(b, tallystick.Plan(identity="separate"))
        both_bands_are_whole(here)
        both_bands_are_whole(there)
        agree_deeply(a, b)


def test_sqlite_and_postgresql_match_but_for_the_rows_that_the_scripts_load_differently(sqlite_copy, postgresql_copy):
    """The script for PostgreSQL writes N'Edinburgh ', which is padded text there: the blank is lost when it loads."""
    path = sqlite_copy("a")
    with tallystick.open(path) as a, tallystick.open(postgresql_copy) as b:
        done = a.sync(b)
        assert len(done.resources) == 11
        assert (done.records, done.waiting) == (2 * EDINBURGH, 0)
        assert {(one.resource, one.key) for one in a.conflict_log()} <= edinburgh(path)
        assert {(one.resource, one.key) for one in [*a.conflict_log(), *b.conflict_log()]} == edinburgh(path)
        agree_deeply(a, b)


def test_sqlite_and_postgresql_take_each_others_rows(sqlite_copy, postgresql_copy):
    here = sqlite_copy("a")
    with tallystick.open(here) as a, tallystick.open(postgresql_copy) as b:
        a.sync(b)
        write(here, "here")
        write(postgresql_copy, "there")
        done = a.sync(b)
        assert (done.total().conflicts, done.waiting) == (0, 0)
        both_bands_are_whole(here)
        both_bands_are_whole(postgresql_copy)
        assert a.sync(b).records == 0
        agree_deeply(a, b)


@pytest.mark.parametrize("direction", ("into-postgresql", "into-sqlite"))
def test_everything_reaches_an_empty_database_of_the_other_kind(
    sqlite_copy, postgresql_copy, postgresql_server, tmp_path, direction
):
    empty = str(tmp_path / "empty.db")
    source = postgresql_copy
    if direction == "into-postgresql":
        source = sqlite_copy("a")
        import psycopg

        with psycopg.connect(postgresql_copy, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        empty = postgresql_copy
    with tallystick.open(source) as a, tallystick.open(empty, create=True) as b:
        done = a.sync(b)
        assert (done.records, done.waiting) == (RECORDS, 0)
        agree_deeply(a, b)
        total = sum(item.count for item in b.resources())
    assert total == RECORDS
