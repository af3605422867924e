"""Sites served as SData on real sockets, in SQLite and in PostgreSQL."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick.protocols.sdata.engine import PassReport, run_pass, synchronize
from tallystick.protocols.sdata.remote_jobs import Patience, Remote, Run
from tallystick.protocols.sdata.transport import HttpTransport, Response
from tallystick.web.app import PROVIDERS
from tallystick.web.sdata import Service
from tallystick.web.server import running

SCHEMA = (
    "CREATE TABLE sales_person (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL)",
    "CREATE TABLE account (id INTEGER PRIMARY KEY, name VARCHAR(80) NOT NULL, credit_limit DECIMAL(10,2), "
    "active BOOLEAN, founded DATE, visited TIMESTAMP, sales_person_id INTEGER REFERENCES sales_person (id))",
    "CREATE TABLE country (code VARCHAR(2) PRIMARY KEY, name VARCHAR(40))",
)
KINDS = ("salesPersons", "accounts", "countries")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def port() -> int:
    """A port for a server of the test's own."""
    return free_port()


class Served:
    """A site, served: ``sql`` is the application's own access, ``remote`` the engine's."""

    def __init__(self, url: str, statements: tuple[str, ...], options: dict[str, Any]) -> None:
        self.url, self.options, self.port = url, options, free_port()
        with tallystick.open(url, create=True) as site:
            for statement in statements:
                site.ledger.engine.execute(statement)
            site.track()
        self.site = tallystick.open(url)
        self._stack = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        service = Service(f"http://127.0.0.1:{self.port}/sdata", **self.options)
        root = self._stack.enter_context(running(self.url, port=self.port, providers=(*PROVIDERS, service)))
        self.root = root.rstrip("/")
        self.dataset = f"{self.root}/sdata/tallystick/site/-"

    def stop(self) -> None:
        self._stack.close()

    def close(self) -> None:
        self.stop()
        self.site.close()

    def remote(self, kind: str = "") -> Remote:
        endpoint = f"{self.dataset}/{kind}".rstrip("/")
        return Remote(endpoint, HttpTransport(self.root), Patience(tries=1, busy=5, job=30))

    def get(self, path: str) -> Response:
        return self.send("GET", path)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return HttpTransport(self.root).request(method, f"{self.dataset}/{path}", named, body)

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the application would; rows of the last one when it is a SELECT."""
        engine = self.site.ledger.engine
        for statement in statements[:-1]:
            engine.execute(statement)
        if statements[-1].startswith("SELECT"):
            return [tuple(row) for row in engine.query(statements[-1])]
        engine.execute(statements[-1])
        return []


Serving = Callable[..., Served]


@pytest.fixture
def serving(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Serving]:
    """Serves sites: ``serving("name", engine="postgresql")``; a PostgreSQL one at most per test."""
    with contextlib.ExitStack() as stack:

        def serving(
            name: str, *statements: str, engine: str = "sqlite", schema: Any = SCHEMA, **options: Any
        ) -> Served:
            url = str(tmp_path / f"{name}.db")
            if engine == "postgresql":
                url = request.getfixturevalue("postgresql_database")
            served = Served(url, (*schema, *statements), options)
            stack.callback(served.close)
            return served

        yield serving


@pytest.fixture(params=("sqlite", "postgresql"))
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


_runs = iter(range(10**9))


def agree(one: Served, other: Served, kinds: tuple[str, ...] = KINDS) -> list[PassReport]:
    """Both directions of every kind."""
    runs = (Run(f"run {next(_runs)}", "1"), Run(f"run {next(_runs)}", "2"))
    return synchronize(one.remote(), other.remote(), runs, kinds=kinds)


def carry(source: Served, target: Served, kind: str = "accounts") -> PassReport:
    """One pass of one kind."""
    return run_pass(source.remote(kind), target.remote(kind), Run(f"run {next(_runs)}", "1"))


@pytest.fixture
def agreement() -> Callable[..., list[PassReport]]:
    return agree


@pytest.fixture
def one_pass() -> Callable[..., PassReport]:
    return carry
