"""Mbox files: read only, incremental."""

import mailbox
import os
from pathlib import Path

import pytest

from tallystick.errors import StorageError, UsageError
from tallystick.stores.mail import import_mail, open_source
from tallystick.stores.mail.mbox import MboxSource, without_status
from tallystick.stores.times import to_micros

ENGINES = ("sqlite",)
"""What is tested here is above the database."""


def message(subject, status=""):
    return f"{status}Subject: {subject}\nMessage-ID: <{subject}@x>\n\nbody of {subject}\n".encode()


def append(path, *messages):
    with open(path, "ab") as file:
        for one in messages:
            file.write(b"From a@example.org Tue Jan  2 10:00:00 2024\n" + one + b"\n")


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "mbox")


def take(store, path, **options):
    return import_mail(store, MboxSource(path), **options)


def test_messages_become_items(store, path):
    append(path, message("one"), message("two", "Status: RO\nX-Status: AF\n"))
    assert take(store, path).created == 2
    items = {item.subject: item for item in store.inbox.items()}
    assert (items["one"].read, items["two"].read) == (False, True)
    assert (items["two"].replied, items["two"].flagged) == (True, True)
    assert to_micros(items["one"].received) == 1704189600000000
    assert items["two"].text.strip() == "body of two"
    assert b"Status" not in items["two"].eml()


def test_only_what_is_new_is_taken(store, path):
    append(path, message("one"))
    take(store, path)
    assert not take(store, path).changed
    append(path, message("two"))
    assert take(store, path).created == 1
    assert store.inbox.count == 2


def test_equal_messages_are_several(store, path):
    append(path, message("one"), message("one"))
    assert take(store, path).created == 2
    append(path, message("one"))
    assert take(store, path).created == 1


def test_flags_that_another_program_sets_are_taken(store, path):
    append(path, message("one"))
    take(store, path)
    os.remove(path)
    append(path, message("one", "Status: RO\n"))
    report = take(store, path)
    assert (report.created, report.flags_taken) == (0, 1)
    (item,) = store.inbox.items()
    assert item.read
    item.read = False
    append(path, message("two"))
    take(store, path)
    assert not item.read


def test_what_vanished_is_deleted_when_asked_for(store, path):
    append(path, message("one"), message("two"))
    take(store, path)
    os.remove(path)
    append(path, message("two"))
    assert take(store, path, delete=True).deleted == 1


def test_a_directory_of_files_is_several_folders(store, tmp_path):
    append(tmp_path / "Sent", message("sent"))
    append(tmp_path / "Lists.mbox", message("list"))
    assert take(store, str(tmp_path)).folders == 2
    assert store.sentmail.count == 1
    assert store.folder("Lists").count == 1


def test_the_file_stays_as_it_is(store, path):
    append(path, message("one"))
    before = Path(path).read_bytes()
    take(store, path)
    assert Path(path).read_bytes() == before
    assert os.listdir(os.path.dirname(path)) == ["mbox"]


def test_what_other_programs_write_is_read(store, path):
    made = mailbox.mbox(path)
    made.add(mailbox.mboxMessage(b"Subject: quoted\n\nFrom here on\n"))
    made.close()
    take(store, path)
    (item,) = store.inbox.items()
    assert "From here on" in item.text


def test_flags_are_no_part_of_a_message():
    assert without_status(b"Status: RO\nSubject: x\nX-Status: A\n\nStatus: kept\n") == b"Subject: x\n\nStatus: kept\n"
    assert without_status(b"Subject: x\nStatus: RO\n\n\nbody") == b"Subject: x\n\n\nbody"


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StorageError, match="no file"):
        MboxSource(str(tmp_path / "none"))


@pytest.mark.parametrize(
    "address", ("pop3://x", "maildir:", "nonsense", "imap://host", "imaps://user@host:port", "imap://")
)
def test_other_addresses_are_refused(address):
    with pytest.raises(UsageError):
        open_source(address)


def test_a_password_is_asked_for_where_the_address_has_none():
    with pytest.raises(UsageError, match="password"):
        open_source("imaps://anna@example.org")
    asked = []

    def ask(user):
        asked.append(user)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_source("imaps://anna%40x@example.org", ask)
    assert asked == ["anna@x"]
