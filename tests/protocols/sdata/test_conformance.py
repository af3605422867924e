"""The conformance checklist, against our own provider on a real socket, and against broken ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.provider import Settings
from tallystick.protocols.sdata.store import Job, JobKind
from tallystick.protocols.sdata.transport import HttpTransport, Response
from tallystick.testing.sdata import CHECKS, Probe, Verdict, run_checks

NAMESPACE = "http://schemas.example/crm/1"


def fill(server: Any, count: int, unlinked: int = 2) -> None:
    kind = server.store.contract.kind("accounts")
    for number in range(count):
        uuid = f"00000000-0000-4000-8000-{number:012d}"
        server.store.create(kind, Payload("account", NAMESPACE, {"name": f"n{number}"}, uuid))
    for number in range(unlinked):
        server.store.create(kind, Payload("account", NAMESPACE, {"name": f"free {number}"}))


def failed(server: Any, transport: Any = None) -> dict[str, str]:
    carrier = transport or HttpTransport(server.root, timeout=20)
    findings = run_checks(server.accounts, carrier, write=True)
    carrier.close()
    return {found.name: found.detail for found in findings if found.verdict is Verdict.FAILED}


def test_our_provider_passes_every_check(loopback: Callable[..., Any]) -> None:
    server = loopback(settings=Settings(page_size=7))
    fill(server, 25)
    kind = server.store.contract.kind("accounts")
    server.store.delete(kind, "3", None)
    assert failed(server) == {}
    assert server.store._jobs == {}


def test_linking_is_checked_before_everything_has_a_uuid(loopback: Callable[..., Any]) -> None:
    server = loopback()
    fill(server, 0, unlinked=2)
    carrier = HttpTransport(server.root)
    (links,) = [found for found in CHECKS if found.number == 5]
    links.action(Probe(server.accounts, carrier))
    carrier.close()


def test_an_empty_provider_passes_too(loopback: Callable[..., Any]) -> None:
    assert failed(loopback()) == {}


def test_without_leave_to_write_nothing_is_changed(loopback: Callable[..., Any]) -> None:
    server = loopback()
    fill(server, 12)
    kind = server.store.contract.kind("accounts")
    server.store.freeze(kind, _job(server), server.store.digest(kind))
    before = (server.store.digest(kind), dict(server.store.shelf(kind).by_key))
    carrier = HttpTransport(server.root)
    findings = run_checks(server.accounts, carrier)
    carrier.close()
    assert {found.verdict for found in findings} == {Verdict.PASSED, Verdict.SKIPPED}
    assert (server.store.digest(kind), dict(server.store.shelf(kind).by_key)) == before


def _job(server: Any) -> Any:
    job, _ = server.store.add_job(Job(id="x", resource_kind="accounts", kind=JobKind.SOURCE))
    return job


class Breaking:
    """A provider seen through a proxy that spoils it in one way."""

    def __init__(self, inner: HttpTransport, spoil: Callable[[str, str, Response], Response]) -> None:
        self.inner = inner
        self.spoil = spoil

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        return self.spoil(method, url, self.inner.request(method, url, headers, body))

    def close(self) -> None:
        self.inner.close()


def replaced(old: bytes, new: bytes) -> Callable[[str, str, Response], Response]:
    return lambda _, __, answer: answer._replace(body=answer.body.replace(old, new))


def changed_type(_: str, __: str, answer: Response) -> Response:
    kind = answer.headers.get("content-type", "").replace("; type=", "; charset=utf-8; type=")
    return answer._replace(headers={**answer.headers, "content-type": kind})


def without_location(_: str, __: str, answer: Response) -> Response:
    return answer._replace(headers={name: value for name, value in answer.headers.items() if name != "location"})


def forgiving(method: str, url: str, answer: Response) -> Response:
    return answer._replace(status=200) if method == "DELETE" else answer


@pytest.mark.parametrize(
    ("spoil", "name"),
    (
        (replaced(b"sdata/2008/1", b"sdata/2008"), "the digest is an entry with payload, digest and digestEntry"),
        (
            replaced(b"<sync:conflictPriority>5", b"<sync:conflictPriority>0"),
            "the digest is an entry with payload, digest and digestEntry",
        ),
        (changed_type, "the digest is an entry with payload, digest and digestEntry"),
        (without_location, "a source job is 202 with Location and tracking"),
        (replaced(b"<pollingMillis>200", b"<pollingMillis>200.0"), "a source job is 202 with Location and tracking"),
        (
            replaced(b"<http:httpMethod>PUT</http:httpMethod>", b""),
            "the source feed has digest, mode and entries with state and method",
        ),
        (replaced(b"catchUp", b"CATCHUP"), "the source feed has digest, mode and entries with state and method"),
        (
            replaced(b"<sync:tick>2</sync:tick>", b"<sync:tick>1</sync:tick>"),
            "ticks ascend for each endpoint and stay below the digest",
        ),
        (replaced(b'rel="previous"', b'rel="x"'), "pages of ten chain from the first to the last and back"),
        (forgiving, "both forms of the job URL work, and a second DELETE is 404 or 410"),
        (replaced(b"<diagnoses", b"<errors"), "unusable requests are 400 with a diagnosis"),
        (
            replaced(b'isSyncSource="true" sme:isSyncTarget="true"', b""),
            "the schema names the kind and what it synchronizes",
        ),
        (replaced(b"200</http:httpStatus>", b"409</http:httpStatus>"), "its own feed is ignored entry by entry"),
    ),
)
def test_what_is_broken_is_found(loopback: Callable[..., Any], spoil: Any, name: str) -> None:
    server = loopback(settings=Settings(page_size=10))
    fill(server, 15)
    found = failed(server, Breaking(HttpTransport(server.root, timeout=20), spoil))
    assert name in found
    assert found[name]


def test_it_runs_as_a_command(loopback: Callable[..., Any]) -> None:
    server = loopback()
    fill(server, 3)
    command = [sys.executable, "-m", "tallystick.testing.sdata", server.accounts, "--write", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["failed"] == 0
    assert told["passed"] >= 18
    wrong = subprocess.run([*command[:3], server.accounts + "x"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert "failed" in wrong.stdout
