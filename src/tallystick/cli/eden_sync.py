"""``tallystick sync`` between a database of this machine and an Eden site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.output import print_json, say_held, say_preview, table
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from tallystick.jobs.eden_peers import EdenPreview, EdenReport, Wish

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
            say_preview(_directions(link.preview(names, wish), *((a, b) if is_eden(a) else (b, a))), given["as_json"])
            return 0
        done = link.synchronize(names, wish)
    return _report(done, given["as_json"])


def _directions(found: EdenPreview, there: str, here: str) -> dict[str, dict[str, dict[str, int]]]:
    """What would be transferred, by direction and table. Of tables that would be created, everything."""
    return {
        f"{source} -> {target}": {
            table: {"changes": one.changes.get(table, 0), "deletions": one.deletions.get(table, 0)}
            for one in expected.values()
            for table in dict.fromkeys((*one.changes, *one.deletions))
        }
        for source, target, expected in ((there, here, found.pulled), (here, there, found.pushed))
        if expected
    }


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
