"""Rows that both ends have from before under one natural key in two spellings are one record (DESIGN.md 4.4 *Keys*)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tallystick.core.values import CANONICAL, Logical, Value, composite_key, single_key
from tallystick.errors import SchemaError
from tallystick.site.identity import key_parts
from tallystick.site.schema import RESPELLED, Definition, Identity
from tallystick.sync.comparing import differences
from tallystick.sync.replica import Replica, Scope


def pair(a: Replica, b: Replica, scope: Scope) -> bool:
    """Let rows older than tracking take the keys that the other end's have, before anything is exchanged.

    Returns whether any did.
    """
    theirs = {item.wire: item for item in b.describe().resources}
    shared = [(item, theirs[item.wire]) for item in a.describe().resources if item.wire in theirs]
    wanted = [pair for pair in shared if _doubtful(*pair) and pair[0].wire in scope.resources]
    wires = tuple(mine.wire for mine, _ in wanted if mine.wire not in scope.filters)
    here, there = (end.digest("", Scope(wires)).prints if wires else {} for end in (a, b))
    paired = False
    for mine, other in wanted:
        wire = mine.wire
        if wire in wires and here[wire][0] and there[wire][0] and here[wire] != there[wire]:
            paired |= _paired(a, b, mine, other)
    return paired


def _doubtful(mine: Definition, theirs: Definition) -> bool:
    natural = mine.identity is Identity.NATURAL is theirs.identity
    same = len(mine.key_fields) == len(theirs.key_fields)
    return natural and same and (mine.respelled or theirs.respelled)


def _paired(a: Replica, b: Replica, mine: Definition, theirs: Definition) -> bool:
    found = differences(a, b, mine.wire)
    if not found.mine or not found.theirs:
        return False
    ours, others = (dict(_forms(keys, mine, theirs)) for keys in (found.mine, found.theirs))
    both = ours.keys() & others.keys()
    # a type that has one spelling for each value can have another key than that, texts cannot
    spelled = sum(form == ours[form] for form in both) >= sum(form == others[form] for form in both)
    ends = [(a, ours, others), (b, others, ours)]
    for end, old, new in ends if spelled else reversed(ends):
        older = set(end.older(mine.wire, [old[form] for form in both]))
        keys = {old[form]: new[form] for form in both if old[form] in older}
        try:
            if keys:
                end.rekey(mine.wire, keys)
                return True
        except SchemaError:  # it has agreed with somebody, who knows its rows by the keys they have
            continue
    return False


def _forms(keys: Sequence[str], mine: Definition, theirs: Definition) -> Iterator[tuple[str, str]]:
    """Keys by the form that all of their spellings have; those of which several have the same are left out."""
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(_form(key, mine, theirs), []).append(key)
    return ((form, alike[0]) for form, alike in found.items() if len(alike) == 1)


def _form(key: str, mine: Definition, theirs: Definition) -> str:
    try:
        parts = key_parts(mine, key)
    except ValueError:
        return key
    for definition in (mine, theirs):
        logicals = [item.logical for item in definition.key_fields]
        parts = [_canonical(part, logical) for part, logical in zip(parts, logicals, strict=True)]
    return single_key(parts[0]) if len(parts) == 1 else composite_key(parts)


def _canonical(part: Value, logical: Logical) -> Value:
    return CANONICAL[logical](part) if logical in RESPELLED else part
