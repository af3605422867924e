"""``tallystick sync``."""

from __future__ import annotations

import sys
from typing import Any

import click

from tallystick.cli.eden_sync import is_eden
from tallystick.cli.options import as_json, check_fingerprints, pairs
from tallystick.cli.output import Meter, print_json, report, say_held, say_preview
from tallystick.cli.sdata_sync import is_sdata
from tallystick.cli.sdata_sync import synchronize as synchronize_sdata
from tallystick.cli.terminal import on_terminal
from tallystick.cli.tree_options import RECORDS_ONLY, TREES_ONLY, are_trees, refuse, tree_options
from tallystick.errors import UsageError


@click.command("sync")
@click.argument("a")
@click.argument("b")
@click.option("--only", multiple=True, metavar="NAME", help="Only this resource (and those it refers to).")
@click.option(
    "--exclude",
    multiple=True,
    metavar="NAME",
    help="Not this resource; directories: not these paths.",
)
@click.option("--direction", type=click.Choice(["both", "push", "pull"]), default="both", help="push is A to B.")
@click.option("--strategy", metavar="LIST", help="Methods allowed: create,update,delete,merge.")
@click.option("--update", multiple=True, metavar="[NAME=]POLICY", help="For updates: this|other|newer|master.")
@click.option(
    "--conflict",
    multiple=True,
    metavar="[NAME[.FIELD]=]POLICY",
    help="For conflicts: this|other|newer|master|merge|keep-both|ask. THIS is A. Default: newer; trees: keep-both.",
)
@click.option("--where", multiple=True, metavar="'NAME: EXPR'", help="Only records that match, as in name eq 'x'.")
@click.option("--leaving", type=click.Choice(["keep", "delete"]), default="keep", help="Records that leave the filter.")
@click.option(
    "--identity", metavar="same|separate|natural:COL,COL", help="What equal integer keys mean at first contact."
)
@click.option("--ref", multiple=True, metavar="CHILD.COL=PARENT", help="A reference that the schema does not declare.")
@click.option(
    "--map", "mapping", multiple=True, metavar="A.NAME=B.NAME", help="Tables or columns that are called differently."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing but tracking.")
@click.option("--allow-deletes", metavar="N|all", help="Let so many deletions (per resource) pass the guard.")
@click.option("--run-name", default="", help="Name of the run in the log.")
@click.option("--password-file", type=click.Path(), help="File with the password for a served end ('-' is stdin).")
@click.option("--results-to", multiple=True, metavar="URL", help="SData: a dataset that gets all results, too.")
@click.option("--through", metavar="DATABASE", help="SData: a database between a provider and a site, Eden or bundles.")
@click.option("--trust", multiple=True, metavar="FINGERPRINT", help="Take bundles of the site with this fingerprint.")
@click.option("--create", is_flag=True, help="Eden: create missing tables as the peer describes them.")
@tree_options
@as_json
def command(a: str, b: str, **given: Any) -> int:
    """Bring A and B into agreement.

    A and B are SQLite files, postgresql:// databases, or served sites (http://, https://); one of them may be a
    directory that other sites visit, too (files+dir:PATH), or a Sahana Eden site (eden+https://). Tables are tracked
    on first use. Or both are trees of files: directories, contexts of served sites (https://HOST/contexts/NAME),
    buckets (s3://BUCKET/PREFIX). THIS in policies is A, in both directions. SData providers (sdata+http://,
    sdata+https://) are synchronized with each other or with a database, and through one with every other end.

    \b
    Examples:
      tallystick sync ./work /media/stick/work
      tallystick sync ./site /srv/www --direction push --mirror --dry-run
      tallystick sync ./work https://hub.example.org/contexts/work --watch
      tallystick sync clinic.db https://hub.example.org/
      tallystick sync a.db b.db --conflict merge --conflict patients.phone=this
      tallystick sync a.db postgresql://db/hub --only orders --where "orders: total gt 10"
      tallystick sync files+dir:/media/stick clinic.db
      tallystick sync sdata+https://erp.example.org/sdata/erp/crm/- sdata+https://shop.example.org/sdata/shop/crm/-
      tallystick sync sdata+https://anna@erp.example.org/sdata/erp/crm/-/accounts clinic.db
      tallystick sync sdata+https://anna@erp.example.org/sdata/erp/crm/- https://hub.example.org/ --through crm.db
      tallystick sync eden+https://user@relief.example.org/eden field.db --only org_organisation --create
    """
    if is_sdata(a, b):
        refuse(TREES_ONLY, "SData providers")
        return synchronize_sdata(a, b, given)
    if given["results_to"]:
        raise UsageError("--results-to is for SData providers", hint="name one of them, as sdata+https://...")
    if given["through"]:
        raise UsageError("--through is for SData providers", hint="these ends can be synchronized directly")
    if is_eden(a) or is_eden(b):
        refuse(TREES_ONLY, "Eden sites")
        from tallystick.cli.eden_sync import synchronize as synchronize_eden

        return synchronize_eden(a, b, given)
    if given["create"]:
        raise UsageError("--create is for Eden sites; other ends create what is missing by themselves")
    if are_trees(a, b):
        refuse(RECORDS_ONLY, "directories")
        from tallystick.cli.tree_sync import synchronize

        return synchronize(a, b, given)
    refuse(TREES_ONLY, "databases and sites")
    return _synchronize(a, b, given)


def _synchronize(a: str, b: str, given: dict[str, Any]) -> int:
    """Databases, served sites and directories of bundles, in any pair."""
    from tallystick.api import as_plain, both_ends, logged_agree
    from tallystick.cli.credentials import password_for

    plan = make_plan(given)
    _check_trust(given["trust"], a, b)
    secret = password_for(given["password_file"], a, b)
    opening = {"password": secret, "trust": given["trust"], "ask": asked(given["as_json"])}
    with both_ends(a, b, trial=given["dry_run"], **opening) as (first, second):
        if given["dry_run"]:
            return _dry_run(first, second, plan, given["as_json"])
        meter = Meter(given["as_json"])
        plan.progress = meter
        try:
            done = logged_agree(first, second, plan)
        finally:
            meter.close()
        size = bytes_moved(first, second)
    if given["as_json"]:
        print_json({**as_plain(done), "bytes": size})
    else:
        report(done, size)
    if done.held:
        say_held(done.held)
        return 4
    if done.refused:
        for reason in done.refused:
            click.echo(f"tallystick: {reason}", err=True)
        return 3
    return 1 if done.waiting else 0


def _check_trust(given: tuple[str, ...], a: str, b: str) -> None:
    from tallystick.api import is_directory

    if given and not (is_directory(a) or is_directory(b)):
        raise UsageError("--trust is for directories of bundles", hint="name one of them, as files+dir:/media/stick")
    check_fingerprints(given)


def asked(json_wanted: bool) -> Any:
    """On a terminal, whoever runs the command is asked about a site that nobody confirmed."""
    if json_wanted or not on_terminal(sys.stdin, sys.stderr):
        return None

    def ask(name: str, fingerprint: str) -> bool:
        click.echo(f"{name} has left files here. The fingerprint of its key is {fingerprint}.", err=True)
        return click.confirm("Does that site show the same one?", default=False, err=True)

    return ask


def bytes_moved(*ends: Any) -> int | None:
    """Bytes that went over the network, None when nothing did."""
    counted = [end.traffic.sent + end.traffic.received for end in ends if hasattr(end, "traffic")]
    return sum(counted) if counted else None


def make_plan(given: dict[str, Any]) -> Any:
    """The plan that the options ask for. Raises UsageError."""
    from tallystick.cli.policy_options import allowance, policies
    from tallystick.sync.agreement import Plan

    identity = given["identity"] or ""
    named = identity.removeprefix("natural:").replace(",", "").strip() if identity.startswith("natural:") else ""
    if identity not in ("", "same", "separate") and not named:
        raise UsageError(f"--identity {identity!r}", hint="use same, separate or natural:COLUMN,COLUMN")
    return Plan(
        only=tuple(given["only"]),
        exclude=tuple(given["exclude"]),
        direction=given["direction"],
        policies=policies(given["strategy"], given["update"], given["conflict"]),
        where=_filters(given["where"]),
        delete_left=given["leaving"] == "delete",
        identity=identity,
        naming=_naming(given["mapping"]),
        references=pairs(given["ref"], "--ref"),
        run=given["run_name"],
        allowed=allowance(given["allow_deletes"]),
    )


def _filters(texts: tuple[str, ...]) -> dict[str, str]:
    if not texts:
        return {}
    from tallystick.core.filter_text import parse, text

    return {name: text(parse(given)) for name, given in pairs(texts, "--where", ":").items()}


def _naming(texts: tuple[str, ...]) -> dict[str, str]:
    """``A.NAME=B.NAME`` as names of B with the wire names that A gives them."""
    from tallystick.core.values import fold

    found = {}
    for left, right in pairs(texts, "--map").items():
        found[right] = fold(left.rpartition(".")[2] if "." in left else left)
    return found


def _dry_run(first: Any, second: Any, plan: Any, json_wanted: bool) -> int:
    from tallystick.api import is_replica
    from tallystick.sync.agreement import preview

    if not (is_replica(first) and is_replica(second)):
        raise UsageError("a directory of bundles cannot be asked what it would take", hint="leave out --dry-run")
    found = preview(first, second, plan)
    say_preview(found, json_wanted)
    held = {
        f"{side.rpartition(' -> ')[2]}: {wire}": counts["held"]
        for side, resources in found.items()
        for wire, counts in resources.items()
        if "held" in counts
    }
    if not held:
        return 0
    say_held(held, dry_run=True)
    return 4
