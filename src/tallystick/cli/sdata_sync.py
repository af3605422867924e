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


def _end(text: str) -> Any:
    """A provider's URL, or what opens a database of this machine."""
    if text.startswith(PREFIX):
        return text
    if text.startswith(("http://", "https://", "files+dir:", "eden+")):
        raise UsageError(
            f"{text} and an SData provider have no language in common",
            hint="put a database of this machine between them, or serve that site with --sdata",
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
