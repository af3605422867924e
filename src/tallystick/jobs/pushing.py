"""Immediate mode: local changes are pushed to listed providers at once (spec 3.4, 5.8; spec 10)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final, NamedTuple

from tallystick.core.values import fold
from tallystick.errors import TallystickError
from tallystick.jobs.sdata import Wish, address, remote
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.sdata.codec.digest_messages import read_digest_message
from tallystick.protocols.sdata.codec.digests import Digest, with_entry
from tallystick.protocols.sdata.codec.kinds import Kind
from tallystick.protocols.sdata.engine import dataset_contract, of_kind, run_pass
from tallystick.protocols.sdata.push import immediate_feed, push
from tallystick.protocols.sdata.remote_jobs import Remote, Run
from tallystick.protocols.sdata.site.direct import DirectTransport
from tallystick.protocols.sdata.store import Resource

MOST: Final = 20
"""Changes that are pushed one by one; more are left to a catch-up pass."""

log = logging.getLogger("tallystick.sdata")


class Pushing(NamedTuple):
    """What one round did: changes pushed one by one, and kinds that a catch-up pass had to bring."""

    pushed: int
    caught_up: tuple[str, ...]


class Pusher:
    """Brings local changes of one site to one provider; open for as long as the site is served.

    ``url`` names the provider's dataset or kind. A target that lacks ticks is brought up by a catch-up pass.
    """

    def __init__(self, pool: Pool, url: str, password: str | None = None) -> None:
        self._pool = pool
        self._place = address(url)
        self._wish = Wish(password=password)
        self._stack = ExitStack()
        self._site: DirectTransport | None = None
        self._kinds: list[Kind] = []

    @property
    def target(self) -> str:
        """The provider's dataset."""
        return self._place.dataset

    def close(self) -> None:
        """Let go of connections."""
        self._stack.close()

    def push(self) -> Pushing:
        """Push what the target lacks of our own changes. Raises what requests to the target raise."""
        target = self._opened()
        pushed, caught_up = 0, []
        for kind in self._kinds:
            done = self._push_kind(kind, of_kind(target, kind.name))
            pushed += max(done, 0)
            if done < 0:
                caught_up.append(kind.name)
        return Pushing(pushed, tuple(caught_up))

    def _opened(self) -> Remote:
        if self._site is None:
            self._target = remote(self._place, self._wish)
            contract = dataset_contract(self._target)
            self._site = DirectTransport(self._pool, contract)
            self._stack.callback(self._target.transport.close)
            self._stack.callback(self._site.close)
            ours = {fold(kind.name) for kind in self._site.store.refreshed().served}
            named = fold(self._place.kind)
            self._kinds = [
                kind
                for kind in contract.served
                if kind.target and fold(kind.name) in ours and named in ("", fold(kind.name))
            ]
        return self._target

    def _push_kind(self, kind: Kind, target: Remote) -> int:
        """How many changes were pushed; -1 when a catch-up pass was needed."""
        assert self._site is not None
        store = self._site.store
        held = read_digest_message(target.digest())
        ours = next(found for found in store.refreshed().kinds if fold(found.name) == fold(kind.name))
        digest, resources = store.own_changes(ours, held, MOST + 1)
        run = Run(f"push-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        if len(resources) <= MOST and all(self._pushed(target, ours, digest, one, run) for one in resources):
            return len(resources)
        run_pass(of_kind(Remote(self._site.dataset, self._site), ours.name), target, run)
        return -1

    def _pushed(self, target: Remote, kind: Kind, digest: Digest, resource: Resource, run: Run) -> bool:
        """True when the target took one change, or decided a conflict about it."""
        assert resource.state is not None
        own = digest.entries[resource.state.key]
        after = with_entry(digest, own._replace(tick=resource.state.tick + 1))._replace(names=digest.names)
        body = immediate_feed(digest.origin, kind.name, after, resource)
        (done,) = push([target], body, run)
        return not done.catch_up


def push_all(pushers: Sequence[Pusher]) -> None:
    """One round for every target; one that cannot be reached now is tried again with the next change."""
    for pusher in pushers:
        try:
            pusher.push()
        except TallystickError as error:
            log.warning("push to %s: %s", pusher.target, error)
