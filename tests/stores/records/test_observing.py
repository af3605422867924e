"""Stores that several sites hold: what one changes, the consumers of the other are told, and both come to rest."""

from random import Random

import pytest

import tallystick
from tallystick.stores import Server, SiteRecords
from tallystick.stores.port import Revision
from tallystick.sync.agreement import Plan


class Told:
    def __init__(self):
        self.events = []

    def update(self, item, flags):
        self.events.append(("update", item.subject, flags))

    def delete(self, item, flags):
        self.events.append(("delete", item.sourcekey, flags))

    def read(self, item, status):
        self.events.append(("read", item.subject, status))


class Copy(dict):
    """A consumer's copy of one folder."""

    def update(self, item, flags):
        self[item.sourcekey] = (item.subject, item.read, item.text)

    def delete(self, item, flags):
        self.pop(item.sourcekey, None)

    def read(self, item, status):
        self[item.sourcekey] = (self[item.sourcekey][0], status, self[item.sourcekey][2])


@pytest.fixture
def here(site_url):
    with tallystick.open(site_url, create=True) as site:
        yield site


@pytest.fixture
def there(tmp_path):
    with tallystick.open(tmp_path / "there.db", create=True) as site:
        yield site


@pytest.fixture
def servers(here, there):
    """A server at each site; both know anna and her store."""
    made = here.server()
    made.create_user("anna")
    here.sync(there)
    return made, there.server()


@pytest.fixture
def inboxes(servers):
    return [server.user("anna").inbox for server in servers]


def changes(folder, state):
    told = Told()
    return told.events, folder.sync(told, state)


def test_a_store_is_the_same_at_both_sites(servers, here, there):
    mine, theirs = servers
    mine.user("anna").store.create_folder("work/old").create_item(subject="s", text="body", received=None)
    here.sync(there)
    item = next(theirs.user("anna").folder("work/old").items())
    assert (item.subject, item.text, item.folder.path) == ("s", "body", "work/old")
    assert item.sourcekey == next(mine.user("anna").folder("work/old").items()).sourcekey
    assert item.entryid == next(mine.user("anna").folder("work/old").items()).entryid
    assert [company.name for company in theirs.companies()] == ["Default"]
    assert here.verify(there).agree


def test_consumers_are_told_of_each_change_as_what_it_is(inboxes, here, there):
    mine, theirs = inboxes
    item = mine.create_item(subject="a", read=False)
    here.sync(there)
    events, state = changes(theirs, None)
    assert events == [("update", "a", 0x800)]
    item.read = True
    here.sync(there)
    events, state = changes(theirs, state)
    assert events == [("read", "a", True)]
    item.subject = "b"
    item.read = False
    here.sync(there)
    events, state = changes(theirs, state)
    assert events == [("update", "b", 0)]
    item.delete(soft=True)
    here.sync(there)
    events, state = changes(theirs, state)
    assert events == [("delete", item.sourcekey, 1)]
    assert [gone.subject for gone in theirs.deleted.items()] == ["b"]
    key = item.sourcekey
    item.delete()
    here.sync(there)
    events, state = changes(theirs, state)
    assert events == [("delete", key, 0)]
    assert list(theirs.deleted.items()) == []


def test_a_move_is_told_at_both_ends_and_keeps_its_parts(servers, inboxes, here, there):
    mine, theirs = inboxes
    item = mine.create_item(subject="a", text="long " * 1000)
    here.sync(there)
    _, state = changes(theirs, None)
    target = servers[1].user("anna").store.junk
    _, arrived = changes(target, None)
    old = item.sourcekey
    item.move(servers[0].user("anna").store.junk)
    report = here.sync(there)
    assert not any(wire.endswith(".bodies") for wire in report.pushed)
    assert changes(theirs, state)[0] == [("delete", old, 0)]
    assert changes(target, arrived)[0] == [("update", "a", 0x800)]
    assert next(target.items()).text == "long " * 1000


