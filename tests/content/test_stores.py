"""The contract of every store of chunks and of every head."""

import os
import random
import sqlite3
import stat
import subprocess
import sys

import pytest

from tallystick.content.bundles import pack, unpack
from tallystick.content.catalog import Catalog
from tallystick.content.chunking import Chunk, hash_of
from tallystick.content.directory import DirectoryStore
from tallystick.content.heads import NOTHING, FileHead
from tallystick.content.packs import PACK_BYTES
from tallystick.content.problems import BundleInvalid, ChunkDamaged, ChunkMissing, HeadMoved
from tallystick.errors import StorageError, StorageFull


def chunk(text, size=0):
    data = text.encode() + random.Random(text).randbytes(size)
    return Chunk(hash_of(data), data)


def chunks(*texts, size=0):
    return [chunk(text, size) for text in texts]


@pytest.fixture
def store(medium):
    found = medium[0]()
    yield found
    found.close()


def names(found):
    return [each.hash for each in found]


# Keeping and giving back --------------------------------------------------------------------------


def test_what_was_stored_is_fetched_in_the_order_asked(store):
    kept = chunks("a", "b", "c", "d")
    store.store(kept)
    asked = [kept[2], kept[0], kept[0], kept[3]]
    assert list(store.fetch(names(asked))) == asked


def test_missing_names_what_has_to_be_stored(store):
    kept = chunks("a", "b")
    store.store(kept)
    asked = names(chunks("x", "a", "y", "b", "x"))
    assert store.missing(asked) == names(chunks("x", "y"))
    assert store.missing([]) == []


def test_a_chunk_that_is_not_there_is_named(store):
    with pytest.raises(ChunkMissing) as caught:
        list(store.fetch(names(chunks("nowhere"))))
    assert caught.value.name == chunk("nowhere").hash


def test_another_store_on_the_same_medium_sees_what_was_stored(medium, store):
    store.store(chunks("a", "b"))
    other = medium[0]()
    assert other.missing(names(chunks("a", "b", "c"))) == names(chunks("c"))
    assert list(other.fetch(names(chunks("b")))) == chunks("b")
    store.store(chunks("late"))
    assert list(other.fetch(names(chunks("late")))) == chunks("late")
    other.close()


def test_storing_again_takes_no_room(store):
    store.store(chunks("a", "b", size=50_000))
    before = store.catalog.totals()
    store.store(chunks("b", "a", size=50_000))
    store.store_bundles([pack(chunks("a", size=50_000))])
    assert store.catalog.totals() == before


def test_bundles_are_kept_as_they_came_and_checked(store):
    store.store_bundles([pack(chunks("a", "b")), pack(chunks("c"))])
    assert list(store.fetch(names(chunks("c", "a")))) == chunks("c", "a")
    lie = pack([Chunk(hash_of(b"promised"), b"given")])
    with pytest.raises(BundleInvalid):
        store.store_bundles([lie])
    assert store.missing([hash_of(b"promised"), hash_of(b"given")]) == [hash_of(b"promised"), hash_of(b"given")]


