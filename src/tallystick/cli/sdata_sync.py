"""``tallystick sync`` where an end is an SData provider."""

from __future__ import annotations

from typing import Any

import click

from tallystick.cli.output import print_json, table
from tallystick.errors import UsageError

PREFIX = "sdata+"
RECORDS = ("strategy", "update", "conflict", "where", "identity", "ref", "mapping", "dry_run", "exclude", "trust")


def is_sdata(*ends: str) -> bool:
    """True when one of the ends is an SData provider."""
    return any(end.startswith(PREFIX) for end in ends)


def synchronize(a: str, b: str, given: dict[str, Any]) -> int:
    """Bring two ends into agreement. Raises UsageError for options that SData decides itself."""
    from tallystick.cli.credentials import password
    from tallystick.jobs.sdata import Wish, agree

    if given["through"]:
        return _through(a, b, given)
    for name in RECORDS:
        if given[name]:
            option = "--map" if name == "mapping" else "--" + name.replace("_", "-")
            raise UsageError(
                f"{option} means nothing between SData ends",
                hint="SData decides by digest and priority: set the provider's conflict priority",
            )
    wish = Wish(
        direction=given["direction"],
        kinds=tuple(given["only"]),
        results=tuple(given["results_to"]),
        run=given["run_name"],
        password=password(given["password_file"]),
    )
    reports = agree(_end(a), _end(b), wish)
    if given["as_json"]:
        print_json([_plain(report) for report in reports])
    else:
        _show(reports)
    return 1 if any(report.refused for report in reports) else 0


def _through(a: str, b: str, given: dict[str, Any]) -> int:
    """Two ends without a language in common, by way of a database that speaks both; the worst exit code.

    The database is a site like others and stays: what it knows makes the next run a small one.
    """
    from tallystick.cli.sync import command

    if is_sdata(a) == is_sdata(b) or given["dry_run"]:
        raise UsageError(
            "--through stands between one SData provider and an end that is none",
            hint="leave --through out, and --dry-run too",
        )
    between = given["through"]
    options = {**given, "through": None}
    plain = {**options, **{name: type(given[name])() for name in (*RECORDS, "create") if given[name]}}
    codes = []
    for one, other, direction in _legs(a, b, between, given["direction"]):
        chosen = plain if is_sdata(one, other) else {**options, "results_to": ()}
        assert command.callback is not None
        codes.append(command.callback(a=one, b=other, **{**chosen, "direction": direction}) or 0)
    return max(codes)


def _legs(a: str, b: str, between: str, direction: str) -> list[tuple[str, str, str]]:
    """The runs that bring two ends into agreement through a third: first, second and direction of each."""
    first, second = (a, between), (between, b)
    if direction == "push":
        return [(*first, "push"), (*second, "push")]
    if direction == "pull":
        return [(*second, "pull"), (*first, "pull")]
    if is_sdata(a):
        return [(*first, "both"), (*second, "both"), (*first, "pull")]
    return [(*second, "both"), (*first, "both"), (*second, "push")]


def _end(text: str) -> Any:
    """A provider's URL, or what opens a database of this machine."""
    if text.startswith(PREFIX):
        return text
    if text.startswith(("http://", "https://", "files+dir:", "eden+")):
        raise UsageError(
            f"{text} and an SData provider have no language in common",
            hint="name a database that may stand between them with --through, or serve that site with --sdata",
        )
    from tallystick.api import open as open_site

    return lambda: open_site(text, create=True).replica


def _plain(report: Any) -> dict[str, Any]:
    return {
        "source": report.source,
        "target": report.target,
        "run": report.run.name,
        "stamp": report.run.stamp,
        "pages": report.pages,
        "entries": report.entries,
        "applied": report.applied,
        "refused": report.refused,
        "statuses": {str(status): count for status, count in sorted(report.statuses.items())},
        "warnings": report.warnings,
    }


def _show(reports: Any) -> None:
    rows = [
        (_name(report.source), _name(report.target), report.entries, report.applied, report.refused)
        for report in reports
    ]
    table(("from", "to", "sent", "applied", "refused"), rows)
    for report in reports:
        for warning in dict.fromkeys(report.warnings):
            click.echo(f"tallystick: {warning}", err=True)


def _name(endpoint: str) -> str:
    """An endpoint for people: a site of this machine by its kind alone."""
    return endpoint.rpartition("/")[2] if ".tallystick.invalid/" in endpoint else endpoint
