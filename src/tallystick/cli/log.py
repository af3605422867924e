"""``tallystick log``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import moment, print_json, table

if TYPE_CHECKING:
    from tallystick.jobs.log_table import Logged
    from tallystick.site.runs import Run


@click.command("log")
@click.argument("site")
@click.option("--run", default="", metavar="NAME", help="Only what belongs to this run.")
@click.option("--peer", default="", metavar="NAME", help="Only what concerns this peer.")
@click.option("--task", default="", metavar="NAME", help="Only runs of this task.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The newest so many.")
@as_json
def command(site: str, run: str, peer: str, task: str, limit: int, as_json: bool) -> int:
    """Show every register, login, pull, push and run of SITE, newest first, with its outcome.

    success: everything went through. warning: with issues. error: may work later. fatal: not until something is
    changed. An error is remote when it was at the peer.

    \b
    Examples:
      tallystick log clinic.db --limit 5
      tallystick log clinic.db --peer hub --json
      tallystick log erp.db --run nightly-crm
    """
    from tallystick.api import open as open_site
    from tallystick.jobs.log_table import LogTable
    from tallystick.jobs.registry import Registry

    with open_site(site, tracked=True) as opened:
        logged = LogTable(opened.ledger).entries(run=run, peer=peer, task=task, limit=limit)
        runs = [] if task else opened.log(run, limit)
        if peer:
            registry = Registry(opened.ledger)
            names = {peer, registry.peer(peer).url} if registry.has_peer(peer) else {peer}
            runs = [one for one in runs if one.peer in names]
        results = opened.posted_results(run) if run else []
    found = sorted([*map(_of_run, runs), *map(_of_entry, logged)], key=lambda item: item["started"], reverse=True)
    if as_json:
        print_json([{**item, "results": results} if run else item for item in found[:limit]])
        return 0
    rows = [
        (
            moment(item["started"]),
            item["name"],
            item["task"],
            item["action"],
            item["peer"],
            item["resource"],
            item["outcome"] if item["outcome"] == "success" else f"{item['outcome']} ({item['where']})",
            item["message"],
        )
        for item in found[:limit]
    ]
    table(("time", "run", "task", "action", "peer", "resource", "outcome", "message"), rows)
    if results:
        click.echo("\nresults that SData targets reported of single records:")
        head = ("kind", "from", "status", "method", "uuid", "message")
        table(head, [tuple(one[name] for name in head) for one in results])
    return 0


def _of_run(one: Run) -> dict[str, Any]:
    """A synchronization of two ends."""
    report = one.report
    told = [*report.get("refused", []), *report.get("notes", [])]
    message = report.get("error") or "; ".join([f"{report.get('records', 0)} records", *told])
    return {
        **one._asdict(),
        "task": "",
        "resource": None,
        "mode": "both",
        "direction": "outgoing",
        "where": "remote" if report.get("refused") or report.get("remote") else "local",
        "message": message,
    }


def _of_entry(item: Logged) -> dict[str, Any]:
    """An action of a task, or of a peer."""
    from tallystick.jobs.tables import milliseconds

    entry = item.entry
    at = milliseconds(entry.time)
    action = entry.mode if entry.direction == "none" else f"{entry.mode}/{entry.direction}"
    return {
        "id": item.number,
        "name": item.run,
        "stamp": f"{entry.time:%Y-%m-%dT%H:%M:%SZ}",
        "peer": entry.repository or "",
        "action": action,
        "started": at,
        "finished": at,
        "outcome": entry.result.value,
        "report": {},
        "task": item.task,
        "resource": entry.resource,
        "mode": str(entry.mode),
        "direction": str(entry.direction),
        "where": "remote" if entry.remote else "local",
        "message": entry.message,
    }
