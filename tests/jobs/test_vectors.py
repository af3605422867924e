"""The older vocabulary (spec/eden.md: section 11)."""

import io
import json
from datetime import UTC, datetime

import pytest

from tallystick.jobs.vectors import Vector, resolving
from tallystick.protocols.eden.store import Stored, Target

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
ORG, OFFICE = "org_organisation", "org_office"
A, B, HQ, P = "urn:uuid:a", "urn:uuid:b", "urn:uuid:hq", "urn:uuid:p"
CREATE, UPDATE = Vector.METHOD.CREATE, Vector.METHOD.UPDATE
THIS, OTHER, NEWER = Vector.RESOLUTION.THIS, Vector.RESOLUTION.OTHER, Vector.RESOLUTION.NEWER


@pytest.fixture
def take(adapter, store):
    """A known record with an office, and a document that changes both and brings a new record with an office."""
    store.put(Stored(ORG, A, 0, {"name": "mine", "acronym": "M", "year": 1}, created_on=NOW, modified_on=NOW))
    store.put(Stored(OFFICE, HQ, 0, {"name": "my HQ", "organisation_id": Target(ORG, A)}, modified_on=NOW))
    document = f"""<s3xml>
        <resource name="{ORG}" uuid="{A}" modified_on="2027-01-01T00:00:00"><data field="name">theirs</data>
          <data field="acronym">T</data><data field="year" value="2"/>
          <resource name="{OFFICE}" uuid="{HQ}" modified_on="2020-01-01T00:00:00">
            <data field="name">their HQ</data></resource>
        </resource>
        <resource name="{ORG}" uuid="{B}"><data field="name">new</data>
          <resource name="{OFFICE}" uuid="{P}"><data field="name">new HQ</data></resource></resource></s3xml>"""

    def take(hook):
        adapter.resolve = resolving(hook)
        answer = adapter.receive([io.BytesIO(document.encode())], ORG, update_policy="OTHER")
        names = {
            uuid: record.values["name"] for table in (ORG, OFFICE) for uuid, record in store.records[table].items()
        }
        return names, json.loads(answer["response"])

    return take


OLD = {A: "mine", HQ: "my HQ"}
NEW = {B: "new", P: "new HQ"}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    (
        ([CREATE, UPDATE], OLD | NEW),
        ([CREATE], OLD | NEW),
        ([UPDATE], OLD),
        ([], OLD),
        (None, OLD),
    ),
)
def test_strategy_names_what_may_be_done_and_skips_the_rest_silently(take, strategy, expected):
    def hook(vector):
        vector.strategy = strategy

    names, reply = take(hook)
    assert names == expected
    assert "tree" not in reply


def test_a_hook_that_sets_nothing_allows_both_and_keeps_local_values(take):
    names, _ = take(lambda vector: None)
    assert names == OLD | NEW


@pytest.mark.parametrize(
    ("resolution", "expected"),
    (
        (THIS, {A: "mine", HQ: "my HQ"}),
        (OTHER, {A: "theirs", HQ: "their HQ"}),
        (NEWER, {A: "theirs", HQ: "my HQ"}),
    ),
)
def test_one_resolution_for_the_record_and_its_components(take, resolution, expected):
    def hook(vector):
        vector.resolution = resolution

    names, _ = take(hook)
    assert names == expected | NEW


@pytest.mark.parametrize(("default", "year"), ((None, 1), (THIS, 1), (NEWER, 2)))
def test_a_map_decides_per_field_and_the_default_for_the_others(take, store, default, year):
    def hook(vector):
        vector.resolution = {"name": OTHER, "acronym": THIS}
        vector.default_resolution = default

    take(hook)
    assert store.records[ORG][A].values == {"name": "theirs", "acronym": "M", "year": year}


def test_without_a_resolution_the_default_decides(take):
    def hook(vector):
        vector.default_resolution = OTHER

    assert take(hook)[0] == {A: "theirs", HQ: "their HQ"} | NEW


def test_the_hook_sees_each_record_once_with_its_components(take):
    seen = []

    def hook(vector):
        seen.append((vector.table, vector.record["name"], vector.local and vector.local["name"]))
        assert [child.table for child in vector.components] == [OFFICE]

    take(hook)
    assert sorted(seen) == [(ORG, "new", None), (ORG, "theirs", "mine")]


def test_deletions_are_not_asked_about(adapter, store, take):
    adapter.resolve = resolving(lambda vector: pytest.fail("asked"))
    stub = f'<s3xml><resource name="{ORG}" uuid="{A}" deleted="True"/></s3xml>'.encode()
    adapter.receive([io.BytesIO(stub)], ORG)
    assert store.records[ORG][A].deleted
