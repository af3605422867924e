"""Transactions, locks and errors of the PostgreSQL engine, with real connections against each other."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import psycopg
import pytest

from tallystick.errors import ConfigurationError, SchemaError, StorageError, StorageLocked
from tallystick.site.capture import track
from tallystick.site.engines import postgresql_session as module
from tallystick.site.engines.engine import Rejected
from tallystick.site.engines.postgresql import PostgreSQLEngine
from tallystick.site.ledger import Ledger
from tallystick.site.stamping import stamp
from tallystick.sync.local import LocalReplica

ITEM = "CREATE TABLE item (id BIGINT PRIMARY KEY, tag TEXT, n INT)"
THREE = "INSERT INTO item VALUES (1, 'one', 0), (2, 'two', 0), (3, 'three', 0)"


def stamped(site: Any) -> int:
    with site.ledger.write():
        return stamp(site.ledger)


def news(site: Any, since: int) -> list[Any]:
    return [entry.local for entry, _ in site.rows("item").after(since, 1 << 60, 1 << 20)]


# Nothing committed is ever missed ---------------------------------------------------------------------------------


def test_a_transaction_that_marks_early_and_commits_late_is_seen_by_the_next_stamping(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    with psycopg.connect(site.application.url) as early:
        early.execute("UPDATE item SET n = 1 WHERE id = 1")
        site.application.execute("UPDATE item SET n = 2 WHERE id = 2")
        assert stamped(site) == 1
        since = site.ledger.seq
        assert stamped(site) == 0
        early.commit()
    assert stamped(site) == 1
    assert news(site, since) == [1]
    assert site.marks("item") == []


def test_marks_that_become_visible_while_a_stamping_runs_are_not_cleared_by_it(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    with psycopg.connect(site.application.url) as early:
        early.execute("UPDATE item SET n = 1 WHERE id = 1")
        site.application.execute("UPDATE item SET n = 2 WHERE id = 2")
        definitions = {item.number: item.definition for item in site.ledger.resources()}
        with site.engine.write():
            marks, last = site.engine.marks(definitions)
            early.commit()
            site.engine.clear_marks(last)
    assert [mark.old for mark in marks[1]] == [(2,)]
    assert [mark.old for mark in site.marks("item")] == [(1,)]


def test_marks_and_rows_are_of_one_moment(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    site.application.execute("UPDATE item SET n = 1 WHERE id = 1")
    with site.ledger.write():
        site.engine.marks({item.number: item.definition for item in site.ledger.resources()})
        site.application.execute("UPDATE item SET tag = 'later' WHERE id = 1")
        assert site.rows("item").values([(1,)]) == {(1,): (1, "one")}


def test_writers_in_any_order_are_all_delivered_once(postgresql_site):
    site = postgresql_site(ITEM)
    stop = threading.Event()
    written: list[int] = []

    def write(first: int) -> None:
        with psycopg.connect(site.application.url) as connection:
            for number in range(first, 10_000, 4):
                if stop.is_set():
                    return
                connection.execute("INSERT INTO item VALUES (%s, 'x', 0)", (number,))
                if number % 3 == 0:
                    connection.execute("UPDATE item SET n = n + 1 WHERE id = %s", (number,))
                if number % 7 == 0:
                    time.sleep(0.002)
                connection.commit()
                written.append(number)

    threads = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    delivered: list[int] = []
    since = 0
    for _ in range(25):
        stamped(site)
        with site.engine.read():
            found = news(site, since)
            since = int(site.ledger.meta("seq"))
        delivered.extend(found)
    stop.set()
    for thread in threads:
        thread.join()
    stamped(site)
    delivered.extend(news(site, since))
    assert sorted(set(delivered)) == sorted(written)


def test_stamping_waits_for_the_stamping_of_another_process_and_sees_what_it_did(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    site.application.execute("UPDATE item SET n = 1")
    other = Ledger(site.application.engine())
    done: list[int] = []

    def second() -> None:
        with other.write():
            done.append(stamp(other))

    thread = threading.Thread(target=second)
    with site.ledger.write():
        thread.start()
        _wait_for_lock(site.application)
        assert stamp(site.ledger) == 3
    thread.join()
    assert done == [0]
    assert other.seq == site.ledger.seq
    other.engine.close()


def _wait_for_lock(application: Any) -> None:
    """Until some session of this database waits for a lock."""
    sql = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not application.rows(sql):
        time.sleep(0.01)


# Locks -----------------------------------------------------------------------------------------------------------


def test_a_stamping_lock_that_is_not_to_be_had_is_a_named_error(postgresql_site, monkeypatch):
    site = postgresql_site(ITEM)
    other = site.application.engine()
    monkeypatch.setattr(module, "LOCK_TIMEOUT_S", 0.1)
    with site.engine.write(), pytest.raises(StorageLocked) as locked, other.write():
        pass
    assert locked.value.transient
    with other.write():
        pass
    other.close()


def test_rows_to_be_written_are_locked_before_the_stamping_lock_is_taken(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    other = site.application.engine()
    done = threading.Event()

    def page() -> None:
        site.rows("item").lock_rows([(1,), (2,)])
        with site.engine.write(), site.engine.capture_off():
            site.rows("item").update([((1,), (9, "ours"))])
        done.set()

    with psycopg.connect(site.application.url) as holder:
        holder.execute("UPDATE item SET tag = 'theirs' WHERE id = 2")
        thread = threading.Thread(target=page)
        thread.start()
        _wait_for_lock(site.application)
        with other.write():
            pass  # somebody else can stamp while the page waits for a row
        assert not done.is_set()
        holder.commit()
    thread.join()
    assert site.application.rows("SELECT tag FROM item ORDER BY id") == [("ours",), ("theirs",), ("three",)]
    other.close()


def test_a_change_made_before_the_rows_were_locked_is_seen_inside(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    site.rows("item").lock_rows([(1,)])
    site.application.execute("UPDATE item SET tag = 'theirs' WHERE id = 1")
    with site.ledger.write():
        assert stamp(site.ledger) == 1
        assert site.rows("item").values([(1,)]) == {(1,): (0, "theirs")}


def test_a_row_changed_meanwhile_is_not_overwritten(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    rows = site.rows("item")

    def overwrite() -> None:
        with site.ledger.write(), site.engine.capture_off():
            stamp(site.ledger)
            site.application.execute("UPDATE item SET tag = 'theirs' WHERE id = 1")
            rows.update([((1,), (9, "ours"))])

    with pytest.raises(StorageLocked) as overtaken:
        overwrite()
    assert overtaken.value.transient
    assert site.application.rows("SELECT tag FROM item WHERE id = 1") == [("theirs",)]
    assert stamped(site) == 1


def test_a_row_inserted_meanwhile_is_refused(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    with site.ledger.write(), site.engine.capture_off():
        stamp(site.ledger)
        site.application.execute("INSERT INTO item VALUES (9, 'theirs', 0)")
        with pytest.raises(Rejected) as refused:
            site.rows("item").insert([((9,), (1, "ours"))])
        assert refused.value.kind == "unique"
    assert site.application.rows("SELECT tag FROM item WHERE id = 9") == [("theirs",)]


def test_an_application_that_waits_for_us_is_not_chosen_as_the_victim_of_a_deadlock(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    failures: list[Exception] = []
    started = threading.Event()

    def application() -> None:
        with psycopg.connect(site.application.url) as connection:
            try:
                connection.execute("UPDATE item SET n = 5 WHERE id = 2")
                started.set()
                connection.execute("UPDATE item SET n = 5 WHERE id = 1")
                connection.commit()
            except psycopg.Error as error:
                failures.append(error)

    thread = threading.Thread(target=application)

    def ours() -> None:
        with site.ledger.write(), site.engine.capture_off():
            site.rows("item").update([((1,), (9, "ours"))])
            thread.start()
            started.wait()
            _wait_for_lock(site.application)
            site.rows("item").update([((2,), (9, "ours"))])

    with pytest.raises(StorageLocked):
        ours()
    thread.join()
    assert failures == []
    assert site.application.rows("SELECT n FROM item ORDER BY id") == [(5,), (5,), (0,)]


def test_a_statement_that_failed_cannot_be_committed_by_mistake(postgresql_site):
    site = postgresql_site(ITEM)

    def careless() -> None:
        with site.engine.write():
            site.engine.execute("INSERT INTO tally_origin(id, name) VALUES (98, 'x')")
            with pytest.raises(StorageError):
                site.engine.native("SELECT nonsense")

    with pytest.raises(StorageError):
        careless()
    assert site.engine.query("SELECT 1 FROM tally_origin WHERE id=98") == []


def test_a_deferred_constraint_that_fails_at_the_end_is_a_named_error(postgresql_site):
    site = postgresql_site(
        ITEM,
        "CREATE TABLE part (id INT PRIMARY KEY, item_id BIGINT REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)",
    )

    def broken() -> None:
        with site.engine.write():
            site.engine.native("INSERT INTO part VALUES (1, 77)")

    with pytest.raises(StorageError, match="refused the commit"):
        broken()
    assert site.application.rows("SELECT * FROM part") == []


# Tracking while the application writes ----------------------------------------------------------------------------


def test_rows_committed_while_tracking_waits_for_the_table_are_entered(postgresql_application):
    postgresql_application.execute(ITEM, THREE)
    engine = postgresql_application.engine()
    ledger = Ledger.create(engine)
    with psycopg.connect(postgresql_application.url) as busy:
        busy.execute("INSERT INTO item VALUES (4, 'four', 0)")

        def run() -> None:
            with ledger.write():
                track(ledger)

        thread = threading.Thread(target=run)
        thread.start()
        _wait_for_lock(postgresql_application)
        busy.commit()
    thread.join()
    assert len(ledger.resource("item").rows.after(0, 1 << 60, 10)) == 4
    engine.close()


def test_a_second_table_is_tracked_with_all_its_rows_or_not_at_all(postgresql_application, tracked_site):
    site = tracked_site(postgresql_application, ITEM, THREE)
    postgresql_application.execute("CREATE TABLE late (id BIGINT PRIMARY KEY, tag TEXT)")

    def racing() -> None:
        with site.ledger.write():
            postgresql_application.execute("INSERT INTO late VALUES (1, 'just now')")
            track(site.ledger, ["late"])

    with pytest.raises(StorageLocked):
        racing()
    assert not site.ledger.engine.query("SELECT 1 FROM tally_resource WHERE name='late'")
    with site.ledger.write():
        track(site.ledger, ["late"])
    assert len(site.rows("late").after(0, 1 << 60, 10)) == 1
    postgresql_application.execute("INSERT INTO late VALUES (2, 'x')")
    assert site.told("late") == [("I", None, (2,))]


def test_a_table_changed_by_a_migration_is_recaptured_while_another_connection_stays_open(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    other = Ledger(site.application.engine())
    with other.write():
        stamp(other)
    site.application.execute("ALTER TABLE item ADD COLUMN extra TEXT DEFAULT 'd'")
    assert stamped(site) == 3
    with other.write():
        assert stamp(other) == 0
    site.application.execute("UPDATE item SET extra = 'e' WHERE id = 1")
    with other.write():
        assert stamp(other) == 1
    (mark_columns,) = [item.definition.columns for item in other.resources()]
    assert "extra" in mark_columns
    other.engine.close()


def test_a_dropped_table_is_named(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    site.application.execute("DROP TABLE item")
    with pytest.raises(SchemaError, match="item"):
        stamped(site)


def test_rows_written_over_an_unstamped_change_are_noticed_where_the_snapshot_moves(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    site.application.execute("ALTER TABLE item ADD COLUMN extra TEXT")
    other = Ledger(site.application.engine())

    def fresh() -> None:
        with other.write(), other.engine.capture_off():
            other.engine.marks({})
            site.application.execute("UPDATE item SET tag = 'theirs' WHERE id = 1")
            other.resource("item").rows.update([((1,), (9, "ours"))])

    with pytest.raises(StorageLocked):
        fresh()
    assert site.application.rows("SELECT tag FROM item WHERE id = 1") == [("theirs",)]
    other.engine.close()


# Connecting ------------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_a_named_error(postgresql_server):
    with pytest.raises(StorageError) as refused:
        PostgreSQLEngine("postgresql://clerk:secret@127.0.0.1:1/shop?connect_timeout=2")
    assert "127.0.0.1:1/shop" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_malformed_url_is_a_configuration_error(postgresql_server):
    with pytest.raises(ConfigurationError):
        PostgreSQLEngine("postgresql://127.0.0.1/shop?no_such_option=1")


def test_a_missing_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"tallystick\[postgres\]"):
        PostgreSQLEngine("postgresql://127.0.0.1/shop")


def test_the_schema_of_the_application_can_be_named(postgresql_application):
    postgresql_application.execute(
        'CREATE SCHEMA "my app"',
        'CREATE TABLE "my app".item (id INT PRIMARY KEY, n INT)',
        "CREATE TABLE other (id INT PRIMARY KEY)",
    )
    engine = PostgreSQLEngine(postgresql_application.url + "?schema=my%20app")
    assert [table.name for table in engine.tables()] == ["item"]
    ledger = Ledger.create(engine)
    with ledger.write():
        track(ledger)
    postgresql_application.execute('INSERT INTO "my app".item VALUES (1, 1)')
    with ledger.write():
        assert stamp(ledger) == 1
    assert engine.query_in('SELECT "id" FROM "item" WHERE "id" IN (*)', (), [1]) == [(1,)]
    engine.close()
    again = PostgreSQLEngine(postgresql_application.url)
    assert again.schema == "my app"
    again.close()
    with pytest.raises(ConfigurationError, match="my app"):
        PostgreSQLEngine(postgresql_application.url + "?schema=public")


def test_a_schema_that_does_not_exist_is_a_configuration_error(postgresql_application):
    with pytest.raises(ConfigurationError, match="nowhere"):
        PostgreSQLEngine(postgresql_application.url + "?schema=nowhere")


def test_a_schema_of_the_application_with_our_name_is_left_alone(postgresql_application):
    postgresql_application.execute("CREATE SCHEMA tally", "CREATE TABLE tally.stick (a INT)")
    engine = postgresql_application.engine()
    with pytest.raises(ConfigurationError, match="tally"):
        Ledger.create(engine)
    engine = postgresql_application.engine()
    with engine.write():
        engine.drop_ledger()
    assert postgresql_application.rows("SELECT count(*) FROM tally.stick") == [(0,)]
    engine.close()


def test_a_ledger_made_for_nothing_is_removed_and_one_that_holds_something_stays(postgresql_application):
    postgresql_application.execute("CREATE TABLE stick (id INT PRIMARY KEY)")
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'tally'"
    LocalReplica.open(postgresql_application.engine(), "here").abandon()
    assert postgresql_application.rows(schemas) == [(0,)]
    replica = LocalReplica.open(postgresql_application.engine(), "here")
    with replica.ledger.write():
        track(replica.ledger, ["stick"])
    replica.abandon()
    assert postgresql_application.rows(schemas) == [(1,)]


def test_a_lost_connection_is_a_named_error_and_opened_again(postgresql_site):
    site = postgresql_site(ITEM, THREE)
    pid = site.engine.native("SELECT pg_backend_pid()")[0][0]
    site.application.execute(f"SELECT pg_terminate_backend({pid})")
    with pytest.raises(StorageError, match="connection"):
        stamped(site)
    site.application.execute("UPDATE item SET n = 1")
    assert stamped(site) == 3


def test_a_closed_engine_stays_closed(postgresql_site):
    site = postgresql_site(ITEM)
    site.engine.close()
    site.engine.close()
    with pytest.raises(StorageError, match="closed"), site.engine.write():
        pass


def test_settings_of_the_database_do_not_change_what_is_read(postgresql_application, tracked_site):
    name = postgresql_application.rows("SELECT current_database()")[0][0]
    postgresql_application.execute(
        f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'",
        f"ALTER DATABASE {name} SET datestyle = 'German'",
        f"ALTER DATABASE {name} SET intervalstyle = 'iso_8601'",
        f"ALTER DATABASE {name} SET extra_float_digits = -5",
        f"ALTER DATABASE {name} SET bytea_output = 'escape'",
        f"ALTER DATABASE {name} SET synchronous_commit = off",
        f"ALTER DATABASE {name} SET search_path = 'nowhere'",
    )
    try:
        engine = PostgreSQLEngine(postgresql_application.url + "?schema=public")
        found = engine.native(
            "SELECT '2020-01-02 03:04:05+00'::timestamptz::text, '1 day'::interval::text, 0.1::float8::text, "
            "current_setting('synchronous_commit')"
        )
        assert found == [("2020-01-02 03:04:05+00", "1 day", "0.1", "on")]
        engine.close()
    finally:
        postgresql_application.execute(f"ALTER DATABASE {name} RESET ALL")


def test_a_copy_of_the_database_is_told_from_the_original(postgresql_database, postgresql_server, application_class):
    first, second = postgresql_database(), postgresql_database()
    engines = [PostgreSQLEngine(url) for url in (first, second)]
    assert engines[0].identity() != engines[1].identity()
    assert engines[0].identity().count(":") == 3
    for engine in engines:
        engine.close()
