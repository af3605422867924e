"""Sites for the SData benchmark: made in a directory, served by processes of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import tallystick
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.sdata.codec.digests import DigestEntry, digest_of
from tallystick.protocols.sdata.site.store import SiteStore
from tallystick.protocols.sdata.store import Job, JobKind

TABLE = (
    "CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT NOT NULL, website TEXT, credit_limit DECIMAL(10,2), "
    "notes TEXT)"
)
ROWS = (
    "INSERT INTO account (name, credit_limit, notes) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n "
    "WHERE i < {}) SELECT 'Brightwater ' || i, 7500 + i % 100, 'xxxxxxxxxx' FROM n"
)


class Server(NamedTuple):
    """A served site: its process and the URL of its accounts."""

    process: subprocess.Popen[bytes]
    endpoint: str
    path: Path

    @property
    def root(self) -> str:
        """The address of the server."""
        return self.endpoint.partition("/sdata")[0]


def site(path: Path, rows: int) -> Path:
    """A tracked database with a table of accounts."""
    with tallystick.open(path, create=True) as opened:
        opened.ledger.engine.execute(TABLE)
        if rows:
            opened.ledger.engine.execute(ROWS.format(rows))
        opened.track()
    return path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dataset(port: int) -> str:
    """The dataset that a site serves at a port."""
    return f"http://127.0.0.1:{port}/sdata/tallystick/site/-"


def named(path: Path, port: int) -> None:
    """Let a site name its endpoint, as the first pass would, without sending anything."""
    with tallystick.open(path) as opened:
        everything = {tracked.wire: tracked.tick for tracked in map(opened.ledger.resource, ["account"])}
    pool = Pool(lambda: tallystick.open(path).replica)
    store = SiteStore(pool, dataset(port), "site", "urn:tallystick:contract:site")
    kind = store.refreshed().kind("accounts")
    assert kind is not None
    job = Job(id="naming", resource_kind=kind.name, kind=JobKind.SOURCE)
    known = digest_of("", [DigestEntry(store.endpoint(kind), everything["account"] + 1)])
    store.add_job(job)
    assert store.freeze(kind, job, known) == 0
    store.drop_job(kind.name, JobKind.SOURCE, job.id)
    pool.close()


def copied(path: Path, target: Path) -> Path:
    """A copy of a site's database: another site that holds the same."""
    shutil.copy(path, target)
    return target


def served(path: Path, port: int) -> Server:
    """Serve a site until its process is ended."""
    command = "from tallystick.cli.main import main; main()"
    arguments = ["serve", str(path), "--sdata", "--port", str(port)]
    process = subprocess.Popen([sys.executable, "-c", command, *arguments], stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/sdata"):
                return Server(process, f"{dataset(port)}/accounts", path)
        except OSError:
            time.sleep(0.05)
    process.terminate()
    raise SystemExit(f"{path} was not served")


def cpu(process: int) -> float:
    """Seconds of processor time that a process has used."""
    with open(f"/proc/{process}/stat") as status:
        fields = status.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak(process: int) -> int:
    """Most memory that a process has held at once, in MB."""
    with open(f"/proc/{process}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024)
