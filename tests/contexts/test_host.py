"""The contract of every place where contexts are kept: a site on SQLite, on PostgreSQL, and behind HTTP."""

import os

import pytest

from tallystick.content.bundles import bundles_of, unpack
from tallystick.content.chunking import Chunk, chunks_of, hash_of
from tallystick.content.problems import ChunkMissing
from tallystick.contexts.entries import DIRECTORY, FILE, LINK, FileEntry, packed, unpacked
from tallystick.contexts.host import Rule
from tallystick.contexts.problems import (
    ContextNotFound,
    EntryRejected,
    NameExists,
    PagesLost,
    QuotaExceeded,
    VersionMoved,
)
from tallystick.errors import PeerError, StorageFull, TallystickError, UsageError, ValueRejected
from tallystick.trees.reading import digest_of, link_digest

from .conftest import file_of, send, tree

REFUSED = (UsageError, ValueRejected, PeerError)


# Contexts -------------------------------------------------------------------------------------------------------------


def test_creating_is_get_or_create_and_lists_by_creation(host, name):
    first = host.create(name)
    second = host.create(f"två äpplen {name}")

    assert host.create(name).id == first.id
    assert [found.id for found in host.contexts()][-2:] == [first.id, second.id]
    assert host.find(f"två äpplen {name}").id == second.id
    assert host.find(second.id).name == f"två äpplen {name}"


def test_a_context_that_is_not_there_is_named(host):
    with pytest.raises(ContextNotFound, match="nowhere"):
        host.find("nowhere")


@pytest.mark.parametrize("wrong", ("", "a/b", "..", "x" * 300, "line\nbreak"))
def test_a_name_that_cannot_be_is_refused(host, wrong):
    with pytest.raises(REFUSED):
        host.create(wrong)


def test_renaming_keeps_the_identifier_and_refuses_a_taken_name(host, context):
    taken = host.create(f"taken {context.name}")

    assert host.rename(context.id, f"other {context.name}").id == context.id
    assert host.find(f"other {context.name}").id == context.id
    with pytest.raises(NameExists):
        host.rename(context.id, taken.name)


def test_no_context_is_called_by_what_may_identify_another_one(host, context):
    other = host.create(f"other {context.name}")

    for wrong in (context.id, "ctx-" + "0" * 24):
        with pytest.raises(REFUSED):
            host.rename(other.id, wrong)
    with pytest.raises(REFUSED):
        host.create("ctx-" + "0" * 24)

    assert host.create(context.id).id == context.id
    assert host.find(context.id).name == context.name


def test_a_deleted_context_is_gone_with_its_files(host, context):
    host.publish(context.id, context.version, [("/a", file_of(host, context, b"a"))])

    host.delete(context.id)

    with pytest.raises(ContextNotFound):
        host.find(context.id)
    again = host.create(context.name)
    assert again.id != context.id
    assert tree(host, again) == {}


# Publishing -----------------------------------------------------------------------------------------------------------


def test_what_is_published_is_there_with_every_directory_above_it(host, context):
    entry = file_of(host, context, b"content", 0o755)

    version = host.publish(context.id, context.version, [("/a/b/c.txt", entry)])

    found = tree(host, context)
    assert list(found) == ["/a", "/a/b", "/a/b/c.txt"]
    assert found["/a"].kind == DIRECTORY
    assert (found["/a/b/c.txt"].digest, found["/a/b/c.txt"].mode) == (digest_of(b"content"), 0o755)
    assert host.find(context.name).version == version != context.version
    assert (host.find(context.name).files, host.find(context.name).bytes) == (1, 7)


def test_a_manifest_since_a_version_says_only_what_differs(host, context):
    first = host.publish(
        context.id, "*", [("/kept", file_of(host, context, b"k")), ("/gone", file_of(host, context, b"g"))]
    )
    second = host.publish(context.id, first, [("/gone", None), ("/new", file_of(host, context, b"n"))])

    manifest = host.manifest(context.id, first)
    assert (manifest.version, manifest.whole) == (second, False)
    changes = dict(change for page in manifest.pages for change in page)
    assert changes.keys() == {"/gone", "/new"}
    assert changes["/gone"] is None
    assert tree(host, context, second) == {}


