"""What CREATE statements of SQLite say that no pragma tells: collations, words, expressions in indexes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^]]*\]|'(?:[^']|'')*')
    |(?P<word>[^\s"'`\[\](),;]+)
    |(?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_CONSTRAINTS = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}
"""What a part of the statement begins with that is no column, when it is not quoted."""


def collations(statement: str) -> dict[str, str]:
    """The collation of each column that declares one, in capital letters, by the column's name as declared."""
    found = {}
    for part in _parts(statement):
        named = part[0] if part else ""
        if not named or named.upper() in _CONSTRAINTS:
            continue
        for before, after in pairwise(part[1:]):
            if before.upper() == "COLLATE":
                found[_unquoted(named)] = _unquoted(after).upper()
    return found


def terms(statement: str) -> list[str]:
    """What a CREATE INDEX statement indexes, in its order: columns and expressions as they are written there."""
    depth, found, part = 0, list[str](), list[re.Match[str]]()
    for match in _TOKEN.finditer(statement):
        token = match.group()
        if match.lastgroup == "space":
            continue
        depth -= token == ")"
        if depth == 0 and part:
            break
        if depth == 1 and token == ",":
            found.append(_written(statement, part))
            part = []
        elif depth:
            part.append(match)
        depth += token == "("
    return [*found, _written(statement, part)]


def _written(statement: str, part: list[re.Match[str]]) -> str:
    """The text of a term without the direction in which it is sorted."""
    if part[-1].group().upper() in ("ASC", "DESC"):
        part = part[:-1]
    return statement[part[0].start() : part[-1].end()]


def words(statement: str) -> frozenset[str]:
    """The words, in capital letters, that declare columns and constraints: none that is quoted or in parentheses."""
    return frozenset(token.upper() for part in _parts(statement) for token in part)


def _parts(statement: str) -> Iterator[list[str]]:
    """The tokens of each part between the commas of the outermost parentheses, what is nested in them left out."""
    depth, part = 0, list[str]()
    for token in _tokens(statement):
        if token == ")":
            depth -= 1
        if depth == 0 and part:
            break
        if depth == 1 and token == ",":
            yield part
            part = []
        elif depth == 1 and token not in "()":
            part.append(token)
        if token == "(":
            depth += 1
    yield part


def _tokens(statement: str) -> Iterator[str]:
    for match in _TOKEN.finditer(statement):
        if match.lastgroup != "space":
            yield match.group()


def _unquoted(name: str) -> str:
    if name[:1] == "[":
        return name[1:-1]
    if name[:1] in ('"', "'", "`"):
        return name[1:-1].replace(name[0] * 2, name[0])
    return name
