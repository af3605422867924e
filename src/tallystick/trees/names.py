"""Names: what may come in, what other volumes merge or refuse (spec contexts K2, M3-M5, DESIGN.md 8). Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import NamedTuple

from tallystick.trees.problems import UnsafePath

TEMPORARY = ".tally-"
"""How the names of our own temporary files begin: invisible to every scan."""

MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 255
MAX_DEPTH = 512

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³])(\..*)?")
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"|?*\\]')
_DEVICES = ("con", "prn", "aux", "nul", "com", "lpt")


class Volume(NamedTuple):
    """What a file system can hold. The default is a POSIX volume that keeps every name apart."""

    keeps_case: bool = True
    """Names that differ in case only are different names."""
    keeps_form: bool = True
    """Names that differ in Unicode normal form only are different names."""
    windows_names: bool = False
    """The names that Windows refuses are refused."""
    permissions: bool = True
    """Permission bits are stored."""
    links: bool = True
    """Symbolic links can stand there."""

    @property
    def exact(self) -> bool:
        """True when every name of every other volume can stand here beside every other."""
        return self.keeps_case and self.keeps_form and not self.windows_names


POSIX = Volume()


def check_path(path: str) -> str:
    """The relative path from outside, unchanged, if it can only name something inside a tree; raises UnsafePath."""
    if not path or path.startswith("/"):
        raise UnsafePath(f"{path!r} is not a relative path")
    segments = path.split("/")
    if len(segments) > MAX_DEPTH or len(path) > MAX_PATH_BYTES:
        raise UnsafePath(f"{path[:80]!r}... is too long or too deep")
    for segment in segments:
        check_name(segment)
    return path


def check_name(name: str) -> str:
    """The name from outside, unchanged, if it can be one segment of a path; raises UnsafePath."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise UnsafePath(f"{name!r} cannot be a name in a tree")
    if name.startswith(TEMPORARY):
        raise UnsafePath(f"{name!r} is reserved for temporary files")
    if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES:
        raise UnsafePath(f"the name {name[:40]!r}... is longer than {MAX_NAME_BYTES} bytes")
    return name


def is_leftover(path: str) -> bool:
    """True for the path of a temporary file such as runs make, of whatever pair of trees."""
    return path.rpartition("/")[2].startswith((f"{TEMPORARY}new-", f"{TEMPORARY}swap-"))


def link_leaves(path: str, target: str) -> bool:
    """True when a symbolic link at ``path`` with this target is absolute or points out of the tree (K7)."""
    if target.startswith("/") or not target:
        return True
    depth = path.count("/")
    for segment in target.split("/"):
        if segment == "..":
            depth -= 1
        elif segment not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False


def illegal_on_windows(name: str) -> str | None:
    """Why Windows-like volumes refuse a name; None when they take it (M3)."""
    found = _FORBIDDEN.search(name)
    if found:
        return f"it holds {found[0]!r}"
    if name[-1:] in (".", " "):
        return "it ends with a dot or a space"
    if _RESERVED.fullmatch(name):
        return "it is a device name there"
    return None


def folded(name: str, volume: Volume) -> str:
    """What a volume makes of a name when it compares it with others."""
    if not volume.keeps_form:
        name = unicodedata.normalize("NFC", name)
    if not volume.keeps_case:
        name = unicodedata.normalize("NFC", name).casefold() if not volume.keeps_form else name.casefold()
    return name


ILLEGAL = "illegal_name"
CLASH = "name_clash"
"""Why a name is hidden that a volume takes for another one that it shows."""

MERGES_EVERYTHING = Volume(keeps_case=False, keeps_form=False)


def twins(names: Iterable[str], volume: Volume = MERGES_EVERYTHING) -> list[list[str]]:
    """Groups of two or more names that a volume takes for one, each in code-point order (M4)."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(folded(name, volume), []).append(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def clash_losers(names: Iterable[str], volume: Volume, materialised: Collection[str] = ()) -> set[str]:
    """The names that cannot be written beside the others: all of a group but one (M4).

    The one that is materialised already keeps its place, else the first in code-point order.
    """
    losers: set[str] = set()
    if volume.keeps_case and volume.keeps_form:
        return losers
    for group in twins(names, volume):
        winner = next((name for name in group if name in materialised), group[0])
        losers.update(name for name in group if name != winner)
    return losers


def renamed_away(losers: Iterable[str], volume: Volume, shown: Collection[str], held: Collection[str]) -> set[str]:
    """Losers that were renamed on the volume to another spelling of theirs: they have gone there (M5).

    ``shown`` is what stands there now, ``held`` what both sides are known to have held.
    """
    fresh = {folded(name, volume) for name in shown if name not in held}
    return {name for name in losers if name in held and name not in shown and folded(name, volume) in fresh}


def hidden_names(names: Iterable[str], volume: Volume, materialised: Collection[str] = ()) -> dict[str, str]:
    """Names that cannot be shown on a volume, with ``illegal_name`` or ``name_clash`` (M3, M4)."""
    if volume.exact:
        return {}
    hidden: dict[str, str] = {}
    if volume.windows_names:
        hidden = {name: ILLEGAL for name in names if illegal_on_windows(name)}
    rest = [name for name in names if name not in hidden]
    hidden.update((name, CLASH) for name in clash_losers(rest, volume, materialised))
    return hidden


def portability(names: Collection[str]) -> dict[str, str]:
    """Names that some other volume would refuse or merge, with the reason: to be reported before transfer."""
    found: dict[str, str] = {}
    together = "/".join(names)
    folded_together = together.casefold()
    if _is_suspect(folded_together):
        found = {name: f"illegal on Windows: {why}" for name in names if (why := illegal_on_windows(name))}
    if not together.isascii() or len(set(folded_together.split("/"))) < len(names):
        for group in twins(names):
            found.update((name, f"differs from {group[0]!r} only in case or Unicode form") for name in group[1:])
    return found


def _is_suspect(names: str) -> bool:
    """False when Windows takes all the names, which are joined by slashes and case-folded."""
    if _FORBIDDEN.search(names) or "./" in names or " /" in names or names.endswith((".", " ")):
        return True
    return any(device in names for device in _DEVICES)
