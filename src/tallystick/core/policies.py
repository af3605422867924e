"""Policies: what a site wants done with what it learns (DESIGN.md 4.6).

``decide`` is given policies already turned to the receiver: THIS is the receiving site, OTHER the sending one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tallystick.core.versions import Version, precedence


class Resolution(StrEnum):
    """Who wins."""

    THIS = "this"
    OTHER = "other"
    NEWER = "newer"
    MASTER = "master"
    MERGE = "merge"
    KEEP_BOTH = "keep-both"
    ASK = "ask"


UPDATE_RESOLUTIONS = (Resolution.THIS, Resolution.OTHER, Resolution.NEWER, Resolution.MASTER, Resolution.MERGE)
"""What an update policy may be: KEEP_BOTH and ASK are for conflicts only."""


class Method(StrEnum):
    """What an incoming change would do to the receiver's record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"


ALL_METHODS = frozenset(Method)

_TURNED = {Resolution.THIS: Resolution.OTHER, Resolution.OTHER: Resolution.THIS}


@dataclass(frozen=True, slots=True)
class FieldPolicy:
    """A resolution per field (wire names), with a default for the others."""

    default: Resolution
    fields: Mapping[str, Resolution] = field(default_factory=dict)

    def of(self, name: str) -> Resolution:
        """The resolution of one field."""
        return self.fields.get(name, self.default)

    def turned(self) -> FieldPolicy:
        """The same policy seen from the other end."""
        return FieldPolicy(turn(self.default), {name: turn(value) for name, value in self.fields.items()})


@dataclass(frozen=True, slots=True)
class Policy:
    """What a run wants for one resource: methods allowed, update policy, conflict policy.

    Without an update policy (MERGE) a change that had seen ours is taken: whichever end it comes from, nothing of ours
    is set aside by it. THIS and OTHER as update policies let one end's rows stand against even such changes.
    """

    strategy: frozenset[Method] = ALL_METHODS
    update: FieldPolicy = FieldPolicy(Resolution.MERGE)
    conflict: FieldPolicy = FieldPolicy(Resolution.NEWER)

    def turned(self) -> Policy:
        """The same policy seen from the other end."""
        return Policy(self.strategy, self.update.turned(), self.conflict.turned())


DEFAULT_POLICY = Policy()


def turn(resolution: Resolution) -> Resolution:
    """THIS and OTHER exchanged, everything else unchanged."""
    return _TURNED.get(resolution, resolution)


def newest(versions: Collection[Version]) -> Version:
    """The version that NEWER shows: latest stamp as issued, then the lower priority number, then the smaller origin."""
    return min(versions, key=precedence)


def masters(versions: Collection[Version], born: str) -> Version:
    """The version that MASTER shows: the newest made where the record was born, else the newest of all.

    A row older than tracking was made nowhere in particular: its copies would each claim it.
    """
    own = [version for version in versions if version.dots and _site_of(version.origin) == _site_of(born)]
    return newest(own or versions)


def _site_of(origin: str) -> str:
    return origin.partition(".")[0]
