"""``tallystick purge``."""

from __future__ import annotations

import re

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import print_json, table
from tallystick.errors import UsageError

_UNITS = {"h": 1 / 24, "d": 1.0, "w": 7.0}


@click.command("purge")
@click.argument("site")
@click.option("--older-than", required=True, metavar="AGE", help="Such as 90d, 12h or 4w.")
@as_json
def command(site: str, older_than: str, as_json: bool) -> int:
    """Forget deletions and conflict log entries of SITE that are older than AGE, where every rule allows it.

    \b
    Example:
      tallystick purge clinic.db --older-than 90d
    """
    from tallystick.api import open as open_site

    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", older_than)
    if not match:
        raise UsageError(f"--older-than {older_than!r} is no age", hint="write it as 90d, 12h or 4w")
    with open_site(site, tracked=True) as opened:
        done = opened.purge(float(match.group(1)) * _UNITS[match.group(2)])
    if as_json:
        print_json([one._asdict() for one in done])
    else:
        table(("resource", "deletions", "stubs kept", "conflicts"), done)
    return 0