def test_sites_that_observe_each_other_come_to_rest(inboxes, here, there):
    for folder in inboxes:
        folder.create_item(subject="x", text="t")
    assert here.sync(there).records
    for folder in inboxes:
        assert folder.count == 2
    report = here.sync(there)
    assert (report.records, report.pushed, report.pulled) == (0, {}, {})


def test_a_state_stays_the_same_when_nothing_relevant_came(servers, inboxes, here, there):
    _, state = changes(inboxes[1], None)
    servers[0].user("anna").store.junk.create_item(subject="elsewhere")
    here.sync(there)
    assert changes(inboxes[1], state) == ([], state)


def test_folders_are_told_parents_first_and_moves_once(servers, here, there):
    mine, theirs = (server.user("anna").store.subtree for server in servers)

    class Folders:
        def __init__(self):
            self.events = []

        def update(self, folder):
            self.events.append(("update", folder.name, folder.parent.name))

        def delete(self, folder, flags):
            self.events.append(("delete", flags))

    state = theirs.sync_hierarchy(Folders())
    one = mine.create_folder("one")
    inner = one.create_folder("inner")
    here.sync(there)
    told = Folders()
    state = theirs.sync_hierarchy(told, state)
    assert told.events == [("update", "one", "IPM_SUBTREE"), ("update", "inner", "one")]
    one.move(inner, mine)
    here.sync(there)
    told = Folders()
    state = theirs.sync_hierarchy(told, state)
    assert told.events == [("update", "inner", "IPM_SUBTREE")]
    mine.delete(inner, soft=True)
    here.sync(there)
    told = Folders()
    theirs.sync_hierarchy(told, state)
    assert told.events == [("delete", 1)]


def test_an_item_waits_for_its_folder(servers, here, there):
    """A folder that was renamed later than it was filled comes after what is in it."""
    folder = servers[0].user("anna").store.create_folder("late")
    folder.create_item(subject="early")
    folder.name = "renamed"
    here.sync(there)
    found = servers[1].user("anna").store.folder("renamed")
    assert [item.subject for item in found.items()] == ["early"]
    assert servers[1].records.session.rows("SELECT * FROM tally_stores_waiting") == []


def test_what_was_put_into_a_folder_that_somebody_deleted_is_among_the_deleted_things(servers, here, there):
    mine, theirs = (server.user("anna").store for server in servers)
    mine.create_folder("doomed").create_item(subject="old")
    here.sync(there)
    theirs.folder("doomed").create_item(subject="new here")
    mine.folder("doomed").parent.delete(mine.folder("doomed"))
    here.sync(there)
    for store in (mine, theirs):
        assert store.subtree.get_folder("doomed") is None
        assert [item.subject for item in store.wastebasket.items()] == ["new here"]
    assert here.sync(there).records == 0


def test_different_fields_that_two_sites_changed_are_merged(inboxes, here, there):
    mine, theirs = inboxes
    item = mine.create_item(subject="a", read=False, importance="normal")
    here.sync(there)
    other = next(theirs.items())
    item.subject = "b"
    other.read = True
    plan = Plan(policies=_merging(here))
    here.sync(there, plan)
    for one in (item, other):
        assert (one.subject, one.read) == ("b", True)


def _merging(site):
    from tallystick.core.policies import FieldPolicy, Policy, Resolution

    merging = Policy(conflict=FieldPolicy(Resolution.MERGE))
    return {item.wire: merging for item in site.resources()}


def test_sites_that_never_met_may_each_have_users(here, there):
    here.server().create_user("anna")
    there.server().create_user("bert")
    here.sync(there)
    for site in (here, there):
        server = site.server()
        assert sorted(user.name for user in server.users()) == ["anna", "bert"]
        assert all(user.store.inbox is not None for user in server.users())
        assert len(list(server.companies())) == 1


