"""Archives that arrive in a mount (spec contexts B.5).

| rule | test |
|---|---|
| E1 | made_here, inside_archives |
| E2 | no_archive |
| E3, E4 | the_table, a_folder_of_the_same_name, a_file_of_the_same_name, a_differing_file |
| E5 | refused_whole, a_planted_link, merges_or_refuses |
| E6, X2 | the_store_keeps, not_unpacked_again, unpacked_again_when_changed, expanded_archive, stayed_here |
| W5 | out_of_scope |
"""

import errno
import shutil
import tarfile

import pytest

from tallystick.contexts import BWList, DownloadPolicy, ExtractPolicy, WhiteList
from tallystick.contexts.sessions.expanding import Expanded
from tallystick.trees.files import Files
from tallystick.trees.names import Volume

from ..test_unpacking import tarred, zipped
from .conftest import files, last, put, sync_of, write

PACKAGE = zipped(("a.txt", b"A"), ("sub/b.txt", b"B"))


def shown(session, path="/data"):
    root = session.path(path)
    return sorted(str(found.relative_to(root)) for found in root.rglob("*") if not found.is_dir())


@pytest.mark.parametrize(
    ("policy", "expected"),
    (
        (ExtractPolicy(extract=False), ["pkg.zip"]),
        (ExtractPolicy(True, False, False), ["pkg.zip", "pkg/a.txt", "pkg/sub/b.txt"]),
        (ExtractPolicy(), ["pkg/a.txt", "pkg/sub/b.txt"]),
        (ExtractPolicy(True, False, True), ["a.txt", "pkg.zip", "sub/b.txt"]),
        (ExtractPolicy(True, True, True), ["a.txt", "sub/b.txt"]),
    ),
)
def test_the_table_of_the_specification(opened, host, context, policy, expected):
    put(host, context, "/data/pkg.zip", PACKAGE)

    assert shown(opened(sync_of(context, extract_policy=policy))) == expected


def test_an_archive_made_here_is_left_alone(opened, host, context):
    session = opened(sync_of(context))
    write(session, "/data/pkg.zip", PACKAGE)

    assert session.context.sync(mode="both").success
    assert shown(session) == ["pkg.zip"]


def test_archives_inside_archives_are_left_alone(opened, host, context):
    put(host, context, "/data/out.zip", zipped(("in.zip", PACKAGE)))

    assert shown(opened(sync_of(context))) == ["out/in.zip"]


def test_what_is_no_archive_stays_with_a_warning(opened, host, context):
    put(host, context, "/data/pkg.zip", b"no zip at all")
    session = opened(sync_of(context))

    assert shown(session) == ["pkg.zip"]
    assert (last(session).status, "[ArchiveRefused] pkg.zip" in last(session).warnings[0]) == ("Success", True)


def test_a_folder_of_the_same_name_is_merged_into_and_a_file_is_avoided(opened, host, context):
    put(host, context, "/data/pkg.zip", PACKAGE)
    put(host, context, "/data/pkg/own.txt", b"O")
    put(host, context, "/data/x.zip", PACKAGE)
    put(host, context, "/data/x", b"a file")

    assert shown(opened(sync_of(context))) == [
        *("pkg/a.txt", "pkg/own.txt", "pkg/sub/b.txt"),
        *("x", "x.extracted/a.txt", "x.extracted/sub/b.txt"),
    ]


def test_the_folder_is_the_name_less_the_whole_extension_and_a_single_top_folder_is_kept(opened, host, context):
    put(host, context, "/data/d/x.tar.gz", tarred(("top/a", b"A"), mode="w:gz"))

    assert shown(opened(sync_of(context))) == ["d/x/top/a"]


def test_members_have_their_permissions_but_no_borrowed_identity(opened, host, context):
    program = tarfile.TarInfo("run")
    program.mode = 0o6755
    put(host, context, "/data/x.tar", tarred(program))

    assert opened(sync_of(context)).path("/data/x/run").stat().st_mode & 0o7777 == 0o755


def test_a_differing_file_keeps_its_name_and_the_member_becomes_a_copy(opened, host, context):
    put(host, context, "/data/pkg.zip", PACKAGE)
    put(host, context, "/data/pkg/a.txt", b"mine")
    put(host, context, "/data/pkg/sub/b.txt", b"B")
    session = opened(sync_of(context))

    copies = [path for path in shown(session) if "conflict" in path]

    assert session.path("/data/pkg/a.txt").read_bytes() == b"mine"
    assert [session.path(f"/data/{path}").read_bytes() for path in copies] == [b"A"]


