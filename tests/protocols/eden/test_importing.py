"""How documents become writes (sections 6.3, 6.4 and 9), on one store."""

import gc
from datetime import timedelta

import pytest

from tallystick.core.policies import FieldPolicy, Method, Resolution
from tallystick.protocols.eden.answering import Pull, answer_pull
from tallystick.protocols.eden.codec.elements import NULLS
from tallystick.protocols.eden.codec.encoding import Upload
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.codec.xml_writing import write_xml
from tallystick.protocols.eden.deciding import PLAIN_IMPORT, Policies
from tallystick.protocols.eden.importing import import_document
from tallystick.protocols.eden.items import Options
from tallystick.protocols.eden.memory import BLOCKED, MemoryStore
from tallystick.protocols.eden.store import Identity, Repository, Stored, Target

STORES = ("memory", "sqlite", "postgresql")

ORG, OFFICE, PLACE = "org_organisation", "org_office", "gis_location"
A, B = "urn:uuid:a", "urn:uuid:b"


@pytest.fixture
def take(here):
    """Imports the records of a table from elements given as text."""

    def take(text, table=ORG, policies=PLAIN_IMPORT, root="", **options):
        document = read_xml(f"<s3xml domain='sender' {root}>{text}</s3xml>".encode())
        return import_document(
            here.store, here.store.table(table), document, Options(policies, "peer", **options), here.now
        )

    return take


def org(uuid, name="One", attributes="", more=""):
    return f'<resource name="{ORG}" uuid="{uuid}" {attributes}><data field="name">{name}</data>{more}</resource>'


# Identity --------------------------------------------------------------------------------------------------------


def test_a_temporary_identifier_gives_identity_within_the_document(here, take):
    child = org("urn:uuid:c", "Child", more=f'<reference field="parent_id" resource="{ORG}" tuid="T1"/>')
    parent = f'<resource name="{ORG}" tuid="T1"><data field="name">Parent</data></resource>'
    done = take(child + parent)
    assert done.reply.records == 2
    target = here.get("urn:uuid:c").values["parent_id"]
    assert here.get(target.uuid).values["name"] == "Parent"
    assert target.uuid.startswith("urn:uuid:")


def test_a_record_without_identifier_is_matched_by_its_name(here, take):
    """Live: 96."""
    here.put(A, "Interop Org One")
    done = take(
        f'<resource name="{ORG}"><data field="name">interop ORG one</data><data field="acronym">DUP</data></resource>'
    )
    assert done.reply.updated == [1]
    assert here.get(A).values["acronym"] == "DUP"
    assert here.get(A).modified_on == here.now


def test_an_unknown_identifier_is_a_new_record_whatever_its_name(here, take):
    here.put(A, "One")
    take(org(B, "One"))
    assert here.get(B).values["name"] == "One"


def test_a_unique_field_finds_the_original_before_the_identifier_does(here, take):
    here.put("urn:uuid:p", "Place", PLACE, code="P1")
    fields = '<data field="name">Moved</data><data field="code">p1</data>'
    take(f'<resource name="{PLACE}" uuid="urn:uuid:q">{fields}</resource>', PLACE)
    assert here.get("urn:uuid:p", PLACE).values["name"] == "Moved"
    assert here.get("urn:uuid:q", PLACE) is None


def test_our_own_domain_is_taken_off(here, take):
    take(org("here/own-uid-1"))
    assert here.get("own-uid-1") is not None


def test_a_reference_without_the_domain_finds_the_senders_record(here, take):
    """Live: 94. The domain is written on records but not on references."""
    child = org(B, "Child", more=f'<reference field="parent_id" resource="{ORG}" uuid="bare"/>')
    take(child + org("sender/bare", "Parent"))
    assert here.get(B).values["parent_id"] == Target(ORG, "sender/bare")


