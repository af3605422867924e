"""The port on SQLite: transactions, seqs, several connections, and what cannot be opened."""

import sqlite3
import threading

import pytest

from tallystick.errors import StorageCorrupt, StorageError, StorageLocked
from tallystick.stores.changelog import Class, Detail, Kind
from tallystick.stores.port import SERVER, Draft, Parked, Revision, Subject, pages
from tallystick.stores.sqlite import SqliteRecords
from tallystick.stores.sqlite.connection import Database


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "site.db")


@pytest.fixture
def records(path):
    opened = SqliteRecords(path)
    yield opened
    opened.close()


@pytest.fixture
def folder(records):
    return records.insert([Draft(Class.FOLDER, SERVER, name="f")])[0]


def item(folder, **details):
    return Draft(Class.ITEM, folder.id, **details)


def entry(records, record):
    return records.named([record.entry])[record.entry]


def test_one_write_is_one_seq(records, folder):
    before = records.last()
    a, b = records.insert([item(folder, kinds=(Kind.NEW, Kind.CHANGE)), item(folder)])
    records.update([Revision(a.id, properties=b"x"), Revision(b.id, (Kind.FLAG,), read=True)])
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


def test_a_snapshot_sees_one_moment(path, records, folder):
    other = SqliteRecords(path)
    with records.snapshot():
        assert records.top(folder.id) == 0
        other.insert([item(folder)])
        assert records.top(folder.id) == 0
        with records.snapshot():
            assert records.listed(folder.id) == []
    assert records.top(folder.id) == 2
    other.close()


def test_records_are_found_by_number_and_key(records, folder):
    made = records.insert([item(folder, properties=b"p", delivered=7, read=True, associated=True)])[0]
    assert records.records([made.id, 999]) == {made.id: made}
    assert records.find(made.key) == made
    assert records.find(b"none") is None
    assert records.records([]) == {}
    (moved,) = records.move([made.id], records.insert([Draft(Class.FOLDER, SERVER)])[0].id, 0)
    assert records.find(made.key) is None
    assert records.find(moved.key) == moved


def test_children_come_by_number_by_name_and_page_by_page(records):
    top = records.insert([Draft(Class.FOLDER, SERVER)])[0].id
    made = records.insert([Draft(Class.FOLDER, top, name=name) for name in "abc"])
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
    records.update([Revision(999, properties=b"x")])
    records.remove([999], hard=True)
    assert records.move([999], folder.id, 0) == []
    assert records.last() == seq


def test_two_revisions_of_one_record_both_count(records, folder):
    made = records.insert([item(folder)])[0]
    records.update([Revision(made.id, (Kind.FLAG,), read=True), Revision(made.id, properties=b"x")])
    assert entry(records, made).detail == Detail.READ
    assert records.records([made.id])[made.id].read == 1


def test_the_top_is_that_of_items_folders_and_marks(records, folder):
    made = records.insert([item(folder)])[0]
    assert records.top(folder.id) == records.top(SERVER) == records.last()
    records.insert([Draft(Class.USER, SERVER, name="anna"), Draft(Class.STORE, SERVER)])
    assert records.top(SERVER) == records.last() - 2
    mark = records.mark(folder.id)
    assert records.top(folder.id) == records.top(SERVER) == mark
    assert records.mark(folder.id) == mark + 1
    assert len(records.entries(folder.id, 0)) == 2
    assert [one.record for one in records.entries(SERVER, 0, Class.ITEM)] == [made.id]
    assert [one.object for one in records.entries(SERVER, 0, Class.USER)] == [Class.USER]
    assert len(records.entries(SERVER, 0)) == 5


def test_an_item_put_back_under_its_key_keeps_its_history(records, folder):
    made = records.insert([item(folder)])[0]
    records.remove([made.id], hard=True)
    again = records.insert([item(folder, key=made.key)])[0]
    found = entry(records, again)
    assert found.hard == found.created - 1
    assert records.find(made.key) == again


def test_a_folder_back_under_its_old_parent_has_its_old_entry(records, folder):
    top = records.insert([Draft(Class.FOLDER, SERVER)])[0]
    records.move([folder.id], top.id, 0)
    (back,) = records.move([folder.id], SERVER, 0)
    assert back.entry == folder.entry
    assert entry(records, back).created == entry(records, folder).created
    assert {one.parent for one in records.folder_entries([folder.id])} == {SERVER, top.id}


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


