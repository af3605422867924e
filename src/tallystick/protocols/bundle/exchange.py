"""The end ``files+dir:PATH``: a site visits a directory, takes what others left for it, and leaves what they lack.

Nobody answers there, so a directory is no replica. What the four verbs say is written down instead: a statement is a
digest and an acknowledgement, a bundle is changes. State moves at the applying end only, as everywhere.
"""

from __future__ import annotations

import fcntl
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tallystick.errors import PeerError, StorageLocked, UsageError, ValueRejected
from tallystick.protocols.bundle.codec.documents import CARD, Card, check_card
from tallystick.protocols.bundle.codec.parts import PART_BYTES
from tallystick.protocols.bundle.codec.signing import SigningKey, fingerprint, read_signed, same_fingerprint, signed
from tallystick.protocols.bundle.directory import Directory
from tallystick.protocols.bundle.errors import BundleUnconfirmed
from tallystick.protocols.bundle.giving import Giving
from tallystick.protocols.bundle.session import Session
from tallystick.protocols.bundle.taking import Taking
from tallystick.protocols.bundle.trust import Trusted
from tallystick.site import parking
from tallystick.sync.agreement import Report
from tallystick.sync.local import LocalReplica
from tallystick.sync.plan import PULL, PUSH, Plan

NEITHER = "none"
"""The direction of a plan that only introduces the site: its card is left, and cards are looked at."""
Ask = Callable[[str, str], bool]
"""Called with the name and fingerprint of a site that nobody confirmed; True confirms it."""


class BundleExchange:
    """See the module. ``trust`` are fingerprints that were compared with what the other sites show."""

    part_bytes = PART_BYTES

    def __init__(self, path: str, trust: Sequence[str] = (), ask: Ask | None = None) -> None:
        """Raises ConfigurationError when there is no such directory."""
        self.directory = Directory(path)
        self.name = f"files+dir:{path}"
        self.trust, self.ask = tuple(trust), ask

    def close(self) -> None:
        """Nothing is open between visits."""

    def visit(self, local: LocalReplica, key: SigningKey, plan: Plan, *, second: bool = False) -> Report:
        """Take what is there for ``local``, then leave what others lack. ``second``: it is the second-named end.

        What cannot be taken is in ``report.refused``, with its reason; everything else is taken. Raises StorageFull,
        StorageError, StorageLocked while another process visits the directory for the same site, IdentityDoubt,
        GuardStopped, UsageError.
        """
        if plan.identity not in ("", "same"):
            raise UsageError(
                f"--identity {plan.identity.partition(':')[0]} cannot be settled through a directory",
                hint="let the two sites meet once without one; afterwards a directory will do",
            )
        started = time.monotonic()
        ends = (self.name, local.name) if second else (local.name, self.name)
        report = Report(*ends, run=plan.run or secrets.token_hex(8))
        session = Session(local, self.directory, key, plan, report, second, self.part_bytes)
        with self._alone(session.me):
            self.directory.sweep(session.me)
            others = self._introduced(session)
            if plan.direction != NEITHER:
                self._exchange(session, others)
        report.parked = parking.count(local.ledger)
        report.undecided = local.undecided()
        report.seconds = time.monotonic() - started
        return report

    def _exchange(self, session: Session, others: Sequence[Trusted]) -> None:
        """First everything is taken, then given: what came from one site goes on to the next."""
        direction = (
            {PUSH: PULL, PULL: PUSH}.get(session.plan.direction, "") if session.second else (session.plan.direction)
        )
        takings = [Taking(session, other) for other in others]
        for taking in takings:
            if direction != PUSH:
                self._refusing(session, taking.take)
        for taking in takings:
            giving = Giving(session, taking.sender)
            giving.state(taking.scope)
            if direction != PULL:
                self._refusing(session, giving.give)

    def _refusing(self, session: Session, step: Callable[[], object]) -> None:
        """One site's files must not keep others from being heard."""
        try:
            step()
        except (PeerError, ValueRejected) as error:
            session.report.refused.append(str(error))

    # Who is there

    def _introduced(self, session: Session) -> list[Trusted]:
        """The other sites whose keys are confirmed. Leaves our own card."""
        card = Card(session.me, Path(session.local.name).name[:100], session.key.public)
        self.directory.write_if_new(self.directory.card(session.me), signed(CARD, card, session.key))
        found = []
        for site in self.directory.sites():
            if site != session.me:
                try:
                    found.append(self._known(session, self._card(site)))
                except (PeerError, ValueRejected) as error:
                    session.report.refused.append(str(error))
        if not found:
            shown = fingerprint(session.key.public)
            session.report.notes.append(f"this site's fingerprint is {shown}; other sites will ask for it")
        return found

    def _card(self, site: str) -> Card:
        path = self.directory.card(site)
        card = read_signed(CARD, Card, self.directory.read(path), None, self.directory.shown(path))
        check_card(card, site)
        return card

    def _known(self, session: Session, card: Card) -> Trusted:
        shown = fingerprint(card.key)
        if any(same_fingerprint(shown, given) for given in self.trust):
            known = session.trust.trusted().get(card.site)
            if known is None or known.public != card.key:
                session.trust.confirm(card)
        try:
            return session.trust.check(card)
        except BundleUnconfirmed:
            if self.ask is None or not self.ask(card.name, shown):
                raise
            session.trust.confirm(card)
            return session.trust.check(card)

    @contextmanager
    def _alone(self, site: str) -> Iterator[None]:
        """Keep other processes of this site out, where the file system has locks."""
        folder = self.directory.card(site).parent
        self.directory.write_if_new(folder / "lock", b"")
        with open(folder / "lock", "rb") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StorageLocked(f"another process visits {self.name} for this site") from None
            except OSError:
                pass  # a share without locks: only one process at a time may visit it
            yield
