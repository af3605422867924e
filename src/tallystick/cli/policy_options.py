"""What the texts of ``--strategy``, ``--update`` and ``--conflict`` mean."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.core.policies import ALL_METHODS, UPDATE_RESOLUTIONS, FieldPolicy, Method, Policy, Resolution
from tallystick.core.values import fold
from tallystick.errors import UsageError


def policies(strategy: str | None, update: Sequence[str], conflict: Sequence[str]) -> dict[str, Policy]:
    """Policies by wire name from ``--strategy``, ``--update`` and ``--conflict``.

    ``POLICY`` sets the default, ``RESOURCE=POLICY`` that of a resource, ``RESOURCE.FIELD=POLICY`` that of a field.
    Raises UsageError for words that are none.
    """
    methods = _methods(strategy)
    updates = _by_resource(update, "--update", UPDATE_RESOLUTIONS, Resolution.MERGE)
    conflicts = _by_resource(conflict, "--conflict", tuple(Resolution), Resolution.NEWER)
    names = {"", *updates, *conflicts}
    found = {}
    for name in names:
        updated = updates.get(name) or updates.get("") or FieldPolicy(Resolution.MERGE)
        decided = conflicts.get(name) or conflicts.get("") or FieldPolicy(Resolution.NEWER)
        found[name] = Policy(methods, updated, decided)
    return found


def eden_policies(texts: Sequence[str], option: str, *, swapped: bool = False) -> dict[str, FieldPolicy]:
    """Eden's policies by table ("" for all) from ``POLICY``, ``TABLE=POLICY`` and ``TABLE.FIELD=POLICY``.

    ``swapped`` turns THIS and OTHER to the other end. Raises UsageError for words that are none.
    """
    defaults: dict[str, Resolution] = {}
    fields: dict[str, dict[str, Resolution]] = {}
    turned = {Resolution.THIS: Resolution.OTHER, Resolution.OTHER: Resolution.THIS} if swapped else {}
    for text in texts:
        target, _, word = text.rpartition("=")
        resolution = _resolution(word.strip(), option, UPDATE_RESOLUTIONS)
        name, _, field = target.strip().partition(".")
        if field:
            fields.setdefault(name, {})[field] = turned.get(resolution, resolution)
        else:
            defaults[name] = turned.get(resolution, resolution)
    return {
        name: FieldPolicy(defaults.get(name, defaults.get("", Resolution.NEWER)), fields.get(name, {}))
        for name in {*defaults, *fields}
    }


def methods(text: str | None) -> frozenset[Method]:
    """The methods in a comma list; all of them when none is given. Raises UsageError."""
    return _methods(text)


def _methods(text: str | None) -> frozenset[Method]:
    if text is None:
        return ALL_METHODS
    words = [word.strip() for word in text.split(",") if word.strip()]
    try:
        return frozenset(Method(word) for word in words)
    except ValueError as error:
        raise UsageError(
            f"--strategy {text!r}: {error}", hint=f"use any of {', '.join(Method)}, joined by commas"
        ) from error


def _by_resource(
    texts: Sequence[str], option: str, allowed: Sequence[Resolution], default: Resolution
) -> dict[str, FieldPolicy]:
    defaults: dict[str, Resolution] = {}
    fields: dict[str, dict[str, Resolution]] = {}
    for text in texts:
        target, _, word = text.rpartition("=")
        resolution = _resolution(word.strip(), option, allowed)
        resource, _, field = target.strip().partition(".")
        if field:
            fields.setdefault(fold(resource), {})[fold(field)] = resolution
        else:
            defaults[fold(resource)] = resolution
    found = {}
    for name in {*defaults, *fields}:
        fallback = defaults.get(name, defaults.get("", default))
        found[name] = FieldPolicy(fallback, fields.get(name, {}))
    return found


def _resolution(word: str, option: str, allowed: Sequence[Resolution]) -> Resolution:
    for resolution in allowed:
        if word.lower() == resolution:
            return resolution
    raise UsageError(f"{option}: {word!r} is no policy", hint=f"use one of {', '.join(allowed)}")


def allowance(text: str | None) -> int:
    """The value of ``--allow-deletes``; 0 where it is not given. Raises UsageError."""
    from tallystick.sync.guards import parse_allowance

    try:
        return parse_allowance(text or "0")
    except ValueError:
        raise UsageError(f"--allow-deletes {text!r} is neither a number nor all", hint="say how many may go") from None
