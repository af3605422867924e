"""A memory that is not what was written is put aside: both trees are united, nothing is lost (spec contexts G6)."""

import random
import sqlite3
from contextlib import closing, suppress

import pytest
from disk import Ground, contents, grow, regrow, remembered, shown
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import StorageCorrupt, StorageError
from tallystick.trees import run as run_module
from tallystick.trees import scan as scan_module
from tallystick.trees.opening import synchronize
from tallystick.trees.state import State
from tallystick.trees.sums import Damaged, checked, is_damage, summed

WOOD = {"a": "alpha", "d": {"b": "beta", "e": {"f": "phi", "g": "gamma"}}, "h": {"i": "iota"}}


@pytest.fixture
def ground():
    with Ground() as found:
        yield found


@pytest.fixture
def agreed(ground):
    """A ground whose trees were brought into agreement."""
    grow(ground.local, WOOD)
    ground.run()
    return ground


def change(ground, statement, *values):
    with closing(sqlite3.connect(ground.state)) as database, database:
        return database.execute(statement, values).fetchall()


def put_aside(ground):
    return sorted(path.name for path in ground.state.parent.glob("*.damaged-*"))


# Sums ---------------------------------------------------------------------------------------------


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 9), st.data())
def test_what_was_summed_is_given_back_and_one_flipped_bit_is_noticed(content, path, number, data):
    row = summed(content, number, path)
    assert checked(row, number, path) == content
    bit = data.draw(st.integers(0, len(row) * 8 - 1))
    broken = bytearray(row)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Damaged):
        checked(bytes(broken), number, path)
    with pytest.raises(Damaged):
        checked(row, number ^ 1, path)


def test_bytes_that_moved_from_one_column_to_the_next_are_noticed():
    with pytest.raises(Damaged):
        checked(summed(b"content", 1, b"ab", b"c"), 1, b"a", b"bc")


@pytest.mark.parametrize("odd", (None, "text", 7, b"", b"abc"))
def test_a_column_that_is_no_bytes_or_too_short_is_damage(odd):
    with pytest.raises(Damaged):
        checked(odd, 1, b"path")
    with pytest.raises(Damaged):
        checked(summed(b"content", 1, b"path"), 1, odd)


def test_what_the_disk_or_another_program_did_is_no_damage(tmp_path):
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert is_damage(full, tmp_path) is False
    assert is_damage(KeyError("d"), tmp_path) is None


# One table after the other ------------------------------------------------------------------------

