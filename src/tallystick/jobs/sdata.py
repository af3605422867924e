"""Synchronization with SData providers: two of them, or one and a site of this machine (spec 10; DESIGN.md 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from tallystick.core.values import fold
from tallystick.errors import ConfigurationError, TallystickError
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.sdata.codec.kinds import Contract, Kind
from tallystick.protocols.sdata.engine import PassReport, dataset_contract, of_kind, run_pass, run_passes
from tallystick.protocols.sdata.remote_jobs import Patience, Remote, Run
from tallystick.protocols.sdata.site.creating import definitions
from tallystick.protocols.sdata.site.direct import DirectTransport
from tallystick.protocols.sdata.transport import Credentials, HttpTransport
from tallystick.site import runs
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Wanted

PREFIX = "sdata+"
Opening = Callable[[], LocalReplica]
"""Opens a site of this machine once more."""


class Address(NamedTuple):
    """A provider's dataset, and the kind that was named in it ("" for all)."""

    dataset: str
    kind: str
    user: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What a run shall do. ``kinds`` are the only ones wanted; ``results`` are URLs that get the results too."""

    direction: str = "both"
    kinds: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    run: str = ""
    password: str | None = None
    priority: int = 5
    progress: Callable[[PassReport], None] | None = None
    patience: Patience = field(default_factory=Patience)


def address(url: str) -> Address:
    """The address in ``sdata+http(s)://[user@]host[:port]/vdir/application/contract/dataset[/kind]``.

    Raises ConfigurationError for anything else.
    """
    parts = urlsplit(url.removeprefix(PREFIX))
    names = [part for part in parts.path.split("/") if part]
    if parts.scheme not in ("http", "https") or not parts.hostname or not 4 <= len(names) <= 5:
        raise ConfigurationError(
            f"{url.rpartition('@')[2]!r} is no SData dataset or kind",
            hint="write it like sdata+https://host/sdata/application/contract/dataset, with /kind for one kind only",
        )
    root = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    kind = names[4] if len(names) == 5 else ""
    return Address(f"{root}/{'/'.join(names[:4])}", kind, unquote(parts.username or ""))


def remote(place: Address, wish: Wish) -> Remote:
    """The dataset behind an address."""
    credentials = Credentials(place.user, wish.password or "") if place.user else None
    return Remote(place.dataset, HttpTransport(place.dataset, credentials), wish.patience)


# Two ends ---------------------------------------------------------------------------------------------------------


def agree(first: str | Opening, second: str | Opening, wish: Wish) -> list[PassReport]:
    """Bring two ends into agreement, kind after kind in syncOrder, in the wanted directions; what each pass did.

    An end is the URL of a provider or what opens a site; one at least is a URL. Tables that a site lacks are created
    from the provider's ``$schema``. Raises what `run_pass` raises; passes after the one that failed are not begun.
    """
    with ExitStack() as stack:
        ends, kinds = _ends(stack, first, second, wish)
        listeners = [_listener(stack, url, wish) for url in wish.results]
        run = _run(wish.run)
        reports: list[PassReport] = []
        with _noted(ends, run, reports):
            passes = [
                partial(
                    run_pass,
                    of_kind(source.remote, kind.name),
                    of_kind(target.remote, kind.name),
                    Run(f"{run.name}{name}", run.stamp),
                    loggers=[of_kind(one, kind.name) for one in listeners],
                    progress=wish.progress,
                )
                for source, target, name in _directions(ends, wish.direction)
                for kind in _in_direction(kinds, source, target)
            ]
            run_passes(passes, reports)
        return reports


class _End(NamedTuple):
    remote: Remote
    kinds: dict[str, Kind]
    pool: Pool | None = None


def _run(name: str) -> Run:
    now = datetime.now(UTC)
    return Run(name or f"sync-{now:%Y%m%d-%H%M%S-%f}", now.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _ends(
    stack: ExitStack, first: str | Opening, second: str | Opening, wish: Wish
) -> tuple[tuple[_End, _End], list[Kind]]:
    """Both ends, and the kinds that both have, in syncOrder."""
    places = [address(end) if isinstance(end, str) else None for end in (first, second)]
    remotes = [remote(place, wish) if place is not None else None for place in places]
    for opened in remotes:
        if opened is not None:
            stack.callback(opened.transport.close)
    contracts = [dataset_contract(opened) if opened is not None else None for opened in remotes]
    known = next(contract for contract in contracts if contract is not None)
    chosen = {fold(place.kind) for place in places if place is not None and place.kind} or {
        fold(name) for name in wish.kinds
    }
    wanted = _chosen(known, chosen)
    ends: list[_End] = []
    for end, opened, contract in zip((first, second), remotes, contracts, strict=True):
        if opened is not None and contract is not None:
            ends.append(_End(opened, {fold(kind.name): kind for kind in contract.kinds if not kind.embedded}))
        else:
            assert not isinstance(end, str)
            ends.append(_site(stack, end, wanted, wish))
    common = [kind for kind in wanted.served if all(fold(kind.name) in end.kinds for end in ends)]
    if not common:
        raise ConfigurationError("the ends have no resource kind in common", hint="compare their $schema documents")
    return (ends[0], ends[1]), sorted(common, key=lambda kind: (kind.order, kind.name))


def _chosen(contract: Contract, names: set[str]) -> Contract:
    kinds = tuple(kind for kind in contract.kinds if not kind.embedded)
    unknown = names.difference(*(_names(kind) for kind in kinds))
    if unknown:
        listed = ", ".join(kind.name for kind in kinds)
        raise ConfigurationError(f"there is no resource kind {sorted(unknown)[0]!r}", hint=f"kinds: {listed}")
    chosen = tuple(kind for kind in kinds if not names or not names.isdisjoint(_names(kind)))
    inner = {listed.kind for kind in chosen for listed in kind.properties if listed.collection}
    chosen += tuple(kind for kind in contract.kinds if kind.embedded and kind.name in inner)
    return Contract(name=contract.name, namespace=contract.namespace, kinds=chosen)


def _names(kind: Kind) -> set[str]:
    """What a kind may be called by: its plural, or the singular, as tables are called."""
    return {fold(kind.name), fold(kind.element)}


def _site(stack: ExitStack, opening: Opening, contract: Contract, wish: Wish) -> _End:
    """A site of this machine behind a provider of its own, with tables for what the other end has."""
    pool = Pool(opening)
    stack.callback(pool.close)
    with pool.borrowed() as replica:
        _prepare(replica, contract)
    transport = DirectTransport(pool, contract, priority=wish.priority)
    stack.callback(transport.close)
    kinds = {fold(kind.name): kind for kind in transport.store.refreshed().served}
    return _End(Remote(transport.dataset, transport, wish.patience), kinds, pool)


def _prepare(replica: LocalReplica, contract: Contract) -> None:
    """Track the tables that the contract's kinds are called like, and create those that there are not."""
    described = replica.describe()
    tables = {fold(name): name for name in described.untracked}
    tables.update({definition.wire: "" for definition in described.resources})
    lacking, only = [], []
    for kind, definition in definitions(contract):
        found = next((name for name in (fold(kind.name), fold(kind.element)) if name in tables), None)
        if found is None:
            lacking.append(definition)
        elif tables[found]:
            only.append(tables[found])
    if lacking or only:
        replica.prepare(Wanted(lacking, only))