@pytest.mark.parametrize("version", ("nonsense", "0.0", "ffff.2"))
def test_a_version_of_another_history_gets_the_whole_manifest(host, context, version):
    host.publish(context.id, "*", [("/a", file_of(host, context, b"a"))])

    manifest = host.manifest(context.id, version)

    assert manifest.whole
    assert [key for page in manifest.pages for key, _ in page] == ["/a"]


def test_a_manifest_of_a_prefix_shows_nothing_beside_it(host, context):
    entry = file_of(host, context, b"x")
    host.publish(context.id, "*", [("/a/x", entry), ("/ab/x", entry), ("/a.txt", entry)])

    assert list(tree(host, context, prefix="/a")) == ["/a", "/a/x"]


def test_the_second_of_two_uploads_from_one_version_is_told_so_and_nothing_of_it_is_there(host, context):
    host.publish(context.id, context.version, [("/first", file_of(host, context, b"1"))])

    with pytest.raises(VersionMoved):
        host.publish(context.id, context.version, [("/second", file_of(host, context, b"2"))])

    assert list(tree(host, context)) == ["/first"]


def test_staged_pages_are_invisible_until_their_run_is_published_with_the_rest(host, context):
    entry = file_of(host, context, b"x")
    host.stage(context.id, "run", 0, [("/a", entry)])
    host.stage(context.id, "run", 1, [("/b", entry)])
    host.stage(context.id, "run", 1, [("/c", entry)])
    host.stage(context.id, "another", 0, [("/never", entry)])
    assert tree(host, context) == {}

    host.publish(context.id, context.version, [("/d", entry)], "run", 2)

    assert list(tree(host, context)) == ["/a", "/c", "/d"]


def test_a_publication_that_misses_pages_of_its_run_is_refused_whole(host, context):
    entry = file_of(host, context, b"x")
    host.stage(context.id, "run", 0, [("/a", entry)])

    with pytest.raises(PagesLost, match="2 pages"):
        host.publish(context.id, context.version, [("/b", entry)], "run", 2)

    assert tree(host, context) == {}
    host.publish(context.id, context.version, [("/b", entry)], "run", 1)
    assert list(tree(host, context)) == ["/a", "/b"]


def test_a_page_may_be_laid_aside_before_its_content_has_come(host, context):
    content = b"on its way"
    entry = FileEntry(FILE, 0o644, len(content), 0, digest_of(content))
    host.stage(context.id, "run", 0, [("/a", entry)])
    with pytest.raises(ChunkMissing):
        host.publish(context.id, "*", [], "run", 1)

    send(host, context, content)
    host.publish(context.id, "*", [], "run", 1)

    assert tree(host, context)["/a"].digest == entry.digest


def test_content_comes_with_the_page_or_the_publication_that_needs_it(host, context):
    staged, published = chunk_and_entry(b"staged"), chunk_and_entry(b"published")

    host.stage(context.id, "run", 0, [("/a", staged[1])], bundles_of([staged[0]]))
    host.publish(context.id, context.version, [("/b", published[1])], "run", 1, bundles_of([published[0]]))

    assert {key: entry.digest for key, entry in tree(host, context).items()} == {
        "/a": staged[0].hash,
        "/b": published[0].hash,
    }
    assert host.missing(context.id, [staged[0].hash, published[0].hash]) == []


def test_content_that_came_with_what_was_refused_needs_not_come_again(host, context):
    host.publish(context.id, "*", [("/first", FileEntry(DIRECTORY, 0o755))])
    (chunk, entry), (other, _) = chunk_and_entry(b"late"), chunk_and_entry(b"other")

    with pytest.raises(VersionMoved):
        host.publish(context.id, context.version, [("/a", entry)], bundles=bundles_of([chunk]))
    with pytest.raises(EntryRejected):
        host.stage(context.id, "run", 0, [("/..", entry)], bundles_of([other]))

    assert host.missing(context.id, [chunk.hash, other.hash]) == []
    assert list(tree(host, context)) == ["/first"]


