from itertools import pairwise

import pytest
from msgspec.msgpack import encode

from tallystick.core.fingerprints import EMPTY
from tallystick.core.values import mapping_hash
from tallystick.site import managed
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.holding import terms
from tallystick.site.ledger import DELETED, Ledger


@pytest.fixture
def ledger(tmp_path):
    engine = SQLiteEngine(tmp_path / "site.db", create=True)
    yield Ledger.create(engine)
    engine.close()


def written(ledger, records):
    with ledger.write():
        tracked = managed.create_resource(ledger, "things")
        seqs = managed.write(ledger, tracked, records)
    return ledger.resource("things"), seqs


def fingerprint(ledger, tracked):
    total = EMPTY
    for entry, _ in tracked.rows.after(0, 1 << 60, 1000):
        total = total.added(terms(ledger, entry))
    return total


def test_first_versions_are_written_as_a_set_with_dots_stamps_and_fingerprint_of_their_own(ledger):
    tracked, seqs = written(ledger, [(f"k{number}", {"n": number, "b": b"\0"}) for number in range(50)])

    entries = [entry for entry, _ in tracked.rows.after(0, 1 << 60, 1000)]
    assert [entry.seq for entry in entries] == list(seqs) == list(range(seqs[0], seqs[0] + 50))
    assert [entry.tick for entry in entries] == list(range(1, 51))
    assert all(one.stamp < other.stamp for one, other in pairwise(entries))
    assert tracked.fingerprint == fingerprint(ledger, tracked)
    assert managed.contents(ledger, tracked, ["k7"]) == {"k7": {"n": 7, "b": b"\0"}}


def test_first_and_later_versions_may_be_written_together(ledger):
    written(ledger, [("old", {"n": 1}), ("gone", {"n": 2})])

    tracked, seqs = written(ledger, [("new", {"n": 3}), ("gone", None), ("old", {"n": 4}), ("never", None)])

    assert len(seqs) == 4
    assert managed.contents(ledger, tracked, ["old", "gone", "new", "never"]) == {"old": {"n": 4}, "new": {"n": 3}}
    assert tracked.rows.by_keys(["gone"])["gone"].flags & DELETED
    assert "never" not in tracked.rows.by_keys(["never"])
    assert tracked.fingerprint == fingerprint(ledger, tracked)
    assert tracked.fingerprint.count == 2


def test_a_record_that_comes_back_after_its_deletion_is_a_new_version_of_it(ledger):
    written(ledger, [("k", {"n": 1})])
    written(ledger, [("k", None)])

    tracked, _ = written(ledger, [("k", {"n": 1})])

    assert managed.contents(ledger, tracked, ["k"]) == {"k": {"n": 1}}
    assert tracked.rows.by_keys(["k"])["k"].tick == 3
    assert tracked.fingerprint == fingerprint(ledger, tracked)


def test_new_records_written_in_columns_are_what_writing_them_one_by_one_makes(ledger):
    written(ledger, [("gone", {"n": 1}), ("other", {"n": 2})])
    written(ledger, [("gone", None)])
    news = [(key, {"n": number}) for number, key in enumerate(("a", "b", "gone"))]

    with ledger.write():
        tracked = managed.create_resource(ledger, "things")
        managed.write_new(
            ledger, tracked, [(key, encode(content), mapping_hash(key, content)) for key, content in news]
        )

    assert managed.contents(ledger, tracked, ["a", "b", "gone", "other"]) == {**dict(news), "other": {"n": 2}}
    entries = tracked.rows.by_keys(["a", "b", "gone"])
    assert [entries[key].hash for key, _ in news] == [mapping_hash(key, content) for key, content in news]
    assert len({(entry.seq, entry.tick) for entry in entries.values()}) == 3
    assert not any(entry.flags & DELETED for entry in entries.values())
    assert tracked.fingerprint == fingerprint(ledger, tracked)
    assert tracked.fingerprint.count == 4