def _listener(stack: ExitStack, url: str, wish: Wish) -> Remote:
    opened = remote(address(url), wish)
    stack.callback(opened.transport.close)
    return opened


def _directions(ends: tuple[_End, _End], direction: str) -> Iterator[tuple[_End, _End, str]]:
    """Source, target and the ending of the run's name: one run may not hold two passes over a pair (spec 2)."""
    if direction in ("both", "push"):
        yield ends[0], ends[1], ""
    if direction in ("both", "pull"):
        yield ends[1], ends[0], " back" if direction == "both" else ""


def _in_direction(kinds: Sequence[Kind], source: _End, target: _End) -> list[Kind]:
    return [kind for kind in kinds if source.kinds[fold(kind.name)].source and target.kinds[fold(kind.name)].target]


@contextmanager
def _noted(ends: tuple[_End, _End], run: Run, reports: list[PassReport]) -> Iterator[None]:
    """Note the run in the log of the site among the ends."""
    outcome, problem = runs.SUCCESS, ""
    try:
        yield
    except TallystickError as error:
        outcome, problem = runs.ERROR, str(error)
        raise
    finally:
        for end, other in (ends, ends[::-1]):
            if end.pool is not None:
                _note(end.pool, other.remote.endpoint, run, outcome, problem, reports)


def _note(pool: Pool, peer: str, run: Run, outcome: str, problem: str, reports: Sequence[PassReport]) -> None:
    refused = sum(report.refused for report in reports)
    report: dict[str, object] = {"records": sum(report.entries for report in reports), "failed": refused}
    if problem:
        report["error"] = problem
    with pool.borrowed() as replica, replica.ledger.write():
        number = runs.begin(replica.ledger, run.name, peer, "sdata")
        runs.finish(replica.ledger, number, runs.WARNING if refused and not problem else outcome, report)
