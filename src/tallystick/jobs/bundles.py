"""A site's visits to bundle directories: its signing key, and the run (docs/bundles.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from tallystick.errors import UsageError
from tallystick.jobs.credentials import Credentials
from tallystick.protocols.bundle.codec.signing import SigningKey
from tallystick.protocols.bundle.exchange import Ask, BundleExchange
from tallystick.site.ledger import Ledger
from tallystick.sync.agreement import Report
from tallystick.sync.local import LocalReplica
from tallystick.sync.plan import Plan

SCHEME: Final = "files+dir:"
_SECRET: Final = "bundle signing key"


def signing_key(ledger: Ledger) -> SigningKey:
    """The site's signing key, made on first use and kept among its secrets. Raises ConfigurationError."""
    credentials = Credentials(ledger)
    kept = credentials.find(_SECRET)
    if kept is not None:
        return SigningKey.parse(kept)
    made = SigningKey.made()
    credentials.save(_SECRET, made.text())
    return made


def exchange(url: str, trust: Sequence[str] = (), ask: Ask | None = None) -> BundleExchange:
    """The directory that ``files+dir:PATH`` or ``files+dir:///PATH`` names. Raises ConfigurationError."""
    path = url.removeprefix(SCHEME)
    if path.startswith("//"):
        path = unquote(path.removeprefix("//"))
    return BundleExchange(path, trust, ask)


def visit(a: object, b: object, plan: Plan) -> Report:
    """A run between a database of this machine and a directory, in either order.

    Raises UsageError for any other pair, and what ``BundleExchange.visit`` raises.
    """
    for local, other, second in ((a, b, False), (b, a, True)):
        if isinstance(local, LocalReplica) and isinstance(other, BundleExchange):
            return other.visit(local, signing_key(local.ledger), plan, second=second)
    raise UsageError(
        "a directory of bundles is exchanged with a database of this machine",
        hint="name a database as the other end: tallystick sync files+dir:/media/stick clinic.db",
    )