def test_a_page_whose_content_is_not_what_it_says_is_not_laid_aside(host, context):
    chunk, entry = chunk_and_entry(b"content")

    with pytest.raises(TallystickError, match="another hash"):
        host.stage(context.id, "run", 0, [("/a", entry)], bundles_of([Chunk(chunk.hash, b"forgery")]))

    with pytest.raises(PagesLost):
        host.publish(context.id, "*", [], "run", 1)


def chunk_and_entry(data):
    """A small file that was not sent."""
    return Chunk(digest_of(data), data), FileEntry(FILE, 0o644, len(data), 0, digest_of(data))


def test_a_staged_page_replaces_removes_and_revives_like_any_other(host, context):
    one, two = file_of(host, context, b"one"), file_of(host, context, b"two")
    host.publish(context.id, "*", [("/same", one), ("/edited", one), ("/gone", one), ("/back", one)])
    host.publish(context.id, "*", [("/back", None)])
    before = tree(host, context)

    host.stage(context.id, "run", 0, [("/same", one), ("/edited", two), ("/gone", None), ("/back", two)])
    host.publish(context.id, "*", [("/d/new", two)], "run", 1)

    after = tree(host, context)
    assert {key: entry.digest for key, entry in after.items() if entry.kind == FILE} == {
        "/same": one.digest,
        "/edited": two.digest,
        "/back": two.digest,
        "/d/new": two.digest,
    }
    assert after["/same"] == before["/same"]
    assert after["/edited"].created == before["/edited"].created
    assert (host.find(context.name).files, host.find(context.name).bytes) == (4, 12)


def test_an_upload_that_changes_nothing_makes_no_version(host, context):
    entry = file_of(host, context, b"x")
    version = host.publish(context.id, "*", [("/a", entry)])

    assert host.publish(context.id, version, [("/a", entry), ("/never", None)]) == version


def test_content_links_and_directories_come_back_as_they_were(host, context):
    content = os.urandom(3 << 20)
    link = FileEntry(LINK, 0o777, 3, 5, link_digest("big"), target="big")
    host.publish(
        context.id,
        "*",
        [("/big", file_of(host, context, content)), ("/l", link), ("/empty", FileEntry(DIRECTORY, 0o700))],
    )

    found = host.entries(context.id, ["/big", "/l", "/empty", "/nothing"])

    assert found.keys() == {"/big", "/l", "/empty"}
    held = {
        chunk.hash: chunk.data for bundle in host.fetch(context.id, found["/big"].hashes) for chunk in unpack(bundle)
    }
    assert b"".join(held[name] for name in found["/big"].hashes) == content
    assert found["/l"].target == "big"
    assert found["/empty"].mode == 0o700


def test_a_name_that_is_no_unicode_is_kept(host, context):
    key = packed("/caf\udce9 \uf8fe")
    host.publish(context.id, "*", [(key, file_of(host, context, b"x"))])

    (found,) = tree(host, context)
    assert unpacked(found) == "/caf\udce9 \uf8fe"


def test_clearing_empties_a_context_and_keeps_it(host, context):
    host.publish(context.id, "*", [("/a/b", file_of(host, context, b"x"))])

    host.clear(context.id)

    assert tree(host, context) == {}
    assert host.find(context.name).id == context.id
    assert (host.find(context.name).files, host.find(context.name).bytes) == (0, 0)


def test_what_was_replaced_or_removed_is_told_and_can_be_published_again(host, context):
    first, second = file_of(host, context, b"first"), file_of(host, context, b"second")
    host.publish(context.id, "*", [("/d/a", first), ("/d2/b", first)])
    host.publish(context.id, "*", [("/d/a", second)])
    host.publish(context.id, "*", [("/d/a", None), ("/d", None), ("/d2/b", second)])

    found = host.history(context.id, "/d", 10)

    assert [(item.key, item.entry.digest) for item in found] == [("/d/a", second.digest), ("/d/a", first.digest)]
    assert found[0].at >= found[1].at
    assert [item.key for item in host.history(context.id, "", 2)] == ["/d/a", "/d2/b"]
    assert host.history(context.id, "/nowhere", 10) == []
    host.publish(context.id, "*", [("/d/again", found[1].entry)])
    assert tree(host, context)["/d/again"].digest == first.digest


