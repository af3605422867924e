"""Whether a task with an Eden peer can run as it is entered: what only its run would refuse is refused before."""

from __future__ import annotations

from tallystick.core.policies import DEFAULT_POLICY
from tallystick.errors import UnknownField, UsageError
from tallystick.jobs.eden_tasks import fields_of, lacking, terms_of
from tallystick.jobs.log import Mode
from tallystick.jobs.tasks import EVERYTHING, Peer, Task
from tallystick.protocols.eden.codec.filters import MAIN
from tallystick.protocols.eden.codec.schema import META_FIELDS
from tallystick.protocols.eden.site.catalog import Catalog
from tallystick.protocols.eden.site.layout import STEPS
from tallystick.site.ledger import Ledger


def check_eden_task(ledger: Ledger, task: Task, peer: Peer) -> None:
    """Refuse a task that would fail, or would not be followed.

    Raises UsageError for a table that is not here, for policies and filters that Eden does not have, and for options
    of a task whose data sets decide themselves; FilterError for conditions that cannot be asked of an Eden site;
    UnknownField for fields that its table does not have.
    """
    if task.resource == EVERYTHING and peer.datasets:
        _check_datasets(task)
        return
    terms_of(task)
    ledger.require("eden", STEPS)
    catalog = Catalog(ledger)
    if catalog.bound(task.resource) is None:
        raise lacking(task)
    for name, text in task.filters.items():
        _check_fields(catalog, task, name, fields_of(text))
    _check_fields(catalog, task, task.resource, list(task.policy.update.fields))


def _check_datasets(task: Task) -> None:
    if task.mode is Mode.PUSH:
        raise UsageError(
            f"the task {task.name} pushes, and data sets are only pulled",
            hint="leave out --mode push, or name a table: --resource org_organisation",
        )
    if task.policy != DEFAULT_POLICY or task.filters or not task.components:
        raise UsageError(
            f"the task {task.name} pulls data sets, which have policies and filters of their own",
            hint="leave out --strategy, --update, --conflict, --filter and --no-components, or name a table",
        )


def _check_fields(catalog: Catalog, task: Task, name: str, fields: list[str]) -> None:
    """Fields that do not follow a reference are those of the table; one that is not here is known to the peer only."""
    bound = catalog.bound(task.resource if name in (MAIN, "") else name)
    if bound is None:
        return
    for field in fields:
        if field not in bound.table.fields and field not in META_FIELDS and not {".", "$"} & set(field):
            raise UnknownField(
                f"the task {task.name} names the field {field!r}, which {bound.table.name!r} does not have",
                hint=f"fields of {bound.table.name}: {', '.join(bound.table.fields)}",
            )
