"""Tallystick: name two ends; it brings them into agreement, and can prove it.

The public names, and nothing else. They are loaded when they are first asked for: a command or program that needs one
room should not wait for all of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tallystick.version import VERSION as __version__

if TYPE_CHECKING:
    from tallystick.api import Resource, Site, open
    from tallystick.core.policies import FieldPolicy, Method, Policy, Resolution
    from tallystick.errors import TallystickError
    from tallystick.streams.changes import Change
    from tallystick.sync.agreement import Report
    from tallystick.sync.plan import Plan

__all__ = [
    "Change",
    "FieldPolicy",
    "Method",
    "Plan",
    "Policy",
    "Report",
    "Resolution",
    "Resource",
    "Site",
    "TallystickError",
    "__version__",
    "open",
]

_PLACES = {
    "FieldPolicy": "tallystick.core.policies",
    "Method": "tallystick.core.policies",
    "Plan": "tallystick.sync.plan",
    "Policy": "tallystick.core.policies",
    "Resolution": "tallystick.core.policies",
    "Change": "tallystick.streams.changes",
    "Report": "tallystick.sync.agreement",
    "Resource": "tallystick.api",
    "Site": "tallystick.api",
    "TallystickError": "tallystick.errors",
    "open": "tallystick.api",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'tallystick' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
