"""The port on a site: transactions, seqs, several connections, and what cannot be opened."""

import sqlite3
import threading

import pytest

import tallystick
from tallystick.errors import ConfigurationError, StorageError
from tallystick.stores import SiteRecords
from tallystick.stores.changelog import Class, Detail, Kind
from tallystick.stores.port import SERVER, Draft, Parked, Revision, Subject, pages
from tallystick.stores.properties import read_properties


@pytest.fixture
def another(site_url, records):
    """Another connection to the same site."""
    opened = SiteRecords(tallystick.open(site_url).ledger)
    yield opened
    opened.close()


@pytest.fixture
def store(records):
    return records.insert([Draft(Class.STORE, SERVER)])[0]


@pytest.fixture
def folder(records, store):
    return records.insert([directory(store, store.id, name="f")])[0]


def directory(store, parent, **details):
    return Draft(Class.FOLDER, parent, store.id, **details)


def item(folder, **details):
    return Draft(Class.ITEM, folder.id, folder.store, **details)


def entry(records, record):
    return records.named([record.entry])[record.entry]


def test_one_write_is_one_seq(records, folder):
    before = records.last()
    a, b = records.insert([item(folder, kinds=(Kind.NEW, Kind.CHANGE)), item(folder)])
    records.update([Revision(a.id, properties={"x": 1}), Revision(b.id, (Kind.FLAG,), read=True)])
    records.remove([a.id], hard=False)
    assert records.last() == before + 5
    assert entry(records, a)[6:11] == (before + 1, before + 3, 0, before + 5, 0)
    assert entry(records, b)[6:11] == (before + 2, 0, before + 4, 0, 0)
    assert entry(records, b).detail == Detail.READ


def test_a_block_that_raises_leaves_nothing(records, folder):
    seq, version = records.last(), records.version()

    def block():
        with records.transaction():
            records.insert([item(folder)])
            with records.transaction():
                records.mark(folder.id)
            raise RuntimeError("undo")

    with pytest.raises(RuntimeError):
        block()
    assert records.listed(folder.id) == []
    assert (records.last(), records.version()) == (seq, version)
    assert records.insert([item(folder)])[0].id == folder.id + 1


def test_a_snapshot_sees_one_moment(another, records, folder):
    top = records.top(folder.id)
    with records.snapshot():
        assert records.top(folder.id) == top
        another.insert([item(folder)])
        assert records.top(folder.id) == top
        with records.snapshot():
            assert records.listed(folder.id) == []
    assert records.top(folder.id) > top


def test_records_are_found_by_number_and_key(records, store, folder):
    made = records.insert([item(folder, properties={"p": "q"}, delivered=7, read=True, associated=True)])[0]
    assert records.records([made.id, 999]) == {made.id: made}
    assert read_properties(made.properties) == {"p": "q"}
    assert records.find(made.key) == made
    assert records.find(b"none") is None
    assert records.records([]) == {}
    (moved,) = records.move([made.id], records.insert([directory(store, store.id)])[0].id, store.id)
    assert records.find(made.key) is None
    assert records.find(moved.key) == moved


def test_children_come_by_number_by_name_and_page_by_page(records, store, folder):
    top = folder.id
    made = records.insert([directory(store, top, name=name) for name in "abc"])
    assert records.children(top, Class.FOLDER) == made
    assert records.children(top, Class.FOLDER, name="b") == [made[1]]
    assert records.children(top, Class.FOLDER, page=(made[0].id, 1)) == [made[1]]
    records.remove([made[0].id], hard=False)
    assert [record.id for record in records.children(top, Class.FOLDER, soft=True)] == [made[0].id]


def test_parts_are_kept_beside_the_record(records, folder):
    made = records.insert([item(folder, parts={"text": b"abc", "html": b""})])[0]
    assert records.parts(made.id) == {"text": 3, "html": 0}
    assert (records.part(made.id, "text"), records.part(made.id, "none")) == (b"abc", None)
    records.update([Revision(made.id, parts={"text": None, "html": b"x"})])
    assert records.parts(made.id) == {"html": 1}
    records.remove([made.id], hard=True)
    assert records.parts(made.id) == {}


