"""Immediate mode: one local change pushed straight to its targets (spec 3.4, 5.8 of the protocol; spec 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tallystick.errors import TallystickError
from tallystick.protocols.sdata.codec.digests import Digest
from tallystick.protocols.sdata.codec.feeds import IMMEDIATE, Feed, FeedHead, glance, write_feed
from tallystick.protocols.sdata.codec.names import FEED_TYPE, SYNC_TARGET
from tallystick.protocols.sdata.errors import PassStopped
from tallystick.protocols.sdata.remote_jobs import Remote, RemoteJob, Run
from tallystick.protocols.sdata.store import Resource
from tallystick.protocols.sdata.sync_feeds import source_entry


class Pushed(NamedTuple):
    """What became of a push to one target: ``status`` of the entry; ``catch_up`` when only a pass can help now."""

    target: str
    status: int
    catch_up: bool
    problem: str = ""


def immediate_feed(endpoint: str, kind: str, digest: Digest, resource: Resource, author: str = "") -> bytes:
    """The feed that pushes ``resource``; ``digest`` is the own one *after* the change (self k+1, others as known)."""
    head = FeedHead(
        id=f"{endpoint}/$syncSource",
        title=f"{kind} immediate synchronization feed",
        updated=resource.updated,
        author=author,
        term="collection",
        total=1,
        start=1,
        per_page=1,
        mode=IMMEDIATE,
        digest=digest,
    )
    return write_feed(head, Feed(head, [source_entry(resource, endpoint)]).entries)


def push(targets: Sequence[Remote], body: bytes, run: Run) -> list[Pushed]:
    """Push ``body`` to every target and wait for each; one that fails keeps no other from getting it.

    A target that refuses it (400: ticks are missing there) needs a catch-up pass; so does one that cannot be reached.
    """
    return [_push(target, body, run) for target in targets]


def _push(target: Remote, body: bytes, run: Run) -> Pushed:
    try:
        with RemoteJob(target, SYNC_TARGET, run) as job:
            answer = job.start(body, FEED_TYPE) or job.result()
            statuses = glance(answer.body).statuses
    except PassStopped as error:
        return Pushed(target.endpoint, error.status, True, error.message)
    except TallystickError as error:
        return Pushed(target.endpoint, 0, True, error.message)
    status = max(statuses, default=200)
    return Pushed(target.endpoint, status, status not in (200, 201, 409))
