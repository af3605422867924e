"""The adapter face: six methods, the same for every protocol (spec/eden.md: section 4).

Active sides call ``register``, ``login``, ``pull`` and ``push``; passive sides answer with ``send`` and ``receive``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import IO, Protocol, TypedDict, TypeVar

from tallystick.jobs.log import Result
from tallystick.site.deciding import OnConflict


class Answer(TypedDict):
    """What ``send`` and ``receive`` return.

    ``status`` is a word of ``log.Result``, ``remote`` True when the error was at the peer, ``message`` is for the log,
    ``response`` goes back to the peer.
    """

    status: str
    remote: bool
    message: str | None
    response: bytes


TaskOf = TypeVar("TaskOf", contravariant=True)
Outcome = tuple[str | None, datetime | None]
"""``(error, mtime)``: error None or a message; mtime the newest time of change transferred, None if nothing was."""


def refusal(result: Result, message: str) -> Answer:
    """The answer to what cannot be answered: an error of the peer, which is told why."""
    response = json.dumps({"status": "failed", "message": message}).encode()
    return Answer(status=result.value, remote=True, message=message, response=response)


class Adapter(Protocol[TaskOf]):
    """One peer, seen through its protocol."""

    def register(self) -> bool:
        """Registers this site at the peer; True on success."""

    def login(self) -> str | None:
        """Opens a session where the protocol has one; None on success, otherwise the error."""

    def pull(self, task: TaskOf, onconflict: OnConflict | None = None) -> Outcome:
        """Pulls one task. ``onconflict`` rules on conflicts; where it returns None the task's policy decides."""

    def push(self, task: TaskOf) -> Outcome:
        """Pushes one task."""

    def send(
        self,
        resource: str,
        start: int | None = None,
        limit: int | None = None,
        msince: datetime | str | None = None,
        filters: Mapping[str, Mapping[str, str]] | None = None,
        mixed: bool = False,
        pretty_print: bool = False,
    ) -> Answer:
        """Answers a pull. ``filters``: table -> selector -> value; ``mixed`` leaves the resource to the adapter."""

    def receive(
        self,
        source: Sequence[IO[bytes]],
        resource: str,
        strategy: Sequence[str] | None = None,
        update_policy: str | Mapping[str, str] | None = None,
        conflict_policy: str | None = None,
        onconflict: OnConflict | None = None,
        last_sync: datetime | None = None,
        mixed: bool = False,
    ) -> Answer:
        """Answers a push: ``source`` is a list of documents. The policies are those of this side."""
