"""What the options of several commands share. Loads nothing that a command may not need."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tallystick.errors import UsageError

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def pairs(texts: Sequence[str], option: str, separator: str = "=") -> dict[str, str]:
    """``A=B`` texts, or with the separator ``:`` filters by name, as a mapping. Raises UsageError."""
    found = {}
    form = "NAME: EXPR" if separator == ":" else f"NAME{separator}VALUE"
    for text in texts:
        left, sign, right = text.partition(separator)
        if not sign or not left.strip() or not right.strip():
            raise UsageError(f"{option} {text!r} is not {form}", hint="see --help for examples")
        found[left.strip()] = right.strip()
    return found


def check_fingerprints(texts: Sequence[str]) -> None:
    """Raise UsageError for what can be no fingerprint of a site: it would confirm nobody, and nobody would say so."""
    if not texts:
        return
    from tallystick.protocols.bundle.codec.signing import is_fingerprint

    for text in texts:
        if not is_fingerprint(text):
            raise UsageError(
                f"--trust {text!r} is no fingerprint", hint="write it as shown there: five groups of four, joined by -"
            )