def test_a_revision_of_what_is_gone_is_passed_over(records, folder):
    seq = records.last()
    records.update([Revision(999, properties={})])
    records.remove([999], hard=True)
    assert records.move([999], folder.id, folder.store) == []
    assert records.last() == seq


def test_two_revisions_of_one_record_both_count(records, folder):
    made = records.insert([item(folder)])[0]
    records.update([Revision(made.id, (Kind.FLAG,), read=True), Revision(made.id, properties={"x": 1})])
    assert entry(records, made).detail == Detail.READ
    assert records.records([made.id])[made.id].read == 1


def test_the_top_is_that_of_items_folders_and_marks(records, folder):
    made = records.insert([item(folder)])[0]
    assert records.top(folder.id) == records.top(SERVER) == records.last()
    company = records.insert([Draft(Class.COMPANY, SERVER, name="c")])[0]
    records.insert([Draft(Class.USER, company.id, name="anna")])
    assert records.top(SERVER) == records.last() - 2
    mark = records.mark(folder.id)
    assert records.top(folder.id) == records.top(SERVER) == mark
    assert records.mark(folder.id) == mark + 1
    assert len(records.entries(folder.id, 0)) == 2
    assert [one.record for one in records.entries(SERVER, 0, Class.ITEM)] == [made.id]
    assert [one.object for one in records.entries(SERVER, 0, Class.USER)] == [Class.USER]
    assert len(records.entries(SERVER, 0)) == 6


def test_an_item_put_back_under_its_key_keeps_its_history(records, folder):
    made = records.insert([item(folder)])[0]
    records.remove([made.id], hard=True)
    again = records.insert([item(folder, key=made.key)])[0]
    found = entry(records, again)
    assert found.hard == found.created - 1
    assert records.find(made.key) == again


def test_a_folder_back_under_its_old_parent_has_its_old_entry(records, store, folder):
    top = records.insert([directory(store, store.id)])[0]
    records.move([folder.id], top.id, store.id)
    (back,) = records.move([folder.id], store.id, store.id)
    assert back.entry == folder.entry
    assert entry(records, back).created == entry(records, folder).created
    assert {one.parent for one in records.folder_entries([folder.id])} == {store.id, top.id}


def test_items_are_counted(records, folder):
    records.insert([item(folder, read=True), item(folder), item(folder, associated=True)])
    assert records.count(folder.id) == (2, 1)
    assert records.count(folder.id, associated=True) == (1, 1)
    assert records.count(folder.id, soft=True) == (0, 0)
    assert len(records.listed(folder.id, associated=(0, 1))) == 3


def test_items_are_found_by_delivery(records, folder):
    made = records.insert([item(folder, delivered=when) for when in (1, 5, None)])
    assert [live.record for live in records.delivered_between(1, 5)] == [made[0].id]
    assert [live.record for live in records.delivered_between(None, None)] == [made[2].id]
    assert [live.record for live in records.live(folder.id)] == [made[2].id, made[1].id, made[0].id]


def test_registrations_are_kept_while_they_are_used(records, folder):
    sync = records.register(folder.id, Subject.CONTENTS)
    assert records.registration(sync) == (sync, folder.id, Subject.CONTENTS, 1, False)
    records.complete(sync, 9)
    assert records.registration(sync).done == 9
    commits = records.commits
    records.complete(sync, 9)
    assert records.commits == commits
    records.remember(sync, 0, 9, 0, b"set")
    assert records.registration(sync).restricted
    assert records.expire(2**40) == 1
    assert records.registration(sync) is None
    assert records.remembered(sync, 9, 0) is None


