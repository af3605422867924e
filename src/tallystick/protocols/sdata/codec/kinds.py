"""Resource kinds: what a contract offers, property by property (spec 12 *Schema*)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from tallystick.core.values import Logical


class Relationship(StrEnum):
    """How a property relates its resource to others (sme:relationship)."""

    PARENT = "parent"
    CHILD = "child"
    REFERENCE = "reference"
    ASSOCIATION = "association"


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """One property. ``type`` is for plain values; a relation names its ``kind`` (plural) instead.

    ``delete_missing``: its list is stored whole, so what an incoming list does not name is deleted (C16).
    """

    name: str
    type: Logical = Logical.TEXT
    nullable: bool = True
    max_length: int = 0
    label: str = ""
    relationship: Relationship | None = None
    kind: str = ""
    collection: bool = False
    delete_missing: bool = False


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A resource kind: ``name`` is its plural in URLs, ``element`` the singular of its payload.

    ``embedded`` kinds exist only inside their parents. ``order`` is the syncOrder: lower ones are synchronized first.
    """

    name: str
    element: str
    properties: tuple[Property, ...] = ()
    label: str = ""
    source: bool = True
    target: bool = True
    priority: int = 5
    order: int = 0
    embedded: bool = False

    def find(self, name: str) -> Property | None:
        """The property called ``name``, None when there is none."""
        return next((found for found in self.properties if found.name == name), None)

    @property
    def values(self) -> dict[str, Logical]:
        """Names and logical types of the properties that are plain values."""
        return {found.name: found.type for found in self.properties if found.relationship is None}


Types = Mapping[str, "Logical | Types"]
"""The logical types of a payload's plain values, by name, and for its nested payloads the types of theirs."""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The kinds of one contract and the namespace of their payloads."""

    name: str
    namespace: str
    kinds: tuple[Kind, ...] = ()

    def kind(self, name: str) -> Kind | None:
        """The kind that URLs call ``name``, in any case; embedded ones too."""
        folded = name.lower()
        return next((found for found in self.kinds if found.name.lower() == folded), None)

    def types(self, kind: Kind) -> Types:
        """What is in payloads of ``kind``: its values, those of its children, and those of what it refers to."""
        return self._types(kind, frozenset())

    def _types(self, kind: Kind, above: frozenset[str]) -> Types:
        found: dict[str, Logical | Types] = {**kind.values}
        for listed in kind.properties:
            related = self.kind(listed.kind) if listed.relationship is not None and listed.kind else None
            if related is not None:  # references run in circles, and so might what a foreign schema calls embedded
                deeper = related.embedded and related.name not in above
                found[listed.name] = self._types(related, above | {kind.name}) if deeper else related.values
        return found

    @property
    def served(self) -> tuple[Kind, ...]:
        """The kinds that have a URL of their own, in syncOrder."""
        return tuple(
            sorted((kind for kind in self.kinds if not kind.embedded), key=lambda kind: (kind.order, kind.name))
        )
