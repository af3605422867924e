"""``tallystick sync`` between a database of this machine and an Eden site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.output import print_json, say_held, table
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tallystick.jobs.eden_peers import EdenPreview, EdenReport, Wish
    from tallystick.protocols.eden.site.rehearsing import Expected

PREFIXES = ("eden+http://", "eden+https://")
_REFUSED = {
    "results_to": "--results-to",
    "exclude": "--exclude",
    "identity": "--identity",
    "ref": "--ref",
    "trust": "--trust",
}
_EXIT_FAILED = 3
_EXIT_GUARDED = 4


def is_eden(end: str) -> bool:
    """True for the address of an Eden site."""
    return end.startswith(PREFIXES)


def synchronize(a: str, b: str, given: dict[str, Any]) -> int:
    """Pull and push the named tables. Returns the exit code."""
    from tallystick.api import open as open_site
    from tallystick.cli.credentials import password
    from tallystick.jobs.credentials import Credentials
    from tallystick.jobs.eden import eden_store
    from tallystick.jobs.eden_peers import EdenLink
    from tallystick.jobs.eden_repositories import parse_address, peer_at
    from tallystick.jobs.registry import Registry

    if is_eden(a) and is_eden(b):
        raise UsageError("both ends are Eden sites", hint="synchronize each with a database of this machine")
    for name, option in _REFUSED.items():
        if given.get(name):
            raise UsageError(f"{option} has no meaning between a database and an Eden site", hint="leave it out")
    address = parse_address(a if is_eden(a) else b)
    wish = make_wish(given, peer_is_first=is_eden(a))
    with open_site(b if is_eden(a) else a, create=not given["dry_run"]) as site:
        store = eden_store(site.replica, run=given["run_name"], keep_secrets=False)
        registry = Registry(site.ledger)
        peer = peer_at(registry, address)
        secret = password(given["password_file"]) or address.password
        if secret is None and peer.credential:
            secret = Credentials(site.ledger).find(peer.credential)
        link = EdenLink(store, peer, secret, registered=lambda found: registry.identify(peer.name, found))
        names = list(given["only"]) or list(store.catalog)
        if not names:
            raise UsageError("no table is named", hint="say which with --only org_organisation")
        if given["dry_run"]:
            found = link.preview(names, wish)
            return _preview(found, *((a, b) if is_eden(a) else (b, a)), given["as_json"])
        done = link.synchronize(names, wish)
    return _report(done, given["as_json"])


def _preview(found: EdenPreview, there: str, here: str, as_json: bool) -> int:
    """Say what would happen; the exit code of the run that it is about."""
    would = found.rehearsed
    sides = ((f"{there} -> {here}", would.pulled), (f"{here} -> {there}", would.pushed))
    told = {side: _together(expected) for side, expected in sides if expected}
    if as_json:
        special = {"stopped": would.stopped, "unsent": would.unsent}
        print_json(told | {name: found for name, found in special.items() if found})
    else:
        _say_expected(told)
    if would.held:
        say_held(would.held, dry_run=True)
    for name, why in would.stopped.items():
        click.echo(f"tallystick: {name} would be stopped: {why}", err=True)
    for line in would.unsent if not as_json else ():
        click.echo(f"tallystick: {line}", err=True)
    if would.guarded:
        return _EXIT_GUARDED
    return 1 if would.waiting else 0


def _together(expected: Mapping[str, Mapping[str, Expected]]) -> dict[str, dict[str, int]]:
    """The numbers by table, whichever task they come from; what is special only where there is any."""
    found: dict[str, dict[str, int]] = {}
    for tables in expected.values():
        for name, one in tables.items():
            counted = found.setdefault(name, {"changes": 0, "deletions": 0})
            for what in ("changes", "deletions", "created", "updated", "conflicts", "refused", "held"):
                if count := getattr(one, what):
                    counted[what] = counted.get(what, 0) + count
    return found


def _say_expected(told: Mapping[str, Mapping[str, Mapping[str, int]]]) -> None:
    """By direction and table; changes that are known to be creations or updates are called so."""
    rows = []
    for side, tables in told.items():
        for name, counts in tables.items():
            known = "created" in counts or "updated" in counts
            rows += [
                (side, name, what, count)
                for what, count in counts.items()
                if count and not (known and what == "changes")
            ]
    if rows:
        table(("direction", "table", "would be", "records"), rows)
    else:
        click.echo("in agreement; nothing would be sent")


def make_wish(given: dict[str, Any], *, peer_is_first: bool) -> Wish:
    """What the options ask for, seen from the database's side. Raises UsageError and FilterError."""
    from tallystick.cli.options import pairs
    from tallystick.cli.policy_options import allowance, eden_policies, methods
    from tallystick.jobs.eden_peers import Wish
    from tallystick.jobs.log import Mode
    from tallystick.protocols.eden.codec.filters import parse_filter_string

    modes = {"both": Mode.BOTH, "push": Mode.PUSH, "pull": Mode.PULL}
    if peer_is_first:  # push is A to B
        modes |= {"push": Mode.PULL, "pull": Mode.PUSH}
    locals_: dict[str, str] = {}
    columns: dict[str, dict[str, str]] = {}
    for left, right in pairs(given["mapping"], "--map").items():
        theirs, ours = (left, right) if peer_is_first else (right, left)
        if "." in theirs:
            name, _, field = theirs.partition(".")
            columns.setdefault(name, {})[field] = ours.rpartition(".")[2]
        else:
            locals_[theirs] = ours
    filters = {
        name: parse_filter_string(name, name, text) for name, text in pairs(given["where"], "--where", ":").items()
    }
    return Wish(
        modes[given["direction"]],
        methods(given["strategy"]),
        eden_policies(given["update"], "--update", swapped=peer_is_first),
        {
            name: policy.default
            for name, policy in eden_policies(given["conflict"], "--conflict", swapped=peer_is_first).items()
        },
        filters,
        locals_,
        columns,
        given["create"],
        allowed=allowance(given["allow_deletes"]),
    )


def _report(done: EdenReport, as_json: bool) -> int:
    if as_json:
        tables = {
            name: {"pulled": one.pulled, "pushed": one.pushed, "issues": one.issues, "error": one.error}
            for name, one in done.tables.items()
        }
        print_json({"created": done.created, "tables": tables, "held": done.held})
    else:
        _say(done)
    if done.held:
        say_held(done.held)
    if done.failed:
        return _EXIT_FAILED
    if done.guarded:
        return _EXIT_GUARDED
    return 1 if done.waiting else 0


def _say(done: EdenReport) -> None:
    if done.created:
        click.echo(f"created: {', '.join(done.created)}")
    rows = [
        ("->" if side == "pushed" else "<-", name, what, count)
        for name, one in done.tables.items()
        for side, what, count in [
            *(("pulled", what, count) for what, count in sorted(one.pulled.items())),
            *([("pushed", "taken by the peer", one.pushed)] if one.pushed else []),
        ]
    ]
    if rows:
        table(("", "table", "outcome", "records"), rows)
    elif not done.failed and not done.guarded:
        click.echo("in agreement; nothing to do")
    for name, one in done.tables.items():
        for issue in one.issues:
            click.echo(f"tallystick: {name}, {issue}; it is tried again with the next run", err=True)
        if one.error is not None:
            click.echo(f"tallystick: {name}: {one.error}", err=True)
