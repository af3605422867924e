"""Connecting to PostgreSQL with psycopg 3, and what its errors mean to us.

psycopg is an extra: it is imported when the first connection is opened, never before.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from tallystick.errors import ConfigurationError, StorageCorrupt, StorageError, StorageFull, StorageLocked
from tallystick.site.engines.engine import Rejected

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

OLDEST = 130000
CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 900
_AS_TEXT = ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "uuid", "json", "jsonb", "cidr")
_SESSION = (
    "SET client_min_messages = warning",
    "SET timezone = 'UTC'",
    "SET datestyle = 'ISO, YMD'",
    "SET intervalstyle = 'postgres'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 1",
    "SET standard_conforming_strings = on",
    "SET jit = off",
    f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'",
    "SET idle_in_transaction_session_timeout = 0",
    "SELECT pg_catalog.set_config('synchronous_commit', 'on', false) "
    "WHERE pg_catalog.current_setting('synchronous_commit') = 'off'",
)


class Target(NamedTuple):
    """Where to connect: a libpq URL, the application's schema ("" for the server's default), a name for messages."""

    url: str
    schema: str
    name: str


def target(url: str) -> Target:
    """Take ``?schema=NAME`` out of a PostgreSQL URL; the rest is libpq's. The name holds no password.

    Raises ConfigurationError for a URL that names no database: libpq would take one that is called like the user.
    """
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    told = {"dbname", "service"} & dict(options).keys() or {"PGDATABASE", "PGSERVICE"} & os.environ.keys()
    if not parts.path.strip("/") and not told:
        host = parts.netloc.rpartition("@")[2]
        raise ConfigurationError(
            f"postgresql://{host}/ names no database", hint=f"write it as postgresql://{host or 'localhost'}/NAME"
        )
    schema = next((value for name, value in options if name == "schema"), "")
    kept = urlencode([(name, value) for name, value in options if name != "schema"], quote_via=quote)
    address = parts.netloc.rpartition("@")[2] or "localhost"
    plain = f"postgresql://{parts.netloc}{parts.path}" + (f"?{kept}" if kept else "")
    return Target(plain, schema, f"postgresql://{address}{parts.path}")


def connect(at: Target) -> Connection:
    """An open connection in autocommit mode whose session renders values canonically.

    Raises ConfigurationError when psycopg is not installed, the URL is malformed or the server is too old, and
    StorageError when the server cannot be reached or refuses us.
    """
    psycopg = driver()
    try:
        connection: Connection = psycopg.connect(
            at.url,
            autocommit=True,
            prepare_threshold=None,
            application_name="tallystick",
            **({} if "connect_timeout" in at.url else {"connect_timeout": CONNECT_TIMEOUT_S}),
        )
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(f"{at.name}: {one_line(error)}", hint="correct the URL of the database") from error
    except psycopg.Error as error:
        raise StorageError(
            f"{at.name}: {one_line(error)}", hint="check address, database, user and password, and that it is running"
        ) from error
    try:
        _prepare(connection, at)
    except BaseException:
        connection.close()
        raise
    return connection


def driver() -> Any:
    """The psycopg module. Raises ConfigurationError that names the extra to install."""
    try:
        import psycopg
    except ImportError as error:
        raise ConfigurationError(
            f"PostgreSQL needs the psycopg driver, which cannot be loaded ({error})",
            hint="install it with: pip install 'tallystick[postgres]'",
        ) from error
    return psycopg


def _prepare(connection: Connection, at: Target) -> None:
    version = connection.info.server_version
    if version < OLDEST:
        raise ConfigurationError(
            f"{at.name} runs PostgreSQL {version // 10000}, tallystick needs 13 or newer", hint="upgrade the server"
        )
    psycopg = driver()
    try:
        connection.execute(";".join(_SESSION).encode())
    except psycopg.Error as error:
        raise storage(error, at.name) from error
    _load_canonically(connection)


def _load_canonically(connection: Connection) -> None:
    """Values leave the driver as canonical ones: text, int, float, bytes, None (core.values)."""
    from psycopg.adapt import Loader
    from psycopg.types.string import TextLoader

    class BoolLoader(Loader):
        def load(self, data: Any) -> int:
            return int(bytes(data) == b"t")

    class NumericLoader(Loader):
        def load(self, data: Any) -> str:
            text = bytes(data).decode()
            return text.rstrip("0").rstrip(".") if "." in text else text

    class PaddedLoader(Loader):
        def load(self, data: Any) -> str:
            return bytes(data).decode().rstrip(" ")

    class AddressLoader(Loader):
        def load(self, data: Any) -> str:
            text = bytes(data).decode()
            return text if "/" in text else text + ("/128" if ":" in text else "/32")

    connection.adapters.register_loader("bpchar", PaddedLoader)
    connection.adapters.register_loader("inet", AddressLoader)
    for name in _AS_TEXT:
        connection.adapters.register_loader(name, TextLoader)
    connection.adapters.register_loader("bool", BoolLoader)
    connection.adapters.register_loader("numeric", NumericLoader)


# Errors --------------------------------------------------------------------------------------------------------


def one_line(error: BaseException) -> str:
    """The message of an error as one line, without the driver's decorations."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    text = primary or str(error) or type(error).__name__
    return re.sub(r"\s+", " ", text).strip()


def storage(error: Exception, name: str) -> Exception:
    """The named error behind a database error outside of row writes."""
    state = str(getattr(error, "sqlstate", None) or "")
    text = f"{name}: {one_line(error)}"
    if state in ("55P03", "40P01", "40001", "57014"):
        return StorageLocked(text, hint="another program holds its lock for long; run the same command again")
    if state == "53100":
        return StorageFull(text)
    if state in ("XX001", "XX002"):
        return StorageCorrupt(text)
    if state == "25006":
        return StorageError(text, hint="this server is a read-only standby; use the primary")
    if state == "42501":
        return StorageError(text, hint="use the owner of the tables, or a role with its rights")
    if state[:2] in ("08", "57") or (not state and getattr(error, "pgconn", None) is not None):
        return StorageError(text, hint="the connection to the database was lost; run the same command again")
    if state[:2] == "23":
        return Rejected(one_line(error), "unique" if state in ("23505", "23P01") else "constraint")
    return StorageError(text, hint="the statement was undone; please report this with --debug output")


_REFUSALS = ("22", "23", "P0", "09", "21", "27", "2F", "38", "39", "44", "54", "0A")
_STRUCTURE = ("42804", "428C9", "42883", "42P17", "55000")


def refused(error: Exception, name: str) -> Exception:
    """The error behind a refused row write: Rejected for what lies in the row, else the storage error."""
    state = str(getattr(error, "sqlstate", None) or "")
    text = one_line(error)
    if isinstance(error, UnicodeEncodeError) or (not state and "NUL" in text):
        return Rejected(f"text that PostgreSQL cannot hold: {text}", "value")
    if "row-level security" in text and state in ("0A000", "42501"):
        return StorageError(
            f"{name}: {text}", hint="use the owner of the table, or a role with BYPASSRLS, to synchronize it"
        )
    if state in ("23505", "23P01"):
        return Rejected(text, "unique")
    if state[:2] in _REFUSALS or state in _STRUCTURE:
        return Rejected(text, "value" if state[:2] == "22" else "constraint")
    return storage(error, name)
