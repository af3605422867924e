"""A real IMAP server: incremental, with CONDSTORE, and what it may do to its mailboxes."""

import itertools
import shutil
import socket
import ssl
import time

import pytest

from tallystick.errors import PeerRefused, PeerUnreachable
from tallystick.stores.mail import import_mail, open_source
from tallystick.stores.mail.imap import ImapSource, parse_address, quoted
from tallystick.stores.times import to_micros

ENGINES = ("sqlite",)
"""What is tested here is above the database."""

USERS = (f"user{number}" for number in itertools.count())


@pytest.fixture
def user():
    return next(USERS)


@pytest.fixture
def client(dovecot, user):
    made = dovecot.client(user)
    yield made
    made.logout()


class Spy:
    """Counts what crosses the line."""

    def __init__(self, source):
        self.source = source
        self.fetches = []
        real = source.fetch

        def fetch(*arguments):
            self.fetches.append(arguments)
            return real(*arguments)

        source.fetch = fetch


@pytest.fixture
def take(dovecot, user, store):
    def run(condstore=True, **options):
        source = open_source(dovecot.address(user))
        source.condstore = source.condstore and condstore
        spy = Spy(source)
        try:
            report = import_mail(store, source, **options)
        finally:
            source.close()
        report.fetches = spy.fetches
        return report

    return run


def message(subject, size=0):
    return f"From: a@example.org\r\nSubject: {subject}\r\n\r\nbody of {subject}{'x' * size}\r\n".encode()


def append(client, subject, place="INBOX", flags="", when='"02-Jan-2024 10:00:00 +0000"', size=0):
    kind, data = client.append(place, f"({flags})" if flags else None, when, message(subject, size))
    assert kind == "OK", data


def store_flags(client, uid, change, flags, place="INBOX"):
    client.select(place)
    client.uid("STORE", str(uid), change, flags)
    client.close()


def subjects(folder):
    return sorted(item.subject for item in folder.items())


both = pytest.mark.parametrize("condstore", (True, False))


def test_messages_become_items(client, take, store):
    append(client, "one")
    append(client, "two", flags="\\Seen \\Flagged \\Answered")
    assert take().created == 2
    items = {item.subject: item for item in store.inbox.items()}
    assert (items["one"].read, items["two"].read) == (False, True)
    assert (items["two"].flagged, items["two"].replied, items["two"].draft) == (True, True, False)
    assert to_micros(items["one"].received) == 1704189600000000
    assert items["one"].eml() == message("one")


def test_folders_become_folders(client, take, store):
    append(client, "sent", "Sent")
    for name in ("Projects.2024", "&ZeVnLIqe-", '"with space"'):
        client.create(name)
    append(client, "deep", "Projects.2024")
    append(client, "spaced", '"with space"')
    assert take().folders == 5
    assert subjects(store.sentmail) == ["sent"]
    assert subjects(store.folder("Projects/2024")) == ["deep"]
    assert subjects(store.folder("with space")) == ["spaced"]
    assert store.folder("日本語").count == 0


@both
def test_a_second_import_takes_only_what_is_new(client, take, store, condstore):
    append(client, "one")
    take(condstore)
    seq = store.server.records.last()
    report = take(condstore)
    assert not report.changed
    assert store.server.records.last() == seq
    append(client, "two")
    report = take(condstore)
    assert (report.created, subjects(store.inbox)) == (1, ["one", "two"])


def test_with_condstore_nothing_new_costs_nothing(client, take):
    for number in range(20):
        append(client, f"m{number}")
    take()
    assert take().fetches == []
    append(client, "new")
    report = take()
    assert report.created == 1
    assert all(arguments[0] != "1:*" for arguments in report.fetches)


@both
def test_flags_turned_on_the_server_are_turned_in_the_store(client, take, store, condstore):
    append(client, "one")
    append(client, "two", flags="\\Seen")
    take(condstore)
    store_flags(client, 1, "+FLAGS", "(\\Seen \\Flagged)")
    store_flags(client, 2, "-FLAGS", "(\\Seen)")
    report = take(condstore)
    items = {item.subject: item for item in store.inbox.items()}
    assert (items["one"].read, items["one"].flagged, items["two"].read) == (True, True, False)
    assert (report.created, report.flags_taken) == (0, 2)


@both
def test_flags_turned_in_the_store_stay(client, take, store, condstore):
    append(client, "one")
    take(condstore)
    (item,) = store.inbox.items()
    item.read = True
    append(client, "two")
    take(condstore)
    assert item.read
    store_flags(client, 1, "+FLAGS", "(\\Flagged)")
    take(condstore)
    assert (item.read, item.flagged) == (True, True)