BREAKS = {
    "a listing": "UPDATE listing SET content = zeroblob(length(content)) WHERE path = X'64'",
    "half of a listing": "UPDATE listing SET stats = substr(stats, 8) WHERE path = X'64'",
    "names that are no names": "UPDATE listing SET names = X'ff00ff' WHERE path = X'64'",
    "another type": "UPDATE listing SET path = 5 WHERE path = X'64'",
    "a base": "UPDATE base SET names = X'62007800' WHERE path = X'64'",
    "the base of another directory": "UPDATE OR REPLACE base SET path = X'68' WHERE path = X'64'",
    "the number of files": "UPDATE base SET files = 10000 WHERE path = X'64'",
    "a setting": "UPDATE meta SET value = value || '0' WHERE name LIKE 'root:%'",
    "a name of a setting": "UPDATE meta SET name = 'rook:local' WHERE name = 'root:local'",
    "the format": "UPDATE meta SET value = '6' WHERE name = 'format'",
    "the format of old": "UPDATE meta SET value = '1' WHERE name = 'format'",
    "the format as text": "UPDATE meta SET value = 'q' WHERE name = 'format'",
    "the sum": "DELETE FROM meta WHERE name = 'sum'",
    "what is unsettled": "INSERT INTO unsettled VALUES (X'64')",
    "what was intended": "INSERT INTO intention VALUES (1, 7, '', '', 1)",
    "a table": "ALTER TABLE unsettled RENAME TO unsettlee",
    "a column": "ALTER TABLE listing RENAME COLUMN names TO nbmes",
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_damaged_row_unites_and_deletes_nothing(agreed, broken):
    change(agreed, BREAKS[broken])
    regrow(agreed.local, {"a": "alpha", "d": {"b": "edited", "e": {"f": "phi"}, "new": "n"}, "h": {"i": "iota"}})
    (agreed.remote / "h" / "i").unlink()

    report = agreed.run()

    assert report.succeeded
    assert put_aside(agreed) == ["state.db.damaged-1"]
    assert [code for code, _, _ in report.warnings] == ["damaged"]
    united = {"alpha", "beta", "edited", "phi", "gamma", "n", "iota"}
    assert contents(shown(agreed.local)) == contents(shown(agreed.remote)) == united
    assert agreed.run().actions == []
    (agreed.local / "a").unlink()
    agreed.run(confirm_deletions=True)
    assert not (agreed.remote / "a").exists()


def test_damage_of_what_an_earlier_run_meant_to_place_unites(agreed):
    names, content = b"b", bytes(43)
    with State(agreed.state).held() as state, state.transaction():
        state.connection.execute("INSERT INTO intention VALUES (1, 1, '', '', 1)")
        state.connection.execute("INSERT INTO intended VALUES (1, X'64', ?, ?, X'')", (names, content))
    (agreed.local / "d" / "b").unlink()

    assert agreed.run(confirm_deletions=True).succeeded
    assert shown(agreed.local) == shown(agreed.remote) == WOOD
    assert put_aside(agreed) == ["state.db.damaged-1"]


def test_a_file_that_says_it_must_not_be_written_is_put_aside(agreed):
    change(agreed, "PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(agreed.state.read_bytes())
    data[18] |= 4  # the version that may write it
    agreed.state.write_bytes(data)
    grow(agreed.local, {"new": "n"})
    assert agreed.run().succeeded
    assert shown(agreed.remote) == {**WOOD, "new": "n"}
    assert put_aside(agreed) == ["state.db.damaged-1"]


def test_a_memory_whose_damage_cannot_even_be_said_is_put_aside(tmp_path):
    a, b, state = tmp_path / "a", tmp_path / "b", tmp_path / "state"
    a.mkdir()
    grow(a, {"x": "one"})
    assert synchronize(str(a), str(b), state=state).succeeded
    (memory,) = state.glob("*.db")
    with closing(sqlite3.connect(memory)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    memory.write_bytes(memory.read_bytes().replace(b"CREATE TABLE meta", b"CRE\xd4TE TABLE meta"))
    grow(a, {"y": "two"})
    report = synchronize(str(a), str(b), state=state)
    assert report.succeeded
    assert [code for code, _, _ in report.warnings] == ["damaged"]
    assert shown(b) == {"x": "one", "y": "two"}


def test_damage_met_by_whoever_else_holds_the_memory_is_an_error_and_the_next_run_works(agreed):
    state = State(agreed.state)
    change(agreed, "DROP TABLE base")
    with pytest.raises(StorageError, match="put aside") as caught, state.held():
        state.base_files()
    assert "run the same command again" in caught.value.hint
    (agreed.local / "a").unlink()
    assert agreed.run().succeeded
    assert shown(agreed.local) == WOOD


def test_what_is_no_damage_leaves_the_memory_where_it_is(agreed):
    state = State(agreed.state)
    with pytest.raises(StorageError, match="incomplete input"), state.held():
        state.connection.execute("SELECT")
    assert put_aside(agreed) == []


def test_a_directory_that_the_base_names_and_cannot_find_makes_a_run_look_at_everything(agreed):
    change(agreed, "DELETE FROM base WHERE path = ?", b"d/e")
    (agreed.local / "d" / "e" / "f").write_text("edited")
    report = agreed.run()
    assert (put_aside(agreed), len(report.conflicts)) == ([], 1)

    change(agreed, "DELETE FROM base WHERE path = ?", b"d/e")
    change(agreed, "UPDATE base SET names = X'00' WHERE path = X'68'")
    (agreed.local / "d" / "e" / "g").write_text("edited, too")
    assert [code for code, _, _ in agreed.run().warnings] == ["damaged"]
    assert put_aside(agreed) == ["state.db.damaged-1"]
    assert shown(agreed.local) == shown(agreed.remote)


def test_damage_that_a_run_does_not_meet_changes_nothing(agreed):
    change(agreed, BREAKS["a base"])
    grow(agreed.local, {"new": "n"})
    assert agreed.run().warnings == []
    assert shown(agreed.remote) == {**WOOD, "new": "n"}


# Memories of other releases -----------------------------------------------------------------------


def make_old(ground):
    """The memory as format 1 had it."""
    with closing(sqlite3.connect(ground.state)) as database, database:
        database.create_function("bare", 1, lambda content: content[:-4])
        for table in ("listing", "base", "intended"):
            database.execute(f"UPDATE {table} SET content = bare(content)")
        database.execute("DELETE FROM meta WHERE name = 'sum'")
        database.execute("UPDATE meta SET value = '1' WHERE name = 'format'")


def test_a_memory_of_an_earlier_release_keeps_its_base(agreed):
    before = remembered(agreed)
    make_old(agreed)
    assert remembered(agreed) == before
    make_old(agreed)
    (agreed.local / "d" / "b").unlink()
    (agreed.remote / "h" / "i").write_text("edited")

    report = agreed.run(confirm_deletions=True)

    assert (report.warnings, report.conflicts, put_aside(agreed)) == ([], [], [])
    united = {"a": "alpha", "d": {"e": {"f": "phi", "g": "gamma"}}, "h": {"i": "edited"}}
    assert shown(agreed.local) == shown(agreed.remote) == united
    change(agreed, BREAKS["a base"])
    grow(agreed.local, {"d": {**united["d"], "new": "n"}})
    assert agreed.run().succeeded
    assert put_aside(agreed) == ["state.db.damaged-1"]


def test_a_memory_of_a_later_release_is_left_alone(agreed):
    with State(agreed.state).held() as state, state.transaction():
        state.connection.execute("UPDATE meta SET value = '3' WHERE name = 'format'")
    with pytest.raises(StorageCorrupt, match="newer version"):
        agreed.run()
    assert put_aside(agreed) == []


# Anywhere -----------------------------------------------------------------------------------------


def grown(rng, tag="", depth=0):
    wood = {f"f{number}": f"{tag}/{number} {rng.random()}" for number in range(rng.randint(2, 8))}
    if depth < 3:
        wood |= {f"d{number}": grown(rng, f"{tag}/d{number}", depth + 1) for number in range(rng.randint(1, 4))}
    return wood


def edited(rng, wood, tag):
    found = {}
    for name, child in wood.items():
        chance = rng.random()
        if isinstance(child, dict):
            found[name if chance < 0.95 else name + tag] = edited(rng, child, tag)
        elif chance < 0.85:
            found[name] = child
        elif chance < 0.95:
            found[name] = f"{tag} {rng.random()}"
    return {**found, f"new{tag}": f"new {rng.random()}"} if rng.random() < 0.3 else found


def flip(rng, path):
    """Flip bits where something is written."""
    data = bytearray(path.read_bytes())
    written = [position for position, byte in enumerate(data) if byte]
    for _ in range(rng.choice((1, 3, 30, 300))):
        data[rng.choice(written)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


@pytest.mark.parametrize("seed", range(24))
def test_flipped_bits_lose_nothing_and_the_next_run_agrees(ground, monkeypatch, seed):
    rng = random.Random(seed)
    if seed % 2:  # in two parts, scanned by four processes
        monkeypatch.setattr(run_module, "WORTH_ENTRIES", 20)
        monkeypatch.setattr(run_module, "WORTH_DIRECTORIES", 3)
        monkeypatch.setattr(scan_module, "SHARE_ENTRIES", 40)
    grow(ground.local, base := grown(rng))
    ground.run()
    change(ground, "PRAGMA wal_checkpoint(TRUNCATE)")
    regrow(ground.local, edited(rng, base, "L"))
    regrow(ground.remote, edited(rng, base, "R"))
    local, remote, old = (contents(wood) for wood in (shown(ground.local), shown(ground.remote), base))
    kept = (local & remote) | ((local | remote) - old)
    flip(rng, ground.state)

    with suppress(StorageError):
        ground.run(confirm_deletions=True)
    assert kept <= contents(shown(ground.local)) | contents(shown(ground.remote))
    assert ground.run(confirm_deletions=True).succeeded

    assert shown(ground.local) == shown(ground.remote)
    assert kept <= contents(shown(ground.local))
    assert ground.run().actions == []
