"""``tallystick import-mail``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tallystick.cli.credentials import password, prompted
from tallystick.cli.options import as_json
from tallystick.cli.output import print_json
from tallystick.cli.terminal import on_terminal
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from tallystick.stores.mail.importing import MailReport
    from tallystick.stores.mail.source import Place
    from tallystick.stores.server import Server
    from tallystick.stores.store import Store


@click.command("import-mail")
@click.argument("site")
@click.argument("store")
@click.argument("source")
@click.option("--create", is_flag=True, help="Make the database, the user and the store where they are missing.")
@click.option("--delete", is_flag=True, help="Delete items, recoverably, whose messages vanished from the source.")
@click.option("--password-file", help="File with the password of the IMAP user; - is standard input.")
@as_json
def command(
    site: str, store: str, source: str, create: bool, delete: bool, password_file: str | None, as_json: bool
) -> int:
    """Take what is new in SOURCE into the STORE of a user of SITE.

    STORE is a user's name, or 'public'. SOURCE is maildir:PATH, mbox:PATH or imap(s)://USER@HOST[:PORT]. Calling it
    again takes only what is new since, and follows read flags, moves and (with --delete) deletions; flags are given
    back to a maildir. The password of an IMAP user comes from --password-file, TALLYSTICK_PASSWORD or a prompt.

    Exit code 1: some messages could not be taken; they are listed.

    \b
    Examples:
      tallystick import-mail mail.db anna maildir:/home/anna/Maildir --create
      tallystick import-mail mail.db anna imaps://anna@mail.example.org
      tallystick import-mail postgresql://localhost/hub public mbox:archive.mbox
    """
    from tallystick.api import open as open_site
    from tallystick.stores.mail import import_mail, open_source

    def asked(user: str) -> str:
        return password(password_file) or prompted(f"Password of {user}")

    with open_site(site, create=create) as opened:
        target = _store(opened.server(), store, create)
        reading = open_source(source, asked)
        report = import_mail(target, reading, delete=delete, progress=_progress(as_json))
    if as_json:
        print_json(asdict(report))
    else:
        _print(report)
    return 1 if report.refused else 0


def _store(server: Server, name: str, create: bool) -> Store:
    """The store called ``name``. Raises NotFoundError, UsageError."""
    if name == "public":
        found = server.public_store
        if found is None and create:
            found = server.create_public_store()
    else:
        user = server.user(name, create=create)
        found = user.store
        if found is None and create:
            found = user.create_store()
    if found is None:
        raise UsageError(f"there is no store {name!r}", hint="make it with --create")
    return found


def _progress(quiet: bool) -> Callable[[Place, MailReport], None]:
    shown = on_terminal(sys.stderr) and not quiet

    def progress(place: Place, report: MailReport) -> None:
        if shown:
            click.echo(f"\r{report.created} messages taken, in {place.name} ...\x1b[K", nl=False, err=True)

    return progress


def _print(report: MailReport) -> None:
    click.echo(
        f"{report.created} messages taken from {report.folders} folders, {report.flags_taken} flags taken and "
        f"{report.flags_given} given, {report.moved} moved, {report.deleted} deleted"
    )
    for place, uid, why in report.refused:
        click.echo(f"not taken: {place} {uid}: {why}", err=True)
