"""Printing: tables for people, JSON for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.terminal import on_terminal

if TYPE_CHECKING:  # printing should not load the engine
    from tallystick.core.pages import Tally
    from tallystick.sync.agreement import Report


_BRIEF = 48
_UNDECODABLE = re.compile("[\udc80-\udcff]")


def print_json(value: Any) -> None:
    """One JSON document. Undecodable bytes in paths are escaped with a backslash."""
    import json

    text = json.dumps(value, default=_plain, ensure_ascii=False)
    click.echo(_UNDECODABLE.sub(lambda found: f"\\\\x{ord(found[0]) - 0xDC00:02x}", text))


def shown(text: str) -> str:
    """Text from outside that cannot confuse a terminal: control characters and undecodable bytes are escaped."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if _UNDECODABLE.match(character):
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, frozenset | set | tuple):
        return sorted(value)
    return str(value)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Aligned columns; numbers to the right."""
    listed = [[_cell(value) for value in row] for row in rows]
    widths = [
        max(len(head[index]), *(len(row[index]) for row in listed)) if listed else len(head[index])
        for index in range(len(head))
    ]
    numeric = [all(_is_number(row[index]) for row in listed) and bool(listed) for index in range(len(head))]
    for row in [list(head), *listed]:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def brief(content: Mapping[str, Any] | None) -> str:
    """What a record says, in a few words."""
    if content is None:
        return "deleted"
    text = " ".join(f"{name}={value}" for name, value in content.items() if value is not None)
    return text if len(text) <= _BRIEF else text[: _BRIEF - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%SZ}"
    return shown(str(value).replace("\n", " "))


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace(",", "").isdigit() or text == "-"


def moment(milliseconds: int | None) -> str:
    """A time for people, in UTC."""
    if milliseconds is None:
        return "-"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


COUNTS = ("created", "updated", "deleted", "unchanged", "conflicts", "parked")


def report(done: Report, size: int | None = None) -> None:
    """What a synchronization did, for people."""
    if done.tracked:
        click.echo(f"now tracked: {', '.join(done.tracked)}")
        if done.unkeyed:
            click.echo(f"left out, because they have no primary key: {', '.join(done.unkeyed)}")
    for name, why in done.barred.items():
        click.echo(f"left out: {name}: {why}")
    rows: list[tuple[object, ...]] = []
    for side, tallies in (("->", done.pushed), ("<-", done.pulled)):
        rows.extend((side, wire, *_counts(tally)) for wire, tally in sorted(tallies.items()) if any(_counts(tally)))
    if rows:
        table(("", "resource", *COUNTS), rows)
    elif not done.held and not done.notes and not done.refused:
        click.echo("in agreement; nothing to do")
    for note in done.notes:
        click.echo(note)
    speed = f", {done.records / done.seconds:,.0f} records/s" if done.records and done.seconds else ""
    wire = "" if size is None else f", {size:,} bytes on the wire"
    click.echo(f"{done.records:,} records in {done.seconds:.2f} s{speed}{wire}")
    here = next((name for name in (done.a, done.b) if not name.startswith(("http://", "https://"))), "SITE")
    if done.undecided:
        click.echo(f"{done.undecided} conflicts wait for a decision: tallystick conflicts list {here}")
    if done.parked:
        click.echo(f"{done.parked} changes are parked: tallystick parked list {here}")


def _counts(tally: Tally) -> list[int]:
    return [max(0, getattr(tally, name)) for name in COUNTS]


def say_preview(announced: Mapping[str, Mapping[str, Mapping[str, int]]], as_json: bool) -> None:
    """What a dry run found: changes and deletions, by direction and resource."""
    if as_json:
        print_json(announced)
        return
    rows = [
        (side, wire, counts["changes"], counts["deletions"])
        for side, resources in announced.items()
        for wire, counts in resources.items()
        if counts["changes"] or counts["deletions"]
    ]
    if rows:
        table(("direction", "resource", "changes", "deletions"), rows)
    else:
        click.echo("in agreement; nothing would be sent")
    sys.stdout.flush()


def say_held(held: Mapping[str, int], *, dry_run: bool = False) -> None:
    """Which deletions a guard held back, or after a dry run would hold back, by where, and how they pass."""
    listed = ", ".join(f"{count} of {where}" for where, count in sorted(held.items()))
    did, rest, again = ("would hold", "would be", "run") if dry_run else ("held", "was", "run again")
    click.echo(
        f"tallystick: the guard {did} back deletions ({listed}); everything else {rest} applied. Look at what was "
        f"deleted, then {again} with --allow-deletes {max(held.values())} or all",
        err=True,
    )


class Meter:
    """Progress on a terminal; silent elsewhere."""

    def __init__(self, silent: bool) -> None:
        self.shown = not silent and on_terminal(sys.stderr)
        self.records = 0

    def __call__(self, resource: str, records: int) -> None:
        """Take note of a page."""
        self.records += records
        if self.shown:
            click.echo(f"\r\x1b[K{self.records:,} records, {resource}", nl=False, err=True)

    def close(self) -> None:
        """Clear the line."""
        if self.shown and self.records:
            click.echo("\r\x1b[K", nl=False, err=True)