def test_the_newest_eleven_sets_are_remembered(records, folder):
    sync = records.register(folder.id, Subject.CONTENTS)
    for seq in range(1, 16):
        records.remember(sync, seq - 1, seq, 0, b"%d" % seq)
    kept = [seq for seq in range(1, 16) if records.remembered(sync, seq, 0)]
    assert kept == list(range(5, 16))
    records.remember(sync, 7, 16, 0, b"other branch")
    assert [seq for seq in range(1, 17) if records.remembered(sync, seq, 0)] == [5, 6, 7, 16]


def test_of_positions_the_last_two_are_remembered_beside_the_start(records, folder):
    sync = records.register(folder.id, Subject.CONTENTS)
    records.remember(sync, 4, 5, 0, b"start")
    for position in (40, 30, 20, 10):
        records.remember(sync, 5, 5, position, b"page")
    assert [position for position in (0, 10, 20, 30, 40) if records.remembered(sync, 5, position)] == [0, 10, 20]


def test_refused_changes_are_listed(records, folder):
    parked = Parked(1, folder.id, 7, b"k", Kind.CHANGE, "why", 99)
    records.park([parked])
    assert records.parked(folder.id) == [parked]
    assert records.parked(SERVER) == []


def test_pages_keep_the_order_and_leave_out_what_is_gone(records, folder):
    made = [record.id for record in records.insert([item(folder) for _ in range(5)])]
    records.remove([made[2]], hard=True)
    asked = [made[4], made[2], made[0], made[1]]
    assert [[record.id for record in page] for page in pages(records, asked, 3)] == [[made[4], made[0]], [made[1]]]


# several connections -----------------------------------------------------------------------------------------------


def test_commits_of_others_change_the_version(another, records, folder):
    version, commits = records.version(), records.commits
    assert records.version() == version
    another.mark(folder.id)
    assert records.version() != version
    assert records.commits == commits
    version = records.version()
    records.mark(folder.id)
    assert records.version() != version


def test_waiting_ends_with_a_commit(another, records, folder):
    for writer in (records, another):
        version = records.version()
        thread = threading.Timer(0.05, writer.mark, [folder.id])
        thread.start()
        assert records.wait(version, 20) != version
        thread.join()
    version = records.version()
    assert records.wait(version, 0.01) == version


