"""What one run of a pair is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tallystick.trees.guards import Limits
from tallystick.trees.merging import Reconcile
from tallystick.trees.plan import Half
from tallystick.trees.progress import Progress
from tallystick.trees.scope import Everything, Scope


class Options(NamedTuple):
    """What one run is asked for.

    ``pull`` turns one-way modes round: the remote tree is the source. ``durable`` makes what was written survive a
    power cut before the base moves; without it a power cut makes the next run start with an empty base. ``history``
    is the directory that takes what loses its name and stands nowhere else; without one it is lost.
    """

    mode: Reconcile = Reconcile.SAFE
    half: Half = Half.WHOLE
    pull: bool = False
    scope: Scope = Everything()
    patterns: Sequence[str] = ()
    ignore_files: bool = True
    limits: Limits = Limits()
    confirm_deletions: bool = False
    first_download_done: bool = True
    accept_root: bool = False
    durable: bool = True
    dry_run: bool = False
    progress: Progress | None = None
    history: Path | None = None
