"""Whatever is sent, the provider answers with a status of its own choosing, never 500, and says what was wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tallystick.core.values import Logical
from tallystick.protocols.sdata.codec.diagnoses import read_diagnoses
from tallystick.protocols.sdata.codec.kinds import Contract, Kind, Property
from tallystick.protocols.sdata.memory import MemoryStore
from tallystick.protocols.sdata.provider import Dataset, Provider, sdata_application

SAMPLES = Path(__file__).parents[2] / "interop" / "sdata"
FEED = (SAMPLES / "04-source-feed.xml").read_bytes()
DIGEST = (SAMPLES / "01-digest.xml").read_bytes()
RESULTS = (SAMPLES / "05-target-result.xml").read_bytes()
ROOT = "/sdata/books/crm/-"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    properties = (Property(name="name"), Property(name="creditLimit", type=Logical.DECIMAL))
    kind = Kind(name="accounts", element="account", properties=properties)
    contract = Contract(name="crm", namespace="http://schemas.example/crm/1", kinds=(kind,))
    store = MemoryStore(f"http://testserver{ROOT}", contract)
    provider = Provider("http://testserver/sdata", [Dataset("books", "crm", "-", store)])
    with TestClient(sdata_application(provider), raise_server_exceptions=True) as found:
        yield found


def check(answer: Any, *allowed: int) -> None:
    assert answer.status_code in allowed, answer.text
    if answer.status_code >= 400 and answer.status_code != 412:
        assert read_diagnoses(answer.content)[0].message


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """``data`` with some pieces cut out, doubled, overwritten or exchanged."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.integers(0, 60))
        piece = draw(
            st.one_of(
                st.just(b""),
                st.just(data[start:end] * 2),
                st.binary(max_size=8),
                st.sampled_from([b"<", b"&", b"]]>", b"<!DOCTYPE a>", b"\x00", b"-1", b"9" * 30, b"<entry/>", b"&#0;"]),
            )
        )
        data = data[:start] + piece + data[end:]
    return data


@settings(max_examples=150)
@given(damaged(FEED), st.uuids())
def test_a_damaged_feed_is_taken_or_refused(client: TestClient, body: bytes, identity: Any) -> None:
    check(client.post(f"{ROOT}/accounts/$syncTarget?trackingID={identity}", content=body), 202, 400, 413)
    answer = client.get(f"{ROOT}/accounts/$syncTarget('{identity}')")
    check(answer, 200, 404, 410)
    client.delete(f"{ROOT}/accounts/$syncTarget('{identity}')")


@settings(max_examples=80)
@given(damaged(DIGEST), st.uuids())
def test_a_damaged_digest_is_taken_or_refused(client: TestClient, body: bytes, identity: Any) -> None:
    check(client.post(f"{ROOT}/accounts/$syncSource?trackingID={identity}", content=body), 202, 400, 413)
    client.delete(f"{ROOT}/accounts/$syncSource('{identity}')")


@settings(max_examples=80)
@given(damaged(RESULTS))
def test_damaged_results_are_taken_or_refused(client: TestClient, body: bytes) -> None:
    check(client.post(f"{ROOT}/accounts/$syncResults?runName=x", content=body), 200, 400, 413)
    check(client.post(f"{ROOT}/accounts/$batch", content=body), 200, 400, 413)
    check(client.post(f"{ROOT}/accounts/$linked", content=body), 201, 400, 409, 413)


arguments = st.sampled_from(["where", "orderBy", "startIndex", "count", "select", "include", "search", "format", "x"])
words = st.text(st.sampled_from("abname$()'\"@-%& \u00e9<>=,.0123456789eqltand/"), max_size=30)


@settings(max_examples=150)
@given(st.dictionaries(arguments, words, max_size=3))
def test_any_query_is_answered_or_diagnosed(client: TestClient, query: dict[str, str]) -> None:
    answer = client.get(f"{ROOT}/accounts", params=query)
    assert answer.status_code in (200, 400)


@settings(max_examples=150)
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    st.text(st.sampled_from("account$yncSDig('\")/%27248-1x "), max_size=40),
)
def test_any_path_is_answered_or_diagnosed(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, f"{ROOT}/{path}")
    check(answer, 200, 302, 304, 400, 404, 405, 410, 501)


@settings(max_examples=80)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "$resources",
                        "$digest",
                        "$syncState",
                        "$uuid",
                        "$syncMode",
                        "endpoint",
                        "tick",
                        "digestEntry",
                        "origin",
                        "name",
                        "a b",
                        "",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_taken_or_refused(client: TestClient, body: Any) -> None:
    for path in (
        "accounts",
        "accounts/$syncTarget?trackingID=j",
        "accounts/$syncSource?trackingID=j",
        "accounts/$batch",
    ):
        check(client.post(f"{ROOT}/{path}", json=body), 200, 201, 202, 400, 413)
        client.delete(f"{ROOT}/{path}")
    check(client.get(f"{ROOT}/accounts"), 200)
