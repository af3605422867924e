"""How a check says that it failed, or has nothing to check with."""

from __future__ import annotations


class CheckFailed(AssertionError):
    """The provider does not do what the checklist asks for; the message says what it did."""


class CheckSkipped(Exception):
    """The provider has nothing to check this with; the message says what is missing."""


def expect(condition: object, message: str) -> None:
    """Raise CheckFailed with ``message`` unless ``condition`` holds."""
    if not condition:
        raise CheckFailed(message)
