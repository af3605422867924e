"""What equal integers mean, settled as the plan says before anything is exchanged (DESIGN.md 4.4 *Keys*)."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.errors import SchemaError
from tallystick.site.identity import new_key
from tallystick.site.schema import Identity
from tallystick.sync.comparing import differences
from tallystick.sync.plan import Plan
from tallystick.sync.replica import Replica, Scope
from tallystick.sync.scoping import have_natural, natural_columns


def settle(a: Replica, b: Replica, scope: Scope, plan: Plan) -> bool:
    """Give records of ``b`` that are not ``a``'s keys of their own; of ``a``, where somebody knows those of ``b``.

    Returns whether any got one.

    Tables that lack the natural columns are compared after the others: what then still differs is kept apart.
    Raises SchemaError when no table has the natural columns, and where others know the records of both ends.
    """
    if plan.identity in ("", "same"):
        return False
    mapped = [
        item for item in b.describe().resources if item.identity is Identity.MAPPED and item.wire in scope.resources
    ]
    natural = have_natural(plan, mapped) if mapped and plan.identity != "separate" else []
    settled = False
    for wire in natural:
        settled |= _matched(a, b, wire, natural_columns(plan))
    for wire in [item.wire for item in mapped if item.wire not in natural]:
        settled |= _separated(a, b, wire)
    return settled


def _separated(a: Replica, b: Replica, wire: str) -> bool:
    both = differences(a, b, wire).both
    doubtful = set(a.older(wire, both)) & set(b.older(wire, both))
    keys = {key: new_key() for key in sorted(doubtful)}
    return _rekeyed(a, b, wire, keys, keys)


def _matched(a: Replica, b: Replica, wire: str, columns: list[str]) -> bool:
    mine, theirs = a.naturals(wire, columns), b.naturals(wire, columns)
    return _rekeyed(a, b, wire, _keys_of(theirs, mine), _keys_of(mine, theirs))


def _keys_of(ours: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """New keys by old ones for records of one end: those that the others have under equal values, or fresh ones."""
    keys = {key: others[text] if text in others else new_key() for text, key in ours.items()}
    return {old: new for old, new in keys.items() if old != new}


def _rekeyed(a: Replica, b: Replica, wire: str, of_b: Mapping[str, str], of_a: Mapping[str, str]) -> bool:
    if not of_b:
        return False
    try:
        b.rekey(wire, of_b)
    except SchemaError:  # others know its records by the keys they have
        if not of_a:
            raise
        a.rekey(wire, of_a)
    return True
