"""A site: one installation, a database with a ledger."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence, Set
from contextlib import closing, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from tallystick.api.agreeing import logged_agree
from tallystick.api.ends import end, leave, replica
from tallystick.api.resource import Resource
from tallystick.core.pages import Tally
from tallystick.core.values import fold
from tallystick.errors import SchemaError, UsageError
from tallystick.site import conflicts as conflict_desk
from tallystick.site import parking, runs, siblings
from tallystick.site.capture import track, untrack
from tallystick.site.ledger import Ledger, Tracked
from tallystick.site.managed import contents
from tallystick.site.row_names import key_named
from tallystick.site.schema import Identity
from tallystick.site.stamping import recapture, stamp
from tallystick.sync.local import LocalReplica
from tallystick.sync.uncollected import uncollected

if TYPE_CHECKING:
    from tallystick.contexts.host import ContextHost
    from tallystick.contexts.service import ContextService
    from tallystick.contexts.sessions.session import CreateSessionParams, Session
    from tallystick.contexts.sessions.sessions import Sessions
    from tallystick.protocols.bundle.exchange import BundleExchange
    from tallystick.site.deciding import OnConflict
    from tallystick.site.retention import Purged
    from tallystick.site.verifying import Finding
    from tallystick.stores.server import Server
    from tallystick.streams.delivery import Importer, Reached
    from tallystick.streams.hints import Hints
    from tallystick.streams.refused import Refused
    from tallystick.streams.resuming import Held, Resync
    from tallystick.streams.stream import Changes
    from tallystick.streams.subscriptions import Sink, Subscription
    from tallystick.streams.watcher import Watcher
    from tallystick.sync.agreement import Report
    from tallystick.sync.plan import Plan
    from tallystick.sync.replica import Replica
    from tallystick.sync.verification import Verdict


class Reading(TypedDict, total=False):
    """Options of ``Site.changes``."""

    max_changes: int | None
    follow: bool
    where: str
    resync: Resync
    held: Held | None
    hints: Hints | None


class Site:
    """One installation: a database with a ledger. Not shared between threads; close it, or use it in ``with``."""

    def __init__(self, replica: LocalReplica) -> None:
        self.replica = replica
        self.ledger: Ledger = replica.ledger
        self._watcher: Watcher | None = None
        self._sessions: Sessions | None = None
        self._subscriptions: list[Subscription] = []

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; where an error ends the first opening of a database before anything is kept, no ledger stays."""
        self._end_what_runs()
        leave(self.replica, kind is None)

    def close(self) -> None:
        """End subscriptions, release sessions that nobody has ended, and close the database. Idempotent."""
        self._end_what_runs()
        self.replica.close()

    def _end_what_runs(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions.clear()
        if self._watcher is not None:
            self._watcher.close()
        if self._sessions is not None:
            self._sessions.close()

    @property
    def id(self) -> str:
        """The site's permanent identifier."""
        return self.ledger.site

    @property
    def name(self) -> str:
        """How the site was named when it was opened, without a password."""
        return self.replica.name

    # Tracking

    def track(self, *tables: str) -> list[Resource]:
        """Track tables, and those they refer to; all with a primary key when none is named.

        Returns the newly tracked resources. Raises SchemaError for an unknown table or one without a primary key.
        """
        with uncollected(), self.ledger.write():
            recapture(self.ledger)
            added = track(self.ledger, tables or None, self.ledger.references())
        return [Resource(self, item.wire) for item in added]

    def untrack(self, *tables: str) -> None:
        """Stop tracking tables; without names remove every trace of tallystick from the database.

        Raises SchemaError for a table that others refer to which stay tracked.
        """
        if not tables:
            with self.ledger.engine.write():
                for item in self.ledger.resources():
                    if item.definition.identity is not Identity.MANAGED:
                        self.ledger.engine.remove_capture(item.number, item.definition.name)
                self.ledger.engine.drop_ledger()
            self.ledger.engine.leave()
            return
        with self.ledger.write():
            chosen = [self._tracked(name) for name in tables]
            self._check_unreferred({item.wire for item in chosen})
            for item in chosen:
                untrack(self.ledger, item)

    def _check_unreferred(self, wires: Set[str]) -> None:
        """Raises SchemaError where tables that stay tracked refer to one of those: what they name would be unknown."""
        for item in self.ledger.resources():
            if item.wire not in wires and (parents := wires & set(item.definition.parents)):
                raise SchemaError(
                    f"{item.definition.name!r} stays tracked and refers to {', '.join(sorted(parents))}",
                    hint=f"untrack it too: tallystick untrack SITE {' '.join(sorted((*wires, item.definition.name)))}",
                )

    def resources(self) -> list[Resource]:
        """The tracked resources, by name."""
        self.ledger.load()
        return sorted((Resource(self, item.wire) for item in self.ledger.resources()), key=lambda item: item.wire)

    def resource(self, name: str) -> Resource:
        """A tracked resource by table name or wire name. Raises SchemaError when there is none."""
        return Resource(self, self._tracked(name).wire)

    def _tracked(self, name: str) -> Tracked:
        self.ledger.load()
        for item in self.ledger.resources():
            if name in (item.definition.name, item.wire):
                return self.ledger.resource(item.wire)
        return self.ledger.resource(fold(name))

    # Agreement

    def sync(
        self,
        other: Site | Replica | BundleExchange | str | os.PathLike[str],
        plan: Plan | None = None,
        *,
        onconflict: OnConflict | None = None,
    ) -> Report:
        """Bring this site and ``other`` into agreement under ``plan``; THIS is this site.

        Raises PeerError when the other end cannot be reached or refuses, IdentityDoubt, SchemaError. What a guard
        held back is in ``report.held``.
        """
        from tallystick.sync.plan import Plan

        chosen = plan or Plan()
        chosen.onconflict = onconflict or chosen.onconflict
        opened = isinstance(other, str | os.PathLike)
        there = end(other, create=True) if isinstance(other, str | os.PathLike) else other
        came_about = False
        try:
            report = logged_agree(self.replica, there.replica if isinstance(there, Site) else there, chosen)
            came_about = True
        finally:
            if opened and not isinstance(there, Site):
                leave(there, came_about)
        return report

    def verify(self, other: Site | Replica | str | os.PathLike[str], *, deep: bool = False) -> Verdict:
        """Whether this site and ``other`` agree, and what differs. ``deep`` recomputes from the data first.

        Raises ConfigurationError for a database that is not tracked, PeerError.
        """
        from tallystick.sync.verification import verify

        with _compared(other) as replica:
            return verify(self.replica, replica, deep=deep)

    def repair(self, other: Site | Replica | str | os.PathLike[str]) -> Report:
        """Take rows that bypassed capture as edits and synchronize what differs. Raises what ``verify`` raises."""
        from tallystick.sync.verification import repair

        with _compared(other) as replica:
            return repair(self.replica, replica)

    def inspect(self) -> list[Finding]:
        """Rows that are not what the ledger says: corruption, or writes that bypassed capture."""
        from tallystick.site.verifying import inspect

        with self.ledger.write():
            stamp(self.ledger)
        return [finding for item in self.ledger.resources() for finding in inspect(self.ledger, self._of(item))]

    def heal(self) -> int:
        """Take rows that bypassed capture as the edits they are. Returns how many."""
        from tallystick.site.verifying import heal

        with self.ledger.write():
            stamp(self.ledger)
            return sum(heal(self.ledger, self._of(item)) for item in self.ledger.resources())

    def _of(self, item: Tracked) -> Tracked:
        return self.ledger.resource(item.wire)

    # Changes

    def changes(self, state: str | None = None, *resources: str, **options: Unpack[Reading]) -> Changes:
        """Every change of the named resources (of all when none) beyond ``state``, each with the state after it.

        Records come as they are now, each at most once, in the site's commit order; ``change.state`` continues from
        there. The result is iterated with ``for`` or ``async for`` and knows ``state`` and ``has_more``.

        ``max_changes`` ends it early. ``where`` is a filter over one resource; records that leave it come as deleted.
        ``follow`` goes on for ever. Raises StateScopeError, StateExpiredError or StateFutureError for a state that
        cannot be continued from; ``resync="diff"`` delivers the difference instead, for which some need ``held``: a
        function that says which keys of a resource the reader holds. See docs/streams.md.
        """
        from tallystick.streams.scopes import scope_for
        from tallystick.streams.stream import Changes

        scope = scope_for(self.ledger, resources, options.pop("where", ""))
        return Changes(self.ledger, scope, state, **options)  # type: ignore[misc]  # where is taken out

    def deliver(
        self, importer: Importer, state: str | None = None, *resources: str, where: str = "", **options: Any
    ) -> Reached:
        """Tell an importer (``update``, ``delete``) what changed beyond ``state``; returns the state reached.

        For options and errors see ``streams.delivery.deliver``.
        """
        from tallystick.streams.delivery import deliver
        from tallystick.streams.scopes import scope_for

        return deliver(self.ledger, scope_for(self.ledger, resources, where), importer, state, **options)

    def state(self, *resources: str, where: str = "") -> str:
        """The state that stands for everything so far; identical as long as nothing in the scope changes."""
        from tallystick.streams.scopes import scope_for
        from tallystick.streams.stream import current_state

        return current_state(self.ledger, scope_for(self.ledger, resources, where))

    def refused(self, consumer: str | None = None, resource: str = "") -> list[Refused]:
        """Deliveries that importers refused and that are parked: of one consumer, or (None) of all."""
        from tallystick.streams.refused import refused

        return refused(self.ledger, consumer, resource)

    def subscribe(
        self, sink: Sink, *resources: str, event_types: Collection[str] | None = None, most: int | None = None
    ) -> Subscription:
        """Call ``sink`` (a function, or its ``update``) with a ``Notification`` of every change from now on.

        Whoever makes the change, in whatever process. ``event_types`` are any of created, updated, deleted; all when
        none are named. When more than ``most`` (1,000 unless told) notifications wait for the sink, they become one of
        the type gap. Sinks are called in threads of their own. Raises SchemaError, StorageError, UsageError.
        """
        from tallystick.streams.scopes import scope_for
        from tallystick.streams.stream import token_maker
        from tallystick.streams.subscriptions import MOST, Subscription
        from tallystick.streams.watcher import Watcher, reopened

        scope = scope_for(self.ledger, resources)
        if self._watcher is None:
            ledger = self.ledger
            self._watcher = Watcher(lambda: reopened(ledger))
        token = token_maker(self.ledger, scope)
        made = Subscription(
            self._watcher, sink, scope, token, event_types=event_types, most=MOST if most is None else most
        )
        self._subscriptions.append(made)
        return made

    def unsubscribe(self, sink: Sink) -> None:
        """End every subscription of a sink."""
        for subscription in [item for item in self._subscriptions if item.sink == sink]:
            subscription.close()
            self._subscriptions.remove(subscription)

    # Stores

    def server(self, user: str | None = None) -> Server:
        """The object model of this site: users, stores, folders, items (docs/stores.md).

        ``user`` is the name of whoever uses it; None is the site itself, which may do everything. It shares this
        site's connection and ends with it. Raises LogonError for a user that does not exist.
        """
        from tallystick.stores.records import SiteRecords
        from tallystick.stores.server import Server

        return Server(SiteRecords(self.ledger), user=user)

    # Contexts

    @property
    def contexts(self) -> ContextService:
        """The contexts of this site: named trees of files (spec contexts A.2). Close its host when done."""
        from tallystick.contexts.local import LocalHost
        from tallystick.contexts.service import ContextService

        return ContextService(LocalHost(self.ledger, self.name), self.sessions.bound)

    @property
    def sessions(self) -> Sessions:
        """What creates and releases working sessions with contexts of this site (spec contexts A.3)."""
        from tallystick.contexts.local import LocalHost
        from tallystick.contexts.sessions.sessions import Sessions
        from tallystick.streams.watcher import reopened

        if self._sessions is None:
            ledger, name = self.ledger, self.name

            def opening() -> ContextHost:
                mine = reopened(ledger)
                return LocalHost(mine, name, closing=mine.engine.close)

            self._sessions = Sessions(opening)
        return self._sessions

    def session(self, params: CreateSessionParams | None = None, **given: Any) -> Session:
        """A working session, to be used in ``with``: contexts mounted and downloaded, uploaded at the end.

        Takes the fields of ``CreateSessionParams`` by name, ``context_syncs`` first of all. Raises SessionFailed when
        a context cannot be mounted or its first download fails; nothing is removed anywhere then. It lives as long
        as the block, unless ``idle_seconds`` or ``maximum_seconds`` are given.
        """
        from tallystick.contexts.sessions.problems import SessionFailed
        from tallystick.contexts.sessions.session import CreateSessionParams

        unlimited = {"idle_seconds": None, "maximum_seconds": None}
        result = self.sessions.create(params or CreateSessionParams(**{**unlimited, **given}))
        if result.success and result.session is not None:
            return result.session
        if result.session is not None:
            result.session.abandon()
        raise SessionFailed(result.error_message)

    # Waiting

    def conflicts(self, undecided: bool | None = True) -> list[siblings.Contested]:
        """Records with siblings: those somebody must decide, or (False) decided by policy, or (None) all."""
        return siblings.contested(self.ledger, undecided=undecided)

    def resolve(self, resource: str, key: str, choice: Any) -> None:
        """Decide a conflict: the position of a version, a Resolution, or a content. Ends it at every site.

        ``key`` is the record's, or the primary key of its row here where no conflict has that for a key.
        """
        with self.ledger.write():
            stamp(self.ledger)
            tracked = self._tracked(resource)
            siblings.resolve(self.ledger, tracked, siblings.contested_key(self.ledger, tracked, key), choice)

    def conflict_log(self) -> list[conflict_desk.Logged]:
        """Versions that decisions hid, with their content."""
        return conflict_desk.logged(self.ledger)

    def undo(self, number: int) -> None:
        """Bring back a version of the conflict log as a new edit."""
        with self.ledger.write():
            stamp(self.ledger)
            for item in conflict_desk.logged(self.ledger):
                if item.id == number:
                    siblings.undo(self.ledger, self.ledger.resource(item.resource), item)
                    return
        raise UsageError(f"the conflict log has no entry {number}", hint="see: tallystick conflicts list --log")

    def parked(self, kind: str | None = parking.PARKED) -> list[parking.Waiting]:
        """Changes that are held and not shown, with their content and the rows that they are about.

        With those that are parked come rows of this site that no key names.
        """
        found = parking.described(self.ledger, kind)
        return found if kind != parking.PARKED else [*found, *parking.described(self.ledger, parking.UNNAMED)]

    def retry(self) -> dict[str, Tally]:
        """Try parked changes again."""
        from tallystick.site.retrying import retry

        with self.ledger.write():
            stamp(self.ledger)
            return retry(self.ledger)

    def drop(self, resource: str, key: str) -> None:
        """Stop trying a parked change: it stays held and travels on, but is not shown here.

        ``key`` as in ``resolve``. Raises UsageError for what is not parked.
        """
        with self.ledger.write():
            tracked = self._tracked(resource)
            waiting = [item.key for item in parking.waiting(self.ledger, tracked=tracked)]
            found = key_named(tracked, key, waiting)
            if found not in waiting:
                raise UsageError(f"{resource} {key!r} is not parked", hint="see: tallystick parked list SITE")
            parking.decline(self.ledger, tracked, found, "dropped")

    # Keeping

    def purge(self, older_than_days: float) -> list[Purged]:
        """Forget tombstones and conflict log entries older than that, where every rule allows it."""
        with self.ledger.write():
            stamp(self.ledger)
            before = self.ledger.now() - int(older_than_days * 86_400_000)
            return [self._purge(self._of(item), before) for item in self.ledger.resources()]

    def _purge(self, tracked: Tracked, before: int) -> Purged:
        from tallystick.site.retention import purge
        from tallystick.streams.retention import noting_gone

        return noting_gone(self.ledger, tracked, lambda: purge(self.ledger, tracked, before))

    def log(self, run: str = "", limit: int = 100) -> list[runs.Run]:
        """The run log, newest first."""
        return runs.runs(self.ledger, run, limit)

    def posted_results(self, run: str) -> list[dict[str, Any]]:
        """What SData targets reported of a run to this site, record by record: kind, from, status, method, uuid,
        message."""
        from tallystick.protocols.sdata.site.results import results

        return results(self.ledger, run)

    def managed(self, resource: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Contents of managed records."""
        return contents(self.ledger, self._tracked(resource), keys)


@contextmanager
def _compared(other: Site | Replica | str | os.PathLike[str]) -> Iterator[Replica]:
    """The other end of a comparison; one that is opened for it is closed after it."""
    if isinstance(other, str | os.PathLike):
        with closing(replica(other)) as opened:
            yield opened
    else:
        yield other.replica if isinstance(other, Site) else other
