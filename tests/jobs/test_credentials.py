import base64
import os

import pytest

from tallystick.errors import ConfigurationError, ValueRejected
from tallystick.jobs.credentials import FILE_VARIABLE, KEY_VARIABLE, Credentials, key_file, read_key
from tallystick.site.engines.postgresql import PostgreSQLEngine
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.ledger import Ledger

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def ledger(tmp_path):
    engine = SQLiteEngine(str(tmp_path / "site.db"), create=True)
    yield Ledger.create(engine)
    engine.close()


@pytest.fixture
def in_file(tmp_path):
    return {FILE_VARIABLE: str(tmp_path / "private" / "key")}


def test_a_secret_comes_back_as_it_was_saved(ledger, in_file):
    Credentials(ledger, in_file).save("https://relief.example.org/eden", "pässword:1")
    assert Credentials(ledger, in_file).find("https://relief.example.org/eden") == "pässword:1"


def test_secrets_are_kept_in_postgresql_too(postgresql_database, in_file):
    engine = PostgreSQLEngine(postgresql_database)
    credentials = Credentials(Ledger.create(engine), in_file)
    credentials.save("peer", "one")
    credentials.save("peer", "two")
    assert credentials.find("peer") == "two"
    engine.close()


def test_the_database_does_not_hold_the_secret(ledger, in_file):
    Credentials(ledger, in_file).save("peer", "very secret indeed")
    (row,) = ledger.engine.query("SELECT sealed FROM tally_credential")
    assert b"secret" not in bytes(row[0])


def test_the_same_secret_is_sealed_differently_every_time(ledger, in_file):
    credentials = Credentials(ledger, in_file)
    credentials.save("a", "same")
    credentials.save("b", "same")
    first, second = ledger.engine.query("SELECT sealed FROM tally_credential")
    assert bytes(first[0]) != bytes(second[0])


def test_a_newer_secret_takes_the_place_of_the_older(ledger, in_file):
    credentials = Credentials(ledger, in_file)
    credentials.save("peer", "one")
    credentials.save("peer", "two")
    assert credentials.find("peer") == "two"
    assert credentials.names() == ["peer"]


def test_none_forgets_a_secret(ledger, in_file):
    credentials = Credentials(ledger, in_file)
    credentials.save("peer", "one")
    credentials.save("peer", None)
    assert credentials.find("peer") is None
    assert credentials.names() == []


def test_the_key_file_is_for_its_owner_only(ledger, in_file):
    Credentials(ledger, in_file).save("peer", "one")
    assert os.stat(in_file[FILE_VARIABLE]).st_mode & 0o777 == 0o600


def test_a_key_file_that_others_may_read_is_refused(ledger, in_file):
    credentials = Credentials(ledger, in_file)
    credentials.save("peer", "one")
    os.chmod(in_file[FILE_VARIABLE], 0o640)
    with pytest.raises(ConfigurationError, match="read by others") as refused:
        credentials.find("peer")
    assert "chmod 600" in refused.value.hint


def test_without_its_key_a_secret_stays_closed(ledger, in_file, tmp_path):
    Credentials(ledger, in_file).save("peer", "one")
    with pytest.raises(ConfigurationError, match="not here"):
        Credentials(ledger, {FILE_VARIABLE: str(tmp_path / "elsewhere")}).find("peer")
    assert not (tmp_path / "elsewhere").exists()


def test_another_key_does_not_open_it(ledger, in_file):
    Credentials(ledger, in_file).save("peer", "one")
    with pytest.raises(ConfigurationError, match="another key"):
        Credentials(ledger, {KEY_VARIABLE: KEY}).find("peer")


def test_a_sealed_secret_moved_to_another_name_does_not_open(ledger, in_file):
    credentials = Credentials(ledger, in_file)
    credentials.save("peer", "one")
    with ledger.engine.write():
        ledger.engine.execute("UPDATE tally_credential SET name=?", ("other",))
    with pytest.raises(ConfigurationError, match="another key"):
        credentials.find("other")


def test_the_environment_goes_before_the_file(ledger, in_file):
    Credentials(ledger, {KEY_VARIABLE: KEY, **in_file}).save("peer", "one")
    assert Credentials(ledger, {KEY_VARIABLE: KEY}).find("peer") == "one"
    assert not os.path.exists(in_file[FILE_VARIABLE])


@pytest.mark.parametrize("text", ("", "short", "not base64 at all !", base64.b64encode(b"1" * 31).decode()))
def test_what_is_no_key_is_refused_and_nothing_saved(ledger, text):
    credentials = Credentials(ledger, {KEY_VARIABLE: text})
    with pytest.raises(ConfigurationError, match="holds no key"):
        credentials.save("peer", "one")
    assert credentials.names() == []


def test_a_secret_has_a_greatest_length(ledger, in_file):
    with pytest.raises(ValueRejected):
        Credentials(ledger, in_file).save("peer", "x" * 65_537)


def test_a_transaction_that_fails_keeps_no_secret(ledger, in_file):
    credentials = Credentials(ledger, in_file)

    def failing():
        with ledger.engine.write():
            credentials.save("peer", "one")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert credentials.find("peer") is None


def test_the_default_place_follows_the_configuration_directory(tmp_path):
    assert key_file({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "tallystick" / "key"


def test_two_makers_of_a_key_agree_on_one(tmp_path):
    path = tmp_path / "key"
    assert read_key(path, create=True) == read_key(path, create=True)
