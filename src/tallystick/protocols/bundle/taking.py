"""Taking the bundles that another site left for this one (docs/bundles.md, *Taking*)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from tallystick.core.pages import EXTRA, FLAGS, KEY, VALUES, Page
from tallystick.core.values import content_hash
from tallystick.errors import IdentityDoubt
from tallystick.protocols.bundle.codec.documents import Manifest, Taken, follows
from tallystick.protocols.bundle.errors import BundleForeign, BundleMissing
from tallystick.protocols.bundle.replica import BundleSource, open_bundle, read_manifest
from tallystick.protocols.bundle.session import Session
from tallystick.protocols.bundle.trust import Trusted
from tallystick.site.ledger import GENESIS
from tallystick.site.schema import Identity
from tallystick.sync.guards import DOUBTS_ALLOWED, DOUBTS_SHARE, Guard
from tallystick.sync.local import range_items
from tallystick.sync.reconciling import children_first
from tallystick.sync.replica import Described, Known, Scope, Settings, Wanted
from tallystick.sync.scoping import wanted
from tallystick.sync.transfer import transfer


class Taking:
    """Everything that ``sender`` left for this site, in order, each bundle whole or not at all.

    ``scope`` is that of the last bundle that was seen: acknowledgements are stated for it.
    """

    def __init__(self, session: Session, sender: Trusted) -> None:
        self.session, self.sender = session, sender
        self.scope: Scope | None = None

    def take(self) -> int:
        """Take what is new; returns how many bundles that was.

        Raises BundleMissing, BundleDamaged, BundleForeign for the first bundle that cannot be taken (those after it
        wait), IdentityDoubt, GuardStopped, SchemaError, StorageError.
        """
        directory, taken = self.session.directory, 0
        for number in directory.numbers(self.sender.site, self.session.me):
            folder = directory.bundle(self.sender.site, self.session.me, number)
            manifest = read_manifest(directory, folder, self.sender.public, self.sender.site, self.session.me)
            self.scope = manifest.scope
            if not follows(manifest.closing.state, self._reached(manifest.scope)):
                self._take_one(folder, manifest)
                taken += 1
        return taken

    def _reached(self, scope: Scope) -> str:
        return self.session.local.stated(self.sender.site, scope).state

    def _take_one(self, folder: Path, manifest: Manifest) -> None:
        name = self.session.directory.shown(folder)
        if not follows(manifest.base, self._reached(manifest.scope)):
            raise BundleMissing(f"{name} continues from a bundle of {self.sender.name} that has not been taken")
        self._check_wanted(manifest, name)
        source = open_bundle(self.session.directory, folder, self.sender.public, manifest)
        self.session.meet(self.sender.site, manifest.scope, manifest.meeting)
        self._prepare(manifest)
        known = self.session.local.digest(self.sender.site, manifest.scope)
        self._check_doubts(source, known)
        self._reconcile(manifest)
        settings = self.session.settings(self.sender.site, manifest.scope)
        held = self._held(source, known, settings)
        done = transfer(source, self.session.local, settings, known, held=held, progress=self.session.plan.progress)
        for wire, tally in done.tallies.items():
            self.session.took(wire, tally)
        self.session.report.records += done.records
        if not held:
            taken = Taken(manifest.number, manifest.bundle, manifest.records, done.tallies)
            self.session.trust.note_taken(self.sender.site, taken, msgspec.json.encode(taken))
            if done.records:
                self.session.report.notes.append(
                    f"took bundle {manifest.number} of {self.sender.name}: {done.records:,} records"
                )

    def _check_wanted(self, manifest: Manifest, name: str) -> None:
        """A bundle with more than the plan wants is not taken in part: its state would say that all was delivered."""
        described = Described(self.sender.site, "", "", manifest.definitions)
        chosen = {item.wire for item in wanted(described, self.session.plan)}
        if more := sorted({*manifest.scope.resources} - chosen):
            raise BundleForeign(
                f"{name} covers {', '.join(more)}, which this run leaves out",
                hint="take everything, or run once at the other site: it learns from this directory what is wanted",
            )

    def _prepare(self, manifest: Manifest) -> None:
        plan, local = self.session.plan, self.session.local
        here = {item.wire for item in local.describe().resources}
        lacking = [item for item in manifest.definitions if item.wire not in here]
        if lacking or plan.references:
            naming = dict(plan.naming) if self.session.second else {}
            local.prepare(Wanted(lacking, [], True, naming, dict(plan.references)))
            self.session.report.tracked.extend(item.wire for item in lacking)

    def _held(self, source: BundleSource, known: Known, settings: Settings) -> list[str]:
        """Resources whose deletions the guards hold back."""
        guard, held = Guard(allowed=settings.allowed), []
        left = {wire: keys for wire, keys in source.left().items() if keys and settings.deletes(wire)}
        going = self.session.local.unreferred(left)
        for wire in source.manifest.scope.resources:
            deletions = source.manifest.deletions.get(wire, 0) if settings.deletes(wire) else 0
            deletions += len(going.get(wire, ()))
            records = known.prints[wire][0] if wire in known.prints else 0
            if guard.holds(deletions, records, known.recent.get(wire, 0)):
                held.append(wire)
                self.session.report.held[f"{self.session.local.name}: {wire}"] = deletions
        return held

    def _reconcile(self, manifest: Manifest) -> None:
        """Let go of records that the sender knew and has purged since."""
        ledger = self.session.local.ledger
        for wire in children_first(item.definition for item in ledger.resources()):
            if wire in manifest.live and wire in manifest.closing.digests:
                theirs = set(manifest.live[wire])
                with ledger.engine.read():
                    mine = [key for key, _ in range_items(ledger, ledger.resource(wire)) if key not in theirs]
                closing = manifest.closing
                self.session.local.reconcile(wire, mine, closing.digests[wire], closing.forgotten.get(wire, {}))

    # First contact

    def _check_doubts(self, source: BundleSource, known: Known) -> None:
        """Rows older than tracking that share an integer and differ may be different things (DESIGN.md 4.4)."""
        manifest, local = source.manifest, self.session.local
        if known.state or manifest.base or self.session.plan.identity == "same":
            return
        mapped = {
            item.wire: known.prints[item.wire][0]
            for item in local.describe().resources
            if item.identity is Identity.MAPPED and item.wire in known.prints and known.prints[item.wire][0]
        }
        doubts = dict.fromkeys(mapped, 0)
        for page in source.pages() if mapped else ():
            if page.resource in mapped:
                doubts[page.resource] += sum(1 for _ in self._differing(page))
        for wire, count in doubts.items():
            if count > DOUBTS_ALLOWED or count > DOUBTS_SHARE * mapped[wire]:
                raise IdentityDoubt(
                    f"{count} of {mapped[wire]} rows of {wire!r} have the same integer key here and at "
                    f"{self.sender.name} but different contents",
                    hint="if equal integers mean one record, edited, give --identity same; else let the two sites meet "
                    "once without a directory, with --identity separate or natural:COLUMN,...",
                )

    def _differing(self, page: Page) -> Iterator[str]:
        names = [item.name for item in page.fields]
        older = {row[KEY]: row for row in page.rows if row[FLAGS] == GENESIS and row[EXTRA] is None}
        here = set(self.session.local.older(page.resource, list(older)))
        entries = self.session.local.ledger.resource(page.resource).rows.by_keys(sorted(here))
        for key, entry in entries.items():
            if entry.hash != content_hash(key, names, older[key][VALUES:]):
                yield key
