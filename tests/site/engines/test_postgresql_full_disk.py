"""A full disk under PostgreSQL is named, and the run goes on when there is room (DESIGN.md 4.9)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from postgresql_ends import PostgreSQLEnd

from tallystick.errors import StorageError
from tallystick.sync.verification import verify
from tallystick.testing.contract import sync

NAME = f"tally_small_{os.getpid()}"


@pytest.fixture
def small_disk(postgresql_server, tmp_path):
    """The URL of a database on a disk of its own with little room, and what makes more."""
    data = Path(postgresql_server.execute("SHOW data_directory").fetchone()[0])
    if os.geteuid() or not data.is_dir():
        pytest.skip("a disk for a tablespace can only be mounted by root, beside the server")
    place = Path(subprocess.check_output(["mktemp", "-d", "/var/tmp/tally_disk.XXXXXX"], text=True).strip())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        place.rmdir()
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        os.chown(place, data.stat().st_uid, data.stat().st_gid)
        place.chmod(0o700)
        postgresql_server.execute(f"CREATE TABLESPACE {NAME} LOCATION '{place}'")
        postgresql_server.execute(f"CREATE DATABASE {NAME} TEMPLATE template0 TABLESPACE {NAME}")
        url = urlsplit(os.environ.get("TALLYSTICK_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres"))
        yield (
            url._replace(path="/" + NAME).geturl(),
            lambda: subprocess.run(["mount", "-o", "remount,size=400m", place], check=True),
        )
    finally:
        postgresql_server.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        postgresql_server.execute(f"DROP TABLESPACE IF EXISTS {NAME}")
        subprocess.run(["umount", place], check=True)
        place.rmdir()


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(small_disk, postgresql_database):
    url, make_room = small_disk
    b = PostgreSQLEnd(url, "b", ("CREATE TABLE t (id text PRIMARY KEY, v text)",))
    a = PostgreSQLEnd(
        postgresql_database(),
        "a",
        (
            "CREATE TABLE t (id text PRIMARY KEY, v text)",
            "INSERT INTO t SELECT 'k' || n, repeat(md5(n::text), 60) FROM generate_series(1, 9000) n",
        ),
    )
    with pytest.raises(StorageError, match=r"No space left on device|on a full disk"):
        sync(a, b)
    make_room()
    sync(a, b)
    assert b.rows("SELECT count(*) FROM t") == [(9000,)]
    assert verify(a.replica, b.replica, deep=True).agree
    for end in (a, b):
        end.close()
