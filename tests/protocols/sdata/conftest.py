"""What the SData tests share: a contract, stores, a provider in process and one on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from lxml import etree
from starlette.testclient import TestClient

from tallystick.core.values import Logical
from tallystick.protocols.sdata.codec.kinds import Contract, Kind, Property, Relationship
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.memory import MemoryStore
from tallystick.protocols.sdata.provider import Dataset, Provider, Settings, sdata_application

NAMESPACE = "http://schemas.example/crm/1"

CONTRACT = Contract(
    name="crm",
    namespace=NAMESPACE,
    kinds=(
        Kind(
            name="salesPersons",
            element="salesPerson",
            order=20,
            properties=(Property(name="name", nullable=False),),
        ),
        Kind(
            name="accounts",
            element="account",
            order=50,
            properties=(
                Property(name="name", nullable=False, max_length=80),
                Property(name="website"),
                Property(name="creditLimit", type=Logical.DECIMAL),
                Property(name="active", type=Logical.BOOL),
                Property(name="founded", type=Logical.DATE),
                Property(name="visited", type=Logical.INSTANT),
                Property(name="employees", type=Logical.INT64),
                Property(name="salesPerson", relationship=Relationship.REFERENCE, kind="salesPersons"),
                Property(name="addresses", relationship=Relationship.CHILD, kind="addresses", collection=True),
            ),
        ),
        Kind(name="addresses", element="address", embedded=True, properties=(Property(name="city"),)),
    ),
)


@pytest.fixture
def contract() -> Contract:
    return CONTRACT


@pytest.fixture
def samples() -> Path:
    return Path(__file__).parents[2] / "interop" / "sdata"


@pytest.fixture
def canonical() -> Callable[[bytes], bytes]:
    """XML without insignificant white space, for comparisons."""

    def canonical(data: bytes) -> bytes:
        root = etree.fromstring(data, etree.XMLParser(remove_blank_text=True))
        for element in root.iter():
            if element.text and not element.text.strip():
                element.text = None
            if element.tail and not element.tail.strip():
                element.tail = None
        return etree.tostring(root, method="c14n", exclusive=True)

    return canonical


@pytest.fixture
def account() -> Callable[..., Payload]:
    def account(name: str, uuid: str = "", **fields: Any) -> Payload:
        return Payload("account", NAMESPACE, {"name": name, **fields}, uuid)

    return account


@pytest.fixture
def make_store() -> Callable[..., MemoryStore]:
    def make_store(base: str = "http://testserver/sdata/books/crm/-", **options: Any) -> MemoryStore:
        return MemoryStore(base, CONTRACT, **options)

    return make_store


@pytest.fixture
def serve() -> Iterator[Callable[..., TestClient]]:
    """Providers in process: give it a store, get a client for it."""
    with contextlib.ExitStack() as stack:

        def serve(store: MemoryStore, **options: Any) -> TestClient:
            provider = Provider("http://testserver/sdata", [Dataset("books", "crm", "-", store)], **options)
            client = TestClient(sdata_application(provider), follow_redirects=False)
            return stack.enter_context(client)

        yield serve


class Loopback:
    """A provider on a real socket."""

    def __init__(self, application: str, settings: Settings | None = None, **options: Any) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.root = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.dataset = f"{self.root}/sdata/{application}/crm/-"
        self.store = MemoryStore(self.dataset, CONTRACT)
        self.provider = Provider(
            f"{self.root}/sdata", [Dataset(application, "crm", "-", self.store)], settings=settings, **options
        )
        config = uvicorn.Config(sdata_application(self.provider), log_level="error", lifespan="on")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)

    @property
    def accounts(self) -> str:
        return f"{self.dataset}/accounts"

    def __enter__(self) -> Loopback:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.socket.close()


@pytest.fixture
def loopback() -> Iterator[Callable[..., Loopback]]:
    """Providers on real sockets."""
    with contextlib.ExitStack() as stack:

        def loopback(application: str = "books", **options: Any) -> Loopback:
            return stack.enter_context(Loopback(application, **options))

        yield loopback
