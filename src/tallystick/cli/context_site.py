"""What every command about the contexts of a site takes and says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import print_json, shown

if TYPE_CHECKING:
    from tallystick.contexts.host import ContextHost


def site_options(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """The argument and options that every subcommand takes."""
    for option in (
        as_json,
        click.option(
            "--password-file", type=click.Path(), help="File with the password for a served site ('-': stdin)."
        ),
        click.argument("site"),
    ):
        wrapped = option(wrapped)
    return wrapped


@contextmanager
def hosted(site: str, password_file: str | None, create: bool = False) -> Iterator[ContextHost]:
    """Where the contexts of a site are; ``create`` makes a database that is not there."""
    from tallystick.api import context_host
    from tallystick.cli.credentials import password

    host = context_host(site, password=password(password_file), create=create)
    try:
        yield host
    finally:
        host.close()


def say(done: dict[str, Any], as_json: bool) -> None:
    """What was done."""
    if as_json:
        print_json(done)
        return
    for name, value in done.items():
        click.echo(f"{name.replace('_', ' ')}: {shown(str(value))}")


def key_of(path: str) -> str:
    """The packed key of a path as it is typed; "" for the root."""
    from tallystick.contexts.entries import packed
    from tallystick.contexts.keys import normal

    return packed(normal(path if path.startswith("/") else f"/{path}")) if path else ""