@both
def test_what_vanished_is_deleted_when_asked_for(client, take, store, condstore):
    for subject in ("one", "two", "three"):
        append(client, subject)
    take(condstore)
    store_flags(client, 2, "+FLAGS", "(\\Deleted)")
    assert take(condstore).deleted == 0
    append(client, "four")
    report = take(condstore, delete=True)
    if condstore:
        assert report.deleted == 0  # the import before has already seen that one is missing
    store_flags(client, 1, "+FLAGS", "(\\Deleted)")
    append(client, "five")
    report = take(condstore, delete=True)
    assert "one" not in subjects(store.inbox)
    assert {"three", "four", "five"} <= set(subjects(store.inbox))


def test_a_mailbox_that_got_new_numbers_is_known_again_by_content(client, take, store, dovecot, user):
    for subject in ("one", "two", "two"):
        append(client, subject)
    take()
    numbers = {item.docid for item in store.inbox.items()}
    raw = [message(subject) for subject in ("three", "two", "one")]
    time.sleep(1.1)  # the server takes the second in which a mailbox is made for its number
    shutil.rmtree(f"{dovecot.directory}/mail/{user}")
    again = dovecot.client(user)
    for one in raw:
        again.append("INBOX", None, '"02-Jan-2024 10:00:00 +0000"', one)
    again.logout()
    report = take()
    assert report.created == 1
    assert subjects(store.inbox) == ["one", "three", "two", "two"]
    assert numbers < {item.docid for item in store.inbox.items()}
    assert not take().changed


def test_large_messages_come_one_by_one(client, take, store, monkeypatch):
    from tallystick.stores.mail import imap

    monkeypatch.setattr(imap, "_BATCH_BYTES", 20_000)
    for number in range(3):
        append(client, f"m{number}", size=15_000)
    report = take()
    assert report.created == 3
    assert sum("BODY" in str(arguments) for arguments in report.fetches) == 3
    assert {len(item.eml()) for item in store.inbox.items()} == {len(message("m0", 15_000))}


def test_a_message_deleted_in_the_store_does_not_come_back(client, take, store):
    append(client, "one")
    take()
    next(store.inbox.items()).delete()
    append(client, "two")
    take()
    assert subjects(store.inbox) == ["two"]


def test_a_wrong_password_is_refused(dovecot, user):
    with pytest.raises(PeerRefused, match="password"):
        open_source(dovecot.address(user).replace("secret", "wrong"))


def test_a_server_that_is_not_there_is_unreachable():
    with pytest.raises(PeerUnreachable):
        open_source("imap://anna:secret@127.0.0.1:1")


def test_an_encrypted_connection_is_trusted_by_its_certificate(client, dovecot, user, store):
    append(client, "one")
    address = f"imaps://{user}:secret@localhost:{dovecot.secure_port}"
    with pytest.raises(PeerRefused, match="certificate"):
        open_source(address)
    context = ssl.create_default_context(cafile=f"{dovecot.directory}/certificate.pem")
    source = open_source(address, context=context)
    assert import_mail(store, source).created == 1
    source.close()


def test_a_password_never_crosses_the_network_in_the_clear(dovecot, user, monkeypatch):
    from tallystick.stores.mail import imap

    monkeypatch.setattr(imap, "_is_here", lambda host: False)
    with pytest.raises(PeerRefused, match="certificate"):  # it turns encryption on first, and then looks
        open_source(dovecot.address(user))


def test_the_password_is_not_part_of_the_name(dovecot, user):
    source = open_source(dovecot.address(user))
    assert source.name == f"imap://{user}@127.0.0.1:{dovecot.port}"
    source.close()


def test_addresses_are_read():
    assert parse_address("imaps://a%40x:p%2Fw@host") == (True, "host", 993, "a@x", "p/w")
    assert parse_address("imap://a@host:1143") == (False, "host", 1143, "a", None)
    assert quoted('a"b\\c') == '"a\\"b\\\\c"'


def test_a_cut_connection_is_unreachable_and_the_next_import_goes_on(client, dovecot, user, store):
    for number in range(3):
        append(client, f"m{number}")
    source = open_source(dovecot.address(user))
    assert isinstance(source, ImapSource)
    source._imap.sock.shutdown(socket.SHUT_RDWR)
    with pytest.raises(PeerUnreachable):
        import_mail(store, source)
    source.close()
    again = open_source(dovecot.address(user))
    assert import_mail(store, again).created == 3
    again.close()
