"""Ignore rules: ``.tallyignore`` files and patterns of the command line, in the grammar of gitignore.

A file's patterns hold below the directory that it stands in; of all matching patterns the last one decides, deeper
files come later; what is below an ignored directory cannot be taken in again. The files themselves are synchronized
like any other, and a path is out of scope when the rules of either side ignore it (K5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from blake3 import blake3
from pathspec import GitIgnoreSpec

from tallystick.errors import FilterError
from tallystick.trees.scan import IGNORE_FILE

MAX_RULE_BYTES = 1 << 20


class Verdict(NamedTuple):
    """Whether a path is ignored, and the file and pattern that decided (empty: none did)."""

    ignored: bool
    file: str = ""
    pattern: str = ""


class _Rules(NamedTuple):
    """The patterns of one file, and the directory below which they hold."""

    file: str
    directory: str
    spec: GitIgnoreSpec


class IgnoreRules:
    """A scope made of ignore files (path -> content) and further patterns that hold from the root and decide last."""

    def __init__(self, files: Mapping[str, bytes], patterns: Sequence[str] = ()) -> None:
        self._described = (tuple(sorted(files.items())), tuple(patterns))
        rules = []
        for path in sorted(files, key=lambda path: (path.count("/"), path)):
            lines = files[path][:MAX_RULE_BYTES].decode("utf-8", "surrogateescape").splitlines()
            rules.append(_compiled(path, path.rpartition("/")[0], lines))
        if patterns:
            rules.append(_compiled("", "", patterns))
        self._rules = rules
        self.everything = not any(pattern.include is not None for rule in rules for pattern in rule.spec.patterns)
        self._known: dict[str, bool] = {}

    def includes(self, path: str, directory: bool) -> bool:
        """True unless the path or a directory above it is ignored."""
        parent = path.rpartition("/")[0]
        if parent and not self.enters(parent):
            return False
        return not self._own(path, directory).ignored

    def enters(self, path: str) -> bool:
        """True unless the directory or one above it is ignored."""
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = path == "" or self.includes(path, True)
        return known

    def explain(self, path: str, directory: bool = False) -> Verdict:
        """Whether a path is ignored, and which pattern of which file decided."""
        segments = path.split("/")
        for depth in range(1, len(segments)):
            verdict = self._own("/".join(segments[:depth]), True)
            if verdict.ignored:
                return verdict
        return self._own(path, directory)

    def fingerprint(self) -> bytes:
        """A digest of all files and patterns."""
        return blake3(repr(self._described).encode("utf-8", "surrogateescape")).digest()

    def _own(self, path: str, directory: bool) -> Verdict:
        """What the last matching pattern says about a path itself."""
        verdict = Verdict(False)
        for rule in self._rules:
            if rule.directory and not path.startswith(f"{rule.directory}/"):
                continue
            relative = path[len(rule.directory) + 1 :] if rule.directory else path
            found = rule.spec.check_file(f"{relative}/" if directory else relative)
            if found.include is not None and found.index is not None:
                pattern = getattr(rule.spec.patterns[found.index], "pattern", "")
                verdict = Verdict(found.include, rule.file or "command line", str(pattern or ""))
        return verdict


def _compiled(file: str, directory: str, lines: Iterable[str]) -> _Rules:
    listed = list(lines)
    try:
        return _Rules(file, directory, GitIgnoreSpec.from_lines(listed))
    except ValueError as problem:
        where = file or "command line"
        raise FilterError(f"{where}: {problem}", hint=f"write the patterns of {where} as for git") from None


def rules_above(path: str) -> list[str]:
    """The paths of the ignore files that may say something about a path."""
    parents = path.split("/")[:-1]
    return ["/".join([*parents[:depth], IGNORE_FILE]) for depth in range(len(parents) + 1)]


__all__ = ["IGNORE_FILE", "IgnoreRules", "Verdict", "rules_above"]
