"""SData URLs: paths, selectors, arguments (spec 2). Read leniently, written one way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from tallystick.protocols.sdata.errors import BadUrl

LONGEST_URL: Final = 16_384
MOST_ARGUMENTS: Final = 100

_HIDDEN_SLASH = "\udc2f"
"""A slash that was percent-encoded: no decoded text can contain a lone surrogate."""
_KEY = re.compile(r"""\s*(?:'(?P<single>(?:[^']|'')*)'|"(?P<double>(?:[^"]|"")*)")\s*""")
_SEGMENTS: Final = {
    name.lower(): name
    for name in (
        "$syncDigest",
        "$syncSource",
        "$syncTarget",
        "$syncResults",
        "$linked",
        "$schema",
        "$batch",
        "$service",
        "$template",
        "$system",
        "$queries",
    )
}


class Selector(NamedTuple):
    """What stands in parentheses: a primary key, or a where clause that must match exactly one resource."""

    key: str | None
    where: str | None


class Part(NamedTuple):
    """One part of a path; ``name`` has its canonical spelling when it begins with ``$``."""

    name: str
    selector: Selector | None = None


class Target(NamedTuple):
    """What a URL below the virtual directory names; parts that are missing are "".

    ``groups`` are functional groups, ``path`` leads to a property of ``kind``, ``segments`` is what follows with ``$``.
    """

    application: str = ""
    contract: str = ""
    dataset: str = ""
    groups: tuple[str, ...] = ()
    kind: str = ""
    selector: Selector | None = None
    path: tuple[Part, ...] = ()
    segments: tuple[Part, ...] = ()

    @property
    def segment(self) -> str:
        """The first ``$`` segment, "" when there is none."""
        return self.segments[0].name if self.segments else ""


def parse_path(raw: str) -> tuple[Part, ...]:
    """The parts of a raw (still percent-encoded) path.

    Slashes, literal ones too, may stand inside a selector; ``%24 %27 %28 %29`` are decoded before anything is matched.
    Raises BadUrl for an overlong path, one that is not UTF-8, or a selector that does not end.
    """
    if len(raw) > LONGEST_URL:
        raise BadUrl(f"the URL has more than {LONGEST_URL} characters")
    try:
        text = unquote(re.sub("%2f", _HIDDEN_SLASH, raw, flags=re.IGNORECASE), errors="strict")
    except UnicodeDecodeError as error:
        raise BadUrl("the URL is not UTF-8") from error
    if any(ord(character) < 32 for character in text):
        raise BadUrl("the URL contains control characters")
    return tuple(_part(piece) for piece in _pieces(text) if piece)


def _pieces(text: str) -> list[str]:
    """``text`` split at the slashes that stand outside of selectors."""
    pieces: list[str] = []
    current: list[str] = []
    depth, mark = 0, ""
    for character in text:
        if mark:
            mark = "" if character == mark else mark
        elif character in "'\"" and depth:
            mark = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "/" and depth <= 0:
            pieces.append("".join(current))
            current = []
            continue
        current.append(character)
    if depth > 0 or mark:
        raise BadUrl("a selector in the URL does not end", hint="close its quote and parenthesis")
    return [*pieces, "".join(current)]


def _part(piece: str) -> Part:
    piece = piece.replace(_HIDDEN_SLASH, "/")
    name, opened, rest = piece.partition("(")
    name = _SEGMENTS.get(name.lower(), name) if name.startswith("$") else name
    if not opened:
        return Part(name)
    if not rest.endswith(")"):
        raise BadUrl(f"{piece[:80]!r} has text behind its selector")
    return Part(name, read_selector(rest[:-1]))


def read_selector(text: str) -> Selector:
    """What stands between the parentheses: quoted text, in single or double quotes (L3), is a key (spec 2).

    Raises BadUrl when it is empty.
    """
    if not text.strip():
        raise BadUrl("a selector in the URL is empty")
    match = _KEY.fullmatch(text)
    if match is None:
        return Selector(None, text.strip())
    single, double = match.group("single", "double")
    return Selector(single.replace("''", "'") if single is not None else double.replace('""', '"'), None)


