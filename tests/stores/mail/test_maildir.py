"""Maildirs: incremental, flags both ways, moves between folders."""

import mailbox
import os
import shutil

import pytest

from tallystick.errors import StorageError
from tallystick.stores.mail import import_mail
from tallystick.stores.mail.maildir import MaildirSource
from tallystick.stores.mail.source import decode_name, purpose_of
from tallystick.stores.times import to_micros


def message(subject, body="text"):
    return (
        f"Received: by x; Tue, 02 Jan 2024 10:00:00 +0000\nFrom: a@example.org\nSubject: {subject}\n"
        f"Message-ID: <{subject}@example.org>\n\n{body}\n"
    ).encode()


@pytest.fixture
def box(tmp_path):
    made = mailbox.Maildir(str(tmp_path / "Maildir"), create=True)
    yield made
    made.close()


def take(store, box, **options):
    return import_mail(store, MaildirSource(box._path), **options)


def add(box, subject, flags="", place="new"):
    made = mailbox.MaildirMessage(message(subject))
    made.set_subdir(place)
    made.set_flags(flags)
    return box.add(made)


def flags_of(box):
    """Flags by subject, as another program sees them."""
    box._refresh()
    return {found["Subject"]: found.get_flags() for found in box}


def test_messages_become_items_with_their_flags_and_times(store, box):
    add(box, "new")
    add(box, "seen", "FRS", "cur")
    report = take(store, box)
    assert (report.folders, report.created, report.changed) == (1, 2, True)
    items = {item.subject: item for item in store.inbox.items()}
    assert (items["new"].read, items["seen"].read) == (False, True)
    assert (items["seen"].flagged, items["seen"].replied, items["new"].flagged) == (True, True, False)
    assert to_micros(items["new"].received) == 1704189600000000
    assert items["new"].eml() == message("new")
    assert items["new"].text.strip() == "text"


def test_a_second_import_does_nothing_and_a_third_takes_what_is_new(store, box):
    add(box, "one")
    take(store, box)
    seq = store.server.records.last()
    report = take(store, box)
    assert not report.changed
    assert store.server.records.last() == seq
    add(box, "two")
    assert take(store, box).created == 1
    assert store.inbox.count == 2


def test_subfolders_become_folders_and_well_known_ones_the_stores_own(store, box):
    for name in ("Sent", "Work.2024", "Entw&APw-rfe"):
        folder = box.add_folder(name)
        add(folder, name)
        folder.close()
    assert take(store, box).folders == 4
    assert [item.subject for item in store.sentmail.items()] == ["Sent"]
    assert store.folder("Work/2024").count == 1
    assert store.folder("Entwürfe").count == 1


def test_nested_directories_are_folders_too(store, tmp_path):
    (tmp_path / "M").mkdir()
    for path in ("top", "top/inner"):
        mailbox.Maildir(str(tmp_path / "M" / path), create=True).close()
    nested = mailbox.Maildir(str(tmp_path / "M" / "top" / "inner"))
    add(nested, "deep")
    nested.close()
    import_mail(store, MaildirSource(str(tmp_path / "M")))
    assert store.folder("top/inner").count == 1


def test_flags_turned_in_the_maildir_are_turned_in_the_store(store, box):
    key = add(box, "one")
    take(store, box)
    found = box[key]
    found.set_subdir("cur")
    found.set_flags("FS")
    box[key] = found
    report = take(store, box)
    (item,) = store.inbox.items()
    assert (item.read, item.flagged, report.flags_taken, report.flags_given) == (True, True, 1, 0)


def test_flags_turned_in_the_store_are_turned_in_the_maildir(store, box):
    add(box, "one")
    add(box, "two", "PS", "cur")
    take(store, box)
    items = {item.subject: item for item in store.inbox.items()}
    items["one"].read = True
    items["one"].flagged = True
    items["two"].read = False
    report = take(store, box)
    assert (report.flags_taken, report.flags_given) == (0, 2)
    assert flags_of(box) == {"one": "FS", "two": "P"}
    assert not take(store, box).changed


def test_flags_turned_on_both_sides_are_all_kept(store, box):
    key = add(box, "one", "S", "cur")
    take(store, box)
    (item,) = store.inbox.items()
    item.flagged = True
    found = box[key]
    found.set_flags("RS")
    box[key] = found
    take(store, box)
    assert flags_of(box) == {"one": "FRS"}
    assert (item.flagged, item.replied, item.read) == (True, True, True)


