"""Whether what a task names is there, before it is entered: a misspelt one would fail at night, or decide nothing."""

from __future__ import annotations

from tallystick.core.values import fold
from tallystick.errors import UnknownField, UnknownResource, UsageError
from tallystick.jobs.log import Mode
from tallystick.jobs.tasks import Peer, Task
from tallystick.site.filtering import selector
from tallystick.site.ledger import Ledger
from tallystick.site.schema import Definition, Identity

_OURS = ("native", "files")
"""Protocols in which both ends call a resource alike; others have names of their own."""


def check_task(ledger: Ledger, task: Task, peer: Peer) -> str:
    """What should be said of a task that may be right, else nothing.

    Raises UnknownResource where a task pushes a table that is not here, UnknownField and FilterError for fields that
    its resource does not have, UsageError for a filter of another resource and for what the peer's protocol does not
    know.
    """
    if peer.protocol != "eden":
        _check_options(task, peer)
    else:
        from tallystick.jobs.eden_checking import check_eden_task

        check_eden_task(ledger, task, peer)
    if peer.protocol == "sdata":
        from tallystick.jobs.sdata_tasks import check_terms

        check_terms(task)
    if task.resource == "*" or peer.protocol not in _OURS:
        return ""
    named = fold(task.resource)
    for name in task.filters:
        if fold(name) != named:
            raise UsageError(
                f"--filter names {name!r}, and the task {task.name!r} is about {task.resource!r}",
                hint=f"write it as '{task.resource}: EXPRESSION'",
            )
    definitions = {fold(name): one.definition for one in ledger.resources() for name in (one.wire, one.definition.name)}
    if named in definitions:
        _check_fields(definitions[named], task)
        return ""
    tables = sorted(table.name for table in ledger.engine.tables())
    if named in map(fold, tables):
        return ""
    if task.mode is Mode.PUSH:
        raise UnknownResource(
            f"there is no table {task.resource!r} to push", hint=f"tables: {', '.join(tables) or 'none'}"
        )
    return f"there is no table {task.resource!r} here: it will be looked for at {peer.name}"


def _check_options(task: Task, peer: Peer) -> None:
    """Refuse what only Eden knows: by sequence nothing is missed, and there are no components."""
    given = {"--no-components": not task.components, "--full-every": task.full_every is not None}
    for option in (name for name, wanted in given.items() if wanted):
        raise UsageError(
            f"{option} is about Eden sites, and {peer.name} is none: the task {task.name} would not follow it",
            hint="leave it out, or take it back with --components or --full-every 0",
        )


def _check_fields(definition: Definition, task: Task) -> None:
    for text in task.filters.values():
        selector(definition, text)
    known = {fold(name) for name in definition.names}
    for name in (*task.policy.update.fields, *task.policy.conflict.fields):
        if definition.identity is not Identity.MANAGED and name not in known:
            raise UnknownField(
                f"a policy names the field {name!r}, which {task.resource!r} does not have",
                hint=f"fields of {task.resource}: {', '.join(definition.names)}",
            )
