"""White lists as a scope: which paths below a mount are seen (spec contexts W1-W5).

The entries form a union: a path is in scope if some entry includes it and that same entry does not exclude it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from blake3 import blake3

from tallystick.contexts.keys import Binding, below, has_drive, normal
from tallystick.contexts.policies import BWList, WhiteList

Segments = tuple[str, ...]


class Decision(NamedTuple):
    """Whether a path is in scope, the position of the entry that decided (None: no entry did), and why in words."""

    included: bool
    entry: int | None
    reason: str


class WhiteListScope:
    """The scope of one mount. Paths are relative to the mount; ``inner`` are mounts nested in it (K3)."""

    def __init__(self, bw_list: BWList, binding: Binding, inner: Iterable[str] = ()) -> None:
        self._binding = binding
        self._inner = tuple(segments_of(path) for path in inner)
        self._sources = list(bw_list.white_lists)
        self._entries = [_Entry(source, binding) for source in self._sources]
        self.everything = not self._inner and (not self._entries or any(e.is_everything for e in self._entries))

    def includes(self, path: str, directory: bool = False) -> bool:
        """True when the path is in scope."""
        return self.everything or self.explain(path).included

    def enters(self, path: str) -> bool:
        """True when the directory is in scope or may hold something that is."""
        segments = segments_of(path)
        if any(starts_with(segments, inner) for inner in self._inner):
            return False
        return not self._entries or any(entry.enters(segments) for entry in self._entries)

    def explain(self, path: str) -> Decision:
        """Whether the path is in scope and which entry decided it (W5)."""
        segments = segments_of(path)
        for inner in self._inner:
            if starts_with(segments, inner):
                return Decision(False, None, f"another context is mounted at {'/'.join(inner)}")
        if not self._entries:
            return Decision(True, None, "there is no white list: everything is in scope")
        refusal = Decision(False, None, "no white list entry includes it")
        for position, entry in enumerate(self._entries):
            if not entry.includes(segments):
                continue
            excluded_by = entry.excluded_by(segments)
            if excluded_by is None:
                return Decision(True, position, f"entry {position + 1} ({entry.title}) includes it")
            refusal = Decision(False, position, f"entry {position + 1} ({entry.title}) excludes it by {excluded_by!r}")
        return refusal

    def idle_entries(self, present: Iterable[str]) -> list[str]:
        """The paths of entries that include none of the ``present`` paths, to be warned about (W5)."""
        idle = dict(enumerate(self._entries))
        for path in present:
            if not idle:
                break
            segments = segments_of(path)
            for position in [number for number, entry in idle.items() if entry.includes(segments)]:
                del idle[position]
        return [self._sources[position].path for position in idle]

    def fingerprint(self) -> bytes:
        """A digest of the prefix, the entries and the nested mounts (K6)."""
        described = (self._binding.prefix, [source.to_dict() for source in self._sources], self._inner)
        return bytes(blake3(msgspec.json.encode(described)).digest())


def segments_of(path: str) -> Segments:
    """The whole segments of a relative path; the root has none."""
    return tuple(segment for segment in path.split("/") if segment not in ("", "."))


def starts_with(segments: Segments, head: Segments) -> bool:
    """True when ``head`` names ``segments`` or an ancestor of it."""
    return segments[: len(head)] == head


def has_run(segments: Segments, run: Segments) -> bool:
    """True when ``run`` occurs in ``segments`` as a run of whole segments."""
    return any(segments[start : start + len(run)] == run for start in range(len(segments) - len(run) + 1))


class _Entry:
    """One white list entry, compiled for one mount."""

    def __init__(self, source: WhiteList, binding: Binding) -> None:
        self._binding = binding
        self._pattern = re.compile(source.path) if source.is_path_regex and source.path not in ("", "/") else None
        self._path = () if self._pattern else self._anchored(source.path)[1]
        self.title = source.path or "everything"
        self._exclude_patterns = [re.compile(text) for text in source.exclude_paths] if source.is_exclude_regex else []
        self._excludes = [] if source.is_exclude_regex else self._literal_excludes(source.exclude_paths)
        self.is_everything = not (self._pattern or self._path or self._excludes or self._exclude_patterns)

    def _anchored(self, value: str) -> tuple[bool, Segments]:
        """Whether a literal value is absolute, and its segments below the mount (W3 a and b)."""
        if has_drive(value) or has_drive(self._binding.prefix) or has_drive(self._binding.path):
            value = value.replace("\\", "/")
        if value.startswith("/") or has_drive(value):
            for anchor in (self._binding.path, self._binding.prefix):
                relative = below(anchor, normal(value))
                if relative is not None:
                    return True, segments_of(relative)
        return False, segments_of(value)

    def _literal_excludes(self, values: Sequence[str]) -> list[tuple[str, Segments, bool]]:
        """(as written, segments, anchored at the mount) of every exclude that names anything."""
        excludes = []
        for value in values:
            absolute, segments = self._anchored(value)
            if not segments and not absolute:
                continue
            if absolute or self._strictly_below(segments):
                excludes.append((value, segments, True))
            elif self._pattern:
                excludes.append((value, segments, False))
            else:
                excludes.append((value, self._path + segments, True))
        return excludes

    def _strictly_below(self, segments: Segments) -> bool:
        if self._pattern:
            depth = self._included_depth(segments[:-1])
            return depth is not None
        return len(segments) > len(self._path) and starts_with(segments, self._path)

    def includes(self, segments: Segments) -> bool:
        """True when the entry's path names the segments or an ancestor."""
        return self._included_depth(segments) is not None

    def _included_depth(self, segments: Segments) -> int | None:
        """How many leading segments form the shortest path that the entry names; None when it names none."""
        if self._pattern is None:
            return len(self._path) if starts_with(segments, self._path) else None
        for depth in range(len(segments) + 1):
            if any(self._pattern.fullmatch(text) for text in self._spellings(segments[:depth])):
                return depth
        return None

    def _spellings(self, segments: Segments) -> list[str]:
        tail = "".join(f"/{segment}" for segment in segments)
        absolute = [self._binding.path + tail]
        if self._binding.prefix != self._binding.path:
            absolute.append(self._binding.prefix + tail)
        return [tail[1:], *absolute] if segments else absolute

    def enters(self, segments: Segments) -> bool:
        """True when the directory is included and not excluded, or may hold something that is."""
        if self._pattern is None and not starts_with(segments, self._path):
            return starts_with(self._path, segments)
        if self._pattern is not None and not self.includes(segments):
            return True
        return self.excluded_by(segments) is None

    def excluded_by(self, segments: Segments) -> str | None:
        """The exclude that takes an included path out again; None when there is none."""
        for written, excluded, anchored in self._excludes:
            if anchored and starts_with(segments, excluded):
                return written
            if not anchored and has_run(segments[self._included_depth(segments) or 0 :], excluded):
                return written
        for pattern in self._exclude_patterns:
            if self._excluded_by_pattern(pattern, segments):
                return pattern.pattern
        return None

    def _excluded_by_pattern(self, pattern: re.Pattern[str], segments: Segments) -> bool:
        for end in range(1, len(segments) + 1):
            runs = ("/".join(segments[start:end]) for start in range(end))
            if any(map(pattern.fullmatch, runs)) or any(map(pattern.fullmatch, self._spellings(segments[:end]))):
                return True
        return False