def test_an_unsafe_archive_is_refused_whole_and_the_task_succeeds(opened, host, context):
    put(host, context, "/data/pkg.zip", zipped(("fine", b"x"), ("../evil", b"x")))
    session = opened(sync_of(context))

    assert shown(session) == ["pkg.zip"]
    assert (last(session).status, len(last(session).warnings)) == ("Success", 1)
    assert not session.path("/evil").exists()


def test_a_planted_link_does_not_lead_out(opened, host, context, tmp_path):
    (tmp_path / "outside").mkdir()
    root = tmp_path / "root"
    (root / "data" / "pkg").mkdir(parents=True)
    (root / "data" / "pkg" / "sub").symlink_to(tmp_path / "outside")
    put(host, context, "/data/pkg.zip", PACKAGE)

    session = opened(sync_of(context), root=root)

    assert shown(session) == ["pkg.zip"]
    assert session.path("/data/pkg/sub").is_symlink()
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("members", (("Read", "read"), ("D/a", "d/b"), ("aux.txt",), ("dot.",)), ids="-".join)
def test_names_that_the_volume_merges_or_refuses_keep_the_archive_packed(opened, host, context, monkeypatch, members):
    """E5. The volume is a real one that is taken for another: what it would do with the names is not needed here."""
    put(host, context, "/data/pkg.zip", zipped(*((name, b"x") for name in members)))
    assert len(shown(opened(sync_of(context)))) == len(members)
    merging = Volume(keeps_case=False, windows_names=True)
    monkeypatch.setattr("tallystick.trees.directory.probe", lambda files, at, temporary: merging)

    session = opened(sync_of(context))

    assert shown(session) == ["pkg.zip"]
    assert len(last(session).warnings) == 1


def test_members_out_of_scope_keep_the_archive_packed(opened, host, context):
    put(host, context, "/data/pkg.zip", PACKAGE)
    lists = BWList([WhiteList("", ["pkg/sub"])])

    assert shown(opened(sync_of(context, bw_list=lists))) == ["pkg.zip"]


def test_the_store_keeps_an_archive_that_extraction_removed(opened, host, context):
    put(host, context, "/data/pkg.zip", PACKAGE)
    session = opened(sync_of(context))

    assert session.context.sync(mode="both").success
    assert shown(session) == ["pkg/a.txt", "pkg/sub/b.txt"]
    assert session.delete().success
    assert files(host, context) == ["/data/pkg.zip", "/data/pkg/a.txt", "/data/pkg/sub/b.txt"]


@pytest.mark.parametrize("delete_source", (True, False))
def test_an_expanded_archive_is_not_unpacked_again_elsewhere(opened, host, context, delete_source):
    put(host, context, "/data/pkg.zip", PACKAGE)
    policy = ExtractPolicy(delete_src_file=delete_source)
    first = opened(sync_of(context, extract_policy=policy))
    assert first.context.sync().success
    first.path("/data/pkg/a.txt").unlink()
    assert first.delete().success

    second = opened(sync_of(context, extract_policy=policy))

    assert shown(second) == (["pkg/sub/b.txt"] if delete_source else ["pkg.zip", "pkg/sub/b.txt"])
    assert second.delete().success
    assert "/data/pkg.zip" in files(host, context)


@pytest.fixture
def expanded(opened, host, context):
    """A context whose archive was unpacked and marked by a session; its members are stored."""
    put(host, context, "/data/pkg.zip", PACKAGE)
    assert opened(sync_of(context)).delete().success
    return context


def test_an_expanded_archive_is_not_even_fetched(opened, host, expanded):
    session = opened(sync_of(expanded))

    row = last(session)
    assert (row.files_done, row.bytes_done) == (2, 2), "its members, and not the archive"
    assert shown(session) == ["pkg/a.txt", "pkg/sub/b.txt"]
    assert session.context.plan("both").actions == {"/data": []}


@pytest.mark.parametrize("again", (False, True))
def test_an_expanded_archive_is_fetched_and_unpacked_when_its_content_has_changed(opened, host, expanded, again):
    session = opened(sync_of(expanded))
    put(host, expanded, "/data/pkg.zip", zipped(("new.txt", b"N")))
    if again:
        session = opened(sync_of(expanded))
    else:
        assert session.context.sync(mode="download").success

    assert shown(session) == ["pkg/a.txt", "pkg/new.txt", "pkg/sub/b.txt"]
    assert session.delete().success
    assert shown(opened(sync_of(expanded))) == ["pkg/a.txt", "pkg/new.txt", "pkg/sub/b.txt"]


