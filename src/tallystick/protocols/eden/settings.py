"""Peers, tasks and data sets as records on the wire: ``sync_repository``, ``sync_task``, ``sync_dataset``.

(spec: sections 2, 5 *plain REST*, 12 and 15.) Credentials never leave: repositories can be written, not read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

from tallystick.core.policies import FieldPolicy, Method, Resolution
from tallystick.errors import FilterError
from tallystick.protocols.eden.codec.elements import Data, Document, Reference, Resource
from tallystick.protocols.eden.codec.encoding import given
from tallystick.protocols.eden.codec.filters import (
    MAIN,
    Filter,
    Selector,
    format_key,
    format_values,
    holds,
    parse_filter_string,
)
from tallystick.protocols.eden.codec.identifiers import exported, imported
from tallystick.protocols.eden.codec.queries import SyncQuery
from tallystick.protocols.eden.codec.replies import PushReply
from tallystick.protocols.eden.codec.times import format_time, parse_time
from tallystick.protocols.eden.deciding import NEWER, parse_resolution
from tallystick.protocols.eden.errors import TimeFormatError
from tallystick.protocols.eden.store import Dataset, EdenStore, Mode, Repository, Task

READABLE = ("sync_task", "sync_dataset")
_MODES = {mode.wire: mode for mode in Mode}

# Out -----------------------------------------------------------------------------------------------------------


def settings_document(store: EdenStore, name: str, query: SyncQuery, base: str) -> Document:
    """The selected tasks or data sets as a document. ``name`` is one of READABLE."""
    datasets = {one.uuid: one for one in store.datasets()}
    resources: list[Resource] = []
    if name == "sync_task":
        hosted = [task for task in store.tasks() if _is_hosted(task, datasets)]
        known = [task for task in hosted if query.include_deleted or not task.deleted]
        chosen = [task for task in known if _fits(query, task.modified_on, _task_values(task, datasets))]
        resources = [_task_resource(task, store.identity().domain, base) for task in chosen]
        used = dict.fromkeys(task.dataset for task in chosen if not task.deleted)
        dependencies = [_dataset_resource(datasets[uuid], store.identity().domain, base) for uuid in used if uuid]
    else:
        found = [one for one in datasets.values() if _fits(query, one.modified_on, _dataset_values(one))]
        resources = [_dataset_resource(one, store.identity().domain, base) for one in found]
        dependencies = []
    attributes = {"success": "true" if resources else "false", "results": str(len(resources))}
    attributes |= {"domain": store.identity().domain, "url": base}
    return Document(attributes, resources + dependencies)


def _is_hosted(task: Task, datasets: Mapping[str, Dataset]) -> bool:
    return task.repository is None and task.dataset is not None and (task.deleted or task.dataset in datasets)


def _fits(query: SyncQuery, changed: datetime | None, values: Mapping[str, object]) -> bool:
    if query.msince is not None and changed is not None and changed < query.msince:
        return False

    def values_at(selector: Selector) -> Sequence[object]:
        return (values.get("$".join(selector.path)),)

    return all(holds(one.condition, values_at) for one in query.filters if one.table == MAIN)


def _task_values(task: Task, datasets: Mapping[str, Dataset]) -> dict[str, object]:
    dataset = datasets.get(task.dataset or "")
    code = dataset.code if dataset is not None else None
    return {"uuid": task.uuid, "resource_name": task.resource, "dataset_id$code": code, "deleted": task.deleted}


def _dataset_values(dataset: Dataset) -> dict[str, object]:
    return {"uuid": dataset.uuid, "code": dataset.code, "name": dataset.name, "deleted": False}


def _meta(uuid: str, domain: str, changed: datetime | None, url: str) -> dict[str, str]:
    attributes = {"uuid": exported(uuid, domain), "mci": "1"}
    if changed is not None:
        attributes |= {"created_on": format_time(changed), "modified_on": format_time(changed)}
    return attributes | {"url": url}


def _task_resource(task: Task, domain: str, base: str) -> Resource:
    if task.deleted:
        url = f"{base}/sync/task/{task.id}"
        return Resource("sync_task", _meta(task.uuid, domain, task.modified_on, url) | {"deleted": "True"})
    words = [method.value for method in Method if method in task.strategy]
    data = [
        Data("resource_name", None, task.resource),
        _flag("components", task.components),
        *(_flag(name, False) for name in ("delete_input_files", "human_readable", "multiple_file")),
        Data("mode", str(task.mode.wire), task.mode.value),
        Data("strategy", json.dumps(words), ", ".join(words)),
        Data("update_method", "1", "update"),
        Data("update_policy", json.dumps(task.update.default.name), task.update.default.name),
        Data("conflict_policy", json.dumps(task.conflict.name), task.conflict.name),
    ]
    url = f"{base}/sync/task/{task.id}"
    resource = Resource("sync_task", _meta(task.uuid, domain, task.modified_on, url), data)
    if task.dataset:
        resource.references.append(Reference("dataset_id", "sync_dataset", (exported(task.dataset, domain),)))
    resource.components = list(_filter_resources(task, domain, url))
    return resource


def _filter_resources(task: Task, domain: str, url: str) -> Iterator[Resource]:
    for number, (table, filters) in enumerate(_by_table(task).items(), 1):
        text = "&".join(
            f"{format_key(one).partition(']')[2]}={quote(format_values(one.condition.values), safe='*?,')}"
            for one in filters
        )
        data = [Data("tablename", None, table), Data("filter_string", None, text)]
        uuid = f"{task.uuid}:{table}"
        yield Resource(
            "sync_resource_filter", _meta(uuid, domain, task.modified_on, f"{url}/resource_filter/{number}"), data
        )


def _by_table(task: Task) -> dict[str, list[Filter]]:
    found: dict[str, list[Filter]] = {}
    for one in task.filters:
        found.setdefault(task.resource if one.table == MAIN else one.table, []).append(one)
    return found


def _dataset_resource(dataset: Dataset, domain: str, base: str) -> Resource:
    data = [Data("code", None, dataset.code), Data("name", None, dataset.name)]
    if dataset.archive_url:
        data.append(Data("archive_url", None, dataset.archive_url))
    data.append(_flag("use_archive", dataset.use_archive))
    url = f"{base}/sync/dataset/{dataset.id}"
    return Resource("sync_dataset", _meta(dataset.uuid, domain, dataset.modified_on, url), data)


def _flag(name: str, value: bool) -> Data:
    return Data(name, "true" if value else "false", str(value))


# In ------------------------------------------------------------------------------------------------------------


def import_settings(store: EdenStore, document: Document, new_uuid: Callable[[], str], now: datetime) -> PushReply:
    """Creates and changes peers with their tasks from ``sync_repository`` elements; absent fields keep their values.

    A record that cannot be read is reported; the others are kept.
    """
    reply = PushReply()
    for resource in document.resources:
        if resource.name != "sync_repository":
            continue
        problem = _import_repository(store, resource, reply, new_uuid, now)
        if problem is not None:
            resource.error = problem
            reply.rejected.append(resource)
        else:
            reply.records += 1
    return reply


def _import_repository(
    store: EdenStore, resource: Resource, reply: PushReply, new_uuid: Callable[[], str], now: datetime
) -> str | None:
    values = _values(resource)
    uuid = imported(resource.uuid, store.identity().domain) if resource.uuid else new_uuid()
    known = store.repository(uuid)
    if known is None and not values.get("name"):
        return "name: value(s) required"
    try:
        tasks = [
            read_task(one, uuid, store.task(uuid, str(_values(one).get("resource_name") or "")), new_uuid, now)
            for one in resource.components
            if one.name == "sync_task"
        ]
    except (FilterError, TimeFormatError) as error:
        return error.message
    repository = known or Repository(uuid, str(values["name"]))
    saved = store.save_repository(_with_values(repository, values))
    (reply.created if known is None else reply.updated).append(saved.id)
    for task in tasks:
        store.save_task(task)
    return None


def _with_values(repository: Repository, values: Mapping[str, object]) -> Repository:
    def chosen(name: str, before: str | None) -> str | None:
        found = values.get(name)
        return before if found is None else str(found) or None

    return replace(
        repository,
        name=chosen("name", repository.name) or repository.name,
        url=chosen("url", repository.url),
        username=chosen("username", repository.username),
        password=chosen("password", repository.password),
        apitype=chosen("apitype", repository.apitype) or "eden",
        synchronise_uuids=bool(values.get("synchronise_uuids", repository.synchronise_uuids)),
        deleted=False,
    )


def read_task(
    resource: Resource, repository: str | None, known: Task | None, new_uuid: Callable[[], str], now: datetime
) -> Task:
    """The task in a ``sync_task`` element, on top of ``known``. Raises FilterError and TimeFormatError."""
    values = _values(resource)
    task = known or Task(resource.uuid or new_uuid(), repository, "")
    table = str(values.get("resource_name") or task.resource)
    mode, strategy, last_pull = values.get("mode"), values.get("strategy"), values.get("last_pull")
    filters = _filters(resource, table)
    return replace(
        task,
        resource=table,
        mode=_MODES.get(mode, task.mode) if isinstance(mode, int) else task.mode,
        strategy=_strategy(strategy) if isinstance(strategy, list) else task.strategy,
        update=_update(values.get("update_policy"), task.update),
        conflict=_resolution(values.get("conflict_policy"), task.conflict),
        components=bool(values.get("components", task.components)),
        filters=task.filters if filters is None else filters,
        pushed=task.pushed if filters is None or filters == task.filters else 0,
        last_pull=parse_time(str(last_pull)) if last_pull else task.last_pull,
        modified_on=now.replace(microsecond=0),
    )


def _values(resource: Resource) -> dict[str, object]:
    return {data.field: given(data) for data in resource.data}


def _strategy(words: Sequence[object]) -> frozenset[Method]:
    return frozenset(method for method in Method if method.value in words)


def _update(word: object, before: FieldPolicy) -> FieldPolicy:
    if word is None:
        return before
    found = parse_resolution(str(word))
    return NEWER if found is None else FieldPolicy(found)


def _resolution(word: object, before: Resolution) -> Resolution:
    return before if word is None else parse_resolution(str(word)) or Resolution.NEWER


def _filters(resource: Resource, main: str) -> tuple[Filter, ...] | None:
    elements = [one for one in resource.components if one.name == "sync_resource_filter"]
    if not elements:
        return None
    found: list[Filter] = []
    for one in elements:
        values = _values(one)
        found += parse_filter_string(str(values.get("tablename") or main), main, str(values.get("filter_string") or ""))
    return tuple(found)