def test_an_import_leaves_nothing_to_the_garbage_collector(take):
    office = f'<resource name="{OFFICE}"><data field="name">HQ</data></resource>'
    loop = f'<reference field="parent_id" resource="{ORG}" uuid="urn:uuid:{{}}"/>'
    text = "".join(org(f"urn:uuid:{one}", more=office + loop.format((one + 1) % 50)) for one in range(50))
    gc.collect()
    gc.disable()
    try:
        assert take(text).reply.records == 50
        assert gc.collect() < 50
    finally:
        gc.enable()


def test_a_record_that_a_hook_keeps_keeps_its_components(take):
    kept = []
    office = f'<resource name="{OFFICE}"><data field="name">HQ</data></resource>'
    take(org(A, more=office), resolve=kept.append)
    assert [child.values["name"] for child in kept[0].children] == ["HQ"]


def test_the_same_record_twice_is_one(here, take):
    done = take(org(A, "First") + org(A, "Second"))
    assert done.reply.created == [1]
    assert here.get(A).values["name"] == "First"


# References ------------------------------------------------------------------------------------------------------


def test_a_target_that_is_nowhere_is_kept_until_it_arrives(here, take):
    take(org(A, more=f'<reference field="parent_id" resource="{ORG}" uuid="{B}"/>'))
    take(org(B, "Parent"))
    assert here.get(A).values["parent_id"] == Target(ORG, B)


def test_a_mandatory_target_that_is_nowhere_rejects_the_record(here, take):
    """Live: 84."""
    office = f'<resource name="{OFFICE}" uuid="{A}"><data field="name">x</data>{{}}</resource>'
    reference = f'<reference field="organisation_id" resource="{ORG}" uuid="urn:uuid:not-there"/>'
    done = take(office.format(reference), OFFICE)
    assert (done.reply.records, done.reply.rejected[0].error) == (0, "organisation_id: value(s) required")
    assert take(office.format(""), OFFICE).reply.rejected[0].error == "organisation_id: value(s) required"


def test_a_mandatory_target_in_the_document_that_is_rejected_takes_the_record_with_it(here, take):
    reference = f'<reference field="organisation_id" resource="{ORG}" uuid="{B}"/>'
    office = f'<resource name="{OFFICE}" uuid="{A}"><data field="name">x</data>{reference}</resource>'
    bad = org(B, more='<data field="year" value="1"/>')
    done = take(office + bad, OFFICE)
    assert (done.reply.records, len(done.reply.rejected)) == (0, 2)


def test_dependencies_follow_the_same_policies(here, take):
    here.put(B, "Local")
    office = f'<resource name="{OFFICE}" uuid="{A}"><data field="name">x</data>'
    office += f'<reference field="organisation_id" resource="{ORG}" uuid="{B}"/></resource>'
    older = org(B, "Older", 'modified_on="2020-01-01T00:00:00" mci="1"')
    take(office + older, OFFICE, Policies())
    assert here.get(B).values["name"] == "Local"


def test_elements_that_nothing_reaches_are_ignored(here, take):
    """Live: 85."""
    done = take(f'<resource name="{PLACE}" uuid="{A}"><data field="name">x</data></resource>')
    assert (done.reply.records, here.get(A, PLACE)) == (0, None)


def test_an_inline_target_is_imported(here, take):
    inline = f'<resource name="{PLACE}"><data field="name">Somewhere</data></resource>'
    office = f'<resource name="{OFFICE}" uuid="urn:uuid:o"><data field="name">HQ</data>'
    office += f'<reference field="location_id" resource="{PLACE}">{inline}</reference></resource>'
    take(org(A, more=office))
    target = here.get("urn:uuid:o", OFFICE).values["location_id"]
    assert here.get(target.uuid, PLACE).values["name"] == "Somewhere"


