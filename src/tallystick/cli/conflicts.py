"""``tallystick conflicts``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import moment, print_json, table
from tallystick.core.clock import milliseconds_of
from tallystick.core.policies import Resolution
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from tallystick.api import Resource, Site
    from tallystick.site.siblings import Contested


@click.group("conflicts")
def command() -> None:
    """List, show and decide conflicts; bring back what a decision hid."""


@command.command("list")
@click.argument("site")
@click.option("--all", "everything", is_flag=True, help="Also those that a policy decided and no edit has closed yet.")
@click.option("--log", "log", is_flag=True, help="The conflict log: versions that decisions hid.")
@as_json
def list_(site: str, everything: bool, log: bool, as_json: bool) -> int:
    """List conflicts that wait for a decision.

    \b
    Example:
      tallystick conflicts list clinic.db
    """
    from tallystick.api import open as open_site

    with open_site(site, tracked=True) as opened:
        if log:
            return _list_log(opened.conflict_log(), as_json)
        found = opened.conflicts(None if everything else True)
    head = ("resource", "row", "versions", "waits", "key")
    rows = [(one.resource, one.row, len(one.versions), one.undecided, one.key) for one in found]
    if as_json:
        print_json([dict(zip(head, row, strict=True)) for row in rows])
    elif rows:
        table(head, [(*row[:3], "yes" if row[3] else "no", row[4]) for row in rows])
    else:
        click.echo("no conflicts")
    return 0


def _list_log(entries: Any, as_json: bool) -> int:
    if as_json:
        print_json(
            [
                {
                    "id": one.id,
                    "resource": one.resource,
                    "key": one.key,
                    "at": one.at,
                    "kind": one.kind,
                    "content": one.version.content,
                }
                for one in entries
            ]
        )
    else:
        table(
            ("id", "resource", "key", "when", "how"),
            [(one.id, one.resource, one.key, moment(one.at), one.kind) for one in entries],
        )
    return 0


@command.command("show")
@click.argument("site")
@click.argument("resource")
@click.argument("key")
@as_json
def show(site: str, resource: str, key: str, as_json: bool) -> int:
    """Show every version of a record with a conflict. KEY is its key as listed, or the primary key of its row.

    \b
    Example:
      tallystick conflicts show clinic.db patients 17
    """
    from tallystick.api import open as open_site

    with open_site(site, tracked=True) as opened:
        named = opened.resource(resource)
        columns = named.columns
        found = [_of(opened, named, key)]
    versions = [
        {
            "version": index,
            "shown": index in found[0].shown,
            "at": moment(milliseconds_of(version.stamp)),
            "origin": version.origin,
            "content": None if version.content is None else _by_column(version.content, columns),
        }
        for index, version in enumerate(found[0].versions)
    ]
    if as_json:
        print_json(versions)
        return 0
    for one in versions:
        mark = "*" if one["shown"] else " "
        content = "deleted" if one["content"] is None else json.dumps(one["content"], ensure_ascii=False, default=str)
        click.echo(f"{mark} {one['version']}  {one['at']}  {content}")
    return 0


@command.command("resolve")
@click.argument("site")
@click.argument("resource")
@click.argument("key")
@click.option("--take", type=int, metavar="N", help="The version with this number (see show).")
@click.option("--by", type=click.Choice(["this", "other", "newer", "master", "merge"]), help="A policy decides.")
@click.option(
    "--content",
    metavar="JSON",
    help="A content of your own: JSON by column; others stay as shown.",
)
def resolve(site: str, resource: str, key: str, take: int | None, by: str | None, content: str | None) -> int:
    """Decide a conflict; the decision travels and ends it at every site.

    \b
    Examples:
      tallystick conflicts resolve clinic.db patients 17 --take 1
      tallystick conflicts resolve clinic.db patients 17 --by merge
    """
    from tallystick.api import open as open_site

    given = [value for value in (take, by, content) if value is not None]
    if len(given) != 1:
        raise UsageError("say exactly one of --take, --by and --content", hint="see --help")
    choice: Any = take if take is not None else Resolution(by) if by else _content(content or "")
    with open_site(site, tracked=True) as opened:
        if content is not None:
            named = opened.resource(resource)
            choice = {**_shown_content(_of(opened, named, key)), **_by_field(choice, named.columns)}
        opened.resolve(resource, key, choice)
    click.echo("decided")
    return 0


def _of(opened: Site, resource: Resource, key: str) -> Contested:
    """The conflict of a record, by its key or that of its row. Raises UsageError when it has none."""
    found = [one for one in opened.conflicts(None) if one.resource == resource.wire]
    for one in (*(one for one in found if one.key == key), *(one for one in found if one.row == key)):
        return one
    raise UsageError(f"{resource.name} {key!r} has no conflict", hint=f"see: tallystick conflicts list {opened.name}")


def _shown_content(one: Contested) -> dict[str, Any]:
    """What the row of a contested record shows: fields that a content of one's own does not name stay so."""
    return dict(one.versions[one.shown[0]].content or {}) if one.shown else {}


def _by_column(content: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """A content under the names that the table's columns have here."""
    return {columns.get(name, name): value for name, value in content.items()}


def _by_field(content: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The opposite; names on the wire are understood too. Raises UsageError for a field that is not there."""
    fields = {column: name for name, column in columns.items()}
    for name in content:
        if columns and name not in fields and name not in columns:
            raise UsageError(f"--content names {name!r}, which is no column", hint=f"columns: {', '.join(fields)}")
    return {fields.get(name, name): value for name, value in content.items()}


def _content(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--content is no JSON: {error}", hint="""write it as '{"name": "x"}'""") from error
    if not isinstance(value, dict):
        raise UsageError("--content is no JSON object", hint="""write it as '{"name": "x"}'""")
    return value


@command.command("undo")
@click.argument("site")
@click.argument("number", type=int)
def undo(site: str, number: int) -> int:
    """Bring back version NUMBER of the conflict log as a new edit.

    \b
    Example:
      tallystick conflicts undo clinic.db 3
    """
    from tallystick.api import open as open_site

    with open_site(site, tracked=True) as opened:
        opened.undo(number)
    click.echo("brought back")
    return 0
