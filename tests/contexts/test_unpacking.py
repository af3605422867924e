"""Archives that may be unpacked, and those that must not be (spec contexts E2, E5)."""

import gzip
import io
import random
import tarfile
import zipfile

import pytest

from tallystick.contexts.unpacking import ArchiveRefused, Bounds, opened_archive, suffix_of


def zipped(*members):
    """A zip of (name or ZipInfo, content)."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def tarred(*members, mode="w"):
    """A tar of (name, content) or TarInfo."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return packed.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def linked(name, target):
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info, target


DEFAULT = Bounds()


@pytest.fixture
def read(tmp_path):
    """Reads an archive: path -> content."""

    def work(content, name="a.zip", bounds=DEFAULT):
        (tmp_path / name).write_bytes(content)
        with open(tmp_path / name, "rb") as file, opened_archive(file, name, bounds) as archive:
            return {
                member.path: member.target or b"".join(archive.content(member))
                for member in archive.members
                if not member.is_directory
            }

    return work


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.zip", ".zip"), ("A.ZIP", ".ZIP"), ("x.tar.gz", ".tar.gz"), ("x.TgZ", ".TgZ"), ("x.tar.xz", ".tar.xz")]
    + [(name, "") for name in ("a.jar", "a.docx", "a.gz", "zip", ".zip", "a.zip.txt")],
)
def test_archives_are_known_by_the_whole_extension(name, suffix):
    assert suffix_of(name) == suffix


@pytest.mark.parametrize(
    ("name", "mode"),
    (
        *(("a.tar", "w"), ("a.tgz", "w:gz"), ("a.tar.gz", "w:gz"), ("a.tbz2", "w:bz2"), ("a.TAR.BZ2", "w:bz2")),
        *(("a.txz", "w:xz"), ("a.tar.xz", "w:xz")),
    ),
)
def test_tars_of_every_kind_are_read(read, name, mode):
    members = ("a", b"A"), ("sub/b", b"B"), special("l", tarfile.SYMTYPE, "a"), special("h", tarfile.LNKTYPE, "a")

    assert read(tarred(*members, mode=mode), name) == {"a": b"A", "sub/b": b"B", "l": "a", "h": b"A"}


def test_zips_are_read_with_their_links(read):
    assert read(zipped(("./a", b"A"), ("sub/", b""), ("sub/b", b"B"), linked("l", "a"))) == {
        "a": b"A",
        "sub/b": b"B",
        "l": "a",
    }


REFUSED = {
    "absolute": zipped(("/etc/passwd", b"x")),
    "parent": zipped(("a/../../b", b"x")),
    "drive": zipped(("c:evil", b"x")),
    "backslash": zipped(("a\\b", b"x")),
    "temporary name of ours": zipped((".tally-new-x", b"x")),
    "link to an absolute path": zipped(linked("l", "/etc")),
    "link that leaves": zipped(linked("sub/l", "../../x")),
    "entry below a link": zipped(linked("l", "sub"), ("l/a", b"x")),
    "entry below a file": zipped(("f", b"x"), ("f/a", b"x")),
    "no zip": b"PK nothing of the kind",
    "nothing": b"",
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED.keys())
def test_zips_that_could_do_harm_are_refused_whole(read, content):
    with pytest.raises(ArchiveRefused):
        read(content)


@pytest.mark.parametrize(
    "member",
    (
        special("d", tarfile.CHRTYPE),
        special("p", tarfile.FIFOTYPE),
        special("h", tarfile.LNKTYPE, "../outside"),
        special("h", tarfile.LNKTYPE, "absent"),
        special("l", tarfile.SYMTYPE, "/etc/passwd"),
        special("../x", tarfile.DIRTYPE),
    ),
)
def test_tars_that_could_do_harm_are_refused_whole(read, member):
    with pytest.raises(ArchiveRefused):
        read(tarred(("fine", b"x"), member), "a.tar")


def test_a_name_that_is_there_twice_is_refused(read):
    with pytest.warns(UserWarning, match="Duplicate"):
        content = zipped(("a", b"1"), ("a", b"2"))
    with pytest.raises(ArchiveRefused):
        read(content)


def test_a_broken_checksum_or_a_cut_archive_is_refused(read):
    packed = bytearray(zipped(("a", b"hello hello hello hello")))
    packed[35] ^= 0xFF
    with pytest.raises(ArchiveRefused):
        read(bytes(packed))
    with pytest.raises(ArchiveRefused):
        read(tarred(("a", b"x" * 100_000), mode="w:gz")[:-20], "a.tgz")


def test_entries_that_share_bytes_and_names_with_zeros_are_refused(read):
    packed = bytearray(zipped(("a", b"1"), ("b", b"2")))
    second = packed.rindex(b"PK\x01\x02")
    packed[second + 42 : second + 46] = bytes(4)  # where the entry is said to begin: as the first one
    packed[second + 46 : second + 47] = b"a"
    with pytest.raises(ArchiveRefused, match="overlap"):
        read(bytes(packed))
    with pytest.raises(ArchiveRefused, match="characters that no name may hold"):
        read(zipped(("a_b", b"x")).replace(b"a_b", b"a\0b"))


def test_the_usual_bounds_are_those_of_the_specification():
    assert Bounds(1_000_000, 10 * 1024**3, 200, 64 * 1024**2) == Bounds()


def test_an_encrypted_entry_is_refused(read):
    packed = bytearray(zipped(("a", b"x")))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(mark) + offset] |= 1
    with pytest.raises(ArchiveRefused):
        read(bytes(packed))


@pytest.mark.parametrize(
    "bounds", (Bounds(entries=2), Bounds(size=2000), Bounds(ratio=2, free=2000)), ids=["entries", "size", "ratio"]
)
@pytest.mark.parametrize("kind", ("zip", "tgz"))
def test_bombs_are_refused_before_they_are_unpacked(read, kind, bounds):
    members = [(f"f{number}", bytes(1000)) for number in range(3)]
    content = zipped(*members) if kind == "zip" else tarred(*members, mode="w:gz")

    assert len(read(content, f"a.{kind}")) == 3
    with pytest.raises(ArchiveRefused):
        read(content, f"a.{kind}", bounds)


@pytest.mark.parametrize("kind", (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE))
def test_a_tar_whose_headers_would_fill_the_memory_is_refused(read, kind):
    """Names and headers are read whole, and a thousandth of their zeros is enough in the archive."""
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, 64 << 20
    packed = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))

    with pytest.raises(ArchiveRefused, match="header"):
        read(packed, "a.tgz")


@pytest.mark.parametrize("name", ("a.tgz", "a.tbz2", "a.txz", "a.tar", "a.zip"))
def test_any_other_bytes_are_refused(read, name):
    chance = random.Random(name)
    kind = name.partition(".")[2]
    modes = {"tgz": "w:gz", "tbz2": "w:bz2", "txz": "w:xz", "tar": "w"}
    members = [(f"d/{number}", chance.randbytes(300)) for number in range(5)]
    packed = zipped(*members) if kind == "zip" else tarred(*members, mode=modes[kind])
    sound = read(packed, name)
    for _ in range(60):
        damaged = bytearray(packed)
        for _ in range(chance.randrange(1, 5)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            found = read(bytes(damaged[: chance.choice((len(damaged), chance.randrange(len(damaged))))]), name)
        except ArchiveRefused:
            continue
        assert len(found) <= len(sound)
