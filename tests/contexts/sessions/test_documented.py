"""The table of policies in docs/contexts.md, row by row."""

import io
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tallystick.contexts import ContextService, ContextSync, SyncPolicy

from .conftest import put

PAGE = Path(__file__).parents[3] / "docs" / "contexts.md"
HEAD = "| store | mount | policy | store after | mount after |"


def rows():
    """The cells of every row, without their backquotes."""
    table = PAGE.read_text(encoding="utf-8").partition(HEAD)[2].lstrip("\n").splitlines()[1:]
    for line in table:
        if not line.startswith("|"):
            return
        yield tuple(cell.strip().strip("`") for cell in line.split("|")[1:-1])


ROWS = list(rows())


def archive():
    """A zip that holds ``a.txt``."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("a.txt", "A")
    return made.getvalue()


def listed(host, context, folder=""):
    """The keys of all files as listings show them."""
    for entry in ContextService(host).list_files(context, folder, max_results=100).entries:
        if entry.file_type == "FOLDER":
            yield from listed(host, context, entry.file_path)
        else:
            yield entry.file_path


def matches(found, patterns):
    return len(found) == len(patterns) and all(map(fnmatch, sorted(found), sorted(patterns)))


def test_the_table_is_found():
    assert len(ROWS) >= 13


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:3])[:60])
def test_every_row_of_the_table_is_true(row, opened, host, context, tmp_path):
    store, mount, policy, store_after, mount_after = row
    for key in store.split():
        put(host, context, key, archive() if key.endswith(".zip") else key.encode())
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    for change in mount.split():
        if change[0] == "=":
            (root / "data" / change[1:]).write_text("stood there before")

    session = opened(ContextSync(context, "/data", SyncPolicy.from_dict(tomllib.loads(policy))), root=root)
    for change in mount.split():
        path = session.path(f"/data/{change[1:]}")
        if change[0] == "+":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(change)
        elif change[0] == "-":
            path.unlink()
    released = session.delete()

    assert released.success, released.error_message
    assert matches(list(listed(host, context)), store_after.split())
    held = [str(path.relative_to(root / "data")) for path in (root / "data").rglob("*") if path.is_file()]
    assert matches(held, mount_after.split())
