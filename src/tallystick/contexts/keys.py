"""Keys: the names of files in a context, and how they appear in a mount (spec contexts K1-K4, M1, M2).

A key is the file's full path in the session: the prefix of its mount and the path below it. Its normal form begins
with ``/``, separates with ``/``, has no empty, ``.`` or ``..`` segment and no trailing ``/``; a drive letter is a
first segment in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from tallystick.errors import ValueRejected

DRIVE = re.compile(r"/?([A-Za-z]):(?=[\\/]|$)")


class InvalidBinding(ValueRejected):
    """A mount that cannot be: no context, no absolute path, a root, or ``..`` in it. Correct the field it names."""

    code = "InvalidBinding"
    default_hint = "give a context and an absolute path below a root"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"[{self.code}] {field}: {message}")
        self.field = field


class PathAlreadyBound(ValueRejected):
    """Something is mounted at this path of the session already. Mount elsewhere."""

    code = "PathAlreadyBound"
    default_hint = "mount the context at another path"


class PrefixAlreadyBound(ValueRejected):
    """The same keys of one context would appear twice in one session. Mount another part of it."""

    code = "PrefixAlreadyBound"
    default_hint = "mount a part of the context that is not mounted in this session yet"


def has_drive(path: str) -> bool:
    """True for a path with a drive letter, in native or in key form."""
    return DRIVE.match(path) is not None


def normal(path: str) -> str:
    """The normal form of an absolute path of any operating system; the root is ``""``.

    Raises ValueRejected for ``..`` segments. Both separators count in paths with a drive letter only: elsewhere a
    backslash is a character like any other.
    """
    drive = DRIVE.match(path)
    if drive is not None:
        path = f"/{drive[1].lower()}:{path[drive.end() :]}".replace("\\", "/")
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if ".." in segments:
        raise ValueRejected(f"the path {path!r} has a '..' segment", hint="write the path without '..'")
    return "".join(f"/{segment}" for segment in segments)


def below(prefix: str, key: str) -> str | None:
    """The part of ``key`` below ``prefix``, without a leading ``/``; ``""`` for the prefix itself, None outside.

    Both in normal form. Prefixes with a drive letter compare without case (M2).
    """
    if prefix == "":
        return key[1:]
    head = key[: len(prefix)]
    if head != prefix and not (has_drive(prefix) and head.casefold() == prefix.casefold()):
        return None
    rest = key[len(prefix) :]
    if rest == "":
        return ""
    return rest[1:] if rest.startswith("/") else None


class Binding(NamedTuple):
    """Where one mount stands: its path in the session and the prefix of its keys, both in normal form."""

    context_id: str
    path: str
    prefix: str

    def key(self, relative: str) -> str:
        """The key of a path below the mount (M1: uploads go back to the original prefix)."""
        return f"{self.prefix}/{relative}" if relative else self.prefix

    def relative(self, key: str) -> str | None:
        """The path below the mount at which a key appears; None when the mount does not show it."""
        return below(self.prefix, key)


def binding_of(context_id: str | None, path: str | None, mapped: str = "") -> Binding:
    """The binding that a ContextSync asks for; ``mapped`` is the path of its mapping policy.

    Raises InvalidBinding naming the field that cannot be.
    """
    if not context_id:
        raise InvalidBinding("context_id", "a context is needed")
    if not path:
        raise InvalidBinding("path", "a path is needed")
    mount = _mountable("path", path)
    return Binding(context_id, mount, _mountable("mapping_policy.path", mapped) if mapped else mount)


def _mountable(field: str, path: str) -> str:
    if not path.startswith("/") and not has_drive(path):
        raise InvalidBinding(field, f"{path!r} is not an absolute path")
    if "\0" in path:
        raise InvalidBinding(field, f"{path!r} holds a zero character")
    try:
        found = normal(path)
    except ValueRejected as problem:
        raise InvalidBinding(field, problem.message) from None
    if found == "" or re.fullmatch(r"/[a-z]:", found):
        raise InvalidBinding(field, f"{path!r} is a root")
    return found


def check_bindings(existing: Iterable[Binding], wanted: Iterable[Binding]) -> None:
    """Raise PathAlreadyBound or PrefixAlreadyBound unless all ``wanted`` can stand beside the ``existing`` (K3)."""
    standing = list(existing)
    for binding in wanted:
        for other in standing:
            if other.path == binding.path:
                raise PathAlreadyBound(f"[PathAlreadyBound] {binding.path} shows context {other.context_id} already")
            if other.context_id == binding.context_id and _overlap(other.prefix, binding.prefix):
                raise PrefixAlreadyBound(
                    f"[PrefixAlreadyBound] {binding.prefix} of context {binding.context_id} is mounted at {other.path}"
                )
        standing.append(binding)


def _overlap(one: str, other: str) -> bool:
    return below(one, other) is not None or below(other, one) is not None


def inner_mounts(binding: Binding, others: Iterable[Binding]) -> list[str]:
    """The relative paths below a mount at which other mounts stand: out of its scope (K3)."""
    found = (below(binding.path, other.path) for other in others)
    return sorted(relative for relative in found if relative)
