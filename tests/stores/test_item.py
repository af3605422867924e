"""Items: properties, bodies, attachments, and the mail they come from."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallystick
from tallystick.stores import Address, ArgumentError, NotFoundError
from tallystick.stores.message import (
    Opened,
    addresses,
    arrival_of,
    compose,
    decoded,
    moment_in,
    properties_of,
    with_subject,
)
from tallystick.stores.properties import Structure, content_of
from tallystick.stores.times import to_local, to_micros

ENGINES = ("sqlite",)
"""What is tested here is above the database."""

MAIL = b"""\
Received: from a by b; Tue, 02 Jan 2024 10:00:05 +0000
From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>
To: Anna <anna@example.org>, bert@example.org
Cc: carl@example.org
Subject: =?utf-8?b?R3LDvMOfZQ==?=
 again
Date: Tue, 02 Jan 2024 10:00:00 +0000
Message-ID: <1@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=c

--c
Content-Type: text/plain; charset=latin-1
Content-Transfer-Encoding: 8bit

gr\xfc\xdfe
--c
Content-Type: text/html; charset=utf-8

<p>hello</p>
--c--
--b
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename="a.pdf"
Content-Transfer-Encoding: base64

AAEC
--b
Content-Type: message/rfc822

Subject: inside

text
--b--
"""


def test_what_is_set_is_there_and_is_one_write_each(server, folder):
    item = folder.create_item()
    before = server.records.last()
    item.subject = "s"
    item.categories = ["a", "b"]
    item.start = datetime(2024, 1, 1, 12)
    item.to = "Anna <anna@example.org>; bert@example.org"
    item.from_ = "carl@example.org"
    item.text = "text"
    item.html = "<p>text</p>"
    item.received = datetime(2024, 1, 2)
    pieces_of_text_and_html = 2
    assert server.records.last() == before + 8 + pieces_of_text_and_html
    again = folder.item(item.entryid)
    assert (again.subject, again.categories, again.start) == ("s", ["a", "b"], datetime(2024, 1, 1, 12))
    assert again.to == [Address("Anna", "anna@example.org"), Address("", "bert@example.org")]
    assert again.recipients() == again.to
    assert (again.from_, again.sender) == (Address("", "carl@example.org"), Address("", "carl@example.org"))
    assert (again.text, again.html, again.received) == ("text", b"<p>text</p>", datetime(2024, 1, 2))


def test_several_attributes_can_be_one_write(server, folder):
    item = folder.create_item(subject="s", text="t", read=False)
    before = server.records.last()
    item.change(subject="s2", read=True, importance="high")
    assert server.records.last() == before + 1
    item.change(subject="s2", text="t2")
    piece_of_text = 1
    assert server.records.last() == before + 2 + piece_of_text
    assert (item.subject, item.text, item.read, item.importance) == ("s2", "t2", True, "high")


def test_names_that_items_do_not_have_are_refused(folder):
    for name in ("colour", "folder", "_write"):
        with pytest.raises(ArgumentError, match=name):
            folder.create_item(**{name: 1})
    assert folder.count == 0


def test_an_object_shows_what_another_wrote(folder):
    item = folder.create_item(subject="one")
    folder.item(item.entryid).subject = "two"
    assert item.subject == "two"
    folder.delete(item)
    with pytest.raises(NotFoundError):
        item.subject  # noqa: B018


def test_an_item_moved_or_copied_is_the_same_thing_elsewhere(store, folder):
    item = folder.create_item(subject="s", text="t")
    number, searchkey = item.docid, item.searchkey
    copy = item.copy(store.inbox)
    moved = item.move(store.inbox)
    assert (moved.docid, moved.searchkey, moved.text, moved.folder) == (number, searchkey, "t", store.inbox)
    assert (copy.searchkey, copy.text) == (searchkey, "t")
    assert copy.docid != number


@pytest.mark.parametrize("act", ("move", "copy"))
def test_an_item_that_somebody_else_deleted_cannot_be_moved_or_copied(site_url, store, folder, act):
    item = folder.create_item(subject="s")
    assert item.subject == "s"
    with tallystick.open(site_url) as site:
        elsewhere = site.server().user("anna").store.folder("f")
        elsewhere.delete(elsewhere.items())
    with pytest.raises(NotFoundError, match="deleted or moved away"):
        getattr(item, act)(store.inbox)


def test_times_are_kept_to_the_microsecond_and_shown_locally(folder):
    item = folder.create_item(received=datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC))
    assert to_micros(item.received) == 1714564800123456
    assert item.created is not None
    assert item.last_modified >= item.created


# mail --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mail(folder):
    return folder.create_item(eml=MAIL)


def test_a_mail_is_read_on_arrival_and_kept_as_it_is(mail):
    assert mail.subject == "Grüße again"
    assert mail.from_ == Address("Jürgen", "j@example.org")
    assert [person.email for person in mail.recipients()] == [
        "anna@example.org",
        "bert@example.org",
        "carl@example.org",
    ]
    assert to_micros(mail.sent) == 1704189600000000
    assert mail.message_id == "<1@example.org>"
    assert mail.text == "grüße"
    assert mail.html == b"<p>hello</p>"
    assert mail.eml() == MAIL
    assert mail.header("message-id") == "<1@example.org>"
    assert mail.headers()["Subject"] == "Grüße again"
    assert mail.size > len(MAIL)


def test_its_attachments_are_there(mail):
    pdf, inside = mail.attachments()
    assert (pdf.name, pdf.mimetype, pdf.data, len(pdf)) == ("a.pdf", "application/pdf", b"\0\1\2", 3)
    assert (inside.name, inside.embedded) == ("message.eml", True)
    assert b"Subject: inside" in inside.data


def test_another_subject_changes_nothing_else(mail):
    mail.subject = "Neu"
    raw = mail.eml()
    assert b"Subject: Neu" in raw
    assert b"R3L" not in raw
    assert raw.partition(b"\n\n")[2] == MAIL.partition(b"\n\n")[2]


def test_attachments_can_be_added_and_taken_away(folder, mail, tmp_path):
    file = tmp_path / "note.txt"
    file.write_bytes(b"from a file")
    added = mail.create_attachment("b.bin", b"data")
    mail.create_attachment(filename=str(file))
    assert [(one.name, one.data) for one in mail.attachments()][2:] == [
        ("b.bin", b"data"),
        ("note.txt", b"from a file"),
    ]
    mail.delete(added)
    first, *_ = mail.attachments()
    mail.delete([first])
    assert [one.name for one in mail.attachments()] == ["message.eml", "note.txt"]
    composed = message_from_bytes(mail.eml(), policy=policy.default)
    assert composed["Subject"] == "Grüße again"
    assert [part.get_filename() for part in composed.iter_attachments()] == ["message.eml", "note.txt"]
    with pytest.raises(ArgumentError):
        mail.create_attachment("nothing")


def test_an_item_made_by_hand_becomes_a_mail(folder):
    item = folder.create_item(subject="Grüße\nBcc: x", text="hällo", html="<p>hällo</p>", to="a@example.org")
    item.from_ = Address("Jürgen", "j@example.org")
    item.create_attachment("a.png", b"\x89PNG")
    found = message_from_bytes(item.eml(), policy=policy.default)
    assert found["Subject"] == "Grüße Bcc: x"
    assert found["Bcc"] is None
    assert found.get_body(("plain",)).get_content().strip() == "hällo"
    assert [part.get_content_type() for part in found.iter_attachments()] == ["image/png"]
    assert properties_of(item.eml())["from"] == [["Jürgen", "j@example.org"]]


@given(st.binary(max_size=400))
def test_no_bytes_keep_a_mail_from_being_read(source):
    properties = properties_of(source)
    content_of(Structure("item"), properties)
    opened = Opened(source)
    opened.text(), opened.html(), opened.attachments(), opened.headers()
    arrival_of(source)


@given(
    st.lists(
        st.sampled_from(
            [
                b"Subject: =?x?q?=FF?=",
                b"From: <>,,; @",
                b"Date: nonsense",
                b"To: =?utf-8?b?/w==?= <a@b>",
                b"Content-Type: multipart/mixed",
                b"Content-Type: text/html; charset=nonsense",
                b"Content-Transfer-Encoding: base64",
                b"Content-Disposition: attachment; filename*=utf-8''%FF",
            ]
        )
    ),
    st.binary(max_size=60),
)
def test_no_mail_is_too_broken(headers, body):
    source = b"\r\n".join([*headers, b"", body])
    properties = properties_of(source)
    opened = Opened(source)
    compose(properties, opened.text(), opened.html(), opened.attachments())
    assert properties_of(with_subject(source, "new"))["subject"] == "new"


@pytest.mark.parametrize(
    ("text", "found"),
    (
        ("a@x", [Address("", "a@x")]),
        ("A <a@x>; b@y", [Address("A", "a@x"), Address("", "b@y")]),
        (["a@x", Address("B", "b@y")], [Address("", "a@x"), Address("B", "b@y")]),
        (None, []),
        ("", []),
    ),
)
def test_people_are_read_from_text(text, found):
    assert addresses(text) == found


def test_people_are_shown_as_text():
    assert str(Address("A", "a@x")) == "A <a@x>"
    assert str(Address("", "a@x")) == "a@x"


@pytest.mark.parametrize("header", (None, "", "nonsense", "Tue, 99 Foo 2024"))
def test_what_is_no_date_is_none(header):
    assert moment_in(header) is None


def test_a_mail_arrives_when_it_was_received_else_when_it_was_sent():
    assert arrival_of(MAIL) == 1704189605000000
    assert arrival_of(MAIL.partition(b"\n")[2]) == 1704189600000000
    assert arrival_of(b"Subject: x\n\n") is None


def test_headers_that_cannot_be_decoded_stay_as_they_are():
    assert decoded("=?nonsense?q?x?=") == "=?nonsense?q?x?="


# properties --------------------------------------------------------------------------------------------------------


@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_moments_survive(moment):
    local = to_local(to_micros(moment))
    assert local is not None
    assert to_micros(local.replace(tzinfo=None).astimezone()) is not None
    assert to_micros(moment) == round(moment.timestamp() * 1e6)
    assert to_micros(None) is to_local(None) is None
