"""Tables, peers and tasks as they are kept in the database: plain forms of the protocol's values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from tallystick.core.policies import FieldPolicy, Method, Resolution
from tallystick.protocols.eden.codec.filters import Condition, Filter, Operator, Selector
from tallystick.protocols.eden.codec.schema import Component, Field, Kind, Table
from tallystick.protocols.eden.store import Dataset, Mode, Repository, Task
from tallystick.protocols.eden.watermarks import Answered


class FieldForm(msgspec.Struct, omit_defaults=True):
    """See ``schema.Field``; ``column`` is where a site keeps it."""

    name: str
    kind: str
    column: str = ""
    target: str | None = None
    required: bool = False
    unique: bool = False
    represented: bool = False
    default: Any = None
    readable: bool = True
    writable: bool = True
    length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    options: dict[str, str] | None = None


class ComponentForm(msgspec.Struct, omit_defaults=True):
    """See ``schema.Component``."""

    table: str
    key: str
    alias: str | None = None
    many: bool = True
    imported: bool = True


class TableForm(msgspec.Struct, omit_defaults=True):
    """See ``schema.Table``."""

    name: str
    fields: list[FieldForm]
    components: list[ComponentForm] = []
    identity: list[str] = []
    identity_also: list[str] = []
    meta: bool = True
    restricted: bool = False

    @property
    def columns(self) -> dict[str, str]:
        """The column of every field that has one under another name."""
        return {one.name: one.column for one in self.fields if one.column}


def table_form(table: Table, columns: Mapping[str, str]) -> str:
    """A table as text. ``columns`` are those of fields that are kept under another name."""
    fields = [
        FieldForm(
            one.name,
            one.kind.value,
            columns.get(one.name, ""),
            one.target,
            one.required,
            one.unique,
            one.represented,
            one.default,
            one.readable,
            one.writable,
            one.length,
            one.minimum,
            one.maximum,
            dict(one.options) if one.options else None,
        )
        for one in table.fields.values()
    ]
    components = [ComponentForm(one.table, one.key, one.alias, one.many, one.imported) for one in table.components]
    identity, also = list(table.identity), list(table.identity_also)
    form = TableForm(table.name, fields, components, identity, also, table.meta, table.restricted)
    return msgspec.json.encode(form).decode()


def parse_table(text: str) -> TableForm:
    """The form in a text."""
    return msgspec.json.decode(text, type=TableForm)


def table_of(form: TableForm) -> Table:
    """The table that a form stands for."""
    fields = {}
    for one in form.fields:
        details = {name: getattr(one, name) for name in one.__struct_fields__ if name not in ("name", "kind", "column")}
        fields[one.name] = Field(one.name, Kind(one.kind), **details)
    components = tuple(Component(one.table, one.key, one.alias, one.many, one.imported) for one in form.components)
    identity, also = tuple(form.identity), tuple(form.identity_also)
    return Table(form.name, fields, components, identity, also, form.meta, form.restricted)


# Peers, tasks, data sets ----------------------------------------------------------------------------------------


class RepositoryForm(msgspec.Struct, omit_defaults=True):
    """See ``store.Repository``; the password is kept elsewhere."""

    name: str
    url: str | None = None
    username: str | None = None
    apitype: str = "eden"
    synchronise_uuids: bool = False
    registered_by: str | None = None
    last_connected: datetime | None = None
    last_status: str | None = None
    last_refresh: datetime | None = None
    datasets: list[str] = []
    deleted: bool = False


def repository_form(one: Repository) -> str:
    """A repository as text, without its password."""
    form = RepositoryForm(
        one.name,
        one.url,
        one.username,
        one.apitype,
        one.synchronise_uuids,
        one.registered_by,
        one.last_connected,
        one.last_status,
        one.last_refresh,
        list(one.datasets),
        one.deleted,
    )
    return msgspec.json.encode(form).decode()


def repository_of(number: int, uuid: str | None, text: str) -> Repository:
    """The repository in a text, without its password."""
    form = msgspec.json.decode(text, type=RepositoryForm)
    values = {name: getattr(form, name) for name in form.__struct_fields__ if name not in ("name", "datasets")}
    return Repository(uuid, form.name, number, datasets=tuple(form.datasets), **values)


class FilterForm(msgspec.Struct, array_like=True):
    """See ``filters.Filter``."""

    table: str
    selectors: list[tuple[str, list[str]]]
    operator: str
    values: list[str | None]
    negated: bool = False


class TaskForm(msgspec.Struct, omit_defaults=True):
    """See ``store.Task``."""

    mode: str
    strategy: list[str]
    update: str
    fields: dict[str, str]
    conflict: str
    components: bool = True
    filters: list[FilterForm] = []
    last_pull: datetime | None = None
    last_push: datetime | None = None
    state: str | None = None
    pushed: int = 0
    retry: list[str] = []
    dataset: str | None = None
    modified_on: datetime | None = None
    deleted: bool = False


def task_form(task: Task) -> str:
    """A task as text."""
    form = TaskForm(
        task.mode.value,
        sorted(task.strategy),
        task.update.default.value,
        {name: word.value for name, word in task.update.fields.items()},
        task.conflict.value,
        task.components,
        [_filter_form(one) for one in task.filters],
        task.last_pull,
        task.last_push,
        task.state,
        task.pushed,
        sorted(task.retry),
        task.dataset,
        task.modified_on,
        task.deleted,
    )
    return msgspec.json.encode(form).decode()


def task_of(number: int, uuid: str, repository: str | None, resource: str, text: str) -> Task:
    """The task in a text."""
    form = msgspec.json.decode(text, type=TaskForm)
    fields = {name: Resolution(word) for name, word in form.fields.items()}
    return Task(
        uuid,
        repository,
        resource,
        Mode(form.mode),
        frozenset(Method(word) for word in form.strategy),
        FieldPolicy(Resolution(form.update), fields),
        Resolution(form.conflict),
        form.components,
        tuple(_filter_of(one) for one in form.filters),
        number,
        _utc(form.last_pull),
        _utc(form.last_push),
        form.state,
        form.pushed,
        frozenset(form.retry),
        form.dataset,
        _utc(form.modified_on),
        form.deleted,
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def _filter_form(one: Filter) -> FilterForm:
    condition = one.condition
    selectors = [(selector.alias, list(selector.path)) for selector in condition.selectors]
    return FilterForm(one.table, selectors, condition.operator.value, list(condition.values), condition.negated)


def _filter_of(form: FilterForm) -> Filter:
    selectors = tuple(Selector(alias, tuple(path)) for alias, path in form.selectors)
    return Filter(form.table, Condition(selectors, Operator(form.operator), tuple(form.values), form.negated))


class DatasetForm(msgspec.Struct, omit_defaults=True):
    """See ``store.Dataset``."""

    code: str
    name: str
    archive_url: str | None = None
    use_archive: bool = False
    modified_on: datetime | None = None


def dataset_form(one: Dataset) -> str:
    """A data set as text."""
    form = DatasetForm(one.code, one.name, one.archive_url, one.use_archive, one.modified_on)
    return msgspec.json.encode(form).decode()


def dataset_of(number: int, uuid: str, text: str) -> Dataset:
    """The data set in a text."""
    form = msgspec.json.decode(text, type=DatasetForm)
    return Dataset(uuid, form.code, form.name, form.archive_url, form.use_archive, number, _utc(form.modified_on))


class AnsweredForm(msgspec.Struct, array_like=True):
    """See ``watermarks.Answered``."""

    msince: datetime
    seq: int


def answers_form(answers: tuple[Answered, ...]) -> str:
    """Answers as text."""
    return msgspec.json.encode([AnsweredForm(one.msince, one.seq) for one in answers]).decode()


def answers_of(text: str) -> tuple[Answered, ...]:
    """The answers in a text."""
    found = msgspec.json.decode(text, type=list[AnsweredForm])
    return tuple(Answered(one.msince.astimezone(UTC), one.seq) for one in found)
