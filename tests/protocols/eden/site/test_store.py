"""The store on both engines: what the databases do differently must not show."""

from datetime import timedelta

import pytest
from eden_site_stores import RealStore

from tallystick.protocols.eden.codec.filters import parse_filter_string
from tallystick.protocols.eden.codec.schema import Field, Kind, table
from tallystick.protocols.eden.deciding import Outcome
from tallystick.protocols.eden.site.creating import create_tables
from tallystick.protocols.eden.site.writing import MOVED
from tallystick.protocols.eden.store import BLOCKED, Batch, Selection, Stored, Target, Write

ORG, OFFICE, PLACE = "org_organisation", "org_office", "gis_location"
A, B, C = (f"urn:uuid:11111111-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
STORES = ("sqlite", "postgresql")


def selected(site, **selection):
    site.store.head()
    return [one.uuid for one in site.store.select(site.store.table(ORG), Selection(**selection))]


def test_everything_of_a_record_goes_there_and_back(network, here, there):
    place = Target(PLACE, "urn:uuid:11111111-0000-4000-8000-00000000000a")
    here.put(place.uuid, "Genève", PLACE, lat=46.2, code="GVA")
    here.put(A, "One", acronym="Ä", year=1999, settings={"a": [1, None]}, places=(place,))
    here.put(B, "HQ", OFFICE, organisation_id=Target(ORG, A), location_id=place)
    here.connect(there)
    here.sync(there)
    for resource, uuid in ((ORG, A), (OFFICE, B), (PLACE, place.uuid)):
        assert there.get(uuid, resource).values == here.get(uuid, resource).values
    network.pass_time(here, there)
    there.edit(B, OFFICE, name="HQ, moved")
    here.sync(there)
    assert here.names(OFFICE) == {"HQ, moved"}
    network.pass_time(here, there)
    there.remove(A)
    here.sync(there)
    assert (here.get(A).deleted, here.get(B, OFFICE).deleted) == (True, True)
    head = here.store.head()
    here.sync(there)
    assert here.store.head() == head


def test_selections_by_time_and_by_sequence_find_changed_components(network, here):
    here.put(A, "One")
    here.put(B, "HQ", OFFICE, organisation_id=Target(ORG, A))
    here.put(C, "Two")
    head = here.store.head()
    network.pass_time(here)
    here.edit(B, OFFICE, name="moved")
    assert selected(here, after=head) == [A]
    assert selected(here, since=here.now) == [A]
    assert selected(here, after=head, components=False) == []
    assert selected(here, since=here.now - timedelta(hours=1)) == [A, C]
    assert sorted(selected(here, after=head, also=frozenset({C}))) == [A, C]
    assert here.store.count(here.store.table(ORG), Selection()) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        ("~.name__like=on*", [A]),
        ("~.name=Two", [C]),
        ("office.name=HQ", [A]),
        ("~.year__ge=2000", [C]),
        ("~.parent_id$name=One", [C]),
        ("~.acronym=NONE", [A, C]),
    ),
)
def test_filters_reach_fields_components_and_referenced_records(here, text, expected):
    here.put(A, "One", year=1999)
    here.put(B, "HQ", OFFICE, organisation_id=Target(ORG, A))
    here.put(C, "Two", year=2001, parent_id=Target(ORG, A))
    conditions = tuple(one.condition for one in parse_filter_string(ORG, ORG, text))
    assert sorted(selected(here, conditions=conditions)) == expected


def test_values_match_without_regard_to_case_whatever_the_letters(here):
    here.put(A, "École")
    here.put(B, "ECOLE")
    described = here.store.table(ORG)
    assert here.store.matching(described, "name", {"éCOLE"}) == {"éCOLE": [A]}
    assert here.store.matching(described, "name", {"ecole"}) == {"ecole": [B]}


def test_a_record_that_changed_since_it_was_decided_on_is_left_alone(here):
    here.put(A, "One")
    seen = here.get(A).seq
    here.edit(A, name="Two, meanwhile")
    write = Write(Outcome.TAKEN, ORG, A, here.now, {"name": "from the document"}, seen=seen)
    (applied,) = here.store.apply(Batch("peer", None, here.now, [write]))
    assert (applied.error, here.names()) == (MOVED, {"Two, meanwhile"})


def test_a_mandatory_reference_forbids_the_deletion_of_what_it_points_to(here):
    deals = table("org_deal", [Field("name"), Field("organisation_id", Kind.REFERENCE, ORG, required=True)])
    create_tables(here.store.ledger, here.store.catalog, [deals])
    here.put(A, "One")
    here.put(C, "Two")
    here.store.put(Stored("org_deal", B, 0, {"name": "Tents", "organisation_id": Target(ORG, A)}))
    writes = [Write(Outcome.DELETED, ORG, uuid, here.now, seen=here.get(uuid).seq) for uuid in (A, C)]
    held, free = here.store.apply(Batch("peer", None, here.now, writes))
    assert (held.error, free.error) == (BLOCKED, None)
    assert (here.get(A).deleted, here.get(C).deleted) == (False, True)


def test_two_processes_that_import_in_turn_give_every_change_a_name_of_its_own(network, here):
    """One dot, one content: what was issued is looked up in every transaction, never remembered from an earlier one."""
    url = here.store.replica.name
    other = RealStore(url, here.store.identity(), here.store.tables.values(), lambda: here.now)
    try:
        for number in range(4):
            store = (here.store, other)[number % 2]
            uuids = [f"urn:uuid:1111111{number}-0000-4000-8000-{one:012d}" for one in range(12)]
            writes = [Write(Outcome.CREATED, ORG, uuid, here.now, {"name": uuid}) for uuid in uuids]
            assert not any(one.error for one in store.apply(Batch("peer", None, here.now, writes)))
    finally:
        other.close()
    ledger = here.store.ledger
    number = here.store.catalog.known(ORG).tracked.number
    dots = ledger.engine.query("SELECT origin, tick FROM tally_record WHERE resource=?", (number,))
    assert len(dots) == len(set(dots)) == 48
    assert ledger.resource(here.store.catalog.known(ORG).tracked.wire).fingerprint.count == 48
