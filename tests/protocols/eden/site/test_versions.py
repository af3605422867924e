"""Two databases that speak Eden's protocol lose nothing of what their records have seen."""

import pytest

from tallystick.core.policies import FieldPolicy, Resolution
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.site.versions import read_version
from tallystick.protocols.eden.store import Selection, Target
from tallystick.site import siblings

ORG, OFFICE, PLACE = "org_organisation", "org_office", "gis_location"
A, B = "urn:uuid:11111111-0000-4000-8000-000000000001", "urn:uuid:11111111-0000-4000-8000-000000000002"
STORES = ("sqlite", "postgresql")
REFUSING_ONE = {
    "sqlite": (
        "CREATE TRIGGER no_one BEFORE INSERT ON org_organisation WHEN NEW.name='One' "
        "BEGIN SELECT RAISE(ABORT, 'no'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION no_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name='One' THEN "
        "RAISE EXCEPTION 'no' USING ERRCODE='check_violation'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER no_one BEFORE INSERT ON org_organisation FOR EACH ROW EXECUTE FUNCTION no_one()",
    ),
}
"""What makes a database refuse the record ``One``, by dialect."""


def dots(site, resource=ORG):
    """Origin, tick and content hash of every record, by key."""
    bound = site.store.catalog.bound(resource)
    site.store.head()
    return {
        one.held.entry.key: (
            site.store.ledger.origin_name(one.held.entry.origin),
            one.held.entry.tick,
            one.held.entry.hash,
        )
        for one in site.store.select(bound.table, Selection())
    }


def test_a_record_keeps_its_dot_over_two_hops(network):
    first, second, third = (network.site(name) for name in "xyz")
    second.connect(first)
    third.connect(second)
    first.put(A, "One", year=1999, settings={"a": [1, 2]})
    second.pull(first)
    third.pull(second)
    assert dots(first) == dots(second) == dots(third)


def test_concurrent_edits_are_siblings_with_both_contents(network, here, there):
    here.connect(there)
    here.put(A, "One")
    here.sync(there)
    network.pass_time(here, there)
    here.edit(A, name="mine")
    network.pass_time(here, there)
    there.edit(A, name="theirs")
    here.sync(there)
    here.sync(there)
    for site in (here, there):
        (found,) = siblings.contested(site.store.ledger, undecided=None)
        assert {version.content["name"] for version in found.versions} == {"mine", "theirs"}
    assert here.names() == there.names() == {"theirs"}


def test_an_edit_that_has_seen_ours_is_no_conflict_whatever_the_clocks_say(network, here, there):
    there.now = there.now.replace(hour=0)
    here.connect(there)
    here.put(A, "One")
    here.sync(there)
    there.edit(A, name="Two, by a slow clock")
    here.sync(there)
    assert here.names() == {"Two, by a slow clock"}
    assert siblings.contested(here.store.ledger, undecided=None) == []


def test_emptied_fields_arrive_empty(network, here, there):
    here.connect(there)
    here.put(A, "One", acronym="O", year=1999)
    here.sync(there)
    network.pass_time(here, there)
    here.edit(A, acronym=None, year=None)
    here.sync(there)
    assert there.get(A).values == {"name": "One"}
    assert dots(here) == dots(there)


def test_a_deletion_is_the_same_deletion_everywhere(network, here, there):
    here.connect(there)
    here.put(A, "One")
    here.sync(there)
    network.pass_time(here, there)
    there.remove(A)
    here.sync(there)
    assert dots(here) == dots(there)
    assert here.get(A).deleted


def test_this_keeps_a_concurrent_edit_of_ours_in_sight(network, here, there):
    here.connect(there, update=FieldPolicy(Resolution.THIS), conflict=Resolution.THIS)
    here.put(A, "One")
    here.push(there)
    network.pass_time(here, there)
    here.edit(A, name="mine")
    network.pass_time(here, there)
    there.edit(A, name="theirs")
    here.pull(there)
    assert here.names() == {"mine"}


def test_a_row_that_the_database_refuses_is_held_and_reported(network, here, there):
    here.connect(there)
    here.put(A, "One")
    engine = there.store.ledger.engine
    for statement in REFUSING_ONE[engine.dialect]:
        engine.execute(statement)
    done = here.push(there)
    assert done.reply.rejected_uuids == (A,)
    assert here.task(there).retry == frozenset({A})


def extension_of(site, uuid=A):
    bound = site.store.catalog.bound(ORG)
    record = site.store.find(ORG, (uuid,))[uuid]
    return bound, record, site.store.extension(record)


def test_a_version_is_read_only_with_the_content_it_names(here):
    here.put(A, "One", year=1999)
    bound, record, text = extension_of(here)
    assert read_version(bound, A, text, record.values, here.store._key_of).content == {"name": "One", "year": 1999}
    assert read_version(bound, A, text, {**record.values, "year": 2000}, here.store._key_of) is None
    assert read_version(bound, B, text, record.values, here.store._key_of) is None


