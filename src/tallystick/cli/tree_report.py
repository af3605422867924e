"""What a run of two directories did or would do: for people, for programs, and while it goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import click

from tallystick.cli.output import shown
from tallystick.cli.terminal import on_terminal
from tallystick.trees.merging import Conflict, Side
from tallystick.trees.nodes import leaves
from tallystick.trees.plan import Action, Verb
from tallystick.trees.progress import Progress
from tallystick.trees.report import Report
from tallystick.trees.unchanged import JOURNALS

WORDS = {Verb.PUT: "write", Verb.MAKE: "make", Verb.GRAFT: "copy", Verb.PERMIT: "permit", Verb.REMOVE: "remove"}
MAX_LINES = 20


def arrow(side: Side, turned: bool) -> str:
    """``->`` for what is done at B, ``<-`` for what is done at A."""
    return "->" if (side is Side.REMOTE) is not turned else "<-"


def reason(text: str, turned: bool) -> str:
    """A reason of the plan in terms of A and B."""
    one, comma, other = text.removeprefix("local ").partition(", remote ")
    if comma:
        return f"A {other}, B {one}" if turned else f"A {one}, B {other}"
    names = ("B", "A") if turned else ("A", "B")
    return text.replace("local", names[0]).replace("remote", names[1])


def exit_code(report: Report) -> int:
    """0 done; 1 done, but conflicts or busy files wait; 3 something cannot be read or written; 4 deletions held."""
    if report.held:
        return 4
    if any(not problem.transient for problem in report.failed.values()) or _unreadable(report):
        return 3
    return 1 if report.failed or report.conflicts else 0


def _unreadable(report: Report) -> list[str]:
    """Paths that could not be looked into; where reading failed, failures name a file of the same database."""
    failed = set(map(_database, report.failed))
    return [path for path in report.plan.unknown if _database(path) not in failed]


def _database(path: str) -> str:
    """The file that a journal belongs to; any other path as it is."""
    return next((path.removesuffix(ending) for ending in JOURNALS if path.endswith(ending)), path)


# For people --------------------------------------------------------------------------------------


def show_plan(report: Report, turned: bool) -> None:
    """Every action with its reason, then what is held, blocked or in conflict."""
    for line in _lines(report.actions, turned):
        click.echo(line)
    _show_rest(report, turned)
    files, size = total(report.actions)
    if report.idle:
        click.echo("in agreement; nothing to do")
    else:
        click.echo(f"{len(report.actions):,} actions; {files:,} files, {amount(size)} to write")


def _lines(actions: list[Action], turned: bool) -> Iterator[str]:
    for action in actions:
        what = WORDS[action.verb]
        inner = (
            f" ({_count(action):,} files)" if action.verb in (Verb.GRAFT, Verb.REMOVE) and _count(action) > 1 else ""
        )
        yield f"{arrow(action.side, turned)} {what:<6} {shown(action.path)}{inner}  [{reason(action.reason, turned)}]"


def _count(action: Action) -> int:
    return sum(1 for _ in leaves(action.node))


def show_report(report: Report, turned: bool, seconds: float) -> None:
    """What was done, in a few lines."""
    _show_rest(report, turned)
    _say_some(f"failed: {shown(path)}: {problem}" for path, problem in sorted(report.failed.items()))
    for path in report.rescued:
        click.echo(f"rescued after an interrupted run: {shown(path)}")
    for path, place in sorted(report.kept.items()):
        click.echo(f"kept in history: {shown(path)} as {shown(str(place))}")
    if report.idle:
        click.echo(f"in agreement; {report.entries:,} entries looked at in {seconds:.2f} s")
        return
    rate = f", {amount(report.bytes / seconds)}/s" if report.bytes and seconds else ""
    click.echo(
        f"{report.files:,} files, {amount(report.bytes)} written; {report.removals:,} removals; {seconds:.2f} s{rate}"
    )


def _show_rest(report: Report, turned: bool) -> None:
    waiting = {action.path for action, _ in report.held}
    _say_some((_conflict(report, conflict, conflict.path in waiting) for conflict in report.conflicts), err=False)
    _say_some(
        f"held: {arrow(action.side, turned)} {WORDS[action.verb]} {shown(action.path)}" for action, _ in report.held
    )
    if report.held:
        why = reason(report.held[0][1], turned)
        click.echo(f"tallystick: {why}; look at them, then run again with --allow-deletes all or a number", err=True)
    blocked = "stays: it holds something that is ignored or cannot be read"
    _say_some((f"blocked: {shown(path)} {blocked}" for path in report.blocked), err=False)
    _say_some(f"unreadable: {shown(path) or '.'}: nothing was done there" for path in _unreadable(report))
    _say_some(f"warning: {shown(path)}: {shown(why)} ({code})" for code, path, why in report.warnings)


def _conflict(report: Report, conflict: Conflict, held: bool) -> str:
    """What became, or would become, of the version that loses its name."""
    if held:
        return f"conflict: {shown(conflict.path)}; held back, both versions stay"
    where = "history" if conflict.copy is None else shown(conflict.copy)
    return f"conflict: {shown(conflict.path)}; the other version {'would be' if report.dry_run else 'is'} in {where}"


def _say_some(lines: Iterable[str], *, err: bool = True) -> None:
    """The first lines of a kind, and how many more there are."""
    waiting = iter(lines)
    for line in islice(waiting, MAX_LINES):
        click.echo(line, err=err)
    more = sum(1 for _ in waiting)
    if more:
        kind = line.partition(":")[0]
        click.echo(f"{kind}: {more:,} more; --json has them all", err=err)


def amount(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def total(actions: list[Action]) -> tuple[int, int]:
    """(files, bytes) that the actions write."""
    sizes = [
        leaf.size for action in actions if action.verb in (Verb.PUT, Verb.GRAFT) for _, leaf in leaves(action.node)
    ]
    return len(sizes), sum(sizes)


# For programs ------------------------------------------------------------------------------------


def plain(report: Report, turned: bool, seconds: float) -> dict[str, Any]:
    """The report as plain data; paths are relative to the roots, sides are ``a`` and ``b``."""
    return {
        "dry_run": report.dry_run,
        "succeeded": report.succeeded,
        "files": report.files,
        "bytes": report.bytes,
        "entries": report.entries,
        "seconds": round(seconds, 3),
        "actions": [_plain_action(action, turned) for action in report.actions],
        "conflicts": [{"path": item.path, "copy": item.copy} for item in report.conflicts],
        "held": [{**_plain_action(action, turned), "why": reason(why, turned)} for action, why in report.held],
        "blocked": list(report.blocked),
        "unreadable": _unreadable(report),
        "failed": {path: {"code": why.code, "message": why.message} for path, why in report.failed.items()},
        "warnings": [{"code": code, "path": path, "why": why} for code, path, why in report.warnings],
        "rescued": list(report.rescued),
        "history": {path: str(place) for path, place in report.kept.items()},
    }


def _plain_action(action: Action, turned: bool) -> dict[str, Any]:
    return {
        "verb": WORDS[action.verb],
        "at": "b" if arrow(action.side, turned) == "->" else "a",
        "path": action.path,
        "files": _count(action),
        "reason": reason(action.reason, turned),
    }


# While it goes on ----------------------------------------------------------------------------------


class Gauge:
    """Progress on a terminal: files, bytes, rate and time left; silent elsewhere."""

    def __init__(self, silent: bool) -> None:
        self.progress = None if silent or not on_terminal(sys.stderr) else Progress(draw)

    def close(self) -> None:
        """Clear the line."""
        if self.progress is not None:
            click.echo("\r\x1b[K", nl=False, err=True)


def draw(progress: Progress) -> None:
    """One line that replaces the one before."""
    click.echo(f"\r\x1b[K{line(progress)}", nl=False, err=True)


def line(progress: Progress) -> str:
    """How far a run is."""
    files, size = progress.done
    left = progress.seconds_left
    rest = "" if left is None else f", {int(left) // 60}:{int(left) % 60:02d} left"
    return (
        f"{files:,} of {progress.total_files:,} files, {amount(size)} of {amount(progress.total_bytes)}, "
        f"{amount(progress.rate)}/s{rest}"
    )