def test_multi_references_keep_their_order(here, take):
    here.put("urn:uuid:q", "Q", PLACE)
    places = "[&quot;urn:uuid:q&quot;, &quot;urn:uuid:p&quot;]"
    more = f'<reference field="places" resource="{PLACE}" uuid="{places}"/>'
    take(org(A, more=more) + f'<resource name="{PLACE}" uuid="urn:uuid:p"><data field="name">P</data></resource>')
    assert here.get(A).values["places"] == (Target(PLACE, "urn:uuid:q"), Target(PLACE, "urn:uuid:p"))


def test_references_inside_json_become_local_numbers(here, take):
    here.put(B, "Known")
    value = (
        "{&quot;$k_owner&quot;: {&quot;r&quot;: &quot;org_organisation&quot;, &quot;u&quot;: &quot;urn:uuid:b&quot;}}"
    )
    take(org(A, more=f'<data field="settings" value="{value}"/>'))
    assert here.get(A).values["settings"] == {"owner": 1}


def test_accounts_are_neither_imported_nor_referred_to(here, take):
    account = '<resource name="auth_user" uuid="urn:uuid:u"><data field="email">x@y</data></resource>'
    take(org(A) + account)
    assert here.store.find("auth_user", ("urn:uuid:u",)) == {}


def test_a_long_chain_of_references_is_no_problem(here, take):
    chain = "".join(
        org(
            f"urn:uuid:{number}",
            str(number),
            more=f'<reference field="parent_id" resource="{ORG}" uuid="urn:uuid:{number + 1}"/>',
        )
        for number in range(3000)
    )
    assert take(chain).reply.records == 3000


# Components ------------------------------------------------------------------------------------------------------

OFFICE_TEXT = f'<resource name="{OFFICE}" uuid="urn:uuid:o"><data field="name">{{}}</data></resource>'


def test_an_invalid_component_rejects_its_parent(here, take):
    bad = f'<resource name="{OFFICE}" uuid="urn:uuid:o"/>'
    done = take(org(A, more=bad) + org(B))
    assert (done.reply.records, here.get(A)) == (1, None)
    (rejected,) = done.reply.rejected
    assert rejected.uuid == A
    assert rejected.components[0].error == "name: value(s) required"


def test_a_component_of_an_invalid_record_has_no_error_of_its_own(take):
    done = take(org(A, more='<data field="year" value="1"/>' + OFFICE_TEXT.format("HQ")))
    (rejected,) = done.reply.rejected
    assert rejected.error == "Validation error"
    assert rejected.components[0].error is None


def test_a_component_that_exists_once_meets_the_one_that_is_here(here, take):
    here.put(A, "One")
    here.store.put(Stored("org_logo", "urn:uuid:mine", 0, {"title": "old", "organisation_id": Target(ORG, A)}))
    logo = '<resource name="org_logo" uuid="urn:uuid:{}"><data field="title">{}</data></resource>'
    take(org(A, more=logo.format("theirs", "new") + logo.format("further", "ignored")))
    assert here.store.records["org_logo"].keys() == {"urn:uuid:mine"}
    assert here.get("urn:uuid:mine", "org_logo").values["title"] == "new"


def test_a_component_the_model_does_not_define_is_ignored(here, take):
    take(org(A, more=f'<resource name="{PLACE}" uuid="urn:uuid:p"><data field="name">x</data></resource>'))
    assert here.get("urn:uuid:p", PLACE) is None


def test_components_of_a_skipped_record_are_skipped(here, take):
    master = Policies(update=FieldPolicy(Resolution.MASTER))
    take(org(A, attributes='mci="2"', more=OFFICE_TEXT.format("HQ")), policies=master)
    assert (here.get(A), here.get("urn:uuid:o", OFFICE)) == (None, None)


def test_components_of_a_record_that_is_kept_are_decided_for_themselves(here, take):
    here.put(A, "Local")
    older = 'modified_on="2020-01-01T00:00:00"'
    take(org(A, "Older", older, OFFICE_TEXT.format("New office")), policies=Policies())
    assert here.get(A).values["name"] == "Local"
    assert here.get("urn:uuid:o", OFFICE).values["name"] == "New office"


