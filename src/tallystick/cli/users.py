"""``tallystick users``."""

from __future__ import annotations

import click

from tallystick.cli.credentials import password
from tallystick.cli.options import as_json
from tallystick.cli.output import print_json, table

ROLES = ["admin", "sync", "write", "read"]


@click.group("users")
def command() -> None:
    """Add, list and remove users of a served site."""


@command.command("add")
@click.argument("site")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="sync", show_default=True, help="What the user may do.")
@click.option("--password-file", type=click.Path(), help="File with the password; '-' is standard input.")
@click.option("--digest", is_flag=True, help="Let the user come by HTTP Digest too (SData); keeps weaker hashes.")
def add(site: str, name: str, role: str, password_file: str | None, digest: bool) -> int:
    """Add a user, or give one a new password and role.

    \b
    Examples:
      tallystick users add clinic.db anna --role sync --password-file secret.txt
      tallystick users add erp.db engine --role sync --digest
    """
    from tallystick.api import open as open_site
    from tallystick.site import users

    secret = password(password_file, prompt=True)
    with open_site(site) as opened:
        users.add(opened.ledger, name, secret or "", role, digest=digest)
    click.echo(f"{name} may {role}")
    return 0


@command.command("list")
@click.argument("site")
@as_json
def list_(site: str, as_json: bool) -> int:
    """List users and roles.

    \b
    Example:
      tallystick users list clinic.db
    """
    from tallystick.api import open as open_site
    from tallystick.site import users

    with open_site(site, tracked=True) as opened:
        found = users.listed(opened.ledger)
    if as_json:
        print_json([{"name": one.name, "role": one.role} for one in found])
    elif found:
        table(("name", "role"), [(one.name, one.role) for one in found])
    else:
        click.echo("no users: whoever reaches the address is let in, and only this machine may")
    return 0


@command.command("remove")
@click.argument("site")
@click.argument("name")
def remove(site: str, name: str) -> int:
    """Remove a user.

    \b
    Example:
      tallystick users remove clinic.db anna
    """
    from tallystick.api import open as open_site
    from tallystick.site import users

    with open_site(site, tracked=True) as opened:
        users.remove(opened.ledger, name)
    click.echo(f"{name} is removed")
    return 0