@pytest.mark.parametrize("arguments", ({}, {"reconcile": "mirror"}))
@pytest.mark.parametrize("download", (True, False))
def test_nothing_happens_to_an_expanded_archive_that_a_mount_does_not_see(opened, host, expanded, arguments, download):
    policy = DownloadPolicy(auto_download=download)
    session = opened(sync_of(expanded, download_policy=policy))
    write(session, "/data/other", b"O")
    session.path("/data/pkg/a.txt").unlink(missing_ok=True)

    assert session.context.sync(confirm_deletions=True, **arguments).success
    assert session.context.sync(mode="both").success
    assert session.delete().success
    assert "/data/pkg.zip" in files(host, expanded)
    assert ("/data/pkg/a.txt" in files(host, expanded)) is (not download and not arguments)


@pytest.mark.parametrize("policy", (ExtractPolicy(extract=False), ExtractPolicy(delete_src_file=False)))
def test_a_mount_that_keeps_archives_sees_expanded_ones_also_if_it_was_another_one_before(
    opened, expanded, tmp_path, policy
):
    fresh = opened(sync_of(expanded, extract_policy=policy))
    before = opened(sync_of(expanded), session_id="s", root=tmp_path / "kept")
    assert shown(before) == ["pkg/a.txt", "pkg/sub/b.txt"]
    before.context.close()
    number = fresh.context.place.memory.parent.name.removeprefix("memory")
    shutil.copytree(tmp_path / f"memory{int(number) + 1}", tmp_path / f"memory{int(number) + 2}")
    after = opened(sync_of(expanded, extract_policy=policy), session_id="s", root=tmp_path / "kept")

    for session in (fresh, after):
        assert shown(session) == ["pkg.zip", "pkg/a.txt", "pkg/sub/b.txt"]


def test_a_file_made_under_the_name_of_an_expanded_archive_is_stored_beside_it(opened, host, expanded):
    session = opened(sync_of(expanded))
    write(session, "/data/pkg.zip", b"mine")

    assert session.delete().success
    found = [key for key in files(host, expanded) if key.endswith(".zip")]
    assert (len(found), found[1]) == (2, "/data/pkg.zip")
    assert "conflict" in found[0]


def test_an_archive_that_stayed_here_is_seen_when_others_expand_it(opened, host, context):
    put(host, context, "/data/pkg.zip", PACKAGE)
    keeping = opened(sync_of(context, extract_policy=ExtractPolicy(extract=False)))
    assert opened(sync_of(context)).delete().success
    keeping.path("/data/pkg.zip").unlink()

    assert keeping.context.sync().success
    assert "/data/pkg.zip" not in files(host, context)


def test_an_archive_that_a_full_disk_hindered_is_no_success_and_is_unpacked_by_the_next_download(
    opened, host, context, monkeypatch
):
    put(host, context, "/data/pkg.zip", PACKAGE)
    create = Files.create

    def full(self, name, *given):
        if name == "b.txt":
            raise OSError(errno.ENOSPC, "no room")
        return create(self, name, *given)

    with monkeypatch.context() as patching:
        patching.setattr(Files, "create", full)
        session = opened(sync_of(context))
    assert (last(session).status, last(session).error_message[:9]) == ("Failed", "[NoSpace]")
    assert shown(session) == ["pkg.zip"]

    assert session.context.sync(mode="download").success
    assert shown(session) == ["pkg/a.txt", "pkg/sub/b.txt"]
    assert session.context.sync(mode="download").success


@pytest.mark.parametrize("edited", (False, True))
def test_an_archive_whose_unpacking_was_cut_short_is_unpacked_by_the_next_download_unless_it_was_edited(
    opened, host, context, monkeypatch, edited
):
    put(host, context, "/data/pkg.zip", PACKAGE)

    def killed(*given):
        raise RuntimeError("killed")

    with monkeypatch.context() as patching:
        patching.setattr(Expanded, "unpack", killed)
        session = opened(sync_of(context))
    if edited:
        write(session, "/data/pkg.zip", zipped(("mine", b"M")))

    assert session.context.sync(mode="download").success
    assert shown(session) == (["pkg.zip"] if edited else ["pkg/a.txt", "pkg/sub/b.txt"])


def test_an_archive_is_unpacked_again_when_its_content_changes(opened, host, context):
    put(host, context, "/data/pkg.zip", PACKAGE)
    session = opened(sync_of(context))
    assert session.context.sync().success

    put(host, context, "/data/pkg.zip", zipped(("new.txt", b"N")))

    assert session.context.sync(mode="download").success
    assert shown(session) == ["pkg/a.txt", "pkg/new.txt", "pkg/sub/b.txt"]


def test_a_new_file_under_the_name_of_an_unpacked_archive_is_uploaded(opened, host, context):
    put(host, context, "/data/pkg.zip", PACKAGE)
    session = opened(sync_of(context))
    write(session, "/data/pkg.zip", b"something else")

    assert session.delete().success
    assert host.entries(context, ["/data/pkg.zip"])["/data/pkg.zip"].size == len(b"something else")
