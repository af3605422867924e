"""The decision tables of the specification (section 10) on a database: what a row holds after an import.

The rows are those of ``test_deciding.py``; P15 is left out, because the time of a record is always known at a site.
"""

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tallystick.core.policies import FieldPolicy, Method
from tallystick.protocols.eden.codec.times import format_time
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.deciding import Outcome, Policies
from tallystick.protocols.eden.importing import import_document
from tallystick.protocols.eden.items import Options
from tallystick.protocols.eden.store import Stored

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_deciding import STEPS, TABLE_10_1, combinations, expand

ORG = "org_organisation"
SURVIVOR = "urn:uuid:99999999-0000-4000-8000-000000000000"
STORES = ("sqlite", "postgresql")
CHANGED = {Outcome.TAKEN, Outcome.REVIVED}
GONE = {Outcome.DELETED, Outcome.MERGED}


class Cases:
    """Records of one site, one for each case, and what an import made of them."""

    def __init__(self, site):
        self.site = site
        self.made = 0
        self.wrong = []
        site.put(SURVIVOR, "Survivor")

    def run(self, name, method, time, mine, theirs, policies, outcome):
        self.made += 1
        uuid = f"urn:uuid:{self.made:08x}-0000-4000-8000-000000000000"
        now = self.site.now
        self.site.store.put(Stored(ORG, uuid, 0, {"name": "local"}, mine, created_on=now, modified_on=now))
        if method == "revive":
            self.site.remove(uuid)
            bound = self.site.store.catalog.bound(ORG)
            entry = self.site.store.reader.entries(bound, (uuid,))[uuid]
            self.site.store._describe(bound, entry.key, Stored(ORG, uuid, 0, {}, mine, now, now))
        before = self.site.get(uuid)
        document = read_xml(f"<s3xml>{_element(uuid, method, time, theirs, before.modified_on)}</s3xml>".encode())
        table = self.site.store.table(ORG)
        done = import_document(self.site.store, table, document, Options(policies, "peer"), now)
        found = [one.value for one, count in done.outcomes.items() if count]
        after = self.site.get(uuid)
        expected = self._expected(before, outcome)
        if found != [outcome.value] or (after.values.get("name"), after.deleted, after.copies) != expected:
            self.wrong.append(f"{name}: {found}, {after}")

    @staticmethod
    def _expected(before, outcome):
        if outcome in GONE:
            return None, True, before.copies
        name = "incoming" if outcome in CHANGED else before.values.get("name")
        return name, before.deleted and outcome is not Outcome.REVIVED, before.copies


def _element(uuid, method, time, copies, local):
    moment = "" if time == "absent" else f'modified_on="{format_time(local + STEPS.get(time, timedelta(0)))}"'
    head = f'<resource name="{ORG}" uuid="{uuid}" mci="{copies}" {moment}'
    if method is Method.DELETE:
        return f'{head} deleted="True"/>'
    if method is Method.MERGE:
        return f'{head} deleted="True" replaced_by="{SURVIVOR}"/>'
    return f'{head}><data field="name">incoming</data></resource>'


@pytest.fixture
def cases(here):
    return Cases(here)


@pytest.mark.parametrize("row", TABLE_10_1, ids=lambda row: f"{row[0]}-{row[1]}")
def test_table_10_1_on_rows_of_a_database(cases, row):
    if row[0] == "P15":
        pytest.skip("the time of a record is always known at a site")
    for case in expand((row,)):
        policy, method, time, mine, theirs, outcome = case.values
        cases.run(case.id, method, time, mine, theirs, Policies(update=FieldPolicy(policy)), outcome)
    assert not cases.wrong, "\n".join(cases.wrong)


def test_table_10_4_on_rows_of_a_database(cases):
    for case in combinations():
        conflict, update, time, mine, theirs, outcome = case.values
        policies = Policies(
            update=FieldPolicy(update), conflict=conflict, last_sync=cases.site.now - timedelta(hours=1)
        )
        cases.run(case.id, Method.UPDATE, time, mine, theirs, policies, outcome)
    assert not cases.wrong, "\n".join(cases.wrong)