def test_commits_of_others_change_the_version(path, records, folder):
    other = SqliteRecords(path)
    version, commits = records.version(), records.commits
    assert records.version() == version
    other.mark(folder.id)
    assert records.version() != version
    assert records.commits == commits
    version = records.version()
    records.mark(folder.id)
    assert records.version() != version
    other.close()


def test_waiting_ends_with_a_commit(path, records, folder):
    other = SqliteRecords(path)
    for writer in (records, other):
        version = records.version()
        thread = threading.Timer(0.05, writer.mark, [folder.id])
        thread.start()
        assert records.wait(version, 20) != version
        thread.join()
    version = records.version()
    assert records.wait(version, 0.01) == version
    other.close()


def test_several_processes_never_use_a_number_twice(path, records, folder):
    other = SqliteRecords(path)
    threads = [
        threading.Thread(target=lambda who=who: [who.insert([item(folder)]) for _ in range(25)])
        for who in (records, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = records.entries(folder.id, 0)
    assert len({one.created for one in entries}) == len({one.record for one in entries}) == 50
    other.close()


def test_threads_may_share_it(records, folder):
    threads = [threading.Thread(target=lambda: [records.insert([item(folder)]) for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records.listed(folder.id)) == 100


def test_a_locked_database_says_so_and_can_be_tried_again(path, records):
    impatient = Database(path, patience=0.01)
    with records.transaction():
        records.mark(SERVER)
        with pytest.raises(StorageLocked) as caught, impatient.transaction():
            pass
    assert caught.value.transient
    with impatient.transaction():
        impatient.write("UPDATE tally_sync SET done = 1")
    impatient.close()


# what cannot be opened ---------------------------------------------------------------------------------------------


def test_a_newer_format_is_refused(path, records):
    records.close()
    plain = sqlite3.connect(path)
    plain.execute("UPDATE tally_store_meta SET value = 99 WHERE name = 'format'")
    plain.commit()
    plain.close()
    with pytest.raises(StorageError, match="format 99"):
        SqliteRecords(path)


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "text").write_text("this is not a database, whatever its size may be" * 100)
    with pytest.raises(StorageCorrupt):
        SqliteRecords(str(tmp_path / "text"))
    with pytest.raises(StorageError):
        SqliteRecords(str(tmp_path))


def test_a_closed_one_says_so(records):
    records.close()
    records.close()
    with pytest.raises(StorageError, match="closed"):
        records.last()


def test_the_application_s_own_tables_stay_as_they_are(path):
    plain = sqlite3.connect(path)
    plain.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)")
    plain.execute("INSERT INTO customer VALUES (1, 'x')")
    plain.commit()
    SqliteRecords(path).close()
    tables = {row[0] for row in plain.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {name for name in tables if not name.startswith("tally_")} == {"customer"}
    assert plain.execute("SELECT * FROM customer").fetchall() == [(1, "x")]
    plain.close()


@pytest.mark.parametrize(
    ("sql", "index"),
    (
        ("SELECT latest FROM tally_change WHERE object <= 2 ORDER BY latest DESC LIMIT 1", "tally_change_latest"),
        ("SELECT latest FROM tally_change WHERE parent = 1 ORDER BY latest DESC LIMIT 1", "tally_change_parent"),
        ("SELECT id FROM tally_change WHERE object = 2 AND latest > 5 AND object = 2", "tally_change_folder"),
        ("SELECT id FROM tally_change WHERE object >= 3 AND latest > 5", "tally_change_other"),
        ("SELECT id FROM tally_change WHERE parent = 1 AND latest > 5", "tally_change_parent"),
        (
            "SELECT id FROM tally_record"
            " WHERE parent = 1 AND object = 1 AND soft = 0 AND associated = 0 ORDER BY id DESC",
            "tally_record_place",
        ),
    ),
)
def test_the_commonest_questions_cost_what_changed_not_what_exists(records, sql, index):
    plan = " ".join(row[3] for row in records.database.all(f"EXPLAIN QUERY PLAN {sql}"))
    assert index in plan
    assert "TEMP B-TREE" not in plan
