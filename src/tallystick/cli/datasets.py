"""``tallystick datasets``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.options import as_json, pairs
from tallystick.cli.output import print_json, table
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from tallystick.protocols.eden.codec.filters import Filter
    from tallystick.protocols.eden.site.hosting import Hosting
    from tallystick.protocols.eden.store import Dataset


@click.group("datasets")
def command() -> None:
    """Host public data sets for Eden sites: some tables, filtered, that a peer pulls by one code.

    They are served by: tallystick serve SITE --eden /eden. To pull one of another site, see: tallystick peers add.
    """


@command.command("add")
@click.argument("site")
@click.argument("code")
@click.option("--table", "tables", multiple=True, required=True, metavar="NAME", help="A table it holds; repeatable.")
@click.option("--where", multiple=True, metavar="'NAME: FILTER'", help="Only records that fit, in Eden's form.")
@click.option("--name", default="", help="What people call it.")
@click.option("--components/--no-components", default=True, help="With the records that belong to them (default).")
@as_json
def add(site: str, code: str, **given: Any) -> int:
    """Host a data set of SITE under CODE.

    \b
    Example:
      tallystick datasets add clinic.db roads --table gis_road --where 'gis_road: ~.status=open'
    """
    tables = _filtered(given["tables"], given["where"])
    with _hosting(site) as (hosting, now):
        made = hosting.add(code, given["name"], tables, now, components=given["components"])
        found = _plain(hosting, made)
    if given["as_json"]:
        print_json(found)
    else:
        click.echo(f"{code} is hosted; for faster first pulls: tallystick datasets archive {site} {code}")
    return 0


@command.command("list")
@click.argument("site")
@as_json
def list_(site: str, as_json: bool) -> int:
    """List the data sets that SITE hosts.

    \b
    Example:
      tallystick datasets list clinic.db
    """
    with _hosting(site) as (hosting, _):
        found = [_plain(hosting, one) for one in hosting.datasets()]
    if as_json:
        print_json(found)
    else:
        rows = [
            (one["code"], one["name"], ", ".join(one["tables"]), "yes" if one["archive"] else "no") for one in found
        ]
        table(("code", "name", "tables", "archive"), rows)
    return 0


@command.command("archive")
@click.argument("site")
@click.argument("code")
@as_json
def archive(site: str, code: str, as_json: bool) -> int:
    """Write the archive that first pulls of a data set begin with, in place of an older one.

    \b
    Example:
      tallystick datasets archive clinic.db roads
    """
    with _hosting(site) as (hosting, now):
        size = hosting.build_archive(code, now)
    if as_json:
        print_json({"code": code, "bytes": size})
    else:
        click.echo(f"the archive of {code} is written, {size} bytes")
    return 0


@command.command("remove")
@click.argument("site")
@click.argument("code")
def remove(site: str, code: str) -> int:
    """Stop hosting a data set. No record is touched, here or at those who pulled it.

    \b
    Example:
      tallystick datasets remove clinic.db roads
    """
    with _hosting(site) as (hosting, now):
        hosting.remove(code, now)
    click.echo(f"{code} is hosted no more")
    return 0


@contextmanager
def _hosting(site: str) -> Iterator[tuple[Hosting, datetime]]:
    """The data sets of a site, and the moment by the site's clock."""
    from tallystick.api import open as open_site
    from tallystick.jobs.eden import eden_store
    from tallystick.protocols.eden.site.hosting import Hosting

    with open_site(site) as opened:
        now = datetime.fromtimestamp(opened.ledger.now() / 1000, UTC)
        yield Hosting(eden_store(opened.replica, keep_secrets=False)), now


def _filtered(tables: tuple[str, ...], where: tuple[str, ...]) -> dict[str, tuple[Filter, ...]]:
    """Tables with their filters. Raises UsageError for a filter of a table that is not named, and FilterError."""
    from tallystick.protocols.eden.codec.filters import parse_filter_string

    found: dict[str, tuple[Filter, ...]] = dict.fromkeys(tables, ())
    for name, text in pairs(where, "--where", ":").items():
        if name not in found:
            raise UsageError(f"--where names {name}, which the data set does not hold", hint=f"add --table {name}")
        found[name] = parse_filter_string(name, name, text)
    return found


def _plain(hosting: Hosting, one: Dataset) -> dict[str, Any]:
    return {
        "code": one.code,
        "name": one.name,
        "tables": [task.resource for task in hosting.tasks(one)],
        "archive": one.use_archive,
    }
