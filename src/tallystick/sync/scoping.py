"""Which resources a plan covers at two ends, and whether everything that it names is there."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.core.values import fold
from tallystick.errors import SchemaError, UsageError
from tallystick.site.filtering import selector
from tallystick.site.schema import Definition, Field, Identity
from tallystick.sync.plan import Plan
from tallystick.sync.replica import Described, Replica, Scope, Wanted

Offers = tuple[Sequence[Definition], Sequence[Definition]]
"""What the untracked tables of both ends would be, where the ends tell."""


def offers(plan: Plan, a: Replica, b: Replica, first: Described, second: Described) -> Offers:
    """What both ends would track, where the plan names fields and there is anything to track yet."""
    fields = any((*policy.update.fields, *policy.conflict.fields) for policy in plan.policies.values())
    if not (fields or plan.where or plan.naming or plan.references or natural_columns(plan)):
        return (), ()
    return a.offered() if first.untracked else (), b.offered() if second.untracked else ()


def check_named(plan: Plan, first: Described, second: Described, offered: Offers = ((), ())) -> None:
    """Refuse a plan that names what is at neither end. Raises UsageError, and SchemaError for a table without a key."""
    unkeyed = {fold(name): name for described in (first, second) for name in described.unkeyed}
    barred = {fold(name): why for described in (first, second) for name, why in described.barred.items()}
    known = {fold(name) for described in (first, second) for name in described.untracked}
    known |= {name for described in (first, second) for name in _by_name(described)}
    for name in (*plan.only, *plan.exclude):
        if name in plan.only and fold(name) in unkeyed:
            raise SchemaError(f"table {unkeyed[fold(name)]!r} has no primary key, so its rows cannot be named")
        if name in plan.only and fold(name) in barred:
            raise SchemaError(
                f"table {name!r} cannot be synchronized: {barred[fold(name)]}", hint="leave it out, or change it"
            )
        if fold(name) not in known | unkeyed.keys() | barred.keys():
            raise UsageError(
                f"there is no table or resource {name!r} at either end",
                hint=f"there are: {', '.join(sorted(known)) or 'none'}",
            )
    _check_policies(plan, first, second, offered)
    _check_naming(plan, second, offered[1])
    _check_where(plan, first, second, offered)
    _check_natural(plan, first, second, offered)


def _by_name(described: Described, offered: Sequence[Definition] = ()) -> dict[str, Definition]:
    """Resources by every name they answer to."""
    return {name: item for item in (*offered, *described.resources) for name in (fold(item.name), item.wire)}


def _check_policies(plan: Plan, first: Described, second: Described, offered: Offers) -> None:
    """A policy that names nothing would silently decide nothing."""
    known = _by_name(second, offered[1]) | _by_name(first, offered[0])
    later = {fold(name) for described in (first, second) for name in described.untracked}
    for wire, policy in plan.policies.items():
        if wire and wire not in known and wire not in later:
            raise UsageError(
                f"a policy names {wire!r}, which is no table or resource at either end",
                hint=f"there are: {', '.join(sorted({*known, *later})) or 'none'}",
            )
        for name in sorted({*policy.update.fields, *policy.conflict.fields}):
            if wire in known and not _has_field(known[wire], name):
                raise UsageError(
                    f"a policy names the field {name!r}, which {wire!r} does not have",
                    hint=f"fields of {wire}: {', '.join(known[wire].names)}",
                )


def _has_field(definition: Definition, name: str) -> bool:
    return definition.identity is Identity.MANAGED or name in definition.names


def _check_where(plan: Plan, first: Described, second: Described, offered: Offers) -> None:
    """Raises UsageError for a filter of what is at neither end, FilterError for one that names no field."""
    known = _by_name(second, offered[1]) | _by_name(first, offered[0])
    later = {fold(name) for described in (first, second) for name in described.untracked}
    for name, text in plan.where.items():
        definition = known.get(name) or known.get(fold(name))
        if definition is not None:
            selector(definition, text)
        elif fold(name) not in later:
            raise UsageError(
                f"--where names {name!r}, which is no resource",
                hint=f"resources: {', '.join(sorted({*known, *later})) or 'none'}",
            )


def natural_columns(plan: Plan) -> list[str]:
    """The wire names of the columns by which rows are one record; none where the plan names none."""
    listed = plan.identity.removeprefix("natural:") if plan.identity.startswith("natural:") else ""
    return [fold(name) for name in listed.split(",") if name.strip()]


def _check_natural(plan: Plan, first: Described, second: Described, offered: Offers) -> None:
    """Raises SchemaError when no table with an integer key has the natural columns together."""
    columns = natural_columns(plan)
    told = [*first.resources, *offered[0], *second.resources, *offered[1]]
    if not columns or {*first.untracked, *second.untracked} - {item.name for item in told}:
        return
    mapped = [item for item in told if item.identity is Identity.MAPPED and _selected(item.wire, item.name, plan)]
    have_natural(plan, mapped)


def have_natural(plan: Plan, mapped: Sequence[Definition]) -> list[str]:
    """Those of the resources with an integer key that have the natural columns. Raises SchemaError for none."""
    columns = set(natural_columns(plan))
    found = [item.wire for item in mapped if columns <= set(item.names)]
    if not found:
        raise SchemaError(
            f"--identity {plan.identity} names columns that no table with an integer key has together",
            hint=f"tables with an integer key: {', '.join(sorted({item.name for item in mapped})) or 'none'}",
        )
    return found


def _check_naming(plan: Plan, second: Described, offered: Sequence[Definition]) -> None:
    """``--map`` names tables and columns of the second end."""
    tables = {item.name: item for item in (*offered, *second.resources)}
    for name in plan.naming:
        table, _, column = name.partition(".") if name not in tables else (name, "", "")
        if table not in tables and table not in (*second.untracked, *second.unkeyed):
            raise UsageError(
                f"--map names {name!r}, and there is no table {table!r} at the second end",
                hint=f"tables there: {', '.join(sorted({*tables, *second.untracked})) or 'none'}",
            )
        if column and table in tables and column not in {item.column for item in _columns(tables[table])}:
            raise UsageError(
                f"--map names {name!r}, and table {table!r} has no column {column!r}",
                hint=f"columns: {', '.join(item.column for item in _columns(tables[table]))}",
            )


def _columns(definition: Definition) -> tuple[Field, ...]:
    return (*definition.key_fields, *definition.fields)


def wanted(described: Described, plan: Plan) -> list[Definition]:
    """The resources that the plan selects, and those that they refer to: a row without its parent cannot be shown.

    Raises UsageError when an excluded one is referred to.
    """
    known = {item.wire: item for item in described.resources}
    chosen = dict.fromkeys(item.wire for item in described.resources if _selected(item.wire, item.name, plan))
    queue = list(chosen)
    for wire in queue:
        for parent in known[wire].parents:
            if parent in known and parent not in chosen:
                if {parent, fold(known[parent].name)} & excluded(plan):
                    raise UsageError(
                        f"{known[wire].name!r} refers to {known[parent].name!r}, which is excluded",
                        hint=f"exclude {known[wire].name!r} too, or neither",
                    )
                chosen[parent] = None
                queue.append(parent)
    return [known[wire] for wire in chosen]


def filters(described: Described, plan: Plan) -> tuple[tuple[str, str], ...]:
    """The filters by wire name. Raises UsageError for a resource, FilterError for a field that is not there."""
    by_name = {name: item for item in described.resources for name in (item.wire, fold(item.name))}
    found = []
    for name, text in plan.where.items():
        definition = by_name.get(name) or by_name.get(fold(name))
        if definition is None:
            raise UsageError(f"--where names {name!r}, which is no resource", hint=f"resources: {', '.join(by_name)}")
        selector(definition, text)
        found.append((definition.wire, text))
    return tuple(sorted(found))


def lacks(described: Described, only: tuple[str, ...]) -> bool:
    """True when the end has tables that the plan may want and that it does not track yet."""
    known = {item.wire for item in described.resources}
    return bool(described.untracked) and (not only or any(fold(name) not in known for name in only))


def chosen(described: Described, plan: Plan) -> list[str]:
    """The tables not tracked yet that the plan asks for by name, or all that it does not exclude."""
    left_out = excluded(plan)
    if plan.only:
        there = {fold(name) for name in described.untracked}
        return [name for name in plan.only if fold(name) in there]
    return [name for name in described.untracked if fold(name) not in left_out]


def excluded(plan: Plan) -> set[str]:
    """The folded names that the plan leaves out."""
    return {fold(name) for name in plan.exclude}


def _selected(wire: str, name: str, plan: Plan) -> bool:
    names = {wire, fold(name)}
    if names & excluded(plan):
        return False
    return not plan.only or bool(names & {fold(item) for item in plan.only})


def differ(one: Described, other: Described) -> bool:
    """True when ``other`` lacks a resource of ``one``, or may have more to offer."""
    wires = {item.wire for item in other.resources}
    return any(item.wire not in wires for item in one.resources) or bool(other.untracked)


def choose(end: Replica, plan: Plan) -> tuple[list[Definition], Scope]:
    """What ``end`` brings along under ``plan`` when the other end cannot be asked: its resources, and the scope.

    Tables are tracked on first use. Raises UsageError where an excluded one is referred to, FilterError, SchemaError.
    """
    described = end.describe()
    if lacks(described, plan.only) or plan.references:
        described = end.prepare(Wanted([], chosen(described, plan), False, {}, dict(plan.references)))
    found = wanted(described, plan)
    return found, Scope(tuple(sorted(item.wire for item in found)), filters(described, plan), plan.delete_left)
