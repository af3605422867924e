"""The signed documents of a directory: card, statement, manifest (docs/bundles.md, *Files*). Pure."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tallystick.core.pages import Tally
from tallystick.core.states import State, parse_state
from tallystick.errors import StateError
from tallystick.protocols.bundle.errors import BundleDamaged
from tallystick.protocols.native.codec.checks import check
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import LIMITS
from tallystick.protocols.native.codec.messages import Acknowledging, SettingsForm
from tallystick.site.schema import Definition
from tallystick.sync.replica import Closing, Known, Meeting, Scope, Selection, Wanted

FORMAT: Final = 1
CARD, STATEMENT, MANIFEST, PART = "card", "statement", "manifest", "part"
SITE: Final = re.compile(r"[0-9a-f]{32}")


class Card(msgspec.Struct, frozen=True):
    """Who a folder belongs to: site, name for people, public key."""

    site: str
    name: str
    key: bytes
    format: int = FORMAT


class Taken(msgspec.Struct, frozen=True):
    """What became of a bundle at the site that took it."""

    number: int
    bundle: str
    records: int
    tallies: dict[str, Tally] = {}


class Statement(msgspec.Struct):
    """What ``site`` knows of the changes of ``reader``: digest and acknowledgement in one (DESIGN.md 1).

    ``known`` holds for ``scope``. ``only``, ``exclude`` and ``where`` are what it takes part with, as in a plan.
    """

    site: str
    reader: str
    scope: Scope
    known: Known
    meeting: Meeting
    taken: list[Taken] = []
    only: list[str] = []
    exclude: list[str] = []
    where: dict[str, str] = {}
    format: int = FORMAT


class PartForm(msgspec.Struct, frozen=True):
    """A part as the manifest lists it: size in bytes, SHA-256."""

    size: int
    digest: bytes


class Manifest(msgspec.Struct):
    """A whole bundle of ``site`` for ``reader``. It is written last: without it a bundle is not complete.

    ``base`` is the state that a reader must have reached, "" for none. ``deletions`` is what guards ask for. ``live``
    are the keys of resources whose deletions were purged: whatever else a reader holds is compared by digest.
    """

    site: str
    reader: str
    number: int
    bundle: str
    scope: Scope
    base: str
    meeting: Meeting
    definitions: list[Definition]
    deletions: dict[str, int]
    records: int
    parts: list[PartForm]
    closing: Closing
    live: dict[str, list[str]] = {}
    format: int = FORMAT


class PartHead(msgspec.Struct, frozen=True):
    """The first line of a part. ``previous`` is the SHA-256 of the part before it: parts cannot change places."""

    site: str
    reader: str
    number: int
    bundle: str
    part: int
    base: str
    scope: Scope
    previous: bytes = b""
    format: int = FORMAT


def check_card(card: Card, folder: str) -> None:
    """Refuse a card that does not fit its folder. Raises BundleDamaged."""
    _check_format(card.format, f"the card in {folder}")
    if card.site != folder or not SITE.fullmatch(card.site) or len(card.key) != 32 or len(card.name) > LIMITS.name:
        raise BundleDamaged(f"the card in {folder} says what cannot be")


def check_statement(statement: Statement, where: str) -> None:
    """Refuse a statement that says what cannot be. Raises BundleDamaged."""
    _check_format(statement.format, where)
    with_state = statement.known.state
    _checked(where, statement.meeting, Selection(statement.scope, statement.known))
    if with_state and _state(with_state, where).site != statement.reader:
        raise BundleDamaged(f"{where} bears a state of another site")


def check_manifest(manifest: Manifest, where: str) -> None:
    """Refuse a manifest that says what cannot be. Raises BundleDamaged."""
    _check_format(manifest.format, where)
    wanted = Wanted(manifest.definitions)
    settings = SettingsForm(manifest.site, manifest.scope, {})
    _checked(where, manifest.meeting, wanted, Acknowledging(manifest.closing, settings))
    for state in (manifest.base, manifest.closing.state):
        if state and _state(state, where).site != manifest.site:
            raise BundleDamaged(f"{where} bears a state of another site")
    if not manifest.closing.state:
        raise BundleDamaged(f"{where} leads to no state")


def follows(base: str, reached: str) -> bool:
    """True when whoever is at ``reached`` has everything that comes before ``base``."""
    if not base:
        return True
    if not reached:
        return False
    needed, held = parse_state(base), parse_state(reached)
    same = (needed.site, needed.incarnation, needed.scope) == (held.site, held.incarnation, held.scope)
    return same and held.seq >= needed.seq


def _checked(where: str, *messages: object) -> None:
    try:
        for message in messages:
            check(message)
    except (RequestError, StateError) as error:
        raise BundleDamaged(f"{where} says what cannot be: {error.message}") from error


def _state(text: str, where: str) -> State:
    try:
        return parse_state(text)
    except StateError as error:
        raise BundleDamaged(f"{where} bears no state: {error.message}") from error


def _check_format(found: int, where: str) -> None:
    if found != FORMAT:
        raise BundleDamaged(
            f"{where} has format {found}, this release knows {FORMAT}", hint="use the same release at both sites"
        )