def test_a_message_moved_to_another_folder_moves_with_its_item(store, box):
    key = add(box, "one", "S", "cur")
    archive = box.add_folder("Archive")
    take(store, box)
    (item,) = store.inbox.items()
    number = item.docid
    name = next(name for name in os.listdir(f"{box._path}/cur") if name.startswith(key))
    os.rename(f"{box._path}/cur/{name}", f"{archive._path}/cur/{name}")
    archive.close()
    report = take(store, box)
    assert (report.moved, report.created) == (1, 0)
    (moved,) = store.folder("Archive").items()
    assert moved.docid == number
    assert not take(store, box).changed


def test_a_message_copied_to_another_folder_is_taken_again(store, box):
    key = add(box, "one", "S", "cur")
    archive = box.add_folder("Archive")
    take(store, box)
    name = next(name for name in os.listdir(f"{box._path}/cur") if name.startswith(key))
    os.link(f"{box._path}/cur/{name}", f"{archive._path}/cur/{name}")
    archive.close()
    assert take(store, box).created == 1
    assert store.folder("Archive").count == store.inbox.count == 1
    assert not take(store, box).changed


def test_what_vanished_stays_unless_deletion_is_asked_for(store, box):
    one, _ = add(box, "one"), add(box, "two")
    take(store, box)
    box.remove(one)
    assert not take(store, box).changed
    assert store.inbox.count == 2
    report = take(store, box, delete=True)
    assert report.deleted == 1
    assert [item.subject for item in store.inbox.items()] == ["two"]
    assert [item.subject for item in store.inbox.deleted.items()] == ["one"]
    assert not take(store, box, delete=True).changed


def test_a_folder_that_vanished_counts_as_all_that_was_in_it(store, box):
    archive = box.add_folder("Archive")
    add(archive, "one")
    archive.close()
    take(store, box)
    shutil.rmtree(archive._path)
    assert take(store, box, delete=True).deleted == 1


def test_what_was_deleted_or_moved_in_the_store_does_not_come_back(store, box):
    add(box, "one")
    add(box, "two")
    take(store, box)
    items = {item.subject: item for item in store.inbox.items()}
    items["one"].delete()
    items["two"].move(store.junk)
    assert not take(store, box).changed
    assert (store.inbox.count, store.junk.count) == (0, 1)


def test_an_import_that_was_interrupted_goes_on(store, box):
    for number in range(250):
        add(box, f"m{number}")

    class Interrupted(Exception):
        pass

    def stop(place, report):
        if report.created >= 200:
            raise Interrupted

    with pytest.raises(Interrupted):
        take(store, box, progress=stop)
    assert store.inbox.count == 200
    assert take(store, box).created == 50
    assert len({item.subject for item in store.inbox.items()}) == 250


def test_a_message_that_cannot_be_kept_is_listed_and_delays_nobody(store, box, monkeypatch):
    from tallystick.errors import ValueRejected
    from tallystick.stores.records import writing

    add(box, "good")
    bad = add(box, "bad")
    add(box, "fine")
    real = writing.content_of

    def refusing(structure, properties):
        if properties.get("subject") == "bad":
            raise ValueRejected("this cannot be kept")
        return real(structure, properties)

    monkeypatch.setattr(writing, "content_of", refusing)
    report = take(store, box)
    assert report.created == 2
    ((place, uid, why),) = report.refused
    assert (place, uid) == (".", bad)
    assert "cannot be kept" in why
    assert not take(store, box).changed


def test_two_stores_may_take_the_same_maildir(server, store, box):
    add(box, "one")
    other = server.create_user("bert").store
    assert take(store, box).created == take(other, box).created == 1


def test_what_is_no_maildir_is_refused(tmp_path):
    with pytest.raises(StorageError, match="no maildir"):
        MaildirSource(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "text"),
    (
        ("plain", "plain"),
        ("&-", "&"),
        ("Entw&APw-rfe", "Entwürfe"),
        ("a&-b&ZeVnLIqe-", "a&b日本語"),
        ("&broken", "&broken"),
    ),
)
def test_folder_names_are_decoded(name, text):
    assert decode_name(name) == text


@pytest.mark.parametrize(
    ("path", "purpose"), ((("Sent",), "sentmail"), (("TRASH",), "wastebasket"), (("a", "Sent"), ""), (("x",), ""))
)
def test_well_known_folders_are_known_by_name(path, purpose):
    assert purpose_of(path) == purpose
