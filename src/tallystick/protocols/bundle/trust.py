"""Whose bundles a site takes: the keys of other sites that somebody confirmed (docs/bundles.md, *Trust*)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tallystick.errors import UsageError
from tallystick.protocols.bundle.codec.documents import Card, Taken
from tallystick.protocols.bundle.codec.signing import fingerprint, same_fingerprint
from tallystick.protocols.bundle.errors import BundleForeign, BundleUnconfirmed
from tallystick.site.ledger import Ledger

ROOM = "bundle"
STEPS = (
    (
        "CREATE TABLE tally_bundle_trust (site {text} PRIMARY KEY, name {text} NOT NULL, public {blob} NOT NULL, "
        "since {int} NOT NULL)",
        "CREATE TABLE tally_bundle_taken (site {text} NOT NULL, bundle {text} NOT NULL, number {int} NOT NULL, "
        "at {int} NOT NULL, taken {blob} NOT NULL, PRIMARY KEY (site, bundle))",
    ),
)
REMEMBERED = 32
"""So many of the bundles last taken from a site are reported back to it."""


class Trusted(NamedTuple):
    """A site whose key was confirmed. ``since`` is milliseconds."""

    site: str
    name: str
    public: bytes
    since: int

    @property
    def fingerprint(self) -> str:
        """The fingerprint of its key."""
        return fingerprint(self.public)


@dataclass(slots=True)
class Trust:
    """The confirmed keys of one site."""

    ledger: Ledger

    def __post_init__(self) -> None:
        self.ledger.require(ROOM, STEPS)

    def trusted(self) -> dict[str, Trusted]:
        """Confirmed sites, by identifier."""
        rows = self.ledger.engine.query("SELECT site, name, public, since FROM tally_bundle_trust ORDER BY site")
        return {site: Trusted(site, name, bytes(public), since) for site, name, public, since in rows}

    def key_of(self, site: str) -> bytes:
        """The confirmed key of a site. Raises BundleUnconfirmed."""
        found = self.trusted().get(site)
        if found is None:
            raise BundleUnconfirmed(f"nobody has confirmed the key of site {site[:32]}")
        return found.public

    def confirm(self, card: Card) -> None:
        """Trust the key of a card from now on."""
        with self.ledger.engine.write():
            self.ledger.engine.execute("DELETE FROM tally_bundle_trust WHERE site=?", (card.site,))
            self.ledger.engine.execute(
                "INSERT INTO tally_bundle_trust(site, name, public, since) VALUES (?, ?, ?, ?)",
                (card.site, card.name, card.key, self.ledger.now()),
            )

    def withdraw(self, named: str) -> Trusted:
        """Trust a site no longer, named by identifier, name or fingerprint. Raises UsageError."""
        for found in self.trusted().values():
            if named in (found.site, found.name) or same_fingerprint(named, found.fingerprint):
                with self.ledger.engine.write():
                    self.ledger.engine.execute("DELETE FROM tally_bundle_trust WHERE site=?", (found.site,))
                return found
        raise UsageError(f"{named[:60]!r} is no site whose key was confirmed", hint="see: tallystick peers list SITE")

    def check(self, card: Card) -> Trusted:
        """The site of a card, where its key is the confirmed one.

        Raises BundleUnconfirmed for a site that nobody confirmed, BundleForeign where the key has changed.
        """
        known = self.trusted().get(card.site)
        shown = fingerprint(card.key)
        if known is None:
            raise BundleUnconfirmed(
                f"nobody has confirmed the key of {card.name} ({card.site[:8]}), fingerprint {shown}",
                hint=f"compare it with what that site shows, then run again with --trust {shown}",
            )
        if known.public != card.key:
            raise BundleForeign(
                f"the key of {known.name} ({card.site[:8]}) has changed from {known.fingerprint} to {shown}",
                hint=f"only if that site confirms the new key, run again with --trust {shown}",
            )
        return known

    # What was taken

    def note_taken(self, site: str, taken: Taken, raw: bytes) -> None:
        """Remember what became of a bundle, to report it to the site that wrote it."""
        with self.ledger.engine.write():
            execute = self.ledger.engine.execute
            execute("DELETE FROM tally_bundle_taken WHERE site=? AND bundle=?", (site, taken.bundle))
            execute(
                "INSERT INTO tally_bundle_taken(site, bundle, number, at, taken) VALUES (?, ?, ?, ?, ?)",
                (site, taken.bundle, taken.number, self.ledger.now(), raw),
            )
            execute("DELETE FROM tally_bundle_taken WHERE site=? AND number<=?", (site, taken.number - REMEMBERED))

    def taken(self, site: str) -> list[bytes]:
        """What became of the bundles last taken from a site, oldest first."""
        rows = self.ledger.engine.query(
            "SELECT taken FROM tally_bundle_taken WHERE site=? ORDER BY at, number", (site,)
        )
        return [bytes(row[0]) for row in rows]
