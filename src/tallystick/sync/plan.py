"""What a user wants of a synchronization: the plan (DESIGN.md 1, 4.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tallystick.core.policies import DEFAULT_POLICY, Policy, Resolution, turn

if TYPE_CHECKING:
    from tallystick.site.deciding import Conflict, OnConflict
    from tallystick.sync.transfer import Progress

BOTH, PUSH, PULL = "both", "push", "pull"


@dataclass(slots=True)
class Plan:
    """What the user wants of a synchronization of ``a`` and ``b``. THIS is ``a`` in both directions.

    ``policies`` are by wire name, "" for the rest. ``where`` are filters by wire name. ``identity`` is "", "same",
    "separate" or "natural:FIELD,FIELD". ``allowed`` deletions per resource pass the guards, -1 for all. ``naming``
    maps names of ``b`` (``table`` or ``table.column``) to wire names.
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    direction: str = BOTH
    policies: Mapping[str, Policy] = field(default_factory=lambda: {"": DEFAULT_POLICY})
    where: Mapping[str, str] = field(default_factory=dict)
    delete_left: bool = False
    identity: str = ""
    naming: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    allowed: int = 0
    onconflict: OnConflict | None = None
    progress: Progress | None = None
    compare: bool = False
    """Compare every record instead of trusting states and digests: repair."""


def turned_hook(hook: OnConflict | None) -> OnConflict | None:
    """The hook as the second end asks it: THIS stays the first end."""
    if hook is None:
        return None

    def ask(conflict: Conflict) -> Resolution | Policy | None:
        ruling = hook(conflict)
        if isinstance(ruling, Policy):
            return ruling.turned()
        return None if ruling is None else turn(Resolution(ruling))

    return ask
