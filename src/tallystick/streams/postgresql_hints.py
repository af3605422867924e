"""Hints from PostgreSQL: NOTIFY with every commit that marks or stamps something, as long as somebody listens.

Two triggers on tables of ours do it: on ``tally.mark`` for what applications change, on ``tally.resource`` for what is
stamped or applied. What a follower stamps is not told again: everybody was woken by the marks. The triggers are
installed by the first listener and do nothing while no listener has said within the last minute that it is there: a
commit that notifies waits for other such commits, and databases that nobody follows should not pay for that. Where
two-phase commit is enabled (``max_prepared_transactions``) applications' transactions are not made to notify, because
PostgreSQL then refuses to prepare them: their changes are found by looking from time to time.
"""

from __future__ import annotations

import os
import secrets
import select
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tallystick.errors import TallystickError
from tallystick.site.engines import postgresql_driver as driver
from tallystick.site.engines.postgresql import PostgreSQLEngine
from tallystick.site.engines.postgresql_sql import SCHEMA
from tallystick.streams.hints import ANYTHING, Hint

if TYPE_CHECKING:
    import psycopg

CHANNEL = "tally"
_LEASE_S = 60
_RENEW_S = 20
_PAUSES_S = (0.1, 0.5, 2.0, 5.0)

_FUNCTION = f"""CREATE OR REPLACE FUNCTION {SCHEMA}.hint() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$ BEGIN
IF EXISTS (SELECT FROM {SCHEMA}.listener WHERE until > clock_timestamp()) THEN
  IF TG_TABLE_NAME = 'mark' THEN
    IF current_setting('max_prepared_transactions') = '0' THEN
      PERFORM pg_notify('{CHANNEL}', NEW.resource || ' 0');
    END IF;
  ELSIF current_setting('tally.told', true) IS DISTINCT FROM '1'
    OR current_setting('max_prepared_transactions') <> '0' THEN
    PERFORM pg_notify('{CHANNEL}', NEW.id || ' ' || NEW.seq);
  END IF;
END IF;
RETURN NULL; END $$"""
_INSTALL = (
    f"CREATE TABLE IF NOT EXISTS {SCHEMA}.listener (name TEXT PRIMARY KEY, until TIMESTAMPTZ NOT NULL)",
    _FUNCTION,
    f"CREATE TRIGGER tally_hint AFTER INSERT ON {SCHEMA}.mark FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.hint()",
    f"ALTER TABLE {SCHEMA}.mark ENABLE ALWAYS TRIGGER tally_hint",
    f"CREATE TRIGGER tally_hint AFTER UPDATE ON {SCHEMA}.resource FOR EACH ROW "
    f"WHEN (OLD.seq IS DISTINCT FROM NEW.seq) EXECUTE FUNCTION {SCHEMA}.hint()",
    f"ALTER TABLE {SCHEMA}.resource ENABLE ALWAYS TRIGGER tally_hint",
)
_INSTALLED = f"SELECT 1 FROM pg_trigger WHERE tgname = 'tally_hint' AND tgrelid = '{SCHEMA}.resource'::regclass"


class PostgreSQLHints:
    """See ``hints.Hints``."""

    def __init__(self, engine: PostgreSQLEngine) -> None:
        """Listen at the database of ``engine``. Raises StorageError when it cannot be reached."""
        self._engine = engine
        self._name = secrets.token_hex(8)
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._woken, False)
        self._closed = False
        self._lock = threading.Lock()
        self._wires: dict[int, str] = {}
        self._failures = 0
        self._install()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._connect()

    def _install(self) -> None:
        """Install the triggers where they are not, patiently: they need tables of ours to themselves for a moment."""
        if self._engine.native(_INSTALLED):
            return
        with self._engine.write():
            if not self._engine.native(_INSTALLED):
                for statement in _INSTALL:
                    self._engine.patiently(statement)

    def _connect(self) -> None:
        self._connection = self._engine.beside()
        self._connection.execute(f"LISTEN {CHANNEL}".encode())
        self._renew()

    def _renew(self) -> None:
        assert self._connection is not None
        self._connection.execute(
            f"INSERT INTO {SCHEMA}.listener (name, until) VALUES (%s, now() + interval '{_LEASE_S} s') "
            "ON CONFLICT (name) DO UPDATE SET until = excluded.until".encode(),
            (self._name,),
        )
        self._connection.execute(f"DELETE FROM {SCHEMA}.listener WHERE until < now() - interval '1 h'".encode())
        self._renewed = time.monotonic()

    def wait(self, timeout: float) -> list[Hint]:
        """See ``Hints.wait``."""
        deadline = time.monotonic() + timeout
        while not self._closed:
            try:
                found = self._received()
                left = deadline - time.monotonic()
                if found or left <= 0:
                    return found
                if self._pause(min(left, _RENEW_S)):
                    return []
            except Exception as error:
                return self._lost(error, deadline)
        return []

    def _received(self) -> list[Hint]:
        if self._connection is None:
            self._connect()
        assert self._connection is not None
        if time.monotonic() - self._renewed > _RENEW_S:
            self._renew()
        found: dict[str, int] = {}
        for notice in list(self._connection.notifies(timeout=0)):
            number, _, seq = notice.payload.partition(" ")
            if number.isdigit() and seq.isdigit():
                wire = self._wire(int(number))
                found[wire] = max(found.get(wire, 0), int(seq))
        self._failures = 0
        return [Hint(wire, seq) for wire, seq in found.items()]

    def _wire(self, number: int) -> str:
        if number not in self._wires:
            assert self._connection is not None
            rows = self._connection.execute(f"SELECT id, wire FROM {SCHEMA}.resource".encode()).fetchall()
            self._wires = dict(rows)
        return self._wires.get(number, ANYTHING.resource)

    def _pause(self, left: float) -> bool:
        """Wait for the connection to say something. True when ``wake`` was called."""
        assert self._connection is not None
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
        if self._woken in ready:
            with suppress(BlockingIOError):
                os.read(self._woken, 4096)
            return True
        return False

    def _lost(self, error: Exception, deadline: float) -> list[Hint]:
        """The connection is gone: have another one made by the next call. Raises what is not about the connection.

        Returns what the wait answers: closing takes the connection from under it, and then there is nothing to say.
        """
        if self._closed:
            return []
        psycopg = driver.driver()
        if not isinstance(error, (psycopg.Error, TallystickError, OSError)):
            raise error
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None
        pause = _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
        self._failures += 1
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        return [ANYTHING]

    def wake(self) -> None:
        """See ``Hints.wake``."""
        with self._lock, suppress(OSError):
            if not self._closed:
                os.write(self._waker, b"\0")

    def close(self) -> None:
        """See ``Hints.close``."""
        self.wake()
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._connection is not None:
            with suppress(Exception):
                self._connection.execute(f"DELETE FROM {SCHEMA}.listener WHERE name = %s".encode(), (self._name,))
            self._connection.close()
        os.close(self._woken)
        os.close(self._waker)
