"""``tallystick import-mail`` as a shell would call it."""

import mailbox

import pytest

import tallystick

MAIL = "From: Anna <anna@example.org>\nTo: bert@example.org\nSubject: {}\nMessage-ID: <{}@example.org>\n\nText {}\n"


@pytest.fixture
def maildir(tmp_path):
    made = mailbox.Maildir(str(tmp_path / "Maildir"), create=True)
    for number in range(3):
        made.add(MAIL.format(f"mail {number}", number, number))
    yield made
    made.close()


def test_mail_is_taken_once_and_flags_go_both_ways(run, maildir):
    first = run("import-mail", "mail.db", "anna", "maildir:Maildir", "--create", "--json")
    assert (first.code, first.json["created"]) == (0, 3)
    with tallystick.open("mail.db") as site:
        items = {item.subject: item for item in site.server().user("anna").inbox.items()}
        assert items["mail 1"].text == "Text 1\n"
        items["mail 1"].read = True
    second = run("import-mail", "mail.db", "anna", "maildir:Maildir", "--json")
    assert (second.json["created"], second.json["flags_given"]) == (0, 1)
    maildir.add(MAIL.format("mail 3", 3, 3))
    third = run("import-mail", "mail.db", "anna", "maildir:Maildir")
    assert third.out.startswith("1 messages taken from 1 folders")


def test_what_is_taken_is_synchronized_like_any_other_resource(run, maildir):
    run("import-mail", "mail.db", "anna", "maildir:Maildir", "--create")
    assert run("sync", "mail.db", "copy.db").code == 0
    assert run("verify", "mail.db", "copy.db").code == 0
    with tallystick.open("copy.db") as site:
        assert sorted(item.text for item in site.server().user("anna").inbox.items()) == [
            f"Text {number}\n" for number in range(3)
        ]
    shown = {line["resource"] for line in run("status", "copy.db", "--json").json["resources"]}
    assert "stores.directory" in shown
    changes = run("changes", "copy.db", "stores.directory", "--json")
    assert changes.code == 0
    assert '"anna"' in changes.out


def test_a_store_that_is_not_there_is_made_only_when_asked(run, maildir):
    assert run("import-mail", "mail.db", "anna", "maildir:Maildir").code == 2
    with tallystick.open("mail.db", create=True):
        pass
    refused = run("import-mail", "mail.db", "anna", "maildir:Maildir")
    assert refused.code != 0
    assert "anna" in refused.err
    public = run("import-mail", "mail.db", "public", "maildir:Maildir")
    assert (public.code, "--create" in public.err) == (2, True)
    assert run("import-mail", "mail.db", "public", "maildir:Maildir", "--create").code == 0


@pytest.mark.parametrize("source", ("nonsense", "maildir:", "pop3://anna@host"))
def test_what_is_no_source_is_refused_with_the_way_on(run, source):
    refused = run("import-mail", "mail.db", "anna", source, "--create")
    assert refused.code == 2
    assert "maildir:PATH" in refused.err


def test_help_names_the_kinds_of_sources(run):
    assert "imap(s)://" in run("import-mail", "--help").out
