"""One simulated history: sites, an application at each, a bad network, and what misfortune does to machines.

A history is a pure function of its seed. It ends with all trouble over: every pair of sites synchronizes until nothing
moves, and then the laws are checked (DESIGN.md 4.9).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from tallystick.core.history import NONCE_BITS
from tallystick.core.policies import FieldPolicy, Method, Policy, Resolution
from tallystick.core.states import scope_of
from tallystick.testing.simulated_pass import EVERYTHING, BrokenOff, Fate, Scope, SimulatedPass
from tallystick.testing.simulated_site import RESOURCE, SimulatedSite
from tallystick.testing.simulated_witness import Witness, described

MOST_SITES = 5
EPOCH = 1_000_000_000_000
YEARS = 10 * 365 * 86_400_000

_MISFORTUNES = (Fate.LOST, Fate.REPLY_LOST, Fate.TWICE)
_SKEWS = (0, 0, 0, -5_000, 90_000, YEARS, -YEARS)
_CONVERGENT = (Resolution.NEWER, Resolution.NEWER, Resolution.MASTER, Resolution.MERGE, Resolution.KEEP_BOTH)
_FIELDS = ("a", "b")
_PAUSES = (1, 1, 40, 1_000, 86_400_000)
_MOODS = (
    (42, 30, 15, 5, 4, 0, 0, 0, 0),
    (42, 30, 15, 4, 3, 2, 2, 1, 1),
    (38, 30, 10, 4, 14, 1, 1, 1, 1),
    (38, 28, 10, 4, 3, 6, 6, 4, 1),
    (36, 26, 30, 4, 2, 0, 0, 0, 2),
)
"""How often what happens: edits, passes begun and continued, decisions, purges, backups, restores, clones, crashes."""


class Violation(AssertionError):
    """A law was broken. The message says which, and by what."""


class World:
    """The history of one seed. ``trace`` is called with a line per event, where given."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.random = random = Random(seed)
        self.trace = trace
        self.counts: Counter[str] = Counter()
        self.witness = Witness()
        self.time = EPOCH
        self.sites: list[SimulatedSite] = []
        self.passes: list[SimulatedPass] = []
        self.backups: list[tuple[SimulatedSite, SimulatedSite]] = []
        self.trouble = random.random() < 0.8
        self.alike = random.random() < 0.5
        self.deletes = random.choice((0.15, 0.25, 0.5))
        self.forked = False
        self.written = 0
        count = random.choice((2, 2, 2, 3, 3, 4))
        for number in range(count):
            name = "ABCDE"[number]
            skew = random.choice(_SKEWS) if self.trouble else 0
            self.sites.append(SimulatedSite(name, name, self.witness, self._nonce, skew))
        self.keys = [f"k{number}" for number in range(random.randint(1, 4))]
        self._choose_policy(count)
        self._install()

    # Beginnings

    def _nonce(self) -> int:
        return self.random.randrange(1, 1 << NONCE_BITS)

    def _choose_policy(self, count: int) -> None:
        """A policy for all, or one for each site: then only knowledge converges."""
        random = self.random
        choice = random.random()
        self.convergent = choice < 0.7
        if choice < 0.7:
            self.policy = Policy(conflict=FieldPolicy(random.choice(_CONVERGENT)))
        elif choice < 0.8:
            self.policy = Policy(conflict=FieldPolicy(random.choice((Resolution.THIS, Resolution.OTHER))))
            self.convergent = count == 2
        elif choice < 0.92:
            self.policy = Policy(conflict=FieldPolicy(Resolution.ASK))
        else:
            methods = frozenset(method for method in Method if random.random() < 0.7)
            update = FieldPolicy(random.choice(list(Resolution)[:4]), {"a": random.choice(list(Resolution)[:4])})
            conflict = FieldPolicy(random.choice(list(Resolution)), {"b": random.choice(list(Resolution))})
            self.policy = Policy(methods, update, conflict)

    def policy_of(self, target: SimulatedSite) -> Policy:
        """The policy turned to ``target``: THIS is the first site."""
        return self.policy if target is self.sites[0] else self.policy.turned()

    def _install(self) -> None:
        """Sometimes some sites hold rows before tracking begins: copies of one database, not all of them equal."""
        if self.random.random() < 0.6:
            return
        for site in self.sites:
            if self.random.random() < 0.75:
                rows = {key: self._content(2) for key in self.keys if self.random.random() < 0.7}
                site.install(rows)
                self.counts["rows older than tracking"] += len(rows)

    def _content(self, values: int) -> dict[str, Any]:
        return {name: self.random.randrange(values) for name in _FIELDS}

    def say(self, *words: object) -> None:
        """Note an event in the trace."""
        if self.trace is not None:
            self.trace(f"{self.time - EPOCH:>8} " + " ".join(map(str, words)))

    def now(self) -> int:
        """The time, in milliseconds."""
        return self.time

    # Events

    def run(self) -> None:
        """The whole history. Raises Violation."""
        events = (
            self._edit,
            self._begin_pass,
            self._continue_pass,
            self._decide,
            self._purge,
            self._back_up,
            self._restore,
            self._clone,
            self._crash,
        )
        weights = self.random.choice(_MOODS if self.trouble else _MOODS[:1])
        for event in self.random.choices(events, weights, k=self.random.randrange(8, 36)):
            self.time += self.random.choice(_PAUSES)
            event()
        self.settle()

    def _edit(self) -> None:
        site = self.random.choice(self.sites)
        key = self.random.choice(sorted({*self.keys, *site.rows}))
        before = site.rows.get(key)
        self.counts["edits"] += 1
        if before is None:
            content, changed = self._fresh(), None
        elif self.random.random() < self.deletes:
            content, changed = None, None
        else:
            name = self.random.choice(_FIELDS)
            content = {**before, name: self._fresh()[name]}
            changed = frozenset((name,))
        self.say("edit", site.label, key, content)
        site.write(key, content, changed)

    def _fresh(self) -> dict[str, Any]:
        """New field values: often equal to some that others write, or never seen before."""
        if self.alike:
            return self._content(3)
        self.written += 1
        return dict.fromkeys(_FIELDS, 100 + self.written)

    def _decide(self) -> None:
        site = self.random.choice(self.sites)
        site.stamp_marks(self.time)
        asked = sorted(key for key, held in site.holdings.items() if held.record.contested)
        if not asked:
            return
        key = self.random.choice(asked)
        version = self.random.choice(site.holdings[key].record.versions)
        self.counts["decisions"] += 1
        self.say("decide", site.label, key, version.content)
        site.resolve(key, version.content, self.time)

    def _purge(self) -> None:
        site = self.random.choice(self.sites)
        site.stamp_marks(self.time)
        purged = site.purge()
        self.counts["tombstones purged"] += purged
        self.say("purge", site.label, purged)

    # Passes

    def _scope(self) -> Scope:
        if self.random.random() < 0.85:
            return EVERYTHING
        value = self.random.randrange(2)
        self.counts["filtered passes"] += 1
        return Scope(
            scope_of([RESOURCE], [(RESOURCE, f"a mod 2 eq {value}")]), lambda content: content.get("a", 0) % 2 == value
        )

    def _fate(self) -> Fate:
        if not self.trouble or self.random.random() > 0.15:
            return Fate.FINE
        fate = self.random.choice(_MISFORTUNES)
        self.counts[fate.value] += 1
        return fate

    def _begin_pass(self) -> None:
        source, target = self.random.sample(self.sites, 2)
        one = SimulatedPass(source, target, self.policy_of(target), self._scope(), self.now)
        self.counts["passes"] += 1
        self.say("pass", source.label, "->", target.label)
        try:
            if not one.begin(self._fate()):
                return
        except BrokenOff:
            return
        finally:
            self._look_for_forks()
        self.passes.append(one)
        if self.random.random() < 0.7:
            while one in self.passes:
                self._step(one)

    def _continue_pass(self) -> None:
        if self.passes:
            self._step(self.random.choice(self.passes))

    def _step(self, one: SimulatedPass) -> None:
        fate = self._fate()
        self.say("step", one.source.label, "->", one.target.label, fate.value)
        try:
            more = one.step(fate)
        except BrokenOff:
            more = False
            self.counts["passes broken off"] += 1
        if one.repeated:
            raise Violation(f"exactly once: a page that came twice from {one.source.label} to {one.target.label} wrote")
        if not more:
            self.passes.remove(one)

    def _look_for_forks(self) -> None:
        self.forked = self.forked or any(site.histories.forks for site in self.sites)

    def _abandon(self, site: SimulatedSite) -> None:
        self.passes = [one for one in self.passes if site not in (one.source, one.target)]

    # Misfortunes

    def _back_up(self) -> None:
        site = self.random.choice(self.sites)
        self.backups.append((site, site.copy(site.label, site.skew)))
        self.say("back up", site.label)

    def _restore(self) -> None:
        """A site goes back to a backup. Sometimes its file can be told from the one it was."""
        if not self.backups:
            return
        site, backup = self.random.choice(self.backups)
        self._abandon(site)
        self.check_accounts()
        site.become(backup)
        site.copied = self.random.random() < 0.4
        self.witness.recall((key, held.record) for key, held in site.holdings.items())
        self.witness.forgive(self._unaccounted(), site.label)
        self._ends_blur()
        self.counts["restores"] += 1
        self.say("restore", site.label, "noticed" if site.copied else "")

    def _clone(self) -> None:
        """A site's file is copied to another machine, and both write on."""
        if len(self.sites) == MOST_SITES:
            return
        site = self.random.choice(self.sites)
        twin = site.copy("ABCDE"[len(self.sites)], self.random.choice(_SKEWS))
        twin.copied = self.random.random() < 0.6
        self.sites.append(twin)
        self._ends_blur()
        self.counts["clones"] += 1
        self.say("clone", site.label, "as", twin.label, "noticed" if twin.copied else "")

    def _ends_blur(self) -> None:
        """After a copy or a restore THIS and OTHER no longer tell two histories apart."""
        self.convergent = self.convergent and self.policy.conflict.default in _CONVERGENT

    def _crash(self) -> None:
        site = self.random.choice(self.sites)
        self._abandon(site)
        self.counts["crashes"] += 1
        self.say("crash", site.label)

    # The end

    def settle(self) -> None:
        """All pairs synchronize until nothing moves. Raises Violation when a law is broken."""
        self.passes.clear()
        for _ in range(8):
            if not self._round():
                break
        else:
            raise Violation("quiet: passes go on for ever")
        self._look_for_forks()
        self.check()

    def _round(self) -> bool:
        """One pass between every two sites in each direction. True when anything was sent or written anywhere."""
        before, sent = self._standing(), 0
        for source in self.sites:
            for target in self.sites:
                if source is not target:
                    one = SimulatedPass(source, target, self.policy_of(target), EVERYTHING, self.now)
                    if one.begin():
                        while one.step():
                            pass
                        sent += one.sent
        self.counts["passes"] += len(self.sites) * (len(self.sites) - 1)
        self.counts["records sent"] += sent
        return bool(sent) or before != self._standing()

    def _standing(self) -> list[tuple[Any, ...]]:
        """Everything durable of all sites but the records, which a change of would raise a seq."""
        return [(site.seq, site.digest, site.forgotten, site.histories, dict(site.states)) for site in self.sites]

    def _unaccounted(self) -> list[Any]:
        return self.witness.unaccounted(
            (key, held.record) for site in self.sites for key, held in site.holdings.items()
        )

    def check_accounts(self) -> None:
        """Law 2 and 11: every acknowledged write is accounted for."""
        missing = self._unaccounted()
        if missing:
            raise Violation(f"no silent loss: {described(missing[0])} is nowhere")

    def check(self) -> None:
        """The laws that hold at the end of every history."""
        self.check_accounts()
        first, *others = self.sites
        known = _knowledge(first)
        for site in others:
            if _knowledge(site) != known:
                raise Violation(f"convergence: {first.label} and {site.label} know different things")
        if self.convergent:
            for site in others:
                if site.rows != first.rows:
                    raise Violation(f"convergence: {first.label} and {site.label} show different rows")
        for site in self.sites:
            self._check_site(site)
        self._count()

    def _check_site(self, site: SimulatedSite) -> None:
        for key, held in site.holdings.items():
            for version in held.record.versions:
                if version.content is None and not version.deleted:
                    raise Violation(f"applied as captured: {site.label} lost the content of {key}")
            if not self.forked:
                for event in self.witness.returned(key, held.record):
                    raise Violation(f"no resurrection: {described(event)} is back at {site.label}")

    def _count(self) -> None:
        self.counts["histories"] += 1
        self.counts["sites"] += len(self.sites)
        self.counts["conflicts"] += len(self.witness.conflicts)
        self.counts["histories with a fork"] += self.forked
        self.counts["siblings at the end"] += sum(held.record.contested for held in self.sites[0].holdings.values())


def _knowledge(site: SimulatedSite) -> Mapping[str, Any]:
    """Names and contents of all live records."""
    return {key: [(version.names, version.hash) for version in held.record.versions] for key, held in site.live()}
