"""The older vocabulary: vectors, strategies and resolutions (spec/eden.md: section 11), as a thin face.

An incoming record with its components is a vector. A hook ``sync_resolve(vector)`` sets its strategy and may set a
resolution::

    def sync_resolve(vector):
        vector.strategy = [vector.METHOD.UPDATE]
        vector.resolution = {"name": vector.RESOLUTION.THIS}
        vector.default_resolution = vector.RESOLUTION.NEWER

    adapter = EdenAdapter(repository, store, resolve=resolving(sync_resolve))
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import ClassVar

from tallystick.core import policies
from tallystick.core.policies import FieldPolicy
from tallystick.protocols.eden.items import Hook, Item


class ImportMethod(StrEnum):
    """What a vector may do."""

    CREATE = "create"
    UPDATE = "update"


class ImportResolution(StrEnum):
    """Which value wins."""

    THIS = "this"
    OTHER = "other"
    NEWER = "newer"


BOTH = (ImportMethod.CREATE, ImportMethod.UPDATE)
_TODAY = {
    ImportResolution.THIS: policies.Resolution.THIS,
    ImportResolution.OTHER: policies.Resolution.OTHER,
    ImportResolution.NEWER: policies.Resolution.NEWER,
}


class Vector:
    """An incoming record with its components, before it is imported.

    ``strategy`` are the allowed methods; empty or None skips the record and its components, and a hook that sets
    nothing allows both. ``resolution`` is one value or a map field -> value; fields without an entry, and everything
    when it is None, follow ``default_resolution``, which itself falls back to THIS.
    """

    METHOD: ClassVar[type[ImportMethod]] = ImportMethod
    RESOLUTION: ClassVar[type[ImportResolution]] = ImportResolution

    def __init__(self, item: Item) -> None:
        self.item = item
        self.strategy: Collection[ImportMethod] | None = BOTH
        self.resolution: ImportResolution | Mapping[str, ImportResolution] | None = None
        self.default_resolution: ImportResolution | None = None

    @property
    def table(self) -> str:
        """The name of the table."""
        return self.item.table.name

    @property
    def record(self) -> Mapping[str, object]:
        """The incoming fields."""
        return self.item.values

    @property
    def local(self) -> Mapping[str, object] | None:
        """The fields of the record it meets here, None for a new one."""
        return None if self.item.local is None else self.item.local.values

    @property
    def components(self) -> list[Vector]:
        """The component records that come with it."""
        return [Vector(child) for child in self.item.children]

    def policy(self) -> FieldPolicy:
        """What the resolution means today."""
        default = _TODAY[self.default_resolution or ImportResolution.THIS]
        if self.resolution is None:
            return FieldPolicy(default)
        if isinstance(self.resolution, Mapping):
            return FieldPolicy(default, {name: _TODAY[found] for name, found in self.resolution.items()})
        return FieldPolicy(_TODAY[self.resolution])


SyncResolve = Callable[[Vector], None]


def resolving(sync_resolve: SyncResolve) -> Hook:
    """The hook that asks ``sync_resolve`` for every vector.

    Components follow their record: its methods, and its default where its resolution is per field. What the strategy
    does not allow is skipped silently with its components. Deletions and conflicts, which the old model does not know,
    stay with today's policies.
    """

    def resolve(item: Item) -> None:
        if item.deleted:
            return
        vector = _vector(_head(item), sync_resolve)
        method = ImportMethod.CREATE if item.local is None else ImportMethod.UPDATE
        if not vector.strategy or method not in vector.strategy:
            item.skip = True
            return
        policy = vector.policy()
        update = policy if item.parent is None else FieldPolicy(policy.default)
        item.policies = replace(item.policies, update=update)

    return resolve


def _vector(head: Item, sync_resolve: SyncResolve) -> Vector:
    """The vector of a record, for which the hook is asked once."""
    if isinstance(head.memo, Vector):
        return head.memo
    head.memo = vector = Vector(head)
    sync_resolve(vector)
    return vector


def _head(item: Item) -> Item:
    """The record that a component belongs to."""
    while item.parent is not None:
        item = item.parent
    return item
