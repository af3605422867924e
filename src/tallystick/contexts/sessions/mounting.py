"""One mounted context: its directory, its memory, and the runs that bring both into agreement (spec contexts B)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from tallystick.contexts.context_sync import ContextSync
from tallystick.contexts.end import ContextEnd
from tallystick.contexts.entries import packed, unpacked
from tallystick.contexts.host import ContextHost, ContextInfo, Rule
from tallystick.contexts.keys import Binding, InvalidBinding, binding_of, has_drive
from tallystick.contexts.laying_out import lay_out
from tallystick.contexts.layout import Layout
from tallystick.contexts.opening import again_while_moved
from tallystick.contexts.policies import SyncPolicy
from tallystick.contexts.recycling import rules_of
from tallystick.contexts.sessions.expanding import Expanded, SparedArchives, archives_among, is_here
from tallystick.contexts.white_lists import WhiteListScope
from tallystick.errors import ValueRejected
from tallystick.trees.assembling import leaf_of
from tallystick.trees.base_row import BaseRow
from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.ends import TreeEnd
from tallystick.trees.guards import Limits
from tallystick.trees.listing import Entry, Listing, Mark
from tallystick.trees.merging import Reconcile, Side
from tallystick.trees.nodes import Directory, Node
from tallystick.trees.options import Options
from tallystick.trees.outcome import Orders, Outcome
from tallystick.trees.pair import Pair
from tallystick.trees.plan import Action, Half
from tallystick.trees.problems import storage_error
from tallystick.trees.progress import Progress
from tallystick.trees.report import Report
from tallystick.trees.scope import Both, Scope
from tallystick.trees.state import Changes, State

DOWNLOADED = "session:downloaded"
EXPANDED = "session:expanded"
SPARED = "session:spared"
WAITING = "session:waiting"
LAID_OUT = "session:laid-out"
HISTORY = ".history"
"""What the directory beside a memory ends with that keeps what lost its name here (D.1, codes N and mirror)."""
PAGE = 1000


class MountEnd(DirectoryEnd):
    """A mounted directory that notes which files arrive in it."""

    parallel = False

    def __init__(self, root: str, clock: Callable[[], int], token: str) -> None:
        super().__init__(root, clock, token=token)
        self.arrived: list[str] = []

    def place(self, other: TreeEnd, actions: Sequence[Action], orders: Orders) -> Outcome:
        """Carry out actions, and note the files that came by them."""
        outcome = super().place(other, actions, orders)
        self.arrived += [path for path in outcome.taken if path not in orders.moves]
        for path, copied in outcome.bulk.items():
            self.arrived += [f"{path}/{name}" if path else name for name in copied.target.names]
        return outcome


@dataclass(slots=True)
class Mounted:
    """What stands behind a binding. ``directory`` is where it is on this machine, ``memory`` what it remembers."""

    binding: Binding
    policy: SyncPolicy
    directory: Path
    memory: Path
    name: str = ""
    bind_time: int = 0
    followed: bool = False
    """True when its first download has begun, after what others were storing (S2)."""
    inner: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, wanted: ContextSync, directory: Callable[[str], Path], memory: Path) -> Mounted:
        """What a ContextSync asks for. Raises InvalidBinding, before anything is looked at."""
        policy = wanted.policy or SyncPolicy()
        mapped = policy.mapping_policy.path if policy.mapping_policy is not None else ""
        binding = binding_of(wanted.context_id, wanted.path, mapped)
        _check_paths(policy, binding)
        mark = blake3("\0".join(binding).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return cls(binding, policy, directory(binding.path), memory / f"{mark}.db")

    @property
    def auto_upload(self) -> bool:
        """True when a release uploads it."""
        return self.policy.upload_policy is None or self.policy.upload_policy.auto_upload

    @property
    def auto_download(self) -> bool:
        """True when binding downloads it."""
        return self.policy.download_policy is None or self.policy.download_policy.auto_download

    def white_lists(self) -> WhiteListScope:
        """The scope that policy and nested mounts give (B.7, K3)."""
        assert self.policy.bw_list is not None
        return WhiteListScope(self.policy.bw_list, self.binding, self.inner)

    # Binding --------------------------------------------------------------------------------------

    def attach(self, host: ContextHost, explicit: bool, clock: Callable[[], int]) -> None:
        """Find the context, store its recycle rules, make the directory and the first memory.

        Raises ContextNotFound, InvalidBinding, StorageError; a directory that vanished is not made again (G3).
        """
        info = host.find(self.binding.context_id)
        if info.id != self.binding.context_id:
            raise InvalidBinding("context_id", f"{self.binding.context_id!r} is no identifier; {info.id!r} is")
        self.name = info.name
        if has_drive(self.binding.prefix):
            self.binding = self.binding._replace(prefix=_as_stored(host, info, self.binding.prefix))
        if explicit:
            self._state_rules(host)
        known = State(self.memory).has_roots()
        if not known:
            self._make_directory()
            if not self.auto_download:
                self._note_unheld(host, clock)

    def _make_directory(self) -> None:
        try:
            os.makedirs(self.directory, exist_ok=True)
        except OSError as problem:
            raise storage_error(str(self.directory), problem) from problem

    def _state_rules(self, host: ContextHost) -> None:
        """R5: an explicit policy replaces the rules of its prefix."""
        assert self.policy.recycle_policy is not None
        prefix = packed(self.binding.prefix)
        rules = [
            Rule(packed(rule.path), rule.lifecycle.value)
            for rule in rules_of(self.policy.recycle_policy, self.binding)
            if rule.lifecycle.days is not None or rule.path != self.binding.prefix
        ]
        if list(host.rules(self.binding.context_id).get(prefix, [])) != rules:
            host.set_rules(self.binding.context_id, prefix, rules)

    def _note_unheld(self, host: ContextHost, clock: Callable[[], int]) -> None:
        """L4: what the store holds becomes a base of entries that were never held here."""
        state, end = State(self.memory), ContextEnd(host, self.binding.context_id, self.binding.prefix)
        end.unseen = self._spared(state)
        with state.held():
            found = end.refresh(state.side(Side.REMOTE), self.white_lists())
            rows = {path: BaseRow.of(_unheld(listing)) for path, listing in found.changed.items()}
            state.remember(Changes(base=dict(rows)))

    # Running --------------------------------------------------------------------------------------

    def run(
        self, opening: Callable[[], ContextHost], half: Half, wishes: Wishes, clock: Callable[[], int]
    ) -> tuple[Report, str, list[str]]:
        """One half of a synchronization: the report, the version of the manifest after it, and further warnings.

        Raises what ``Pair.run`` and the host raise.
        """
        state = State(self.memory)
        local = MountEnd(str(self.directory), clock, self.memory.stem[:12])
        remote = ContextEnd(opening(), self.binding.context_id, self.binding.prefix)
        remote.layout = Layout.of(self.policy.upload_policy, self.binding)
        pair = Pair(local, remote, state, clock)
        try:
            remote.unseen = self._spared(state)
            expanded = self._expanded(state, remote)
            options = self._options(half, wishes, _meta(state, DOWNLOADED), expanded.hidden(str(self.directory)))
            report = again_while_moved(lambda: pair.run(options), wishes.wait)
            warnings: list[str] = []
            waiting: list[str] | None = None
            if not wishes.dry_run:
                if half is Half.DOWNLOAD:
                    warnings, waiting = self._unpack(state, expanded, local, report)
                elif not report.failed:
                    expanded.tell()
                version = self._lay_out(state, remote, wishes.wait) if half is Half.UPLOAD else remote.token
                self._keep(state, half, report, expanded, waiting)
                return report, version, warnings + self._idle()
            return report, remote.token, self._idle()
        finally:
            pair.close()

    def _lay_out(self, state: State, remote: ContextEnd, wait: Callable[[float], None]) -> str:
        """Let everything in scope have the layout of the policy (U7); gives the version that is current then.

        It has it where nobody but this mount has published since it had.
        """
        layout, scope = remote.layout, self.white_lists()
        assert layout is not None
        mark = blake3(
            f"{layout.fingerprint}\0{scope.fingerprint().hex()}".encode("utf-8", "surrogateescape")
        ).hexdigest()
        version = remote.token
        if _meta(state, LAID_OUT) != f"{mark} {remote.refreshed}":
            version = again_while_moved(lambda: lay_out(remote.host, remote.info.id, layout, scope), wait)
        with state.held():
            if state.meta(LAID_OUT) != f"{mark} {version}":
                state.remember(Changes(meta={LAID_OUT: f"{mark} {version}"}))
        return version

    def _options(self, half: Half, wishes: Wishes, downloaded: str, hidden: Scope) -> Options:
        mode = wishes.reconcile
        assert self.policy.delete_policy is not None
        if mode is Reconcile.SAFE and half is Half.UPLOAD and not self.policy.delete_policy.sync_local_file:
            mode = Reconcile.ADD
        return Options(
            mode=mode,
            half=half,
            pull=half is Half.DOWNLOAD,
            scope=Both([self.white_lists(), hidden]),
            ignore_files=False,
            limits=wishes.limits,
            confirm_deletions=wishes.confirm_deletions,
            accept_root=wishes.accept_root,
            first_download_done=bool(downloaded) or not self.auto_download,
            dry_run=wishes.dry_run,
            progress=wishes.progress,
            durable=wishes.durable,
            history=self.memory.with_suffix(HISTORY),
        )

    def _expanded(self, state: State, remote: ContextEnd) -> Expanded:
        assert self.policy.extract_policy is not None
        known = json.loads(_meta(state, EXPANDED) or "{}")
        return Expanded(self.policy.extract_policy, self.white_lists(), remote, known)

    def _spared(self, state: State) -> SparedArchives | None:
        """What leaves archives out that others have expanded; None where the policy keeps them.

        Where one of them is to be seen again, because of the policy or of something that stands under its name by now,
        the whole manifest is looked at once more.
        """
        policy, known = self.policy.extract_policy, json.loads(_meta(state, SPARED) or "[]")
        assert policy is not None
        spares = policy.extract and policy.delete_src_file
        if any(not spares or is_here(str(self.directory), path) for path in known):
            afresh = Changes(meta={SPARED: None})
            afresh.note_token(Side.REMOTE, "")
            with state.held():
                state.remember(afresh)
            known = []

        def remember(paths: list[str]) -> None:
            state.remember(Changes(meta={SPARED: json.dumps(paths)}))

        return SparedArchives(str(self.directory), known, remember) if spares else None

    def _unpack(self, state: State, expanded: Expanded, local: MountEnd, report: Report) -> tuple[list[str], list[str]]:
        """Unpack what arrived; gives warnings, and what has to wait. Noted before, so that a crash forgets nothing."""
        before = _meta(state, WAITING) or "[]"
        waiting = sorted({*json.loads(before), *archives_among(local.arrived)})
        if expanded.policy.extract and json.dumps(waiting) != before:
            with state.held():
                state.remember(Changes(meta={WAITING: json.dumps(waiting)}))
        done = expanded.unpack(local, waiting, local.arrived)
        report.failed.update(done.failed)
        return done.warnings, sorted(done.failed)

    def _keep(self, state: State, half: Half, report: Report, expanded: Expanded, waiting: list[str] | None) -> None:
        """Remember what belongs to the binding rather than to the pair of trees."""
        meta: dict[str, str | None] = {EXPANDED: json.dumps(expanded.known, sort_keys=True)}
        if waiting is not None and _meta(state, WAITING):
            meta[WAITING] = json.dumps(waiting) if waiting else None
        if half is Half.DOWNLOAD and report.succeeded:
            meta[DOWNLOADED] = "1"
        with state.held():
            found = {name: value for name, value in meta.items() if state.meta(name) != value}
            if found:
                state.remember(Changes(meta=found))

    def _idle(self) -> list[str]:
        """W5: entries of the white list that include nothing."""
        scope = self.white_lists()
        if scope.everything:
            return []
        present = (
            os.path.relpath(os.path.join(at, name), self.directory)
            for at, directories, files in os.walk(self.directory)
            for name in (*directories, *files)
        )
        return [f"[idle] the white list entry {path!r} includes nothing" for path in scope.idle_entries(present)]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller asks of a run. ``wait`` sleeps seconds between attempts."""

    wait: Callable[[float], None]
    reconcile: Reconcile = Reconcile.SAFE
    confirm_deletions: bool = False
    accept_root: bool = False
    limits: Limits = field(default_factory=Limits)
    dry_run: bool = False
    progress: Progress | None = None
    durable: bool = True