# What is not believed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    (
        *("a", "", "/", "/a/", "/a//b", "/../etc", "/a/../b", "/./a", "/a\0b", "/.tally-1", "/" + "x" * 300),
        *("/\uf8fe2e\uf8fe2e", "/a\uf8fe2fb", "/\uf8fe61", "/\uf8fe", "/\uf8fezz"),
        "/\uf8fec3\uf8fea9",  # the bytes of a name that has a spelling of its own
    ),
)
def test_a_key_that_cannot_be_a_path_is_refused(host, context, key):
    with pytest.raises(EntryRejected):
        host.publish(context.id, "*", [(key, FileEntry(DIRECTORY, 0o755))])


@pytest.mark.parametrize(
    "entry",
    (
        FileEntry(FILE, 0o4755, 1, 0, digest_of(b"x")),
        FileEntry(FILE, 0o644, -1, 0, digest_of(b"x")),
        FileEntry(FILE, 0o644, 1, 0, b"short"),
        FileEntry(FILE, 0o644, 0, 0, digest_of(b"x")),
        FileEntry(FILE, 0o644, 1 << 40, 0, digest_of(b"x")),
        FileEntry(FILE, 0o644, 2, 0, digest_of(b"x"), chunks=b"\0" * 36),
        FileEntry(FILE, 0o644, 1, 1 << 63, digest_of(b"x")),
        FileEntry(LINK, 0o777, 0, 0, link_digest("/etc/passwd"), target="/etc/passwd"),
        FileEntry(LINK, 0o777, 0, 0, link_digest("../x"), target="../x"),
        FileEntry(LINK, 0o777, 0, 0, link_digest("other"), target="x"),
        FileEntry(LINK, 0o777, 1 << 40, 0, link_digest("x"), target="x"),
        FileEntry(LINK, 0o777, 0, 0, b"d" * 32, target="\uf8fe2fetc"),
        FileEntry(DIRECTORY, 0o755, 5),
        FileEntry(9, 0o644),
    ),
)
def test_an_entry_that_cannot_be_is_refused(host, context, entry):
    send(host, context, b"x")

    with pytest.raises((EntryRejected, PeerError)):
        host.publish(context.id, "*", [("/a", entry)])

    assert tree(host, context) == {}


def test_a_size_that_is_not_that_of_the_content_is_refused(host, context):
    digest, _ = send(host, context, b"four")

    with pytest.raises(EntryRejected, match="4 bytes"):
        host.publish(context.id, "*", [("/a", FileEntry(FILE, 0o644, 5, 0, digest))])


def test_content_that_was_never_sent_is_named(host, context):
    with pytest.raises(ChunkMissing):
        host.publish(context.id, "*", [("/a", FileEntry(FILE, 0o644, 1, 0, digest_of(b"x")))])


def test_bytes_that_are_not_what_their_name_says_are_refused_and_not_held(host, context):
    forged = Chunk(hash_of(b"right"), b"wrong")

    with pytest.raises(PeerError):
        host.send(context.id, bundles_of([forged]))

    assert host.missing(context.id, [forged.hash]) == [forged.hash]


def test_a_file_cannot_stand_below_a_file_nor_a_directory_go_before_what_it_holds(host, context):
    entry = file_of(host, context, b"x")
    host.publish(context.id, "*", [("/d/a", entry), ("/f", entry)])

    for changes in (
        [("/f/below", entry)],
        [("/d", None)],
        [("/d", entry)],
        [("/d", None), ("/d/b", entry)],
        [("/d/a", None), ("/d/a", entry)],
    ):
        with pytest.raises(EntryRejected):
            host.publish(context.id, "*", changes)
    assert list(tree(host, context)) == ["/d", "/d/a", "/f"]
    host.publish(context.id, "*", [("/d", entry), ("/d/a", None)])
    assert list(tree(host, context)) == ["/d", "/f"]