def test_tables_made_again_hold_what_they_held(servers, inboxes, here, there):
    inboxes[0].create_item(subject="a", text="t")
    here.sync(there)
    shown = [(item.subject, item.text, item.sourcekey) for item in inboxes[1].items()]
    with there.ledger.write():
        for table in ("object", "change", "waiting"):
            there.ledger.engine.execute(f"DELETE FROM tally_stores_{table}")
        there.ledger.engine.execute("UPDATE tally_stores_counter SET value=0 WHERE name='observed'")
    again = Server(SiteRecords(there.ledger)).user("anna").inbox
    assert [(item.subject, item.text, item.sourcekey) for item in again.items()] == shown


def test_a_flag_moves_no_body(inboxes, here, there):
    item = inboxes[0].create_item(subject="a", text="t" * 100_000)
    here.sync(there)
    item.read = False
    report = here.sync(there)
    assert [wire.rpartition(".")[2] for wire in report.pushed] == ["items"]


def test_an_item_without_its_parts_says_nothing_yet(inboxes, here, there):
    item = inboxes[0].create_item(subject="a", text="t")
    wires = [item.wire for item in here.resources() if not item.wire.endswith(".bodies")]
    here.sync(there, Plan(only=tuple(wires)))
    assert next(inboxes[1].items()).text == ""
    here.sync(there)
    assert next(inboxes[1].items()).text == item.text


@pytest.mark.parametrize("seed", range(6))
def test_two_sites_and_their_consumers_agree_after_any_history(servers, here, there, seed):
    """Random edits, moves and deletions at both sites; the copies that consumers keep are what the sites show."""
    random = Random(seed)
    stores = [server.user("anna").store for server in servers]
    copies = {}
    for _ in range(25):
        store = random.choice(stores)
        _edit(random, store)
        if random.random() < 0.3:
            here.sync(there)
        if random.random() < 0.4:
            _follow(random.choice(stores), copies)
    here.sync(there)
    here.sync(there)
    assert here.sync(there).records == 0
    assert here.verify(there).agree
    shown = [_shown(store) for store in stores]
    assert shown[0] == shown[1]
    for store in stores:
        _follow(store, copies)
        _follow(store, copies)
        for folder in store.folders():
            assert copies[store.server.guid, folder.sourcekey][1] == {
                item.sourcekey: (item.subject, item.read, item.text) for item in folder.items()
            }


def _edit(random, store):
    folders = list(store.folders())
    items = [item for folder in folders for item in folder.items()]
    act = random.choice(["create", "create", "save", "flag", "delete", "soft", "move", "folder", "nest", "remove"])
    if act == "create" or not items:
        random.choice(folders).create_item(subject=f"s{random.random()}", text=f"t{random.random()}")
    elif act == "save":
        random.choice(items).change(subject=f"c{random.random()}", text=f"t{random.random()}")
    elif act == "flag":
        one = random.choice(items)
        one.read = not one.read
    elif act in ("delete", "soft"):
        random.choice(items).delete(soft=act == "soft")
    elif act == "move":
        random.choice(items).move(random.choice(folders))
    elif act == "folder":
        random.choice(folders).create_folder(f"f{random.random()}")
    else:
        made = [folder for folder in folders if folder.name.startswith("f")]
        if made and act == "nest":
            random.choice(made).name = f"f{random.random()}"
        elif made:
            one = random.choice(made)
            one.parent.delete(one)


def _follow(store, copies):
    for folder in store.folders():
        state, copy = copies.get((store.server.guid, folder.sourcekey), (None, Copy()))
        copies[store.server.guid, folder.sourcekey] = (folder.sync(copy, state), copy)


def _shown(store):
    return {
        folder.sourcekey: (
            folder.name,
            folder.parent.sourcekey,
            {item.sourcekey: (item.subject, item.read, item.text) for item in folder.items()},
        )
        for folder in store.folders()
    }


def test_a_local_write_first_works_in_what_came(servers, inboxes, here, there):
    item = inboxes[0].create_item(subject="a")
    here.sync(there)
    records = servers[1].records
    number = next(number for number, _ in records.listed(inboxes[1].hierarchyid))
    item.subject = "b"
    here.sync(there)
    records.update([Revision(number, read=False, kinds=())])
    assert next(inboxes[1].items()).subject == "b"
