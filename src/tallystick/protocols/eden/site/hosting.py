"""Public data sets that this site hosts: which tables and records, and the archive of first pulls (section 15)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from tallystick.core.policies import Method
from tallystick.errors import SchemaError, UsageError
from tallystick.protocols.eden.answering import Pull, answer_pull
from tallystick.protocols.eden.codec.filters import Filter
from tallystick.protocols.eden.codec.identifiers import urn_of
from tallystick.protocols.eden.codec.times import SECOND
from tallystick.protocols.eden.codec.xml_writing import write_xml
from tallystick.protocols.eden.datasets import archive_of
from tallystick.protocols.eden.site.store import SiteStore
from tallystick.protocols.eden.store import Dataset, Mode, Task

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Hosting:
    """The data sets of one site. Each has one task per table, which those who pull it take over."""

    def __init__(self, store: SiteStore) -> None:
        self.store = store

    def datasets(self) -> list[Dataset]:
        """The data sets hosted here, by code."""
        return sorted(self.store.datasets(), key=lambda one: one.code)

    def dataset(self, code: str) -> Dataset:
        """The data set of that code. Raises UsageError when there is none."""
        for one in self.datasets():
            if one.code == code:
                return one
        known = ", ".join(one.code for one in self.datasets()) or "none"
        raise UsageError(f"no data set {code!r} is hosted here", hint=f"data sets: {known}")

    def tasks(self, dataset: Dataset) -> list[Task]:
        """What a data set holds: a task per table, by table."""
        found = [one for one in self.store.tasks() if one.dataset == dataset.uuid and not one.deleted]
        return sorted((one for one in found if one.repository is None), key=lambda one: one.resource)

    def add(
        self,
        code: str,
        name: str,
        tables: Mapping[str, tuple[Filter, ...]],
        now: datetime,
        *,
        components: bool = True,
    ) -> Dataset:
        """Host a data set of these tables, each with its filters.

        Raises UsageError for a code that is none or taken and for no tables, SchemaError for a table that is not here.
        """
        if not _CODE.fullmatch(code):
            raise UsageError(f"{code[:80]!r} cannot be the code of a data set", hint="use letters, digits, _ and -")
        if not tables:
            raise UsageError(f"the data set {code} holds no table", hint="name one: --table org_organisation")
        if any(one.code == code for one in self.datasets()):
            raise UsageError(f"a data set {code} is hosted here already", hint="remove it first, or use another code")
        for table in tables:
            if self.store.table(table) is None:
                raise SchemaError(f"there is no table {table} here that Eden sites could pull", hint="track it first")
        moment = self._moment(now)
        with self.store.ledger.engine.write():
            made = self.store.peers.save_dataset(Dataset(urn_of(uuid4()), code, name or code, modified_on=moment))
            for table, filters in tables.items():
                self.store.save_task(
                    Task(
                        urn_of(uuid4()),
                        None,
                        table,
                        Mode.PULL,
                        frozenset({Method.CREATE, Method.UPDATE, Method.DELETE}),
                        components=components,
                        filters=filters,
                        dataset=made.uuid,
                        modified_on=moment,
                    )
                )
        return made

    def build_archive(self, code: str, now: datetime) -> int:
        """Write the archive for first pulls anew; returns its size in bytes. Raises UsageError for an unknown code."""
        dataset = self.dataset(code)
        body = archive_of({task.uuid: self._document(task, now) for task in self.tasks(dataset)})
        name = f"{code}.zip"
        with self.store.ledger.engine.write():
            self.store.peers.save_archive(name, body)
            url = f"/default/download/{name}"
            changed = replace(dataset, archive_url=url, use_archive=True, modified_on=self._moment(now))
            self.store.peers.save_dataset(changed)
        return len(body)

    def _document(self, task: Task, now: datetime) -> list[bytes]:
        """What a Tallystick site gets: without versions, what it read here would be news to it, and stand."""
        table = self.store.table(task.resource)
        if table is None:
            raise SchemaError(
                f"the table {task.resource} of the data set is not tracked any more", hint="track it, or remove the set"
            )
        pull = Pull(table, filters=task.filters, include_deleted=False, components=task.components, state="")
        found = answer_pull(self.store, pull, f"http://{self.store.identity().name}", now)
        return list(write_xml(found.attributes, found.resources))

    def remove(self, code: str, now: datetime) -> None:
        """Stop hosting a data set; those who pull it hear that it ended, and keep what they have.

        Raises UsageError for an unknown code.
        """
        dataset = self.dataset(code)
        with self.store.ledger.engine.write():
            moment = self._moment(now)
            for task in self.tasks(dataset):
                self.store.save_task(replace(task, deleted=True, modified_on=moment))
            self.store.peers.save_archive(f"{code}.zip", None)
            self.store.peers.remove_dataset(dataset.uuid)

    def _moment(self, now: datetime) -> datetime:
        """A time of change that whoever pulls from here asks for: peers go on a second after the newest one."""
        times = [one.modified_on for one in self.store.datasets()]
        times += [one.modified_on for one in self.store.tasks() if one.repository is None]
        newest = max((one for one in times if one is not None), default=None)
        moment = now.replace(microsecond=0)
        return moment if newest is None else max(moment, newest + SECOND)