@pytest.mark.parametrize("text", ("", "!", "AAAA", "x" * 2_000_000, "k" * 100))
def test_a_damaged_version_is_none(here, text):
    bound = here.store.catalog.bound(ORG)
    assert read_version(bound, A, text, {"name": "One"}, here.store._key_of) is None


def test_a_row_older_than_tracking_has_no_version_that_others_could_name(here):
    here.put(A, "One")
    bound, record, _ = extension_of(here)
    old = record.held.entry._replace(key="17")
    from tallystick.protocols.eden.site.versions import version_text

    assert version_text(bound, old, record.held.values, "x", None) is None


def test_a_real_eden_gets_no_versions(network, here, there):
    network.wire.plain = True
    here.put(A, "One")
    there.connect(here)
    there.pull(here)
    document = read_xml(b"".join(_answer(network, here)))
    assert all("tally" not in one.attributes for one in document.resources)


def _answer(network, site):
    from tallystick.protocols.eden.provider import chunks_of
    from tallystick.protocols.eden.requests import Request

    query = "resource=org_organisation"
    return chunks_of(site.provider.answer(Request("GET", "sync/sync.xml", query, {}, b"", "sync", "secret")))


def test_references_and_components_keep_their_dots(here, there):
    here.put("urn:uuid:11111111-0000-4000-8000-00000000000a", "Place", PLACE, lat=47.5)
    place = Target(PLACE, "urn:uuid:11111111-0000-4000-8000-00000000000a")
    here.put(A, "One")
    here.put(B, "HQ", OFFICE, organisation_id=Target(ORG, A), location_id=place)
    here.connect(there)
    here.push(there)
    for resource in (ORG, OFFICE, PLACE):
        assert dots(here, resource) == dots(there, resource)


def test_a_deletion_that_stands_against_an_edit_reaches_others(network, here, there):
    third = network.site("third")
    there.put(A, "One")
    for site in (here, third):
        site.connect(there)
        site.pull(there)
    network.pass_time(here, there, third)
    here.edit(A, name="Two")
    network.pass_time(here, there, third)
    there.remove(A)  # newer, and without having seen the edit
    here.push(there)
    third.pull(there)
    assert there.names() == third.names() == set()


@pytest.mark.parametrize("born_here", (True, False))
@pytest.mark.parametrize("how", ("edit", "remove"))
@pytest.mark.parametrize(("policy", "standing"), ((Resolution.THIS, "mine"), (Resolution.OTHER, "theirs")))
def test_one_side_of_a_conflict_stands_at_both_sites(network, here, there, policy, standing, how, born_here):
    here.connect(there, conflict=policy)
    (here if born_here else there).put(A, "One")
    here.sync(there)
    network.pass_time(here, there)
    here.edit(A, name="mine") if how == "edit" else here.remove(A)
    network.pass_time(here, there)
    there.edit(A, name="theirs")
    here.sync(there)
    expected = set() if how == "remove" and standing == "mine" else {standing}
    assert here.names() == there.names() == expected
    assert all(siblings.contested(site.store.ledger, undecided=None) for site in (here, there))


def test_a_component_that_waited_for_its_record_is_shown_when_that_comes_back(network, here, there):
    there.put(A, "One")
    here.connect(there)
    here.pull(there)
    network.pass_time(here, there)
    there.put(B, "HQ", OFFICE, organisation_id=Target(ORG, A))
    network.pass_time(here, there)
    here.remove(A)
    first = here.pull(there)
    assert [one.attributes["uuid"] for one in first.imported.reply.rejected] == [B]
    network.pass_time(here, there)
    there.edit(A, name="Two")
    here.pull(there)
    assert (here.names(), here.names(OFFICE)) == ({"Two"}, {"HQ"})


def test_a_reference_that_waits_is_not_emptied_elsewhere_and_is_written_when_its_record_comes(network, here, there):
    place = Target(PLACE, "urn:uuid:11111111-0000-4000-8000-00000000000a")
    here.put(place.uuid, "Place", PLACE)
    for site in (here, there):
        site.put(A, "One")
        site.put(B, "HQ", OFFICE, organisation_id=Target(ORG, A), location_id=place)
    here.connect(there)
    network.pass_time(here, there)
    there.edit(B, OFFICE, name="Main")
    waits = there.get(B, OFFICE)
    assert (waits.waiting, there.store.extension(waits)) == ({"location_id"}, None)
    here.pull(there)
    assert (here.names(OFFICE), here.get(B, OFFICE).values["location_id"]) == ({"Main"}, place)
    network.pass_time(here, there)
    here.edit(B, OFFICE, name="HQ")
    here.push(there)
    assert there.get(B, OFFICE).values == here.get(B, OFFICE).values
    assert not there.get(B, OFFICE).waiting