@pytest.mark.parametrize(("root", "offices"), (("", set()), ('tally="True"', {"New office"})))
def test_only_an_eden_leaves_out_components_with_a_conflict_that_stands(here, take, root, offices):
    """A Tallystick site sends them once: they would be missing here for ever."""
    here.put(A, "Local")
    since = Policies(conflict=Resolution.THIS, last_sync=here.now - timedelta(hours=1))
    done = take(org(A, "Theirs", more=OFFICE_TEXT.format("New office")), policies=since, root=root)
    assert (done.reply.conflicts, here.names(), here.names(OFFICE)) == ([1], {"Local"}, offices)


def test_a_component_outside_the_strategy_is_reported_by_itself(here, take):
    here.put(A, "Local")
    only = Policies(strategy=frozenset({Method.UPDATE}), update=FieldPolicy(Resolution.OTHER))
    done = take(org(A, "New", more=OFFICE_TEXT.format("HQ")), policies=only)
    assert here.get(A).values["name"] == "New"
    assert [one.name for one in done.reply.rejected] == [OFFICE]


# Fields ----------------------------------------------------------------------------------------------------------


def test_fields_that_are_not_in_the_document_are_not_touched(here, take):
    here.put(A, "One", acronym="O")
    take(org(A, "Two"))
    assert here.get(A).values == {"name": "Two", "acronym": "O"}


def test_a_named_nothing_empties_a_field(here, take):
    """Eden cannot say so; between two Tallystick sites an attribute does."""
    here.put(A, "One", acronym="O", year=1999)
    take(org(A, "One", f'{NULLS}="acronym,year,unknown"'))
    assert {name: value for name, value in here.get(A).values.items() if value is not None} == {"name": "One"}


def test_a_mandatory_field_cannot_be_emptied(here, take):
    here.put(A, "One")
    done = take(f'<resource name="{ORG}" uuid="{A}"><data field="name" value=""/></resource>')
    assert done.reply.rejected[0].error == "name: value(s) required"


def test_meta_fields_and_unknown_ones_are_no_data(here, take):
    take(org(A, more='<data field="id" value="99"/><data field="nosuch">x</data><data field="parent_id" value="1"/>'))
    assert here.get(A).id == 1
    assert here.get(A).values == {"name": "One"}


def test_uploads_are_noted_by_name(here, take):
    take(org(A, more='<data field="logo" url="http://peer/x.png" filename="x.png"/>'))
    assert here.get(A).values["logo"] == Upload("http://peer/x.png", "x.png")


@pytest.mark.parametrize("copies", ("x", "-1", "1.5", "²", "99999999999999999999"))
def test_a_copy_count_that_is_none_counts_as_absent(here, take, copies):
    take(org(A, attributes=f'mci="{copies}"'))
    assert here.get(A).copies == 2


# Outcomes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ("9999-12-31T23:59:59", "0001-01-01T00:00:00", "1969-12-31T23:59:59"))
def test_a_time_at_the_end_of_the_calendar_stops_nobody(here, take, moment):
    """Whoever may push may write any time; those who pull must still be answered."""
    take(org(A, attributes=f'modified_on="{moment}" created_on="{moment}"'))
    assert here.get(A) is not None
    store, table = here.store, here.store.table(ORG)
    repository = store.save_repository(Repository("PEER", "peer"))
    for since in (None, here.now - timedelta(days=1), here.now):
        found = answer_pull(store, Pull(table, repository, since), "http://here", here.now)
        assert b"".join(write_xml(found.attributes, found.resources))


@pytest.mark.parametrize("others", (1, 30))
def test_a_number_that_no_database_holds_costs_only_its_record(here, take, others):
    bad = org(A, more='<data field="year" value="99999999999999999999999"/>')
    good = "".join(org(f"urn:uuid:33333333-0000-4000-8000-{number:012d}", f"Good {number}") for number in range(others))
    done = take(good + bad)
    assert len(done.reply.created) == others
    assert done.reply.rejected_uuids == (A,)
    assert here.get(A) is None


