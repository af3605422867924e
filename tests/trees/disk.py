"""Trees on a disk for tests: written from and read back as nested dictionaries; runs of a pair on them."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.files import REAL
from tallystick.trees.names import POSIX
from tallystick.trees.nodes import Directory, Kind, Leaf
from tallystick.trees.options import Options
from tallystick.trees.pair import Pair
from tallystick.trees.reading import digest_of, link_digest
from tallystick.trees.state import State

FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None


class Ground:
    """Two roots, a state, and runs on them. Text stands for content, ``"@x"`` for a link, ``"x!"`` for executable."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="tally-ground-", dir=FAST))
        self.local, self.remote = self.root / "local", self.root / "remote"
        self.local.mkdir()
        self.remote.mkdir()
        self.state = self.root / "memory" / "state.db"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for path, _, _ in os.walk(self.root):
            os.chmod(path, 0o755)
        shutil.rmtree(self.root)

    def pair(self, files=REAL, clock=None, volumes=(POSIX, POSIX), remote_files=None):
        clock = clock or future
        return Pair(
            DirectoryEnd(str(self.local), clock, files, volumes[0]),
            DirectoryEnd(str(self.remote), clock, remote_files or files, volumes[1]),
            State(self.state),
            clock,
        )

    def run(self, files=REAL, clock=None, volumes=(POSIX, POSIX), remote_files=None, **options):
        pair = self.pair(files, clock, volumes, remote_files)
        try:
            return pair.run(Options(**{"durable": False, **options}))
        finally:
            pair.close()


def remembered(ground):
    """The base of a ground's pair as a tree of nodes, read from its memory."""

    def at(path):
        row = state.base_row(path)
        if row is None:
            return Directory()
        return Directory(
            {
                name: at(f"{path}/{name}" if path else name) if isinstance(child, Directory) else child
                for name, child in row.children().items()
            }
        )

    state = State(ground.state)
    try:
        with state.held():
            known = {path for path in state.base_paths() if path}
            found = at("")
            assert known == set(directories(found)), "the base holds rows that nothing leads to"
            return found
    finally:
        state.close()


def directories(node, path=""):
    for name, child in node.children.items():
        if isinstance(child, Directory):
            inner = f"{path}/{name}" if path else name
            yield inner
            yield from directories(child, inner)


def read_tree(root):
    """A tree on disk as nodes."""
    children = {}
    for path in Path(root).iterdir():
        if path.is_symlink():
            digest, found = link_digest(os.readlink(path)), path.lstat()
            children[path.name] = Leaf(Kind.LINK, digest, mtime_ns=found.st_mtime_ns, permissions=0o777)
        elif path.is_dir():
            children[path.name] = read_tree(path)
        else:
            found = path.stat()
            children[path.name] = Leaf(
                Kind.FILE, digest_of(path.read_bytes()), found.st_size, found.st_mtime_ns, found.st_mode & 0o777
            )
    return Directory(children)


def future():
    """A clock so far ahead that no time stamp on disk counts as recent: what was noted is trusted."""
    return time.time_ns() + 1_000_000_000


def grow(root, wood):
    """Write a tree; what is there already is replaced."""
    root = Path(root)
    for name, child in wood.items():
        path = root / name
        remove(path)
        if isinstance(child, dict):
            path.mkdir()
            grow(path, child)
        elif child.startswith("@"):
            path.symlink_to(child[1:])
        else:
            path.write_bytes(child.removesuffix("!").encode())
            path.chmod(0o755 if child.endswith("!") else 0o644)


def regrow(root, wood):
    """Make a tree equal to ``wood``, touching only what differs."""
    root = Path(root)
    now = shown(root)
    for name in now:
        if name not in wood:
            remove(root / name)
    for name, child in wood.items():
        if isinstance(child, dict) and isinstance(now.get(name), dict):
            regrow(root / name, child)
        elif now.get(name) != child:
            grow(root, {name: child})


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        path.unlink()


def shown(root, temporary=False):
    """Read a tree back."""
    wood = {}
    for path in sorted(Path(root).iterdir()):
        if path.name.startswith(".tally-") and not temporary:
            continue
        if path.is_symlink():
            wood[path.name] = f"@{os.readlink(path)}"
        elif path.is_dir():
            wood[path.name] = shown(path, temporary)
        else:
            executable = path.stat().st_mode & 0o100
            wood[path.name] = path.read_bytes().decode("utf-8", "replace") + ("!" if executable else "")
    return wood


def contents(wood):
    """All values of files and links in a tree, executable or not."""
    found = set()
    for child in wood.values():
        if isinstance(child, dict):
            found |= contents(child)
        else:
            found.add(child.removesuffix("!"))
    return found


def temporaries(root):
    """Paths of temporary entries of ours."""
    return [path for path in Path(root).rglob("*") if path.name.startswith(".tally-")]
