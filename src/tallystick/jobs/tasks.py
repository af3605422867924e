"""Peers, tasks and runs as values (spec/eden.md: sections 2 and 3; DESIGN.md: *peer, task, run*)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tallystick.core.policies import DEFAULT_POLICY, Policy
from tallystick.errors import UsageError
from tallystick.jobs.log import Mode, Result
from tallystick.jobs.schedule import Schedule

EVERYTHING = "*"
"""The resource of a task that covers all of them."""

_NAME = re.compile(r"[^\W_][\w.@+-]{0,127}")


def checked_name(name: str, of: str) -> str:
    """The same name. Raises UsageError where it cannot be that of a peer or task."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:60]!r} cannot be the name of a {of}",
            hint="use letters, digits and . _ @ + -, beginning with a letter or digit",
        )
    return name


@dataclass(frozen=True, slots=True)
class Peer:
    """A remote end we know.

    ``url`` names the protocol and the address; ``identifier`` is what the peer calls itself, once registered;
    ``credential`` names an encrypted secret, never holds one. ``datasets`` are the codes of public data sets to pull
    from it (Eden).
    """

    name: str
    url: str
    identifier: str | None = None
    user: str | None = None
    credential: str | None = None
    synchronise_identifiers: bool = False
    last_connected: datetime | None = None
    datasets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_name(self.name, "peer")
        if not self.url.strip():
            raise UsageError(
                f"the peer {self.name} has no URL", hint="say where it is: https://..., files+dir:PATH, ..."
            )

    @property
    def protocol(self) -> str:
        """The part of the URL before ``+``: ``eden`` of ``eden+https://...``, else ``native``."""
        scheme = self.url.partition(":")[0]
        return scheme.partition("+")[0] if "+" in scheme else "native"

    @property
    def address(self) -> str:
        """The URL without the protocol."""
        scheme, separator, rest = self.url.partition("://")
        return f"{scheme.rpartition('+')[2]}{separator}{rest}"


@dataclass(frozen=True, slots=True)
class Task:
    """A resource to synchronize with a peer.

    ``policy`` is written from our side: THIS is this site in both directions. ``filters`` are filter texts by resource.
    ``resource`` "*" stands for all, where the protocol can do that. ``schedule`` None runs on request only; due times
    are spread over ``jitter`` (None: a tenth of the interval, a minute at most). Every ``full_every`` a pull asks for
    everything, which finds what a peer's clock hid. ``allowed`` deletions per resource pass the guards, -1 for all.
    """

    name: str
    peer: str
    resource: str
    mode: Mode = Mode.BOTH
    policy: Policy = DEFAULT_POLICY
    components: bool = True
    filters: dict[str, str] = field(default_factory=dict)
    schedule: Schedule | None = None
    full_every: timedelta | None = None
    enabled: bool = True
    jitter: timedelta | None = None
    allowed: int = 0

    def __post_init__(self) -> None:
        checked_name(self.name, "task")


@dataclass(frozen=True, slots=True)
class Progress:
    """What is remembered of a task between runs: when it last started and ended well, and failures in a row since."""

    started: datetime | None = None
    succeeded: datetime | None = None
    full: datetime | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a task; ``name`` and ``stamp`` identify it in the log and at the peer."""

    name: str
    stamp: datetime
    task: str
    result: Result
    ended: datetime
    message: str | None = None
    full: bool = False


def after_run(progress: Progress, run: Run) -> Progress:
    """The progress of a task after a run. Warnings are successes: the rest went through."""
    good = run.result in (Result.SUCCESS, Result.WARNING)
    return Progress(
        started=run.stamp,
        succeeded=run.stamp if good else progress.succeeded,
        full=run.stamp if good and run.full else progress.full,
        failures=0 if good else progress.failures + 1,
    )
