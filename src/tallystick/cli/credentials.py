"""Where passwords come from: a file, standard input, the environment, or a prompt; never the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from tallystick.errors import ConfigurationError


def password(path: str | None, *, prompt: bool = False) -> str | None:
    """The password from ``path`` ('-' is standard input), TALLYSTICK_PASSWORD, or a prompt; None when none is given."""
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
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return None