def test_several_processes_never_use_a_number_twice(another, records, folder):
    threads = [
        threading.Thread(target=lambda who=who: [who.insert([item(folder)]) for _ in range(25)])
        for who in (records, another)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = records.entries(folder.id, 0)
    assert len({one.created for one in entries}) == len({one.record for one in entries}) == 50
    assert len({one.key for one in entries}) == 50


def test_threads_may_share_it(records, folder):
    threads = [threading.Thread(target=lambda: [records.insert([item(folder)]) for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records.listed(folder.id)) == 100


# the ledger --------------------------------------------------------------------------------------------------------


def ledger_rows(records, wire):
    ledger = records.session.ledger
    ledger.load()
    return [entry for entry, _ in ledger.resource(wire).rows.after(0, 1 << 62, 1000)]


def test_every_object_is_a_record_of_the_ledger(records, store, folder):
    made = records.insert([item(folder, parts={"text": b"abc"})])[0]
    entries = {entry.key: entry for entry in ledger_rows(records, f"stores.{store.key.hex()}.items")}
    assert entries.keys() == {folder.key.hex(), made.key.hex()}
    assert entries[made.key.hex()].seq == records.top(folder.id)
    assert [entry.key for entry in ledger_rows(records, "stores.directory")] == [store.key.hex()]


def test_a_flag_is_one_change_and_leaves_bulk_parts_alone(records, store, folder):
    made = records.insert([item(folder, parts={"text": b"abc"})])[0]
    bodies, seq = ledger_rows(records, f"stores.{store.key.hex()}.bodies"), records.last()
    records.update([Revision(made.id, (Kind.FLAG,), read=True)])
    assert ledger_rows(records, f"stores.{store.key.hex()}.bodies") == bodies
    assert records.last() == seq + 1


def test_a_move_leaves_bulk_parts_alone(records, store, folder):
    made = records.insert([item(folder, parts={"text": b"abc"})])[0]
    bodies = ledger_rows(records, f"stores.{store.key.hex()}.bodies")
    (moved,) = records.move([made.id], records.insert([directory(store, store.id)])[0].id, store.id)
    assert ledger_rows(records, f"stores.{store.key.hex()}.bodies") == bodies
    assert records.part(moved.id, "text") == b"abc"
    records.remove([moved.id], hard=True)
    assert all(not entry.hash for entry in ledger_rows(records, f"stores.{store.key.hex()}.bodies"))


def test_bulk_parts_go_along_to_another_store(records, folder):
    other = records.insert([Draft(Class.STORE, SERVER)])[0]
    target = records.insert([directory(other, other.id)])[0]
    made = records.insert([item(folder, parts={"text": b"abc", "html": b""})])[0]
    (moved,) = records.move([made.id], target.id, other.id)
    assert (records.part(moved.id, "text"), records.part(moved.id, "html")) == (b"abc", b"")
    records.rehome([moved.id], folder.store)
    assert records.part(moved.id, "text") == b"abc"


def test_large_parts_are_kept_in_pieces(records, store, folder):
    data = bytes(range(256)) * 3000
    made = records.insert([item(folder, parts={"source": data})])[0]
    assert records.part(made.id, "source") == data
    assert len(ledger_rows(records, f"stores.{store.key.hex()}.bodies")) == 3
    records.update([Revision(made.id, parts={"source": data[:1000]})])
    assert records.part(made.id, "source") == data[:1000]
    assert sum(bool(entry.hash) for entry in ledger_rows(records, f"stores.{store.key.hex()}.bodies")) == 1


# what cannot be opened ---------------------------------------------------------------------------------------------


def test_a_newer_format_is_refused(site_url, records):
    with records.session.ledger.write():
        records.session.ledger.put_meta("format.stores", "99")
    with tallystick.open(site_url) as site, pytest.raises(ConfigurationError, match="format 99"):
        SiteRecords(site.ledger)


def test_a_closed_one_says_so(records):
    records.close()
    records.close()
    with pytest.raises(StorageError, match="closed"):
        records.last()


def test_the_application_s_own_tables_stay_as_they_are(tmp_path):
    path = str(tmp_path / "application.db")
    plain = sqlite3.connect(path)
    plain.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)")
    plain.execute("INSERT INTO customer VALUES (1, 'x')")
    plain.commit()
    with tallystick.open(path) as site:
        SiteRecords(site.ledger).insert([Draft(Class.STORE, SERVER)])
        site.untrack()
    assert plain.execute("SELECT name FROM sqlite_master").fetchall() == [("customer",)]
    assert plain.execute("SELECT * FROM customer").fetchall() == [(1, "x")]
    plain.close()


@pytest.mark.parametrize(
    ("sql", "index"),
    (
        ("SELECT latest FROM tally_stores_change WHERE object <= 2 ORDER BY latest DESC LIMIT 1", "change_latest"),
        ("SELECT latest FROM tally_stores_change WHERE parent = 1 ORDER BY latest DESC LIMIT 1", "change_parent"),
        ("SELECT id FROM tally_stores_change WHERE object = 2 AND latest > 5 AND object = 2", "change_folder"),
        ("SELECT id FROM tally_stores_change WHERE object >= 3 AND latest > 5", "change_other"),
        ("SELECT id FROM tally_stores_change WHERE parent = 1 AND latest > 5", "change_parent"),
        (
            "SELECT id FROM tally_stores_object"
            " WHERE parent = 1 AND object = 1 AND soft = 0 AND associated = 0 ORDER BY id DESC",
            "object_place",
        ),
    ),
)
def test_the_commonest_questions_cost_what_changed_not_what_exists(tmp_path, sql, index):
    with tallystick.open(tmp_path / "site.db", create=True) as site:
        SiteRecords(site.ledger)
        plan = " ".join(row[3] for row in site.ledger.engine.query(f"EXPLAIN QUERY PLAN {sql}"))
    assert index in plan
    assert "TEMP B-TREE" not in plan
