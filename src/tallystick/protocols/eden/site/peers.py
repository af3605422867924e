"""Peers, tasks, data sets and what is remembered of them, in a site's database (spec/eden.md: sections 2 and 15)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from tallystick.protocols.eden.codec.elements import Document, Resource
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.codec.xml_writing import write_xml
from tallystick.protocols.eden.site import forms
from tallystick.protocols.eden.store import Dataset, LogEntry, Repository, Task
from tallystick.protocols.eden.watermarks import Answered
from tallystick.site.ledger import Ledger


class Secrets(Protocol):
    """Where passwords of peers are kept, encrypted."""

    def find(self, name: str) -> str | None:
        """The secret of that name."""

    def save(self, name: str, secret: str | None) -> None:
        """Keeps a secret; None forgets it."""


class NoSecrets:
    """Keeps none: passwords are given with every run."""

    def find(self, name: str) -> str | None:
        """Nothing."""
        return None

    def save(self, name: str, secret: str | None) -> None:
        """Nothing is kept."""


Log = Callable[[LogEntry], None]


class Peers:
    """The peers of one site. Writing methods have a transaction of their own where there is none."""

    def __init__(self, ledger: Ledger, secrets: Secrets, log: Log) -> None:
        self._ledger = ledger
        self._secrets = secrets
        self.log = log

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self._ledger.engine.writing:
            yield
            return
        with self._ledger.engine.write():
            yield

    def _next(self, table: str) -> int:
        return int(self._ledger.engine.query(f"SELECT coalesce(max(id), 0)+1 FROM {table}")[0][0])

    # Repositories

    def repositories(self) -> list[Repository]:
        """Every peer, deleted ones included, without passwords."""
        rows = self._ledger.engine.query("SELECT id, uuid, form FROM tally_eden_repository ORDER BY id")
        return [forms.repository_of(*row) for row in rows]

    def repository(self, uuid: str) -> Repository | None:
        """The peer with this identifier, without its password: nobody who answers needs it."""
        sql = "SELECT id, uuid, form FROM tally_eden_repository WHERE uuid=? ORDER BY id"
        rows = self._ledger.engine.query(sql, (uuid,))
        return forms.repository_of(*rows[0]) if rows else None

    def named(self, name: str) -> Repository | None:
        """The peer that is called so here, with its password. Raises ConfigurationError without the key to it."""
        sql = "SELECT id, uuid, form FROM tally_eden_repository WHERE name=?"
        rows = self._ledger.engine.query(sql, (name,))
        if not rows:
            return None
        found = forms.repository_of(*rows[0])
        found.password = self._secrets.find(_secret(name))
        return found

    def save(self, repository: Repository) -> Repository:
        """Insert or update by number, else by identifier or name."""
        with self._writing():
            known = self._known(repository)
            repository.id = known.id if known is not None else self._next("tally_eden_repository")
            if known is not None and known.name != repository.name and self._holder(repository.name):
                repository.name = known.name
            elif known is None and self._holder(repository.name):
                repository.name = f"{repository.name} ({repository.uuid or repository.id})"
            self._ledger.engine.execute("DELETE FROM tally_eden_repository WHERE id=?", (repository.id,))
            self._ledger.engine.execute(
                "INSERT INTO tally_eden_repository(id, name, uuid, form) VALUES (?, ?, ?, ?)",
                (repository.id, repository.name, repository.uuid, forms.repository_form(repository)),
            )
            if repository.password is not None:
                self._secrets.save(_secret(repository.name), repository.password)
        return repository

    def _known(self, repository: Repository) -> Repository | None:
        if repository.id:
            sql = "SELECT id, uuid, form FROM tally_eden_repository WHERE id=?"
            rows = self._ledger.engine.query(sql, (repository.id,))
            if rows:
                return forms.repository_of(*rows[0])
        return self.repository(repository.uuid) if repository.uuid else None

    def _holder(self, name: str) -> bool:
        return bool(self._ledger.engine.query("SELECT 1 FROM tally_eden_repository WHERE name=?", (name,)))

    # Tasks

    def task(self, repository: str, resource: str) -> Task | None:
        """The task for a peer and table."""
        sql = "SELECT id, uuid, repository, resource, form FROM tally_eden_task WHERE repository=? AND resource=?"
        rows = self._ledger.engine.query(sql + " ORDER BY id", (repository, resource))
        return forms.task_of(*rows[0]) if rows else None

    def tasks(self) -> list[Task]:
        """Every task."""
        sql = "SELECT id, uuid, repository, resource, form FROM tally_eden_task ORDER BY id"
        return [forms.task_of(*row) for row in self._ledger.engine.query(sql)]

    def save_task(self, task: Task) -> Task:
        """Insert or update by identifier."""
        with self._writing():
            rows = self._ledger.engine.query("SELECT id FROM tally_eden_task WHERE uuid=?", (task.uuid,))
            task.id = int(rows[0][0]) if rows else self._next("tally_eden_task")
            self._ledger.engine.execute("DELETE FROM tally_eden_task WHERE id=?", (task.id,))
            self._ledger.engine.execute(
                "INSERT INTO tally_eden_task(id, uuid, repository, resource, form) VALUES (?, ?, ?, ?, ?)",
                (task.id, task.uuid, task.repository, task.resource, forms.task_form(task)),
            )
        return task

    def remove_task(self, uuid: str) -> None:
        """Forget a task."""
        with self._writing():
            self._ledger.engine.execute("DELETE FROM tally_eden_task WHERE uuid=?", (uuid,))

    # Data sets

    def datasets(self) -> list[Dataset]:
        """The data sets hosted here."""
        rows = self._ledger.engine.query("SELECT id, uuid, form FROM tally_eden_dataset ORDER BY id")
        return [forms.dataset_of(*row) for row in rows]

    def save_dataset(self, dataset: Dataset) -> Dataset:
        """Insert or update a data set hosted here, by identifier."""
        with self._writing():
            rows = self._ledger.engine.query("SELECT id FROM tally_eden_dataset WHERE uuid=?", (dataset.uuid,))
            dataset.id = int(rows[0][0]) if rows else self._next("tally_eden_dataset")
            self._ledger.engine.execute("DELETE FROM tally_eden_dataset WHERE id=?", (dataset.id,))
            self._ledger.engine.execute(
                "INSERT INTO tally_eden_dataset(id, uuid, form) VALUES (?, ?, ?)",
                (dataset.id, dataset.uuid, forms.dataset_form(dataset)),
            )
        return dataset

    def remove_dataset(self, uuid: str) -> None:
        """Forget a data set hosted here."""
        with self._writing():
            self._ledger.engine.execute("DELETE FROM tally_eden_dataset WHERE uuid=?", (uuid,))

    def archive(self, name: str) -> bytes | None:
        """The archive of a data set, by its file name."""
        rows = self._ledger.engine.query("SELECT body FROM tally_eden_archive WHERE name=?", (name,))
        return bytes(rows[0][0]) if rows else None

    def save_archive(self, name: str, body: bytes | None) -> None:
        """Keep the archive of a data set, in place of the one of that name; None removes it."""
        with self._writing():
            self._ledger.engine.execute("DELETE FROM tally_eden_archive WHERE name=?", (name,))
            if body is not None:
                self._ledger.engine.execute("INSERT INTO tally_eden_archive(name, body) VALUES (?, ?)", (name, body))

    # What is remembered

    def answers(self, repository: str, scope: str) -> tuple[Answered, ...]:
        """What a peer was answered in a scope."""
        sql = "SELECT answers FROM tally_eden_answer WHERE repository=? AND scope=?"
        rows = self._ledger.engine.query(sql, (repository, scope))
        return forms.answers_of(rows[0][0]) if rows else ()

    def remember(self, repository: str, scope: str, answers: Sequence[Answered]) -> None:
        """Keep it."""
        with self._writing():
            self._ledger.engine.execute(
                "INSERT INTO tally_eden_answer(repository, scope, answers) VALUES (?, ?, ?) "
                "ON CONFLICT (repository, scope) DO UPDATE SET answers=excluded.answers",
                (repository, scope, forms.answers_form(tuple(answers))),
            )

    def parked(self, repository: str, resource: str) -> tuple[Resource, ...]:
        """The records of a table from a peer that are tried again."""
        sql = "SELECT records FROM tally_eden_parked WHERE repository=? AND resource=?"
        rows = self._ledger.engine.query(sql, (repository, resource))
        return tuple(read_xml(rows[0][0].encode()).resources) if rows else ()

    def park(self, repository: str, resource: str, rejected: Sequence[Resource]) -> None:
        """Keep them, in place of those kept before."""
        with self._writing():
            self._ledger.engine.execute(
                "DELETE FROM tally_eden_parked WHERE repository=? AND resource=?", (repository, resource)
            )
            if rejected:
                document = Document({}, list(rejected))
                text = b"".join(write_xml(document.attributes, document.resources)).decode()
                self._ledger.engine.execute(
                    "INSERT INTO tally_eden_parked(repository, resource, records) VALUES (?, ?, ?)",
                    (repository, resource, text),
                )


def _secret(name: str) -> str:
    return f"eden:{name}"