def test_one_bad_record_costs_only_itself(here, take):
    records = "".join(org(f"urn:uuid:{number}", str(number)) for number in range(20))
    done = take(
        records + org(A, more='<data field="year" value="1"/>') + org(B, attributes='modified_on="yesterday-ish"')
    )
    assert (done.reply.records, len(done.reply.rejected)) == (20, 2)
    assert len(here.names()) == 20


def test_plain_import_fails_as_a_whole_unless_errors_are_to_be_skipped(here, take):
    done = take(org(A) + org(B, more='<data field="year" value="1"/>'), skip_errors=False)
    assert (done.reply.success, done.reply.status, here.names()) == (False, 400, set())


def test_replaying_a_document_writes_nothing(here, take):
    document = org(A, more=OFFICE_TEXT.format("HQ")) + org(B)
    take(document)
    head = here.store.head()
    done = take(document)
    assert here.store.head() == head
    assert (done.reply.unchanged, done.reply.updated) == ([1, 2], [])


def test_a_deletion_that_a_reference_forbids_is_rejected_and_the_others_go_on(here):
    store = MemoryStore(
        Identity("s", "here", "here"), here.store.tables.values(), restricting={(OFFICE, "organisation_id")}
    )
    for number, uuid in enumerate((A, B), 1):
        store.put(Stored(ORG, uuid, number, {"name": uuid}))
    store.put(Stored(OFFICE, "urn:uuid:o", 1, {"name": "HQ", "organisation_id": Target(ORG, A)}))
    stubs = "".join(f'<resource name="{ORG}" uuid="{uuid}" deleted="True"/>' for uuid in (A, B))
    document = read_xml(f"<s3xml>{stubs}</s3xml>".encode())
    done = import_document(store, store.table(ORG), document, Options(PLAIN_IMPORT, "peer"), here.now)
    assert (done.reply.deleted, done.reply.records) == ([2], 1)
    assert done.reply.rejected[0].error == BLOCKED


def test_a_merge_into_a_survivor_that_comes_in_the_same_document(here, take):
    here.put(A, "Double")
    stub = f'<resource name="{ORG}" uuid="{A}" deleted="True" replaced_by="{B}"/>'
    done = take(stub + org(B, "Survivor"))
    assert done.reply.deleted == [1]
    assert here.get(A).replaced_by == B


def test_a_merge_into_nobody_is_skipped(here, take):
    here.put(A, "Double")
    done = take(f'<resource name="{ORG}" uuid="{A}" deleted="True" replaced_by="{B}"/>')
    assert (done.reply.skipped, here.get(A).deleted) == ([1], False)


def test_what_the_account_may_not_do_is_rejected(here, take):
    here.put(A, "One")
    done = take(org(A, "Two") + org(B), permitted=lambda _table, method: method is Method.CREATE)
    assert (here.names(), done.reply.rejected[0].error) == ({"One"}, "Operation not permitted")


def test_a_refused_update_does_not_set_the_time_back(here, take):
    """X6: a live site does, when the record carries a reference or component (130, 131)."""
    here.put(A, "Local")
    before = here.get(A).modified_on
    older = f'modified_on="{(before - timedelta(hours=1)).isoformat()[:19]}"'
    take(org(A, "Older", older, OFFICE_TEXT.format("HQ")), policies=Policies())
    assert here.get(A).modified_on == before


def test_an_overwriting_older_update_does_not_set_the_time_back(here, take):
    here.put(A, "Local")
    before = here.get(A).modified_on
    take(org(A, "Older", 'modified_on="2020-01-01T00:00:00"'))
    assert (here.get(A).values["name"], here.get(A).modified_on) == ("Older", before)
