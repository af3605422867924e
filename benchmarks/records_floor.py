"""The floor: the same rows over the same wire into the same databases, with the same commits, and nothing else.

No ledger, no policies, no proof, no capture but a log of changed keys: rows as NDJSON over HTTP, one round per batch
that asks what differs, one durable upsert per batch.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from records_data import COLUMNS, INSERT, connect

_encode = msgspec.json.Encoder().encode
_lines = msgspec.json.Decoder(list[Any]).decode_lines
_NAMES = [part.split()[0] for part in COLUMNS.split(", ")]
_UPSERT = f"{INSERT} ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{name}=excluded.{name}" for name in _NAMES[1:])


def log_changes(path: Path) -> None:
    """Log the keys of updated rows by a trigger."""
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE floor_log (id TEXT PRIMARY KEY)")
        connection.execute(
            "CREATE TRIGGER floor_update AFTER UPDATE ON person "
            "BEGIN INSERT OR IGNORE INTO floor_log VALUES (new.id); END"
        )


class Client:
    """The sending side, on a kept connection."""

    def __init__(self, path: Path, address: str, batch: int) -> None:
        self.source, self.batch = connect(path), batch
        parts = urlsplit(address)
        self.http = http.client.HTTPConnection(parts.hostname or "", parts.port)

    def close(self) -> None:
        """Close both connections."""
        self.source.close()
        self.http.close()

    def send_all(self) -> int:
        """Every row. Returns how many were sent."""
        cursor = self.source.execute("SELECT * FROM person")
        return sum(self._send(rows) for rows in iter(lambda: cursor.fetchmany(self.batch), []))

    def send_changed(self) -> int:
        """The rows that were logged; one round also when there are none."""
        rows = self.source.execute("SELECT p.* FROM floor_log l JOIN person p ON p.id=l.id").fetchall()
        sent = self._send(rows)
        if rows:
            self.source.execute("DELETE FROM floor_log")
        return sent

    def _send(self, rows: Sequence[tuple[Any, ...]]) -> int:
        lines = {row[0]: _encode(row) for row in rows}
        heads = b"\n".join(_encode((key, sha256(line).hexdigest())) for key, line in lines.items())
        wanted = self._post("/differ", heads)
        if wanted:
            self._post("/upsert", b"\n".join(lines[key] for key in wanted))
        return len(wanted)

    def _post(self, path: str, body: bytes) -> Any:
        self.http.request("POST", path, body)
        return json.loads(self.http.getresponse().read())


def serve(target: str) -> None:
    """Take rows into ``target``, an SQLite path or a PostgreSQL URL, until the process is told to end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    opened = _postgresql(target) if target.startswith("postgres") else _sqlite(target)
    server.differ, server.upsert = opened  # type: ignore[attr-defined]
    print(f"serving http://127.0.0.1:{server.server_address[1]}/", file=sys.stderr, flush=True)
    server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True  # else an answer that is longer than its buffer waits for the client's system

    def do_POST(self) -> None:
        rows = _lines(self.rfile.read(int(self.headers["content-length"])))
        server: Any = self.server
        body = json.dumps(server.differ(rows) if self.path == "/differ" else server.upsert(rows)).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _differing(heads: Sequence[Sequence[str]], held: dict[str, tuple[Any, ...]]) -> list[str]:
    return [key for key, digest in heads if key not in held or sha256(_encode(held[key])).hexdigest() != digest]


Take = Callable[[Sequence[Sequence[Any]]], Any]


def _sqlite(target: str) -> tuple[Take, Take]:
    connection = sqlite3.connect(target, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=8000")  # as a site has it: it is not to be written twice a commit
    connection.execute(f"CREATE TABLE IF NOT EXISTS person ({COLUMNS})")

    def differ(heads: Sequence[Sequence[Any]]) -> list[str]:
        keys = json.dumps([key for key, _ in heads])
        found = connection.execute("SELECT * FROM person WHERE id IN (SELECT value FROM json_each(?))", (keys,))
        return _differing(heads, {row[0]: row for row in found})

    def upsert(rows: Sequence[Sequence[Any]]) -> int:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_UPSERT, rows)
        connection.execute("COMMIT")
        return len(rows)

    return differ, upsert


def _postgresql(target: str) -> tuple[Take, Take]:
    import psycopg

    connection = psycopg.connect(target)
    types = COLUMNS.replace("INTEGER", "BIGINT").replace("REAL", "DOUBLE PRECISION")
    connection.execute(f"CREATE TABLE IF NOT EXISTS person ({types})".encode())
    connection.execute("CREATE TEMPORARY TABLE incoming (LIKE person)")
    connection.commit()
    sets = _UPSERT.partition(" ON CONFLICT ")[2]
    merge = f"INSERT INTO person SELECT * FROM incoming ON CONFLICT {sets}".encode()

    def differ(heads: Sequence[Sequence[Any]]) -> list[str]:
        found = connection.execute("SELECT * FROM person WHERE id = ANY(%s)", ([key for key, _ in heads],))
        return _differing(heads, {row[0]: row for row in found})

    def upsert(rows: Sequence[Sequence[Any]]) -> int:
        connection.execute("TRUNCATE incoming")
        with connection.cursor().copy("COPY incoming FROM STDIN") as copying:
            for row in rows:
                copying.write_row(row)
        connection.execute(merge)
        connection.commit()
        return len(rows)

    return differ, upsert