def target_of(parts: tuple[Part, ...], kinds: frozenset[str] = frozenset()) -> Target:
    """What the parts below the virtual directory name; ``kinds`` are the known kinds in lower case.

    Between dataset and kind any functional groups may stand; what follows a known kind without ``$`` is a property.
    Raises BadUrl where a plain part follows a ``$`` segment.
    """
    plain = []
    segments: list[Part] = []
    for part in parts:
        if part.name.startswith("$"):
            segments.append(part)
        elif segments:
            raise BadUrl(f"{part.name[:60]!r} cannot follow {segments[-1].name}")
        else:
            plain.append(part)
    names = [part.name for part in plain[:3]]
    names += [""] * (3 - len(names))
    below = plain[3:]
    at = next((index for index, part in enumerate(below) if part.name.lower() in kinds), len(below) - 1)
    kind = below[at] if below else Part("")
    return Target(
        application=names[0],
        contract=names[1],
        dataset=names[2],
        groups=tuple(part.name for part in below[:at]) if below else (),
        kind=kind.name,
        selector=kind.selector,
        path=tuple(below[at + 1 :]) if below else (),
        segments=tuple(segments),
    )


class Arguments:
    """The arguments of a URL: names in any case, unknown ones ignored (spec 2)."""

    def __init__(self, query: str) -> None:
        """``query`` is raw. Raises BadUrl for more than a hundred arguments or text that is not UTF-8."""
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MOST_ARGUMENTS)
        except ValueError as error:
            raise BadUrl("the arguments of the URL cannot be read") from error
        self._values: Mapping[str, str] = {name.lower(): value for name, value in reversed(pairs)}

    def text(self, name: str, default: str = "") -> str:
        """The argument ``name``; the first one when it was repeated."""
        return self._values.get(name.lower(), default)

    def has(self, name: str) -> bool:
        """True when the argument was given, even if empty."""
        return name.lower() in self._values

    def number(self, name: str, default: int | None, least: int = 0) -> int | None:
        """The whole number that argument ``name`` is, ``default`` when it is absent or empty.

        Raises BadUrl when it is none, or less than ``least``.
        """
        text = self.text(name).strip()
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < least:
            raise BadUrl(f"{name}={text[:40]} is no whole number from {least} on")
        return int(text)

    @property
    def tracking_id(self) -> str:
        """``trackingID`` in any of its spellings; opaque, "" when absent."""
        return self.text("trackingID").strip()

    @property
    def run(self) -> tuple[str, str]:
        """``runName`` and ``runStamp``, both opaque."""
        return self.text("runName"), self.text("runStamp")


_KEPT: Final = "!$&'()*+,;=:@-._~"


def quoted_selector(key: str) -> str:
    """``('key')`` for a URL, quotes doubled, everything a path cannot hold percent-encoded."""
    plain = key.isascii() and key.isalnum()
    return f"('{key}')" if plain else "('" + quote(key.replace("'", "''"), safe=_KEPT) + "')"


def resource_url(endpoint: str, key: str) -> str:
    """The URL of one resource of the kind at ``endpoint``."""
    return endpoint + quoted_selector(key)


def segment_url(endpoint: str, segment: str, selector: str | None = None) -> str:
    """The URL of a ``$`` segment of the kind at ``endpoint``, with a selector where one is given."""
    return f"{endpoint}/{segment}" + ("" if selector is None else quoted_selector(selector))


def with_arguments(url: str, **arguments: str | int | None) -> str:
    """``url`` with ``arguments`` appended, percent-encoded (never ``+`` for a space); None and "" are left out."""
    given = [
        f"{name}={quote(str(value), safe=_ARGUMENT)}" for name, value in arguments.items() if value not in (None, "")
    ]
    if not given:
        return url
    return f"{url}{'&' if '?' in url else '?'}{'&'.join(given)}"


_ARGUMENT: Final = "$'()*,;:@-._~/"


def key_of_url(url: str, endpoint: str) -> str | None:
    """The key in the URL of a resource of the kind at ``endpoint``; None when it is not one."""
    if not url.lower().startswith(endpoint.lower() + "("):
        return None
    try:
        part = parse_path(url[len(endpoint.rpartition("/")[0]) :])
    except BadUrl:
        return None
    return part[0].selector.key if len(part) == 1 and part[0].selector else None