def _meta(state: State, name: str) -> str:
    """A remembered setting; "" where there is none yet."""
    if not state.path.exists():
        return ""
    with state.held():
        return state.meta(name) or ""


def _check_paths(policy: SyncPolicy, binding: Binding) -> None:
    """No path of a policy may have a ``..`` segment (A.1)."""
    assert policy.bw_list is not None
    assert policy.recycle_policy is not None
    paths: list[tuple[str, str]] = [("recycle_policy.paths", path) for path in policy.recycle_policy.paths]
    if policy.upload_policy is not None:
        paths += [("upload_policy.archive_exclude_paths", path) for path in policy.upload_policy.archive_exclude_paths]
    for entry in policy.bw_list.white_lists:
        paths += [("bw_list.path", entry.path)] * (not entry.is_path_regex)
        paths += [("bw_list.exclude_paths", path) for path in entry.exclude_paths if not entry.is_exclude_regex]
    for name, path in paths:
        if ".." in path.replace("\\", "/").split("/"):
            raise InvalidBinding(name, f"{path!r} has a '..' segment")
    try:
        rules_of(policy.recycle_policy, binding)
    except ValueRejected as problem:
        raise InvalidBinding("recycle_policy.paths", problem.message) from None


def _unheld(listing: Listing | None) -> Mapping[str, Node]:
    found: dict[str, Node] = {}
    for entry in listing or ():
        if entry.mark == Mark.DIRECTORY:
            found[entry.name] = Directory(materialised=False)
        elif entry.mark in (Mark.FILE, Mark.LINK):
            found[entry.name] = _leaf(entry)
    return found


def _leaf(entry: Entry) -> Node:
    return leaf_of(entry)._replace(materialised=False)


def _as_stored(host: ContextHost, info: ContextInfo, prefix: str) -> str:
    """A prefix with a drive letter in the spelling that the store has: they compare without case (M2)."""
    found = ""
    for wanted in prefix.split("/")[1:]:
        found = f"{found}/{_spelling(host, info, found, wanted)}"
    return found


def _spelling(host: ContextHost, info: ContextInfo, parent: str, wanted: str) -> str:
    names: list[str] = []
    while level := host.folder(info.id, packed(parent), len(names), PAGE).entries:
        names += [item.key.rpartition("/")[2] for item in level]
    same = [name for name in names if name.casefold() == packed(wanted).casefold()]
    return wanted if not same or packed(wanted) in same else unpacked(same[0])
