"""Recycle rules: when the store forgets a file (spec contexts R1-R6). Pure: times come in as nanoseconds.

The clock of a key starts at the commit that last changed its content. Nothing here touches a live mount.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from tallystick.contexts.choices import HOURS_A_DAY, Lifecycle
from tallystick.contexts.keys import Binding, below, has_drive, normal
from tallystick.contexts.policies import RecyclePolicy

NANOSECONDS_A_DAY = HOURS_A_DAY * 3600 * 1_000_000_000


class RecycleRule(NamedTuple):
    """Keys at or below ``path`` (normal form; ``""`` covers the whole context) live for ``lifecycle``."""

    path: str
    lifecycle: Lifecycle


def rules_of(policy: RecyclePolicy, binding: Binding) -> tuple[RecycleRule, ...]:
    """The rules that a policy means for one mount: its paths as keys (R4)."""
    return tuple(RecycleRule(_rule_key(path, binding), policy.lifecycle) for path in policy.paths)


def _rule_key(path: str, binding: Binding) -> str:
    absolute = path.startswith("/") or has_drive(path)
    key = normal(path if absolute else f"/{path}")
    for anchor in (binding.path, binding.prefix):
        relative = below(anchor, key) if absolute else None
        if relative is not None:
            return binding.key(relative)
    return binding.key(key[1:])


Rules = Mapping[str, tuple[RecycleRule, ...]]
"""The rules of a context by the prefix of the mount that stated them."""


def rule_for(key: str, rules: Rules) -> RecycleRule | None:
    """The one rule that governs a key: the longest path, then the longest lifecycle (R5); None when none covers it."""
    covering = [rule for group in rules.values() for rule in group if below(rule.path, key) is not None]
    return max(covering, key=_precedence, default=None)


def _precedence(rule: RecycleRule) -> tuple[int, float]:
    days = rule.lifecycle.days
    return (len(rule.path), float("inf") if days is None else days)


def expires_at(key: str, changed_at: int, rules: Rules) -> int | None:
    """The nanosecond from which a key whose content last changed at ``changed_at`` is gone; None for never (R2)."""
    rule = rule_for(key, rules)
    if rule is None or rule.lifecycle.days is None:
        return None
    return changed_at + rule.lifecycle.days * NANOSECONDS_A_DAY


def is_expired(key: str, changed_at: int, now: int, rules: Rules) -> bool:
    """True when the key must not be listed, served or downloaded any more, whether or not a sweep has run (R2)."""
    end = expires_at(key, changed_at, rules)
    return end is not None and now >= end


def expired_keys(files: Mapping[str, int], directories: Iterable[str], now: int, rules: Rules) -> set[str]:
    """All keys of a tree that have expired: files by their clock, and directories emptied by that (R2).

    ``files`` maps keys to the nanosecond of their last content change. A directory goes when a rule with an end
    covers it, something below it has expired and nothing below it is left; one that was always empty stays.
    """
    gone = {key for key, changed_at in files.items() if is_expired(key, changed_at, now, rules)}
    if not gone:
        return gone
    return gone | _emptied(gone, files.keys() - gone, set(directories), rules)


def _emptied(gone: Collection[str], left: Iterable[str], directories: set[str], rules: Rules) -> set[str]:
    touched = {ancestor for key in gone for ancestor in _ancestors(key)} & directories
    candidates = {key for key in touched if _has_end(key, rules)}
    held = {ancestor for key in (*left, *(directories - candidates)) for ancestor in _ancestors(key)}
    return candidates - held


def _has_end(key: str, rules: Rules) -> bool:
    rule = rule_for(key, rules)
    return rule is not None and rule.lifecycle.days is not None


def _ancestors(key: str) -> Iterable[str]:
    while (key := key.rpartition("/")[0]) != "":
        yield key
