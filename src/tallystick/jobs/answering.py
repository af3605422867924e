"""The passive half of the adapter face: extracts of a site's changes, and documents taken in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec.structs import replace

from tallystick.core.clock import stamp_of
from tallystick.core.filter_expressions import Expression
from tallystick.core.filter_text import parse
from tallystick.core.filters import text
from tallystick.core.pages import STAMP, Tally
from tallystick.core.policies import Policy
from tallystick.core.values import Logical, fold
from tallystick.errors import FilterError, PeerProtocolError, UnknownResource, ValueRejected
from tallystick.jobs.languages import Document
from tallystick.protocols.native.codec.checks import check_apply
from tallystick.protocols.native.codec.messages import SettingsForm
from tallystick.site.deciding import OnConflict
from tallystick.site.schema import Definition
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Closing, Known, Meeting, Scope, Selection, Settings

_OPERATORS = {"": "eq", "eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "like": "like"}
_NUMBERS = (Logical.INT64, Logical.FLOAT64, Logical.DECIMAL)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a peer asks for. ``resource`` "" is everything; ``filters``: table -> selector -> value."""

    resource: str
    start: int | None = None
    limit: int | None = None
    since: datetime | str | None = None
    filters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def is_extract(self) -> bool:
        """True when not everything is asked for: such an answer moves no state."""
        return self.start is not None or self.limit is not None or self.since is not None


def changes_of(site: LocalReplica, asked: Asked, peer: str) -> Document:
    """What ``site`` answers. Raises UnknownResource, FilterError, ValueRejected for a time that is none."""
    definitions = {item.wire: item for item in site.describe().resources}
    wires = tuple(sorted(definitions)) if not asked.resource else (fold(asked.resource),)
    for wire in wires:
        if wire not in definitions:
            raise UnknownResource(f"there is no resource {asked.resource!r} here")
    scope = Scope(wires, _where(asked.filters, wires, definitions))
    meeting = site.meet(Meeting(peer, "", "", "", scope))
    document = Document(meeting)
    least = least_stamp(asked.since)
    skip, left = asked.start or 0, asked.limit
    for item in site.changes(Selection(scope, Known("", {}, {}), stateless=True)):
        if isinstance(item, Closing):
            document.closing = None if asked.is_extract else item
            continue
        rows = [row for row in item.rows if row[STAMP] >= least]
        kept = rows[skip:]
        skip = max(0, skip - len(rows))
        if left is not None:
            kept, left = kept[:left], left - len(kept[:left])
        if kept:
            document.pages.append(replace(item, rows=kept, state="" if asked.is_extract else item.state))
    return document


def least_stamp(since: datetime | str | None) -> int:
    """The ledger's stamp from which on changes are wanted. Raises ValueRejected for a time that is none."""
    if since is None:
        return 0
    moment = _moment(since) if isinstance(since, str) else since
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return stamp_of(max(0, round(moment.timestamp() * 1000)))


def _moment(text_given: str) -> datetime:
    try:
        return datetime.strptime(text_given, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        raise ValueRejected(
            f"msince {text_given[:60]!r} is no time", hint="write it as in 2026-11-20T08:00:00, in UTC"
        ) from None


def _where(
    given: Mapping[str, Mapping[str, str]], wires: Sequence[str], definitions: Mapping[str, Definition]
) -> tuple[tuple[str, str], ...]:
    """Filters by wire name; conditions of one resource must all hold. Raises FilterError."""
    found = {}
    for table, conditions in given.items():
        if table in ("", "~") and len(wires) != 1:
            raise FilterError("a filter without a table needs one resource", hint="name the table")
        wire = wires[0] if table in ("", "~") else fold(table)
        if wire not in wires:
            raise FilterError(f"a filter names {table!r}, which is not asked for")
        definition = definitions[wire]
        known = {item.wire: (item.wire, item.logical) for item in (*definition.fields, *definition.key_fields)}
        found[wire] = text(conditions_met(definition.wire, known, conditions))
    return tuple(sorted(found.items()))


def conditions_met(
    resource: str, known: Mapping[str, tuple[str, Logical]], conditions: Mapping[str, str]
) -> Expression:
    """All conditions of a resource as one filter: selectors like ``~.name__like``, each with its value.

    ``known`` gives name and type of each field by the word that a selector may use for it. Raises FilterError for a
    field or operator that is not there.
    """
    return parse(" and ".join(_condition(resource, known, selector, value) for selector, value in conditions.items()))


def _condition(resource: str, known: Mapping[str, tuple[str, Logical]], selector: str, value: str) -> str:
    word, _, operator = selector.rpartition(".")[2].partition("__")
    if word not in known:
        raise FilterError(f"{resource} has no field {word!r}", hint=f"fields: {', '.join(sorted(known))}")
    if operator not in _OPERATORS:
        raise FilterError(f"{operator!r} is no operator", hint=f"operators: {', '.join(sorted(_OPERATORS)[1:])}")
    name, logical = known[word]
    if value == "NONE":
        return f"[{name}] eq null"
    quoted = value if logical in _NUMBERS and _is_number(value) else "'" + value.replace("'", "''") + "'"
    return f"[{name}] {_OPERATORS[operator]} {quoted.replace('*', '%') if operator == 'like' else quoted}"


def _is_number(value: str) -> bool:
    return value.removeprefix("-").replace(".", "", 1).isdecimal()


def take(
    site: LocalReplica,
    documents: Sequence[Document],
    resource: str,
    peer: str,
    policy: Policy,
    run: str = "",
    onconflict: OnConflict | None = None,
) -> dict[str, Tally]:
    """Apply documents of site ``peer``, "" for any; tallies by resource. All is checked before any is applied.

    Raises PeerProtocolError for a document of another site or with other resources, and what the site raises.
    """
    known = {item.wire for item in site.describe().resources}
    for document in documents:
        form = SettingsForm(document.meeting.site, Scope(tuple(sorted(known))), {"": policy})
        if peer and document.meeting.site != peer:
            raise PeerProtocolError(f"the document is one of site {document.meeting.site}, not of {peer}", hint="")
        for page in document.pages:
            if resource and page.resource != fold(resource):
                raise PeerProtocolError(f"the document holds {page.resource!r}, not only {resource!r}", hint="")
            if page.resource not in known:
                raise UnknownResource(f"there is no resource {page.resource!r} here")
            check_apply(form, page)
    tallies: dict[str, Tally] = {}
    for document in documents:
        scope, sender = document.meeting.scope, document.meeting.site
        settings = Settings(sender, scope, {"": policy}, run, -1, onconflict)
        site.meet(Meeting(sender, document.meeting.origin, "", "", scope, histories=document.meeting.histories))
        for page in document.pages:
            _add(tallies, page.resource, site.apply(page, settings))
        if document.closing is not None:
            for wire, tally in site.acknowledge(document.closing, settings).items():
                _add(tallies, wire, tally)
    return tallies


def _add(tallies: dict[str, Tally], wire: str, tally: Tally) -> None:
    tallies.setdefault(wire, Tally()).add(tally)
