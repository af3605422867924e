"""Sites that pull from and push to each other, in process, each with its own clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tallystick.core.policies import FieldPolicy, Method, Resolution
from tallystick.protocols.eden.asking import EdenPeer
from tallystick.protocols.eden.codec.filters import parse_filter_string
from tallystick.protocols.eden.codec.times import SECOND, parse_time
from tallystick.protocols.eden.memory import MemoryStore
from tallystick.protocols.eden.store import Mode, Repository, Result, Target

STORES = ("memory", "sqlite", "postgresql")

ORG, OFFICE, PLACE = "org_organisation", "org_office", "gis_location"
A, B, C = "urn:uuid:a", "urn:uuid:b", "urn:uuid:c"


@pytest.fixture(params=("tallystick", "eden"), autouse=True)
def kind_of_peers(request, network):
    """Everything holds between two Tallystick sites and between sites that know nothing of each other."""
    network.wire.plain = request.param == "eden"


def test_a_record_arrives_with_its_components_and_what_they_refer_to(here, there):
    there.put("urn:uuid:place", "Place", PLACE, lat=47.5)
    there.put(A, "One", year=1999)
    there.put(
        "urn:uuid:office", "HQ", OFFICE, organisation_id=Target(ORG, A), location_id=Target(PLACE, "urn:uuid:place")
    )
    here.connect(there)
    here.pull(there)
    assert here.get(A).values == {"name": "One", "year": 1999}
    office = here.get("urn:uuid:office", OFFICE)
    assert office.values["organisation_id"] == Target(ORG, A)
    assert office.values["location_id"] == Target(PLACE, "urn:uuid:place")
    assert here.get("urn:uuid:place", PLACE).values["lat"] == 47.5
    assert here.get(A).copies == 1


def test_a_pushed_record_arrives(here, there):
    here.put(A, "One", acronym='Ä "<&>"', parent_id=Target(ORG, B))
    here.put(B, "Parent")
    here.connect(there)
    here.push(there)
    assert there.get(A).values == {"name": "One", "acronym": 'Ä "<&>"', "parent_id": Target(ORG, B)}
    assert there.get(B).values == {"name": "Parent"}


def test_references_in_a_circle_arrive(here, there):
    here.put(A, "One", parent_id=Target(ORG, B))
    here.put(B, "Two", parent_id=Target(ORG, A))
    here.connect(there)
    here.push(there)
    assert there.get(A).values["parent_id"] == Target(ORG, B)
    assert there.get(B).values["parent_id"] == Target(ORG, A)


def test_what_was_just_pulled_is_not_pushed_back(here, there):
    there.put(A, "One")
    here.connect(there)
    here.sync(there)
    assert here.wire.pushes() == []


def test_what_was_changed_here_since_is_pushed_back(network, here, there):
    there.put(A, "One")
    here.connect(there)
    here.sync(there)
    network.pass_time(here, there)
    here.edit(A, name="Two")
    here.sync(there)
    assert there.get(A).values["name"] == "Two"


def test_with_nothing_new_nothing_is_sent_and_nothing_written(network, here, there):
    there.put(A, "One")
    here.put(B, "Two")
    here.connect(there)
    here.sync(there)
    here.sync(there)
    seqs = here.store.head(), there.store.head()
    pushes = len(here.wire.pushes())
    for _ in range(3):
        network.pass_time(here, there)
        here.sync(there)
    assert (here.store.head(), there.store.head()) == seqs
    assert len(here.wire.pushes()) == pushes


@pytest.mark.parametrize("clocks", ((0, 0, 0), (5, -7, 0), (-30, 30, 2)))
def test_three_sites_in_a_ring_settle_without_traffic(network, clocks):
    ring = [network.site(name, clock=timedelta(hours=hours)) for name, hours in zip("xyz", clocks, strict=True)]
    pairs = [*pairwise(ring), (ring[-1], ring[0])]
    for mine, other in pairs:
        mine.connect(other)
    for site in ring:
        site.put(f"urn:uuid:{site.name}", f"From {site.name}")
    _turn(network, ring, pairs, 3)
    assert all(site.names() == {"From x", "From y", "From z"} for site in ring)
    heads = [site.store.head() for site in ring]
    pushes = len(network.wire.pushes())
    _turn(network, ring, pairs, 3)
    assert [site.store.head() for site in ring] == heads
    assert len(network.wire.pushes()) == pushes


def test_an_edit_goes_round_the_ring_once(network):
    ring = [network.site(name) for name in "xyz"]
    pairs = [*pairwise(ring), (ring[-1], ring[0])]
    for mine, other in pairs:
        mine.connect(other)
    ring[0].put(A, "One")
    _turn(network, ring, pairs, 3)
    network.pass_time(*ring)
    ring[1].edit(A, name="Two")
    _turn(network, ring, pairs, 3)
    assert [site.get(A).values["name"] for site in ring] == ["Two"] * 3
    heads = [site.store.head() for site in ring]
    _turn(network, ring, pairs, 2)
    assert [site.store.head() for site in ring] == heads


def _turn(network, ring, pairs, times):
    for _ in range(times):
        for mine, other in pairs:
            mine.sync(other)
        network.pass_time(*ring)


# Deletions, merges, revivals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ("pull", "push"))
def test_a_deleted_record_does_not_come_back(network, here, there, direction):
    source, other = (there, here) if direction == "pull" else (here, there)
    source.put(A, "One")
    here.connect(there)
    here.sync(there)
    network.pass_time(here, there)
    source.remove(A)
    for _ in range(3):
        here.sync(there)
        network.pass_time(here, there)
    assert other.get(A).deleted
    assert source.get(A).deleted
    assert other.get(A).modified_on == source.get(A).modified_on


def test_a_merge_moves_references_to_the_survivor(network, here, there):
    there.put(A, "Double")
    there.put(B, "Survivor")
    there.put(C, "Child", parent_id=Target(ORG, A))
    here.connect(there)
    here.sync(there)
    network.pass_time(here, there)
    there.remove(A, replaced_by=B)
    here.sync(there)
    assert (here.get(A).deleted, here.get(A).replaced_by) == (True, B)
    assert here.get(C).values["parent_id"] == Target(ORG, B)


def test_an_edit_that_is_newer_than_a_deletion_revives_the_record(network, here, there):
    there.put(A, "One")
    here.connect(there)
    here.sync(there)
    network.pass_time(here, there)
    there.remove(A)
    network.pass_time(here, there)
    here.edit(A, name="Still needed")
    here.sync(there)
    assert not there.get(A).deleted
    assert there.get(A).values["name"] == "Still needed"


# Watermarks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ("active", "passive"))
def test_a_record_from_the_future_hides_no_later_change(network, here, there, direction):
    """Live sites were observed never to push a deletion made two hours "before" a future-dated record."""
    reader, writer = (here, there) if direction == "active" else (there, here)
    here.connect(there)
    there.connect(here)
    writer.put(A, "From the future", at=writer.now + timedelta(days=365))
    reader.pull(writer)
    network.pass_time(here, there)
    writer.put(B, "Made later")
    reader.pull(writer)
    assert reader.names() == {"From the future", "Made later"}
    network.pass_time(here, there)
    writer.remove(B)
    reader.pull(writer)
    assert reader.names() == {"From the future"}


@pytest.mark.parametrize("tells_time", (True, False))
def test_two_changes_within_one_second_both_arrive(network, here, there, tells_time):
    network.wire.tells_time = tells_time
    here.connect(there)
    there.put(A, "First")
    here.pull(there)
    there.put(B, "Second, in the same second")
    here.pull(there)
    assert here.names() == {"First", "Second, in the same second"}


class RealEden:
    """An active Eden site as it is: its watermark is the newest time it was sent, plus a second (section 3)."""

    def __init__(self, site, uuid="urn:uuid:real-eden"):
        self.site = site
        self.uuid = uuid
        self.last_pull = None
        self.names = {}
        site.store.save_repository(Repository(uuid, "real"))

    def pull(self):
        document = (
            EdenPeer("http://hub/eden", self.site.wire, "sync", "secret")
            .pull(ORG, self.uuid, msince=self.last_pull)
            .document
        )
        times = [parse_time(one.modified_on) for one in document.resources if one.name == ORG]
        if times:
            self.last_pull = max(times) + SECOND
        for one in document.resources:
            self.names[one.uuid] = None if one.deleted else one.data[0].text


@pytest.fixture
def hub(network):
    network.wire.plain = True
    return network.site("hub")


def test_a_record_that_arrives_late_with_an_old_time_is_passed_on(network, hub):
    """A field site was offline for a day: what it wrote then is older than what the hub has handed out since."""
    field, eden = network.site("field"), RealEden(hub)
    field.connect(hub)
    field.put(A, "Written in the field")
    network.pass_time(hub, field, days=1)
    hub.put(B, "Written at the hub")
    eden.pull()
    field.push(hub)
    eden.pull()
    assert eden.names == {A: "Written in the field", B: "Written at the hub"}


def test_a_real_eden_misses_nothing_that_was_written_in_the_second_of_its_pull(hub):
    eden = RealEden(hub)
    hub.put(A, "First")
    eden.pull()
    hub.put(B, "Second")
    eden.pull()
    assert eden.names == {A: "First", B: "Second"}


def test_a_real_eden_misses_nothing_behind_a_record_from_the_future(network, hub):
    eden = RealEden(hub)
    hub.put(A, "Future", at=hub.now + timedelta(days=365))
    eden.pull()
    network.pass_time(hub)
    hub.put(B, "Later")
    eden.pull()
    network.pass_time(hub)
    hub.remove(B)
    eden.pull()
    assert eden.names == {A: "Future", B: None}


def test_a_real_eden_whose_answer_got_lost_is_answered_again(network, hub):
    eden = RealEden(hub)
    hub.put(A, "First")
    eden.pull()
    network.pass_time(hub)
    hub.put(B, "Second")
    before = eden.last_pull
    eden.pull()
    eden.last_pull, eden.names = before, {A: "First"}
    eden.pull()
    assert eden.names == {A: "First", B: "Second"}


def test_a_watermark_from_a_future_that_we_never_gave_gets_everything(hub):
    eden = RealEden(hub)
    hub.put(A, "First")
    eden.last_pull = hub.now + timedelta(days=365)
    eden.pull()
    assert eden.names == {A: "First"}


@pytest.mark.parametrize("hours_here", (-9, 0, 9))
@pytest.mark.parametrize("hours_there", (-9, 0, 9))
def test_clocks_that_are_hours_apart_hide_nothing(network, hours_here, hours_there):
    here = network.site("here", clock=timedelta(hours=hours_here))
    there = network.site("there", clock=timedelta(hours=hours_there))
    here.connect(there)
    for number in range(4):
        network.pass_time(here, there)
        here.put(f"urn:uuid:here-{number}", f"here {number}")
        there.put(f"urn:uuid:there-{number}", f"there {number}")
        here.sync(there)
    expected = {f"{side} {number}" for side in ("here", "there") for number in range(4)}
    assert here.names() == there.names() == expected


def test_the_watermark_is_read_by_the_clock_of_the_peer(network):
    here, there = network.site("here", clock=timedelta(hours=-12)), network.site("there")
    here.connect(there)
    there.put(A, "One")
    network.pass_time(here, there)
    here.pull(there)
    assert here.task(there).last_pull == datetime(2026, 11, 20, 8, 0, 1, tzinfo=UTC)


def test_a_change_of_a_component_alone_arrives(network, here, there):
    there.put(A, "One")
    there.put("urn:uuid:office", "HQ", OFFICE, organisation_id=Target(ORG, A))
    here.connect(there)
    here.pull(there)
    network.pass_time(here, there)
    there.edit("urn:uuid:office", OFFICE, name="HQ, moved")
    here.pull(there)
    assert here.names(OFFICE) == {"HQ, moved"}


class NewerEden(MemoryStore):
    """A peer that hides changes of components (section 8) and remembers nothing, as newer Eden does."""

    def _family(self, table, record):
        return iter(())

    def answers(self, repository, scope):
        return ()


@pytest.mark.parametrize("direction", ("pull", "push"))
def test_the_deletion_of_a_component_alone_arrives(network, here, there, direction):
    here.connect(there)
    there.put(A, "One")
    there.put(B, "Branch", OFFICE, organisation_id=Target(ORG, A))
    here.sync(there)
    assert here.names(OFFICE) == {"Branch"}
    network.pass_time(here, there)
    (there if direction == "pull" else here).remove(B, OFFICE)
    for _ in range(2):
        here.sync(there)
        network.pass_time(here, there)
    assert here.names(OFFICE) == there.names(OFFICE) == set()
    assert here.names() == there.names() == {"One"}
    sent = len(network.wire.pushes())
    here.sync(there)
    assert len(network.wire.pushes()) == sent


def test_a_change_of_a_component_alone_arrives_from_a_peer_that_hides_it(network, here):
    network.wire.plain = True
    there = network.site("there", store=NewerEden)
    there.put(A, "One")
    there.put("urn:uuid:office", "HQ", OFFICE, organisation_id=Target(ORG, A))
    here.connect(there)
    here.pull(there)
    network.pass_time(here, there)
    there.edit("urn:uuid:office", OFFICE, name="HQ, moved")
    here.pull(there)
    assert here.names(OFFICE) == {"HQ, moved"}


def test_a_full_pull_finds_what_the_clock_of_the_peer_hid(network, here):
    network.wire.plain = True
    there = network.site("there", store=NewerEden)
    here.connect(there)
    there.put(A, "One")
    network.pass_time(here, there)
    here.pull(there)
    late = there.put(B, "Came from elsewhere with an old time")
    late.modified_on -= timedelta(days=3)
    here.pull(there)
    assert here.names() == {"One"}
    here.pull(there, full=True)
    assert here.names() == {"One", "Came from elsewhere with an old time"}


# Rejections ------------------------------------------------------------------------------------------------------


def test_what_is_rejected_here_is_tried_again_until_it_fits(network, here, there):
    here.connect(there)
    there.put(A, "One", year=1492)
    there.put(B, "Two", year=1999)
    network.pass_time(here, there)
    here.pull(there)
    assert here.names() == {"Two"}
    assert here.store.entries[-1].result is Result.WARNING
    assert "year=1492: year: Enter an integer between 1850 and 2099" in here.store.entries[-1].message
    here.store.tables[ORG] = _with_year_from(here.store.tables[ORG], 1000)
    network.pass_time(here, there)
    here.pull(there)
    assert here.names() == {"One", "Two"}
    assert here.store.parked(there.store.identity().uuid, ORG) == ()


def _with_year_from(described, year):
    fields = {**described.fields, "year": replace(described.fields["year"], minimum=year)}
    return replace(described, fields=fields)


def test_a_newer_version_replaces_a_parked_one(network, here, there):
    here.connect(there)
    there.put(A, "One", year=1492)
    network.pass_time(here, there)
    here.pull(there)
    there.edit(A, year=1992)
    network.pass_time(here, there)
    here.pull(there)
    assert here.get(A).values["year"] == 1992
    assert here.store.parked(there.store.identity().uuid, ORG) == ()


def test_what_the_peer_rejects_is_sent_again(network, here, there):
    there.store.tables[ORG] = _with_year_from(there.store.tables[ORG], 2000)
    here.put(A, "One", year=1999)
    here.put(B, "Two", year=2001)
    here.connect(there)
    done = here.push(there)
    assert done.reply.rejected_uuids == (A,)
    assert there.names() == {"Two"}
    assert here.store.entries[-1].result is Result.WARNING
    there.store.tables[ORG] = _with_year_from(there.store.tables[ORG], 1000)
    here.push(there)
    assert there.names() == {"One", "Two"}
    assert here.task(there).retry == frozenset()


# Policies --------------------------------------------------------------------------------------------------------

THIS, OTHER, NEWER = Resolution.THIS, Resolution.OTHER, Resolution.NEWER


@pytest.mark.parametrize(
    ("policy", "winner"), ((THIS, "mine"), (OTHER, "theirs"), (NEWER, "theirs")), ids=("THIS", "OTHER", "NEWER")
)
def test_this_is_the_site_of_the_task_in_both_directions(network, here, there, policy, winner):
    here.put(A, "One")
    here.connect(there, update=FieldPolicy(policy), conflict=policy)
    here.sync(there)
    network.pass_time(here, there)
    here.edit(A, name="mine")
    network.pass_time(here, there)
    there.edit(A, name="theirs")
    here.sync(there)
    here.sync(there)
    assert here.get(A).values["name"] == winner
    assert there.get(A).values["name"] == winner


def test_a_task_of_the_receiver_goes_before_the_senders_policies(network, here, there):
    here.put(A, "One")
    here.connect(there, update=FieldPolicy(THIS))
    here.push(there)
    there.connect(here, update=FieldPolicy(THIS))
    network.pass_time(here, there)
    here.edit(A, name="mine")
    here.push(there)
    assert there.get(A).values["name"] == "One"


def test_a_method_outside_the_strategy_is_reported_not_done(network, here, there):
    here.put(A, "One")
    here.connect(there, strategy=frozenset({Method.CREATE}))
    here.push(there)
    network.pass_time(here, there)
    here.edit(A, name="Two")
    here.put(B, "New")
    done = here.push(there)
    assert there.names() == {"One", "New"}
    assert done.reply.issues == [f"(UID: {A}) {ORG}: Operation not permitted"]


def test_a_conflict_that_stands_is_kept_for_review(network, here, there):
    there.put(A, "One")
    here.connect(there, conflict=THIS)
    network.pass_time(here, there)
    here.pull(there)
    network.pass_time(here, there)
    here.edit(A, name="mine")
    network.pass_time(here, there)
    there.edit(A, name="theirs")
    here.pull(there)
    assert here.get(A).values["name"] == "mine"
    assert [(one.uuid, one.values["name"]) for one in here.store.lost] == [(A, "theirs")]


def test_a_callback_decides_conflicts(network, here, there):
    there.put(A, "One")
    here.connect(there, conflict=THIS)
    network.pass_time(here, there)
    here.pull(there)
    network.pass_time(here, there)
    here.edit(A, name="mine")
    network.pass_time(here, there)
    there.edit(A, name="theirs")

    def accept(conflict):
        assert (conflict.resource, conflict.key) == (ORG, A)
        assert conflict.shown[0].content["name"] == "mine"
        assert {version.content["name"] for version in conflict.record.versions} == {"mine", "theirs"}
        return Resolution.OTHER

    here.pull(there, onconflict=accept)
    assert here.get(A).values["name"] == "theirs"
    assert [(one.uuid, one.values["name"]) for one in here.store.lost] == [(A, "mine")]


def test_synchronized_identifiers_rekey_records_of_the_same_name(here, there):
    here.put(A, "Shelter")
    here.put(C, "Child", parent_id=Target(ORG, A))
    there.put(B, "shelter")
    here.connect(there)
    here.configure(there, synchronise_uuids=True)
    here.pull(there)
    assert here.get(A) is None
    assert here.get(B).values["name"] == "shelter"
    assert here.get(C).values["parent_id"] == Target(ORG, B)


def test_without_it_two_records_of_one_name_stay_two(here, there):
    here.put(A, "Shelter")
    there.put(B, "Shelter")
    here.connect(there)
    here.pull(there)
    assert {uuid for uuid, one in here.store.records[ORG].items() if not one.deleted} == {A, B}


# Requests --------------------------------------------------------------------------------------------------------


def test_filters_travel_and_decide_at_the_peer(here, there):
    there.put(A, "Shelter one")
    there.put(B, "Office two")
    here.connect(there, filters=parse_filter_string(ORG, ORG, "~.name__like=Shelter*"))
    here.pull(there)
    assert here.names() == {"Shelter one"}
    assert here.wire.requests[-1][1].endswith("&include_deleted=True&[~]~.name__like=Shelter%2A")


def test_no_request_but_get_and_post_is_ever_made(network, here, there):
    """A DELETE on a sync URL would empty the table of a live site (section 17)."""
    here.connect(there)
    there.put(A, "One")
    here.put(B, "Two")
    here.sync(there)
    here.remove(A)
    there.remove(B)
    network.pass_time(here, there)
    here.sync(there)
    assert {method for method, _, _ in network.wire.requests} == {"GET", "POST"}


def test_a_push_has_the_form_that_real_eden_sends(here, there):
    here.put(A, "One")
    here.connect(there)
    here.push(there)
    method, url, body = here.wire.requests[-1]
    assert (method, url) == (
        "POST",
        "http://there/eden/sync/sync.xml?resource=org_organisation&repository=urn:uuid:site-here"
        "&strategy=create,update,delete,merge&update_policy=NEWER&conflict_policy=NEWER",
    )
    assert b'uuid="urn:uuid:a" mci="1"' in body


def test_other_policies_go_to_the_endpoint_that_reads_them(here, there):
    here.put(A, "One")
    here.connect(there, update=FieldPolicy(THIS))
    here.push(there)
    assert here.wire.requests[-1][1].startswith("http://there/eden/org/organisation/sync.xml?repository=")


def test_with_nothing_to_send_no_request_is_made(here, there):
    here.connect(there, mode=Mode.PUSH)
    before = len(here.wire.requests)
    assert here.push(there).mtime is None
    assert len(here.wire.requests) == before
    assert (here.store.entries[-1].result, here.store.entries[-1].message) == (Result.WARNING, "No data to send")


def test_a_table_that_is_not_here_is_no_error(here, there):
    here.connect(there, "org_unknown")
    assert here.pull(there, "org_unknown").mtime is None
    assert here.push(there, "org_unknown").mtime is None


@pytest.mark.parametrize("direction", ("pull", "push"))
def test_wrong_credentials_are_a_logged_error_of_the_peer(here, there, direction):
    here.put(A, "One")
    here.connect(there)
    active = here.active(there)
    active.peer.password = "wrong"
    done = getattr(active, direction)(here.task(there))
    assert done.error.code == "peer-refused"
    entry = here.store.entries[-1]
    assert (entry.result, entry.remote, entry.mode) == (Result.ERROR, True, direction)
    assert here.task(there).pushed == 0


def test_registration_makes_the_peers_own_identifier_ours_for_it(here, there):
    here.connect(there)
    assert here.store.repository("urn:uuid:site-there").name == "there"
    assert there.store.repository("urn:uuid:site-here").name == "here/eden"
    assert here.store.entries[-1].result is Result.SUCCESS


def test_a_peer_that_is_not_registered_may_pull_but_not_push(here, there):
    here.put(A, "One")
    there.put(B, "Two")
    here.connect(there)
    there.store.repositories.clear()
    here.pull(there)
    assert here.names() == {"One", "Two"}
    assert here.active(there).push(here.task(there)).error.code == "peer-refused"
