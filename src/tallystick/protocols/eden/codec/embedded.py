"""References inside JSON values (spec: section 7, last paragraph).

``"$k_name": {"r": table, "u": identifier}`` stands for ``"name": <local number>``; ``@resource``, ``@uuid``, ``t`` and
``@tuid`` are other spellings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_PREFIX = "$k_"


def embedded_targets(value: object) -> Iterator[tuple[str, str]]:
    """The (table, identifier) pairs of all references in a JSON value."""
    if isinstance(value, dict):
        for name, one in value.items():
            found = _target(one) if isinstance(name, str) and name.startswith(_PREFIX) else None
            if found is not None:
                yield found
            else:
                yield from embedded_targets(one)
    elif isinstance(value, list):
        for one in value:
            yield from embedded_targets(one)


def with_numbers(value: object, numbers: Mapping[tuple[str, str], int]) -> object:
    """The value with every reference whose number is known replaced by it; others stay references."""
    if isinstance(value, list):
        return [with_numbers(one, numbers) for one in value]
    if not isinstance(value, dict):
        return value
    replaced: dict[str, object] = {}
    for name, one in value.items():
        found = _target(one) if name.startswith(_PREFIX) else None
        if found is not None and found in numbers:
            replaced[name[len(_PREFIX) :]] = numbers[found]
        else:
            replaced[name] = with_numbers(one, numbers)
    return replaced


def _target(one: object) -> tuple[str, str] | None:
    if not isinstance(one, dict):
        return None
    table = one.get("r") or one.get("@resource")
    name = one.get("u") or one.get("@uuid") or one.get("t") or one.get("@tuid")
    return (table, name) if isinstance(table, str) and isinstance(name, str) else None
