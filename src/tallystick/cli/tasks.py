"""``tallystick tasks``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tallystick.cli.options import as_json, pairs
from tallystick.cli.output import print_json, table
from tallystick.cli.policy_options import allowance, policies
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from tallystick.jobs.registry import Registry
    from tallystick.jobs.schedule import Schedule
    from tallystick.jobs.tasks import Run, Task

MODES = ["pull", "push", "both", "none"]
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _settings(function: Decorated) -> Decorated:
    """The options that add and change share."""
    options = (
        click.option("--mode", type=click.Choice(MODES), help="Which way: pull, push, both (default), none."),
        click.option("--strategy", metavar="LIST", help="Methods allowed: create,update,delete,merge; empty skips."),
        click.option("--update", multiple=True, metavar="[FIELD=]POLICY", help="For updates: this|other|newer|master."),
        click.option(
            "--conflict",
            multiple=True,
            metavar="[FIELD=]POLICY",
            help="For conflicts: this|other|newer|master|merge|keep-both|ask. THIS is the site.",
        ),
        click.option("--filter", "filters", multiple=True, metavar="'NAME: EXPR'", help="Only records that match."),
        click.option("--every", metavar="INTERVAL", help="Run every 90s, 10m, 2h, 1d."),
        click.option("--cron", metavar="EXPR", help="Run when '30 3 * * *' says; a time zone may follow."),
        click.option("--jitter", metavar="INTERVAL", help="Spread due times over so much; 0 for none."),
        click.option(
            "--full-every", metavar="INTERVAL", help="Eden: how often a pull asks for everything; 0: no more."
        ),
        click.option("--allow-deletes", metavar="N|all", help="Let so many deletions per resource pass the guard."),
        click.option("--components/--no-components", default=None, help="Eden: with the records that belong to them."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group("tasks")
def command() -> None:
    """Add, change and run tasks: what is synchronized with a peer, how, and when.

    \b
    Examples:
      tallystick tasks add clinic.db orders --peer hub --resource orders --mode pull --every 10m
      tallystick tasks run clinic.db orders
      tallystick run clinic.db
    """


@command.command("add")
@click.argument("site")
@click.argument("name")
@click.option("--peer", required=True, help="With whom.")
@click.option("--resource", default="*", show_default=True, help="What; * is everything.")
@_settings
@as_json
def add(site: str, name: str, peer: str, resource: str, as_json: bool, **given: Any) -> int:
    """Add a task. Without --every or --cron it runs on request only (tallystick tasks run).

    \b
    Examples:
      tallystick tasks add clinic.db all --peer hub --every 10m
      tallystick tasks add clinic.db nightly --peer hub --resource orders --mode push --cron '30 3 * * * Europe/Zurich'
      tallystick tasks add clinic.db big --peer hub --resource orders --filter 'orders: total gt 10' --conflict this
    """
    from tallystick.jobs.registry import Registry
    from tallystick.jobs.tasks import Task

    return _write(site, as_json, lambda registry: Task(name, peer, resource), given, Registry.add_task)


@command.command("change")
@click.argument("site")
@click.argument("name")
@_settings
@click.option("--enable/--disable", "enabled", default=None, help="Let it run by itself, or not.")
@as_json
def change(site: str, name: str, as_json: bool, **given: Any) -> int:
    """Change a task; what is not named stays.

    \b
    Examples:
      tallystick tasks change clinic.db orders --every 1h
      tallystick tasks change clinic.db orders --disable
    """
    from tallystick.jobs.registry import Registry

    return _write(site, as_json, lambda registry: registry.task(name), given, Registry.change_task)


def _write(
    site: str,
    json_wanted: bool,
    begin: Callable[[Registry], Task],
    given: dict[str, Any],
    write: Callable[[Registry, Task], None],
) -> int:
    """Enter the task that the options make of the one to begin with, once what it names was checked."""
    from tallystick.api import open as open_site
    from tallystick.jobs.checking import check_task
    from tallystick.jobs.registry import Registry

    with open_site(site, tracked=True) as opened:
        registry = Registry(opened.ledger)
        task = _changed(begin(registry), given)
        if note := check_task(opened.ledger, task, registry.peer(task.peer)):
            click.echo(f"tallystick: {note}", err=True)
        write(registry, task)
        found = _plain(registry, registry.task(task.name))
    name = task.name
    if json_wanted:
        print_json(found)
    else:
        due = "runs on request" if found["due"] is None else f"is due {found['due']:%Y-%m-%d %H:%M:%SZ}"
        click.echo(f"{name} {due}")
    return 0


def _changed(task: Task, given: dict[str, Any]) -> Task:
    """The task with what the options say. Raises UsageError."""
    from tallystick.jobs.log import Mode
    from tallystick.jobs.schedule import parse_duration

    changes: dict[str, Any] = {}
    if given["mode"] is not None:
        changes["mode"] = Mode(given["mode"])
    if given["strategy"] is not None or given["update"] or given["conflict"]:
        changes["policy"] = _policy(task, given)
    if given["filters"]:
        changes["filters"] = _filters(given["filters"])
    if given["every"] or given["cron"]:
        changes["schedule"] = _schedule(given["every"], given["cron"])
    if given["jitter"] is not None:
        changes["jitter"] = parse_duration(given["jitter"])
    if given["full_every"] is not None:
        changes["full_every"] = parse_duration(given["full_every"]) or None
    if given["allow_deletes"] is not None:
        changes["allowed"] = allowance(given["allow_deletes"])
    for name in ("components", "enabled"):
        if given.get(name) is not None:
            changes[name] = given[name]
    return replace(task, **changes)


def _policy(task: Task, given: dict[str, Any]) -> Any:
    """Fields are named alone: a task has one resource."""
    update, conflict = (
        [f"task.{text}" if "=" in text else f"task={text}" for text in given[name]] for name in ("update", "conflict")
    )
    found = policies(given["strategy"], update, conflict)
    made = found.get("task", found[""])
    kept = {"strategy": given["strategy"] is None, "update": not update, "conflict": not conflict}
    return replace(made, **{name: getattr(task.policy, name) for name, keep in kept.items() if keep})


def _filters(texts: tuple[str, ...]) -> dict[str, str]:
    from tallystick.core import filter_text, filters

    return {name: filters.text(filter_text.parse(text)) for name, text in pairs(texts, "--filter", ":").items()}


def _schedule(every: str | None, cron: str | None) -> Schedule:
    from tallystick.jobs.schedule import Cron, Every, parse_schedule

    if every and cron:
        raise UsageError("--every and --cron are given together", hint="use one of them")
    found = parse_schedule(every or cron or "")
    if isinstance(found, Every if cron else Cron):
        right = "--every" if cron else "--cron"
        raise UsageError(f"{every or cron!r} belongs to {right}", hint="see: tallystick tasks add --help")
    return found


@command.command("list")
@click.argument("site")
@click.option("--peer", default="", help="Only tasks with this peer.")
@as_json
def list_(site: str, peer: str, as_json: bool) -> int:
    """List the tasks of SITE: what is due when, and how the last runs went.

    \b
    Example:
      tallystick tasks list clinic.db
    """
    from tallystick.api import open as open_site
    from tallystick.jobs.registry import Registry

    with open_site(site, tracked=True) as opened:
        registry = Registry(opened.ledger)
        found = [_plain(registry, task) for task in registry.tasks(peer)]
    if as_json:
        print_json(found)
        return 0
    head = ("name", "peer", "resource", "mode", "schedule", "due", "succeeded", "failures")
    table(head, [tuple(item[name] for name in head) for item in found])
    return 0


@command.command("show")
@click.argument("site")
@click.argument("name")
@as_json
def show(site: str, name: str, as_json: bool) -> int:
    """Show a task with its policies and progress.

    \b
    Example:
      tallystick tasks show clinic.db orders
    """
    from tallystick.api import open as open_site
    from tallystick.jobs.registry import Registry

    with open_site(site, tracked=True) as opened:
        registry = Registry(opened.ledger)
        found = _plain(registry, registry.task(name))
    if as_json:
        print_json(found)
        return 0
    for key, value in found.items():
        click.echo(f"{key}: {'-' if value is None else value}")
    return 0


@command.command("remove")
@click.argument("site")
@click.argument("name")
def remove(site: str, name: str) -> int:
    """Remove a task. No record is touched.

    \b
    Example:
      tallystick tasks remove clinic.db orders
    """
    from tallystick.api import open as open_site
    from tallystick.jobs.registry import Registry

    with open_site(site, tracked=True) as opened:
        Registry(opened.ledger).remove_task(name)
    click.echo(f"{name} is removed")
    return 0


@command.command("run")
@click.argument("site")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@as_json
def run(site: str, names: tuple[str, ...], as_json: bool) -> int:
    """Run tasks now, due or not.

    \b
    Example:
      tallystick tasks run clinic.db orders
    """
    from tallystick.api import ends
    from tallystick.api import open as open_site
    from tallystick.jobs.registry import Registry
    from tallystick.jobs.worker import Worker

    with open_site(site, tracked=True) as opened:
        registry = Registry(opened.ledger)
        for name in names:
            registry.task(name)  # all are there before the first one runs
    worker = Worker(ends(site))
    found = [made for name in names if (made := worker.run_task(name)) is not None]
    if as_json:
        print_json([plain_run(made) for made in found])
    else:
        for made in found:
            click.echo(run_line(made))
    return exit_code(found)


def plain_run(run: Run) -> dict[str, Any]:
    """A run as plain data."""
    return {
        "run": run.name,
        "task": run.task,
        "result": run.result.value,
        "started": run.stamp,
        "ended": run.ended,
        "message": run.message,
    }


def run_line(run: Run) -> str:
    """A run as a line."""
    return f"{run.ended:%Y-%m-%d %H:%M:%SZ}  {run.task}  {run.result.value}  {run.message or ''}".rstrip()


def exit_code(runs: list[Run]) -> int:
    """0 when every run went through, 1 with warnings, 3 when one failed."""
    results = {run.result.value for run in runs}
    return 3 if results & {"error", "fatal"} else 1 if "warning" in results else 0


def _plain(registry: Registry, task: Task) -> dict[str, Any]:
    progress = registry.progress(task.name)
    policy = task.policy
    return {
        "name": task.name,
        "peer": task.peer,
        "resource": task.resource,
        "mode": task.mode.value,
        "strategy": ",".join(sorted(policy.strategy)),
        "update": _words(policy.update),
        "conflict": _words(policy.conflict),
        "filters": task.filters,
        "schedule": None if task.schedule is None else str(task.schedule),
        "jitter": _seconds(task.jitter),
        "full_every": _seconds(task.full_every),
        "allow_deletes": "all" if task.allowed < 0 else task.allowed,
        "components": task.components,
        "enabled": task.enabled,
        "due": registry.due(task.name),
        "started": progress.started,
        "succeeded": progress.succeeded,
        "failures": progress.failures,
    }


def _words(policy: Any) -> str:
    return ",".join([policy.default.value, *(f"{name}={value}" for name, value in sorted(policy.fields.items()))])


def _seconds(length: timedelta | None) -> str | None:
    return None if length is None else f"{length.total_seconds():g}s"
