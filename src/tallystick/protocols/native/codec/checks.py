"""What a message may say beyond its types, checked before anything is done (docs/protocol.md, *Limits*). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tallystick.core import filter_text
from tallystick.core.pages import Page
from tallystick.core.policies import UPDATE_RESOLUTIONS, Policy
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import LIMITS, Limits, check_most
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
    SettingsForm,
)
from tallystick.protocols.native.codec.pages import LARGEST, are_ticks, check_name, check_state
from tallystick.site.history import HistoriesForm
from tallystick.site.schema import Definition, Field, Identity, Reference
from tallystick.sync.replica import Known, Meeting, Proof, Scope, Selection, Wanted

_SITE = re.compile(r"[0-9a-f]{32}")
_DETAIL = re.compile(r"[\w ,.]{0,64}")
_PRINT_BYTES = 32
_RESERVED = ("tally_", "sqlite_")


def check(message: Any, limits: Limits = LIMITS) -> None:
    """Refuse a message that says what it cannot. Raises RequestError, LimitExceeded, FilterError, StateInvalidError."""
    checker = _CHECKERS.get(type(message))
    if checker is not None:
        checker(message, limits)


def check_apply(settings: SettingsForm, page: Page, limits: Limits = LIMITS) -> None:
    """Refuse a page that does not belong to its settings; the page itself was checked when it was decoded."""
    _settings(settings, limits)
    if page.resource not in settings.scope.resources:
        raise RequestError(f"a page of {page.resource[:60]!r} is outside the scope of its settings")
    check_state(page.state, settings.source)


def _scope(scope: Scope, limits: Limits) -> None:
    check_most("resources of a scope", len(scope.resources), limits.resources)
    for wire in scope.resources:
        check_name("resource", wire, limits)
    for wire, text in scope.where:
        if wire not in scope.resources:
            raise RequestError(f"a filter is for {wire[:60]!r}, which is not in the scope")
        filter_text.parse(text)


def _meeting(meeting: Meeting, limits: Limits) -> None:
    for text in (meeting.site, meeting.origin, meeting.token, meeting.catalog):
        check_most("the length of a text", len(text), limits.name)
    check_most("the length of a state", max(len(meeting.state), len(meeting.settled)), limits.text)
    if meeting.settled:
        check_state(meeting.settled, meeting.site)
    _counts("a meeting", meeting.seq, meeting.parked, meeting.undecided)
    _scope(meeting.scope, limits)
    if meeting.histories is not None:
        _histories(meeting.histories, limits)
    if meeting.proof is not None:
        _proof(meeting.proof, meeting.scope, limits)


def _proof(proof: Proof, scope: Scope, limits: Limits) -> None:
    _counts("a proof", proof.seq)
    check_most("resources of a digest", len(proof.digests), limits.resources)
    if len(proof.print) != _PRINT_BYTES:
        raise RequestError(f"a proof of {len(proof.print)} bytes cannot be")
    for wire, vector in proof.digests.items():
        if wire not in scope.resources:
            raise RequestError(f"a digest of {wire[:60]!r} is outside the scope of its meeting")
        _vector(vector, limits)


def _counts(where: str, *numbers: int) -> None:
    for number in numbers:
        if not 0 <= number <= LARGEST:
            raise RequestError(f"{where} counts {number}, which cannot be")


def _histories(histories: HistoriesForm, limits: Limits) -> None:
    check_name("origin", histories.origin, limits)
    check_most("origins of histories", len(histories.contacts) + len(histories.forks), limits.origins)
    for origin, contacts in histories.contacts.items():
        check_name("origin", origin, limits)
        for contact in contacts:
            if not (0 <= contact.number <= LARGEST and 0 <= contact.nonce <= LARGEST and are_ticks(contact.ticks)):
                raise RequestError("a contact says what cannot be")
    for origin, ticks in histories.forks.items():
        check_name("origin", origin, limits)
        _vector(ticks, limits)


def _vector(vector: Mapping[str, int], limits: Limits) -> None:
    check_most("origins of a vector", len(vector), limits.origins)
    if not are_ticks(vector):
        raise RequestError("a vector has a tick that cannot be")


def _known(known: Known, limits: Limits) -> None:
    check_most("the length of a state", len(known.state), limits.text)
    check_most("resources of a digest", len(known.digests), limits.resources)
    for vector in (*known.digests.values(), *known.forgotten.values()):
        _vector(vector, limits)
    _counts("what is known", *known.recent.values(), *(count for count, _, _ in known.prints.values()))


def _selection(selection: Selection, limits: Limits) -> None:
    _scope(selection.scope, limits)
    _known(selection.known, limits)
    _counts("a selection", selection.since)
    for keys in selection.keys.values():
        _keys(keys, limits)


def _keys(keys: Iterable[str], limits: Limits) -> None:
    check_most("a key", max(map(len, keys), default=0), limits.key)


def _digesting(message: Digesting, limits: Limits) -> None:
    check_most("the length of a text", len(message.source), limits.name)
    _scope(message.scope, limits)


def _ranging(message: Ranging, limits: Limits) -> None:
    check_name("resource", message.resource, limits)
    for stated in message.stated:
        if not 0 <= stated.count <= LARGEST or len(stated.total) > 16:
            raise RequestError("a range says what cannot be")
        if stated.upper is not None and stated.upper < stated.lower:
            raise RequestError("a range ends before it begins")


def _keyed(message: Keyed, limits: Limits) -> None:
    check_name("resource", message.resource, limits)
    _keys(message.keys, limits)


def _leaving(message: Leaving, limits: Limits) -> None:
    check_most("resources", len(message.keys), limits.resources)
    for wire, keys in message.keys.items():
        check_name("resource", wire, limits)
        _keys(keys, limits)


def _columned(message: Columned, limits: Limits) -> None:
    check_name("resource", message.resource, limits)
    check_most("columns", len(message.columns), limits.fields)
    if not message.columns:
        raise RequestError("no column is named")


def _rekeying(message: Rekeying, limits: Limits) -> None:
    check_name("resource", message.resource, limits)
    _keys(message.keys, limits)
    _keys(message.keys.values(), limits)
    if len(set(message.keys.values())) != len(message.keys) or "" in message.keys.values():
        raise RequestError("two records cannot have one key")


def _reconciling(message: Reconciling, limits: Limits) -> None:
    check_name("resource", message.resource, limits)
    _keys(message.keys, limits)
    _vector(message.digest, limits)
    _vector(message.forgotten, limits)


def _resourced(message: Resourced, limits: Limits) -> None:
    check_most("resources", len(message.resources), limits.resources)
    for wire in message.resources:
        check_name("resource", wire, limits)


def _settings(settings: SettingsForm, limits: Limits) -> None:
    if not _SITE.fullmatch(settings.source):
        raise RequestError(f"{settings.source[:60]!r} is no site")
    _scope(settings.scope, limits)
    check_most("the length of a run's name", len(settings.run), limits.text)
    check_most("policies", len(settings.policies), limits.resources)
    for policy in settings.policies.values():
        _policy(policy, limits)
    if not -1 <= settings.allowed <= LARGEST:
        raise RequestError("a number of allowed deletions cannot be")


def _policy(policy: Policy, limits: Limits) -> None:
    check_most("fields of a policy", len(policy.update.fields) + len(policy.conflict.fields), limits.fields)
    for resolution in (policy.update.default, *policy.update.fields.values()):
        if resolution not in UPDATE_RESOLUTIONS:
            raise RequestError(f"{resolution} is a conflict policy, not an update policy")


def _acknowledging(message: Acknowledging, limits: Limits) -> None:
    _settings(message.settings, limits)
    check_state(message.closing.state, message.settings.source)
    for vectors in (message.closing.digests, message.closing.forgotten):
        for wire, vector in vectors.items():
            if wire not in message.settings.scope.resources:
                raise RequestError(f"a digest of {wire[:60]!r} is outside the scope of its settings")
            _vector(vector, limits)


# What may be created here ----------------------------------------------------------------------------------------


def _wanted(wanted: Wanted, limits: Limits) -> None:
    check_most("resources", len(wanted.resources) + len(wanted.only), limits.resources)
    wires = [definition.wire for definition in wanted.resources]
    if len(set(wires)) != len(wires):
        raise RequestError("a resource is wanted twice")
    for definition in wanted.resources:
        _definition(definition, limits)
    for name in wanted.only:
        _table_name(name, limits)
    for pairs in (wanted.naming, wanted.references):
        check_most("names", len(pairs), limits.resources)
        for one, other in pairs.items():
            check_name("table or column", one, limits)
            check_name("table or column", other, limits)


def _table_name(name: str, limits: Limits) -> None:
    check_name("table", name, limits)
    if name.casefold().startswith(_RESERVED):
        raise RequestError(f"{name[:60]!r} is the name of a table that no peer may ask for")


def _definition(definition: Definition, limits: Limits) -> None:
    _table_name(definition.name, limits)
    check_name("resource", definition.wire, limits)
    if definition.identity is Identity.MANAGED:
        return
    columns = [*definition.key_fields, *definition.fields]
    check_most("fields of a resource", len(columns), limits.fields)
    for item in columns:
        _field(item, limits)
    _distinct([item.column for item in columns], definition)
    if not definition.key_fields:
        raise RequestError(f"resource {definition.wire[:60]!r} has no key")
    known = {item.column for item in columns}
    for unique in definition.unique:
        _listed(unique, known, definition)
    if definition.order:
        _listed(definition.order, known, definition)
    check_most("indexes of a resource", len(definition.indexes), limits.fields)
    for index in definition.indexes:
        check_name("index", index.name, limits)
        _listed(index.columns, known, definition)
        if not set(index.descending) <= set(index.columns):
            raise RequestError(f"resource {definition.wire[:60]!r} speaks of columns that it does not have")
    check_most("things left out of a resource", len(definition.omitted), limits.fields)
    check_most("the length of a text", max(map(len, definition.omitted), default=0), limits.text)
    for reference in definition.references:
        _reference(reference, known, definition, limits)


def _field(item: Field, limits: Limits) -> None:
    check_name("column", item.column, limits)
    check_name("field", item.wire, limits)
    if item.collation:
        check_name("collation", item.collation, limits)
    if item.default is not None:
        check_most("the length of a default", len(item.default.value), limits.text)
    if not _DETAIL.fullmatch(item.detail):
        raise RequestError(f"column {item.column[:60]!r} has a detail that cannot be")


def _distinct(columns: Sequence[str], definition: Definition) -> None:
    if len({column.casefold() for column in columns}) != len(columns):
        raise RequestError(f"resource {definition.wire[:60]!r} has two columns of one name")


def _listed(columns: Sequence[str], known: set[str], definition: Definition) -> None:
    if not columns or len(set(columns)) != len(columns) or not set(columns) <= known:
        raise RequestError(f"resource {definition.wire[:60]!r} speaks of columns that it does not have")


def _reference(reference: Reference, known: set[str], definition: Definition, limits: Limits) -> None:
    _table_name(reference.parent, limits)
    _listed(reference.columns, known, definition)
    if len(reference.parent_columns) != len(reference.columns):
        raise RequestError(f"a reference of {definition.wire[:60]!r} pairs columns that are not equally many")
    for column in reference.parent_columns:
        check_name("column", column, limits)


_CHECKERS: dict[type, Callable[[Any, Limits], None]] = {
    Meeting: _meeting,
    Digesting: _digesting,
    Ranging: _ranging,
    Keyed: _keyed,
    Leaving: _leaving,
    Columned: _columned,
    Reconciling: _reconciling,
    Rekeying: _rekeying,
    Resourced: _resourced,
    Selection: _selection,
    Acknowledging: _acknowledging,
    Wanted: _wanted,
}
