"""The OpenAPI document is valid, and the server does what it says: schemathesis against a real one."""

from __future__ import annotations

import sqlite3

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import positive_data_acceptance

from tallystick.protocols.native.codec.messages import BLOCKS, LINES, MSGPACK, VERBS
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Wanted
from tallystick.web import openapi, running


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    path = tmp_path_factory.mktemp("contract") / "site.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE person (id TEXT PRIMARY KEY, name TEXT)")
    connection.execute("INSERT INTO person VALUES ('1', 'Ann')")
    connection.commit()
    connection.close()
    replica = LocalReplica.open(SQLiteEngine(path), "site")
    replica.prepare(Wanted([], ["person"]))
    replica.close()
    with running(str(path)) as url:
        yield url.rstrip("/")


@schemathesis.serializer(LINES, BLOCKS, MSGPACK)
def as_bytes(_context, value):
    """Bodies that are no JSON are sent as they come."""
    return value if isinstance(value, bytes) else str(value).encode()


SCHEMA = schemathesis.openapi.from_dict(openapi.document())
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]


SCHEMA.config.checks.negative_data_rejection.expected_statuses.extend(["413", "414", "431"])
CASES = [
    (operation, mode)
    for operation in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or operation.body or operation.query
]


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=[f"{one.label} {mode.value}" for one, mode in CASES])
def test_the_server_does_what_its_document_says(served, operation, mode):
    """``positive_data_acceptance`` is left out: a message may have the right form and name what is not here."""

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def check(case):
        if "text/event-stream" in operation.definition.raw["responses"]["200"]["content"]:
            case.query = {**(case.query or {}), "follow": "false"}  # else it never ends
        case.call_and_validate(base_url=served, excluded_checks=[positive_data_acceptance], timeout=20)

    check()


def test_the_document_is_valid_and_has_every_verb():
    document = openapi.document()
    validate(document)
    assert {"/v1/events", "/v1/resources/{name}/events"} <= document["paths"].keys()
    assert {f"/v1/{name}" for name in VERBS} <= document["paths"].keys()
    assert document["paths"]["/v1/apply"]["post"]["description"] == "Needs the role sync."
