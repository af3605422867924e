"""Conflicts as ``onconflict`` sees them, and what its ruling means (DESIGN.md 4.6; spec/eden.md: section 9.4).

One notion for every protocol: ``site.deciding.Conflict``, answered by a resolution, a policy, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from tallystick.core.clock import stamp_of
from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.core.versions import DELETED, NOTHING_SEEN, Record, Version
from tallystick.errors import UsageError
from tallystick.protocols.eden.deciding import Policies
from tallystick.protocols.eden.items import Item
from tallystick.protocols.eden.store import Target
from tallystick.site.deciding import Conflict

_KNOWN = (Resolution.THIS, Resolution.OTHER, Resolution.NEWER, Resolution.MASTER)


def conflict_of(item: Item, here: str, there: str) -> Conflict:
    """A conflict that times detected: the record of site ``here`` and the one that ``there`` sent, as two versions.

    Their content is by field, references are identifiers. Precondition: there is a local record.
    """
    local = item.local
    assert local is not None
    ours = _version(here, local.modified_on, None if local.deleted else local.values)
    theirs = _version(there, item.modified_on, None if item.deleted else item.values)
    return Conflict(item.table.name, item.uuid, Record((ours, theirs), NOTHING_SEEN, local.copies), (ours,))


def _version(origin: str, moment: datetime | None, values: Mapping[str, object] | None) -> Version:
    content = None if values is None else {name: _plain(one) for name, one in values.items() if one is not None}
    made = DELETED if content is None else sha256(repr(sorted(content.items())).encode()).digest()
    stamp = stamp_of(round(moment.timestamp() * 1000)) if moment is not None else 0
    return Version(origin, 1, made, stamp, content=content)


def _plain(value: object) -> object:
    if isinstance(value, Target):
        return value.uuid
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def ruled(policies: Policies, ruling: Resolution | Policy | None) -> Policies:
    """The policies of one record after a hook ruled on its conflict; None leaves it to the task.

    What a resolution lets through is taken whole; a policy decides field by field.
    Raises UsageError for a resolution that Eden's records cannot have.
    """
    if ruling is None:
        return policies
    if isinstance(ruling, Policy):
        fields = {name: _known(word) for name, word in ruling.conflict.fields.items()}
        update = FieldPolicy(_known(ruling.conflict.default), fields)
        return replace(policies, strategy=ruling.strategy, update=update, conflict=Resolution.OTHER)
    return replace(policies, update=FieldPolicy(Resolution.OTHER), conflict=_known(Resolution(ruling)))


def _known(word: Resolution) -> Resolution:
    """The resolution in Eden's words: records without versions cannot be merged, so the newer one wins."""
    if word is Resolution.MERGE:
        return Resolution.NEWER
    if word not in _KNOWN:
        raise UsageError(f"onconflict ruled {word}, which Eden does not know", hint=f"use {', '.join(_KNOWN)}")
    return word
