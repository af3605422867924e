"""Peers and tasks set up over the wire (sections 2 and 5)."""

from datetime import UTC, datetime

import pytest

from tallystick.core.policies import FieldPolicy, Method, Resolution
from tallystick.protocols.eden.codec.filters import parse_filter_string
from tallystick.protocols.eden.codec.queries import parse_query
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.settings import import_settings, read_task, settings_document
from tallystick.protocols.eden.store import Dataset, Mode, Repository, Task

TASK = """<resource name="sync_task" uuid="urn:uuid:t"><data field="resource_name">org_sector</data>{}</resource>"""


def take(here, text):
    document = read_xml(f'<s3xml><resource name="sync_repository" uuid="PEER">{text}</resource></s3xml>'.encode())
    return import_settings(here.store, document, lambda: "urn:uuid:new", here.now)


def test_a_peer_with_its_tasks(here):
    filters = '<resource name="sync_resource_filter"><data field="tablename">org_sector</data>'
    filters += '<data field="filter_string">~.name__like=S*</data></resource>'
    fields = '<data field="mode" value="1"/><data field="strategy" value="[&quot;create&quot;]"/>'
    fields += '<data field="update_policy">OTHER</data><data field="conflict_policy" value="&quot;THIS&quot;">x</data>'
    fields += '<data field="last_pull" value="2026-11-20T05:00:00"/><data field="components" value="false"/>'
    reply = take(
        here, '<data field="name">peer</data><data field="url">http://p/eden</data>' + TASK.format(fields + filters)
    )
    assert (reply.created, reply.records) == ([1], 1)
    assert here.store.repository("PEER").url == "http://p/eden"
    task = here.store.task("PEER", "org_sector")
    assert (task.mode, task.strategy, task.components) == (Mode.PULL, {Method.CREATE}, False)
    assert (task.update, task.conflict) == (FieldPolicy(Resolution.OTHER), Resolution.THIS)
    assert task.last_pull == datetime(2026, 11, 20, 5, tzinfo=UTC)
    assert task.filters == parse_filter_string("org_sector", "org_sector", "~.name__like=S*")


def test_fields_that_are_absent_keep_their_values(here):
    take(here, '<data field="name">peer</data>' + TASK.format('<data field="update_policy">MASTER</data>'))
    reply = take(here, TASK.format('<data field="conflict_policy">THIS</data>'))
    assert reply.updated == [1]
    task = here.store.task("PEER", "org_sector")
    assert (task.update.default, task.conflict, task.id) == (Resolution.MASTER, Resolution.THIS, 1)
    assert here.store.repository("PEER").name == "peer"


def test_a_change_of_filters_makes_the_next_push_a_whole_one(here):
    element = '<resource name="sync_resource_filter"><data field="filter_string">~.name={}</data></resource>'
    take(here, '<data field="name">peer</data>' + TASK.format(element.format("a")))
    task = here.store.task("PEER", "org_sector")
    task.pushed, task.last_pull = 7, here.now
    take(here, TASK.format(element.format("a")))
    assert here.store.task("PEER", "org_sector").pushed == 7
    take(here, TASK.format(element.format("b")))
    after = here.store.task("PEER", "org_sector")
    assert (after.pushed, after.last_pull) == (0, here.now)


@pytest.mark.parametrize(
    ("text", "error"),
    (
        ("", "name: value(s) required"),
        (
            '<data field="name">p</data>'
            + TASK.format('<resource name="sync_resource_filter"><data field="filter_string">name=x</data></resource>'),
            "the filter name=x would be ignored by Eden",
        ),
        (
            '<data field="name">p</data>' + TASK.format('<data field="last_pull">then</data>'),
            "Invalid date/time string: then",
        ),
    ),
)
def test_what_cannot_be_read_is_reported_and_nothing_of_it_kept(here, text, error):
    reply = take(here, text)
    assert (reply.records, reply.rejected[0].error) == (0, error)
    assert here.store.repository("PEER") is None
    assert list(here.store.tasks()) == []


def test_a_password_is_taken_but_never_shown(here):
    take(here, '<data field="name">peer</data><data field="password">geheim</data>')
    assert here.store.repository("PEER").password == "geheim"
    assert "geheim" not in repr(here.store.repository("PEER"))


@pytest.fixture
def hosting(here):
    here.store.saved_datasets["urn:uuid:d"] = Dataset("urn:uuid:d", "relief", "Relief", "/x.zip", True, 1, here.now)
    filters = parse_filter_string("org_office", "org_sector", "office.name=a%26b,c")
    here.store.save_task(
        Task("urn:uuid:t", None, "org_sector", dataset="urn:uuid:d", filters=filters, modified_on=here.now)
    )
    here.store.save_task(Task("urn:uuid:private", "PEER", "org_sector", modified_on=here.now))
    here.store.save_repository(Repository("PEER", "peer", password="geheim"))
    return here


def test_a_task_is_read_again_as_it_was(hosting):
    document = settings_document(
        hosting.store, "sync_task", parse_query("~.dataset_id$code=relief", rest=True), "http://b"
    )
    task, dataset = document.resources
    assert (task.uuid, dataset.name, dataset.uuid) == ("urn:uuid:t", "sync_dataset", "urn:uuid:d")
    again = read_task(task, None, None, lambda: "x", hosting.now)
    before = hosting.store.saved_tasks["urn:uuid:t"]
    assert (again.filters, again.strategy, again.mode) == (before.filters, before.strategy, before.mode)
    assert again.components == before.components


@pytest.mark.parametrize(
    ("name", "query", "uuids"),
    (
        ("sync_task", "", ["urn:uuid:t", "urn:uuid:d"]),
        ("sync_task", "~.dataset_id$code=other", []),
        ("sync_task", "~.resource_name=org_sector", ["urn:uuid:t", "urn:uuid:d"]),
        ("sync_task", "~.deleted=True", []),
        ("sync_task", "msince=2027-01-01T00:00:00", []),
        ("sync_dataset", "~.code=relief", ["urn:uuid:d"]),
        ("sync_dataset", "~.code=other", []),
    ),
)
def test_only_hosted_tasks_and_data_sets_are_shown(hosting, name, query, uuids):
    document = settings_document(hosting.store, name, parse_query(query, rest=True), "http://b")
    assert [one.uuid for one in document.resources] == uuids
    assert document.attributes["success"] == ("true" if uuids else "false")
