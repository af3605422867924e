"""What the verbs do at a served site: each takes the replica, the request, and the caller's role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from tallystick.errors import UnknownResource
from tallystick.protocols.native.codec.messages import (
    Acknowledging,
    Columned,
    Digesting,
    Keyed,
    Leaving,
    Ranging,
    Reconciling,
    Rekeying,
    Resourced,
    settings_of,
)
from tallystick.site.users import Role
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Meeting, Scope, Selection, Wanted

WRITING: Final = frozenset(("prepare", "meet", "rekey", "reconcile", "check", "heal", "apply", "acknowledge"))
"""Verbs that take the writer's turn."""


def check_resources(replica: LocalReplica, message: Any) -> None:
    """Raise UnknownResource for a name that is no resource here."""
    if isinstance(message, Ranging | Keyed | Columned | Reconciling | Rekeying):
        named: tuple[str, ...] = (message.resource,)
    elif isinstance(message, Leaving):
        named = tuple(message.keys)
    elif isinstance(message, Resourced):
        named = tuple(message.resources)
    elif isinstance(message, Acknowledging):
        named = message.settings.scope.resources
    elif isinstance(message, Scope):
        named = message.resources
    elif isinstance(message, Meeting | Digesting | Selection):
        named = message.scope.resources
    else:
        named = ()
    for wire in named:
        if not replica.ledger.has(wire):
            raise UnknownResource(f"there is no resource {wire[:200]!r} here")


def _meet(replica: LocalReplica, message: Meeting, role: Role) -> Meeting:
    """Only those who may change the site are heard of histories, states, proofs; the scope need not be said again."""
    if not role.allows(Role.SYNC):
        message = replace(message, histories=None, settled="", proof=None)
    return replace(replica.meet(message), scope=Scope(()))


def _prepare(replica: LocalReplica, message: Wanted, role: Role) -> Any:
    return replica.prepare(message)


def _digest(replica: LocalReplica, message: Digesting, role: Role) -> Any:
    return replica.digest(message.source, message.scope)


def _ranges(replica: LocalReplica, message: Ranging, role: Role) -> Any:
    return replica.ranges(message.resource, message.stated)


def _older(replica: LocalReplica, message: Keyed, role: Role) -> Any:
    return replica.older(message.resource, message.keys)


def _unreferred(replica: LocalReplica, message: Leaving, role: Role) -> Any:
    return replica.unreferred(message.keys)


def _naturals(replica: LocalReplica, message: Columned, role: Role) -> Any:
    return replica.naturals(message.resource, message.columns)


def _rekey(replica: LocalReplica, message: Rekeying, role: Role) -> Any:
    return replica.rekey(message.resource, message.keys)


def _reconcile(replica: LocalReplica, message: Reconciling, role: Role) -> Any:
    return replica.reconcile(message.resource, message.keys, message.digest, message.forgotten)


def _check(replica: LocalReplica, message: Resourced, role: Role) -> Any:
    return replica.check(message.resources)


def _heal(replica: LocalReplica, message: Resourced, role: Role) -> Any:
    return replica.heal(message.resources)


def _announce(replica: LocalReplica, message: Selection, role: Role) -> Any:
    return replica.announce(message)


def _acknowledge(replica: LocalReplica, message: Acknowledging, role: Role) -> Any:
    return replica.acknowledge(message.closing, settings_of(message.settings))


CALLS: Final[dict[str, Callable[[LocalReplica, Any, Role], Any]]] = {
    "prepare": _prepare,
    "meet": _meet,
    "digest": _digest,
    "ranges": _ranges,
    "older": _older,
    "unreferred": _unreferred,
    "naturals": _naturals,
    "rekey": _rekey,
    "reconcile": _reconcile,
    "check": _check,
    "heal": _heal,
    "announce": _announce,
    "acknowledge": _acknowledge,
}
"""The function of every verb that is one message for another."""