def test_many_chunks_fill_several_packs(store):
    many = [chunk(str(number), 300_000) for number in range(PACK_BYTES // 300_000 + 20)]
    store.store(iter(many))
    assert len(store.catalog.packs()) == 2
    sample = random.Random(1).sample(many, 40)
    assert list(store.fetch(names(sample))) == sample


def test_nothing_to_store_publishes_nothing(store):
    store.store([])
    store.store_bundles([])
    assert store.catalog.packs() == {}


# Garbage ------------------------------------------------------------------------------------------


def test_garbage_goes_after_two_grace_times_and_not_before(store, clock):
    store.store(chunks("dead"))
    assert store.collect(lambda: [], clock()).condemned == 0
    clock.pass_hours(25)
    assert store.collect(lambda: [], clock())[:2] == (1, 0)
    assert list(store.fetch(names(chunks("dead")))) == chunks("dead")
    assert store.missing(names(chunks("dead"))) == names(chunks("dead"))
    clock.pass_hours(23)
    assert store.collect(lambda: [], clock())[:2] == (0, 0)
    clock.pass_hours(2)
    found = store.collect(lambda: [], clock())
    assert (found.removed, found.freed > 0) == (1, True)
    with pytest.raises(ChunkMissing):
        list(store.fetch(names(chunks("dead"))))


def test_what_is_live_stays(store, clock):
    store.store(chunks("live"))
    for _ in range(5):
        clock.pass_hours(30)
        assert store.collect(lambda: names(chunks("live")), clock()).condemned == 0
    assert list(store.fetch(names(chunks("live")))) == chunks("live")


def test_a_condemned_pack_that_is_needed_again_is_reprieved(store, clock):
    """Somebody asked what is missing right before the pack was condemned, and publishes within the grace time."""
    store.store(chunks("needed"))
    clock.pass_hours(25)
    assert store.missing(names(chunks("needed"))) == []
    store.collect(lambda: [], clock())
    clock.pass_hours(20)
    published = names(chunks("needed"))
    clock.pass_hours(5)
    assert store.collect(lambda: published, clock()).removed == 0
    assert store.missing(published) == []
    assert list(store.fetch(published)) == chunks("needed")


def test_what_is_condemned_is_stored_anew_when_somebody_needs_it(store, clock):
    store.store(chunks("again"))
    clock.pass_hours(25)
    store.collect(lambda: [], clock())
    assert store.missing(names(chunks("again"))) == names(chunks("again"))
    store.store(chunks("again"))
    assert store.missing(names(chunks("again"))) == []
    clock.pass_hours(25)
    assert store.collect(lambda: names(chunks("again")), clock()).removed == 1
    assert list(store.fetch(names(chunks("again")))) == chunks("again")


def test_a_pack_that_is_mostly_dead_is_written_anew(store, clock):
    kept, dead = chunks("kept", size=100_000), chunks("x", "y", "z", size=100_000)
    store.store([*dead, *kept])
    clock.pass_hours(25)
    live = lambda: names(kept)  # noqa: E731
    assert store.collect(live, clock()).rewritten == 1
    assert store.collect(live, clock()).condemned == 1
    clock.pass_hours(25)
    assert store.collect(live, clock()).removed == 1
    assert list(store.fetch(names(kept))) == kept
    assert store.catalog.totals()[2] < 150_000


def test_a_reader_goes_on_while_garbage_is_collected(medium, store, clock):
    kept = chunks("a", "b", "c", size=10_000)
    store.store(kept)
    other = medium[0]()
    reading = other.fetch(names(kept))
    assert next(reading) == kept[0]
    clock.pass_hours(25)
    store.collect(lambda: [], clock())
    clock.pass_hours(25)
    store.collect(lambda: [], clock())
    assert list(reading) == kept[1:]
    other.close()


# Heads --------------------------------------------------------------------------------------------


def test_a_head_is_swapped_by_whoever_saw_the_current_one(medium):
    one, other = medium[1](), medium[1]()
    assert one.read() == NOTHING
    first = one.swap(NOTHING, b"first")
    assert other.read() == first
    second = other.swap(first, b"second")
    with pytest.raises(HeadMoved) as caught:
        one.swap(first, b"lost")
    assert caught.value.transient
    assert one.read() == second == (b"second", second.token)
    with pytest.raises(HeadMoved):
        one.swap(NOTHING, b"lost")
    assert one.swap(second, b"third").value == b"third"


# A directory in particular ------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path, clock):
    found = DirectoryStore(tmp_path / "store", clock)
    yield found
    found.close()


def pack_files(store):
    return [path for path in (store.root / "packs").rglob("*") if path.is_file()]


def test_a_pack_is_on_the_disk_under_its_name_before_anybody_is_told_of_it(directory, monkeypatch):
    steps, fsync, rename, add = [], os.fsync, os.rename, directory.catalog.add

    def noted(name, call):
        return lambda *given, **named: (steps.append(name(*given)), call(*given, **named))[1]

    kind = lambda handle: "directory" if stat.S_ISDIR(os.fstat(handle).st_mode) else "pack"  # noqa: E731
    monkeypatch.setattr(os, "fsync", noted(kind, fsync))
    monkeypatch.setattr(os, "rename", noted(lambda *_: "rename", rename))
    monkeypatch.setattr(directory.catalog, "add", noted(lambda *_: "catalog", add))
    directory.store(chunks("a"))

    assert steps == ["pack", "rename", "directory", "directory", "catalog"]


def test_a_lost_catalog_is_made_anew(directory, clock):
    directory.store(chunks("a", "b"))
    directory.close()
    for path in directory.root.glob("catalog.db*"):
        path.unlink()
    again = DirectoryStore(directory.root, clock)
    assert list(again.fetch(names(chunks("b", "a")))) == chunks("b", "a")
    again.close()


@pytest.mark.parametrize("left", ("nothing", "one pack"))
def test_a_catalog_that_was_not_made_to_its_end_is_completed(directory, clock, monkeypatch, left):
    directory.store(chunks("a"))
    directory.store(chunks("b"))
    directory.close()
    for path in directory.root.glob("catalog.db*"):
        path.unlink()
    if left == "nothing":
        (directory.root / "catalog.db").touch()
    else:
        add, added = Catalog.add, []

        def dies(catalog, name, *rest, **more):
            if added:
                raise KeyboardInterrupt
            added.append(name)
            add(catalog, name, *rest, **more)

        with monkeypatch.context() as patched:
            patched.setattr(Catalog, "add", dies)
            with pytest.raises(KeyboardInterrupt):
                DirectoryStore(directory.root, clock)
    again = DirectoryStore(directory.root, clock)
    assert list(again.fetch(names(chunks("b", "a")))) == chunks("b", "a")
    again.close()


def test_damage_is_found_when_it_is_read(directory):
    directory.store(chunks("a", size=5000))
    (path,) = pack_files(directory)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChunkDamaged):
        list(directory.fetch(names(chunks("a", size=5000))))
    assert directory.verify() == names(chunks("a", size=5000))


@pytest.mark.parametrize(("harm", "readable"), (("front", True), ("end", False)))
def test_a_bundle_that_is_damaged_takes_no_other_along(directory, harm, readable):
    noise = [Chunk(hash_of(data), data) for data in (random.Random(number).randbytes(3000) for number in range(4))]
    directory.store(noise[:3])
    (pack,) = pack_files(directory)
    directory.store(noise[3:])
    whole = pack.read_bytes()
    pack.chmod(0o644)
    pack.write_bytes(bytes(16) + whole[16:] if harm == "front" else whole[:1000])

    bundles = directory.fetch_bundles(names(noise), lambda _: True)
    found = {chunk.hash for bundle in bundles for chunk in unpack(bundle)}
    assert found == set(names(noise if readable else noise[3:]))  # noise stands in the pack as it is


@pytest.mark.parametrize("harm", ("damaged", "gone"))
def test_what_is_sent_again_takes_the_place_of_what_cannot_be_read_any_more(directory, clock, harm):
    sent = chunks("sound", "harmed", size=5000)
    directory.store(sent)
    list(directory.fetch(names(sent)))  # what was read before the disk was damaged proves nothing
    (pack,) = pack_files(directory)
    pack.chmod(0o644)
    if harm == "gone":
        pack.unlink()
    else:
        pack.write_bytes(bytes(byte ^ 255 for byte in pack.read_bytes()))

    directory.store(sent)
    again = DirectoryStore(directory.root, clock)
    assert [found.data for found in again.fetch(names(sent))] == [chunk.data for chunk in sent]
    again.close()


def test_a_damaged_index_is_named_when_the_catalog_is_made_anew(directory):
    directory.store(chunks("a"))
    directory.store(chunks("b"))
    path = sorted(pack_files(directory))[0]
    path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    directory.catalog.forget([path.name])
    assert directory.rebuild() == [path.name]


def test_a_pack_whose_writer_died_is_salvaged(directory):
    code = (
        "import sys, os; from tallystick.content.directory import DirectoryStore; from test_stores import chunk\n"
        "store = DirectoryStore(sys.argv[1])\n"
        "def some():\n"
        "    for n in range(10): yield chunk(str(n), 300_000)\n"
        "    os._exit(9)\n"
        "store.store(some())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    ended = subprocess.run([sys.executable, "-c", code, str(directory.root)], env=environment, check=False)
    assert ended.returncode == 9
    assert directory.missing([chunk("0", 300_000).hash]) != []
    assert directory.salvage() == 1
    held = [chunk(str(n), 300_000) for n in range(10) if not directory.missing([chunk(str(n), 300_000).hash])]
    assert len(held) >= 3
    assert list(directory.fetch(names(held))) == held
    assert list((directory.root / "filling").iterdir()) == []
    assert directory.salvage() == 0


def test_a_pack_that_is_being_filled_is_left_alone(directory, clock):
    other = DirectoryStore(directory.root, clock)

    filling = []

    def coming():
        for number in range(10):
            yield chunk(str(number), 300_000)
            filling.extend((directory.root / "filling").iterdir())
            assert other.salvage() == 0

    directory.store(coming())
    other.close()
    assert filling
    held = [chunk(str(number), 300_000) for number in range(10)]
    assert list(directory.fetch(names(held))) == held


def test_a_collection_tidies_up_after_writers_that_died(directory, clock):
    """One died while it filled a pack, one before it told the catalog."""
    (directory.root / "filling" / "0123456789abcdef0123456789abcdef").write_bytes(b"torn")
    directory.store(chunks("a"))
    (path,) = pack_files(directory)
    directory.catalog.forget([path.name])

    directory.collect(lambda: names(chunks("a")), clock())

    assert list((directory.root / "filling").iterdir()) == []
    assert list(directory.fetch(names(chunks("a")))) == chunks("a")


def test_a_pack_that_is_found_takes_the_place_of_none_that_is_known(directory, clock):
    directory.store(chunks("a", size=1000))
    (path,) = pack_files(directory)
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.with_name(path.name[:2] + "0" * 30).write_bytes(damaged)
    directory.collect(lambda: names(chunks("a", size=1000)), clock())
    assert len(directory.catalog.packs()) == 2
    assert list(directory.fetch(names(chunks("a", size=1000)))) == chunks("a", size=1000)


def test_a_catalog_without_room_is_a_named_error_and_what_came_is_not_held(directory, clock):
    directory.store(chunks("a"))
    many = chunks(*map(str, range(2000)))
    directory.catalog._connection.execute("PRAGMA max_page_count=12")
    with pytest.raises(StorageFull, match=r"catalog\.db has no room"):
        directory.store(many)
    assert directory.missing(names(many)) == names(many)

    directory.catalog._connection.execute("PRAGMA max_page_count=100000")
    directory.store(many)
    assert list(directory.fetch(names(many))) == many
    assert directory.collect(lambda: names(many), clock()).removed == 0
    assert len(directory.catalog.packs()) == len(pack_files(directory)) == 3


def test_a_salvaged_pack_holds_only_what_is_sound(directory):
    directory.store(chunks("a"))
    (path,) = pack_files(directory)
    whole = path.read_bytes()
    torn = directory.root / "filling" / "0123456789abcdef0123456789abcdef.4000000"
    second = pack(chunks("b", size=1000))
    torn.write_bytes(whole[: -(8 + 4 + 32)][: 8 + len(pack(chunks("a")))] + second[:-100] + bytes(100))
    assert directory.salvage() == 1
    assert directory.missing(names(chunks("b", size=1000))) == names(chunks("b", size=1000))


def test_a_catalog_that_is_no_database_says_what_to_do(tmp_path):
    (tmp_path / "catalog.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(StorageError, match="remove it"):
        DirectoryStore(tmp_path)


def test_what_is_stored_survives_the_process(directory):
    directory.store(chunks("a"))
    with sqlite3.connect(directory.root / "catalog.db") as other:
        assert other.execute("SELECT count(*) FROM chunk").fetchone() == (1,)
    other.close()


def test_a_file_head_is_whole_or_old(tmp_path):
    head = FileHead(tmp_path / "head")
    first = head.swap(NOTHING, b"line\nand more\n")
    assert FileHead(tmp_path / "head").read() == first
    assert first.value == b"line\nand more\n"


# Passing bundles on ---------------------------------------------------------------------------------------------------


def test_what_stands_together_is_passed_on_as_it_is_stored(store):
    kept = chunks("a", "b", "c", size=1000)
    bundle = pack(kept)
    store.store_bundles([bundle])

    assert list(store.fetch_bundles(names(kept), lambda found: True)) == [bundle]


def test_a_bundle_with_something_hidden_in_it_is_never_passed_on_whole(store):
    kept = chunks("a", "b", "secret", size=1000)
    store.store_bundles([pack(kept)])
    hidden = kept[2].hash

    found = list(store.fetch_bundles(names(kept[:2]), lambda asked: hidden not in asked))

    assert [chunk for bundle in found for chunk in unpack(bundle)] == kept[:2]


def test_a_bundle_of_which_little_is_wanted_is_not_passed_on_whole(store):
    kept = chunks("a", "b", "c", "d", size=1000)
    store.store_bundles([pack(kept)])

    found = list(store.fetch_bundles([kept[1].hash], lambda asked: True))

    assert [chunk for bundle in found for chunk in unpack(bundle)] == [kept[1]]


def test_only_what_is_new_in_a_bundle_is_kept(store):
    kept = chunks("a", "b", size=1000)
    store.store_bundles([pack(kept[:1])])
    store.store_bundles([pack(kept)])

    assert store.catalog.totals()[0] == 2
    assert store.catalog.totals()[2] < 3000