def test_a_context_sees_no_chunk_that_only_another_one_holds(host, context):
    other = host.create(f"other {context.name}")
    secret = Chunk(hash_of(b"secret"), b"secret")
    host.send(other.id, bundles_of([secret]))

    assert host.missing(context.id, [secret.hash]) == [secret.hash]
    with pytest.raises(ChunkMissing):
        list(host.fetch(context.id, [secret.hash]))
    with pytest.raises(ChunkMissing):
        host.publish(context.id, "*", [("/a", FileEntry(FILE, 0o644, 6, 0, secret.hash))])


def test_a_bundle_is_never_passed_on_with_chunks_of_another_context_in_it(host, context):
    other = host.create(f"other {context.name}")
    shared, secret = (Chunk(hash_of(data), data) for data in (b"shared" * 100, b"secret"))
    host.send(other.id, bundles_of([shared, secret]))
    host.send(context.id, bundles_of([shared]))

    found = [chunk for bundle in host.fetch(context.id, [shared.hash]) for chunk in unpack(bundle)]

    assert found == [shared]


def test_quotas_refuse_what_goes_beyond_them_and_never_what_shrinks(host, name):
    context = host.create(name, quota_bytes=10, quota_files=2)
    host.publish(context.id, "*", [("/a", file_of(host, context, b"12345678"))])

    with pytest.raises((QuotaExceeded, StorageFull)):
        host.publish(context.id, "*", [("/b", file_of(host, context, b"123"))])
    host.publish(context.id, "*", [("/b", file_of(host, context, b"1"))])
    with pytest.raises((QuotaExceeded, StorageFull)):
        host.publish(context.id, "*", [("/c", file_of(host, context, b""))])
    host.publish(context.id, "*", [("/a", file_of(host, context, b"1"))])

    assert host.find(name).bytes == 2


# Listings and rules ---------------------------------------------------------------------------------------------------


def test_a_folder_lists_one_level_in_order_and_in_parts(host, context):
    entry = file_of(host, context, b"x")
    keys = ["/d/a", "/d/b/x", "/d/b/y", "/d/b.txt", "/d/b0", "/d/c", "/e"]
    host.publish(context.id, "*", [(key, entry) for key in keys])

    found = host.folder(context.id, "/d", 0, 100)
    assert [item.key for item in found.entries] == ["/d/a", "/d/b", "/d/b.txt", "/d/b0", "/d/c"]
    assert [item.key for item in host.folder(context.id, "/d", 2, 2).entries] == ["/d/b.txt", "/d/b0"]
    assert found.count == 5
    assert [item.key for item in host.folder(context.id, "", 0, 10).entries] == ["/d", "/e"]
    assert host.folder(context.id, "/nowhere", 0, 10).entries == []


def test_rules_are_kept_by_prefix_and_replaced_by_prefix(host, context):
    host.set_rules(context.id, "/a", [Rule("/a/cache", "Lifecycle_1Day")])
    host.set_rules(context.id, "/b", [Rule("/b", "Lifecycle_Forever")])
    host.set_rules(context.id, "/a", [Rule("/a", "Lifecycle_3Days")])
    host.set_rules(context.id, "/b", [])

    assert host.rules(context.id) == {"/a": [Rule("/a", "Lifecycle_3Days")]}
    with pytest.raises(REFUSED):
        host.set_rules(context.id, "/a", [Rule("/a", "Lifecycle_7Days")])


def test_many_files_go_in_one_publication_and_come_back(host, context):
    content = [str(number).encode() for number in range(3000)]
    host.send(context.id, bundles_of(chunk for data in content for chunk in chunks_of(data)))
    changes = [
        (f"/{number % 50:02}/{number:05}", FileEntry(FILE, 0o644, len(data), number, digest_of(data)))
        for number, data in enumerate(content)
    ]
    host.publish(context.id, context.version, changes)

    found = tree(host, context)
    assert len(found) == 3050
    assert all(found[key].digest == entry.digest for key, entry in changes)
