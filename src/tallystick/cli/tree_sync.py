"""``tallystick sync`` and ``verify`` where the ends are directories."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tallystick.cli.output import print_json, shown
from tallystick.cli.tree_options import is_remote, wishes_of
from tallystick.cli.tree_report import Gauge, exit_code, plain, show_plan, show_report
from tallystick.errors import StorageError, TallystickError, UsageError
from tallystick.sync.uncollected import uncollected
from tallystick.trees.ends import TreeEnd
from tallystick.trees.opening import OpenedPair, Wishes, open_directories
from tallystick.trees.report import Report

RETRY_SECONDS = 2.0
LONGEST_SECONDS = 30.0


def synchronize(a: str, b: str, given: Mapping[str, Any]) -> int:
    """Bring two directories into agreement as the options say. Returns the exit code."""
    if given["explain"] is not None:
        return explain(a, b, given)
    if given["watch"] and given["dry_run"]:
        raise UsageError("--watch goes on and --dry-run does nothing", hint="say one of them")
    wishes = wishes_of(given)
    state = Path(given["state"]) if given["state"] else None
    opened = _open(a, b, state, given)
    try:
        if given["watch"]:
            return _watch(opened, wishes, given["as_json"], _elsewhere(a, b, given))
        with uncollected():
            report, seconds = _run(opened, wishes, given["as_json"])
            gc.freeze()  # what the run has made lives as long as this process: nobody needs to look for garbage in it
        _show(opened, report, seconds, given["as_json"])
        return exit_code(report)
    finally:
        opened.close()


def _open(a: str, b: str, state: Path | None, given: Mapping[str, Any]) -> OpenedPair:
    """The pair; only one with a tree elsewhere loads what reaches it."""
    create = not given["dry_run"]
    if not (is_remote(a) or is_remote(b)):
        return open_directories(a, b, state, create=create)
    if given["xattrs"]:
        raise UsageError("--xattrs concerns two directories", hint="contexts and buckets keep no extended attributes")
    from tallystick.cli.credentials import password
    from tallystick.contexts.opening import open_trees

    return open_trees(a, b, state, time.time_ns, create=create, password=password(given["password_file"]))


def _run(opened: OpenedPair, wishes: Wishes, quiet: bool) -> tuple[Report, float]:
    gauge = Gauge(quiet or wishes.dry_run)
    started = time.monotonic()
    try:
        wanted = wishes._replace(progress=gauge.progress)
        if opened.pair.local.mount is not None and opened.pair.remote.mount is not None:
            return opened.run(wanted), time.monotonic() - started
        from tallystick.contexts.opening import again_while_moved

        return again_while_moved(lambda: opened.run(wanted), time.sleep), time.monotonic() - started
    finally:
        gauge.close()


def _show(opened: OpenedPair, report: Report, seconds: float, as_json: bool) -> None:
    turned = opened.turned is not report.exchanged
    if as_json:
        print_json(plain(report, turned, seconds))
    elif report.dry_run:
        show_plan(report, turned)
    else:
        show_report(report, turned, seconds)


def _elsewhere(a: str, b: str, given: Mapping[str, Any]) -> Callable[[], bool]:
    """What says whether something changed in a tree that is not on this machine."""
    if not (is_remote(a) or is_remote(b)):
        return lambda: False
    from tallystick.cli.credentials import password
    from tallystick.contexts.opening import watches

    found = watches((a, b), password(given["password_file"]))
    return lambda: True in [watch.heard() for watch in found]


def _watch(opened: OpenedPair, wishes: Wishes, as_json: bool, elsewhere: Callable[[], bool]) -> int:
    """Run whenever something changes, until the user stops it. A guard that holds something back only says so."""
    from tallystick.trees.watching import changes

    ends = (opened.pair.local, opened.pair.remote)
    roots = [end.mount.root for end in ends if end.mount is not None]
    if not as_json:
        click.echo(f"watching {' and '.join(end.title for end in ends)}; stop with Ctrl-C", err=True)
    first = True
    for _ in changes(roots, elsewhere=elsewhere):
        report = _attempt(opened, wishes, as_json)
        if report is not None and (first or _is_news(report[0])):
            _show(opened, *report, as_json)
        first = False
    return 0


def _attempt(opened: OpenedPair, wishes: Wishes, as_json: bool) -> tuple[Report, float] | None:
    """One run while watching, again after a while when it failed in a way that passes by itself.

    What else is wrong with a disk is said, and tried again with the next change: None.
    """
    wait, said = RETRY_SECONDS, ""
    while True:
        try:
            return _run(opened, wishes, as_json)
        except TallystickError as problem:
            if not (problem.transient or isinstance(problem, StorageError)):
                raise
            if str(problem) != said:
                said = str(problem)
                click.echo(f"tallystick: {shown(said)}", err=True)
            if not problem.transient:
                time.sleep(RETRY_SECONDS)
                return None
        finally:
            opened.close()  # handles of directories that may be replaced until the next run
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_SECONDS)


def _is_news(report: Report) -> bool:
    return bool(report.actions or report.failed or report.held or report.conflicts)


# Questions ---------------------------------------------------------------------------------------


def explain(a: str, b: str, given: Mapping[str, Any]) -> int:
    """Say whether a path is synchronized, and which rule of which side leaves it out."""
    from tallystick.cli.tree_options import patterns_of
    from tallystick.trees.ignoring import IgnoreRules, rules_above

    path = explained(given["explain"], [os.path.realpath(name) for name in (a, b) if not is_remote(name)])
    answers = []
    for name, end in zip("AB", _ends(a, b, given), strict=True):
        rules = end.rules(rules_above(path)) if given["ignore_files"] else {}
        answers.append((name, IgnoreRules(rules, patterns_of(given)).explain(path, end.is_directory(path))))
        end.close()
    ignored = [(name, verdict) for name, verdict in answers if verdict.ignored]
    if given["as_json"]:
        print_json({"path": path, "ignored": bool(ignored), **{name: verdict._asdict() for name, verdict in answers}})
        return 0
    for name, verdict in ignored:
        click.echo(f"{shown(path)}: left out by the pattern {verdict.pattern!r} of {shown(verdict.file)} at {name}")
    if not ignored:
        taken = next((verdict for _, verdict in answers if verdict.pattern), None)
        why = f"taken in by the pattern {taken.pattern!r} of {shown(taken.file)}" if taken else "no pattern matches"
        click.echo(f"{shown(path)}: synchronized; {why}")
    return 0


def explained(path: str, roots: Sequence[str]) -> str:
    """The path below the roots that is asked for; an absolute one may be given as it stands on this machine."""
    for root in roots:
        if path.startswith(f"{root}/"):
            path = path[len(root) :]
    found = os.path.normpath(path.strip("/") or ".")
    if found == ".." or found.startswith("../"):
        raise UsageError(f"{path} does not lie in a tree", hint="give a path below both roots, as in src/main.o")
    return "" if found == "." else found


def _ends(a: str, b: str, given: Mapping[str, Any]) -> list[TreeEnd]:
    """Two trees to look at; only those elsewhere load what reaches them."""
    if not (is_remote(a) or is_remote(b)):
        from tallystick.trees.directory import DirectoryEnd

        return [DirectoryEnd(root, time.time_ns) for root in (a, b)]
    from tallystick.cli.credentials import password
    from tallystick.contexts.opening import open_end

    secret = password(given["password_file"])
    return [open_end(name, time.time_ns, password=secret) for name in (a, b)]


def verify(a: str, b: str, given: Mapping[str, Any]) -> int:
    """Compare two trees by reading every file; exit 0 only if they agree."""
    from dataclasses import asdict

    from tallystick.trees.ignoring import IgnoreRules
    from tallystick.trees.scope import Both
    from tallystick.trees.verifying import SAMPLE, compare, rules_in

    ends = _ends(a, b, given)
    try:
        scope = Both([IgnoreRules(dict(rules_in(end)), given["exclude"]) for end in ends])
        verdict = compare(ends[0], ends[1], scope, given["deep"])
    finally:
        for end in ends:
            end.close()
    if given["as_json"]:
        print_json({**asdict(verdict), "agree": verdict.agree})
        return 0 if verdict.agree else 1
    for label, paths in (
        ("only at A", verdict.only_a),
        ("only at B", verdict.only_b),
        ("different", verdict.different),
        ("permissions differ", verdict.permissions),
        ("cannot be read", verdict.unreadable),
    ):
        for path in paths[:SAMPLE]:
            click.echo(f"{label}: {shown(path)}")
        if len(paths) > SAMPLE:
            click.echo(f"{label}: {len(paths) - SAMPLE:,} more")
    if verdict.agree:
        click.echo(f"agree: {verdict.files:,} files, {verdict.bytes:,} bytes")
    return 0 if verdict.agree else 1


def repair(a: str, b: str, given: Mapping[str, Any]) -> int:
    """Send content again that a context cannot give back; exit 0 only if it can give all then."""
    from tallystick.contexts.end import ContextEnd
    from tallystick.contexts.healing import heal
    from tallystick.trees.verifying import unreadable

    ends = _ends(a, b, given)
    try:
        damaged = [end for end in ends if isinstance(end, ContextEnd)]
        sources = [end for end in ends if end.mount is not None]
        if not damaged or not sources:
            raise UsageError("repair sends what a context has lost", hint="name a directory and a context or bucket")
        lost = unreadable(damaged[0])
        left = heal(damaged[0], sources[0], lost) if lost else []
        left = unreadable(damaged[0], sorted({*left, *lost})) if lost else []
    finally:
        for end in ends:
            end.close()
    if given["as_json"]:
        print_json({"sent": [path for path in lost if path not in left], "damaged": left})
    else:
        for path in left:
            click.echo(f"still damaged: {shown(path)}: the directory has no such content", err=True)
        click.echo(f"files sent again: {len(lost) - len(left):,}" if lost else "nothing is damaged")
    return 1 if left else 0
