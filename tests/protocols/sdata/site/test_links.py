from __future__ import annotations

import uuid

from tallystick.protocols.sdata.codec.payloads import checked_uuid
from tallystick.protocols.sdata.site.links import rising_uuids


def test_made_uuids_rise_and_are_random_all_the_same() -> None:
    made = rising_uuids(1000)
    assert made == sorted(set(made))
    assert len({text[-12:] for text in made}) == len(made) == 1000
    for text in made:
        assert checked_uuid(text) == text
        read = uuid.UUID(text)
        assert (str(read), read.version, read.variant) == (text, 7, uuid.RFC_4122)
    assert rising_uuids(0) == []


# Deletions that arrive before what they delete, in tables whose own columns are the key


def test_a_deletion_that_came_first_leaves_the_key_to_the_version_that_wins(serving, one_pass, engine):
    maker, deleter = serving("maker"), serving("deleter")
    reader = serving("reader", engine=engine)
    maker.sql("INSERT INTO country VALUES ('NL', 'Netherlands')")
    one_pass(maker, deleter, "countries")
    deleter.sql("DELETE FROM country")
    one_pass(deleter, reader, "countries")
    maker.sql("UPDATE country SET name='Holland'")
    one_pass(maker, reader, "countries")
    assert reader.sql("SELECT code, name FROM country") == [("NL", "Holland")]
    one_pass(reader, deleter, "countries")
    assert deleter.sql("SELECT code, name FROM country") == [("NL", "Holland")]
    reader.sql("UPDATE country SET name='the Netherlands'")
    one_pass(reader, maker, "countries")
    assert maker.sql("SELECT code, name FROM country") == [("NL", "the Netherlands")]


def test_a_deletion_that_came_first_and_wins_is_no_row(serving, one_pass, engine):
    maker, deleter = serving("maker"), serving("deleter")
    reader = serving("reader", engine=engine)
    maker.sql("INSERT INTO country VALUES ('NL', 'Netherlands')")
    one_pass(maker, deleter, "countries")
    deleter.sql("DELETE FROM country")
    one_pass(deleter, reader, "countries")
    one_pass(maker, reader, "countries")
    assert reader.sql("SELECT code, name FROM country") == []
    reader.sql("INSERT INTO country VALUES ('NL', 'Netherlands again')")
    one_pass(reader, deleter, "countries")
    one_pass(reader, maker, "countries")
    for served in (deleter, maker):
        assert served.sql("SELECT code, name FROM country") == [("NL", "Netherlands again")]


def test_a_row_made_here_after_a_deletion_that_came_first_is_kept(serving, one_pass, engine):
    maker, deleter = serving("maker"), serving("deleter")
    reader = serving("reader", engine=engine)
    maker.sql("INSERT INTO country VALUES ('NL', 'Netherlands')")
    one_pass(maker, deleter, "countries")
    deleter.sql("DELETE FROM country")
    one_pass(deleter, reader, "countries")
    reader.sql("INSERT INTO country VALUES ('NL', 'made here')")
    one_pass(reader, maker, "countries")
    one_pass(maker, reader, "countries")
    assert maker.sql("SELECT * FROM country") == reader.sql("SELECT * FROM country")
    assert len(reader.sql("SELECT * FROM country")) == 1
