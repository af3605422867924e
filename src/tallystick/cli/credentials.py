"""Where passwords come from: a file, standard input, the environment, or a prompt; never the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from tallystick.cli.terminal import on_terminal
from tallystick.errors import ConfigurationError, UsageError


def password(path: str | None, *, prompt: bool = False) -> str | None:
    """The password from ``path`` ('-' is standard input), TALLYSTICK_PASSWORD, or a prompt; None when none is given.

    Raises ConfigurationError for a file that cannot be read, and what ``prompted`` raises.
    """
    if path == "-":
        return sys.stdin.readline().rstrip("\n")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\n")
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the password file {path}: {error.strerror}", hint="check the path"
            ) from error
    if "TALLYSTICK_PASSWORD" in os.environ:
        return os.environ["TALLYSTICK_PASSWORD"]
    if prompt:
        return prompted("Password", twice=True)
    return None


def password_for(path: str | None, *ends: str) -> str | None:
    """``password`` for those whom the URLs of served ends name; asked for on a terminal where none is given."""
    secret = password(path)
    if secret is not None or not on_terminal(sys.stdin):
        return secret
    for parts in (urlsplit(end) for end in ends if end.startswith(("http://", "https://"))):
        if parts.username and parts.password is None:
            return prompted(f"Password of {parts.username} at {parts.hostname}")
    return None


def prompted(what: str, *, twice: bool = False) -> str:
    """Ask for a password on the terminal. Raises UsageError where nobody can answer: a command never waits for that."""
    if not on_terminal(sys.stdin):
        raise UsageError(
            "a password is needed, and there is no terminal to ask for it",
            hint="give --password-file FILE ('-' is standard input), or set TALLYSTICK_PASSWORD",
        )
    return str(click.prompt(what, hide_input=True, confirmation_prompt=twice, err=True))
