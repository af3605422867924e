"""The answer of a publication is lost, or the publication is: own uploads are nobody's edits (docs/contexts.md)."""

import importlib
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tallystick import api
from tallystick.content.directory import DirectoryStore
from tallystick.contexts import delivering
from tallystick.contexts.end import ContextEnd
from tallystick.contexts.http import provider
from tallystick.contexts.http.client import RemoteHost
from tallystick.contexts.local import LocalHost
from tallystick.contexts.opening import again_while_moved
from tallystick.errors import PeerUnreachable
from tallystick.testing.faulty_disk import Crash
from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.intended import intentions
from tallystick.trees.merging import Reconcile
from tallystick.trees.options import Options
from tallystick.trees.pair import Pair
from tallystick.trees.part import Part
from tallystick.trees.plan import Half
from tallystick.trees.state import State
from tallystick.web.server import running

from ..protocols.native.faults import SOUND, Fault, Proxy
from .conftest import file_of, shown, tree


class Faulty:
    """A host one publication of which does not come through: ``fault`` says when its connection dies."""

    def __init__(self, hosting, fault=""):
        self._hosting, self._host, self._fault = hosting, hosting(), fault
        self.late = lambda: None

    def __getattr__(self, name):
        return getattr(self._host, name)

    def publish(self, *given):
        given = (*given[:-1], list(given[-1]))  # bundles are made once
        if self._fault == "answer lost":
            self._host.publish(*given)
        if self._fault:
            self.late = lambda: self._later(given)
            raise PeerUnreachable("the connection died")
        return self._host.publish(*given)

    def _later(self, given):
        with closing(self._hosting()) as host:
            host.publish(*given)


class Mount:
    """A directory and its context, over hosts that may fail."""

    def __init__(self, place, hosting, context):
        self.root, self.state = place / "tree", State(place / "state")
        self.hosting, self.context = hosting, context
        self.root.mkdir(parents=True)

    def run(self, fault="", **options):
        """A run that is to come through, or whose connection is to die; gives its report and its host."""
        host = Faulty(self.hosting, fault)
        pair = Pair(
            DirectoryEnd(str(self.root), time.time_ns), ContextEnd(host, self.context), self.state, time.time_ns
        )
        wishes = Options(durable=False, confirm_deletions=True, **options)
        try:
            found = again_while_moved(lambda: pair.run(wishes), lambda _: None)
            assert not found.failed
            return SimpleNamespace(report=found, late=host.late)
        except PeerUnreachable:
            assert fault
            return SimpleNamespace(report=None, late=host.late)
        finally:
            pair.close()

    def write(self, **contents):
        for name, content in contents.items():
            if content is None:
                (self.root / name).unlink()
            else:
                (self.root / name).write_text(content)

    def noted(self):
        with self.state.held():
            return intentions(self.state)

    def texts(self):
        return {name: content.decode() for name, content in shown(self.root).items() if content is not None}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """No request is repeated."""
    monkeypatch.setattr(delivering, "ATTEMPTS", 1)


@pytest.fixture
def one(tmp_path, hosting, context):
    return Mount(tmp_path / "one", hosting, context.name)


@pytest.fixture
def two(tmp_path, hosting, context):
    return Mount(tmp_path / "two", hosting, context.name)


@pytest.mark.parametrize(
    "then", ({"f": "three"}, {"f": None}, {"f": "one"}, {"n": "new, edited"}, {"n": None}, {"g": "again"}, {})
)
def test_what_was_published_without_an_answer_is_no_conflict_with_what_follows(one, two, then):
    one.write(f="one", g="again")
    one.run()
    one.write(f="two", n="new", g=None)
    one.run("answer lost")
    one.write(**then)
    wanted = one.texts()

    report = one.run().report
    two.run()

    assert not report.plan.conflicts
    assert one.texts() == two.texts() == wanted
    assert not one.noted()
    assert one.run().report.actions == []


def test_a_first_upload_without_an_answer_is_gone_on_with(one, two):
    (one.root / "d" / "e").mkdir(parents=True)
    for number in range(30):
        (one.root / "d" / f"f{number}").write_text(f"content {number}")
    (one.root / "d" / "e" / "deep").write_text("deep")
    one.run("answer lost")
    shutil.rmtree(one.root / "d" / "e")
    (one.root / "d" / "f1").write_text("edited")
    (one.root / "d" / "f2").unlink()
    wanted = shown(one.root)

    report = one.run().report
    two.run()

    assert not report.plan.conflicts
    assert shown(one.root) == shown(two.root) == wanted


@pytest.mark.parametrize(
    ("theirs", "mine", "comes_to"),
    (
        ("theirs", None, ["theirs"]),
        (None, None, []),
        ("theirs", "mine", ["mine", "theirs"]),
        (None, "mine", ["mine"]),
    ),
    ids=("they edited it", "they removed it", "both edited it", "they removed what was edited"),
)
def test_somebody_who_changed_what_was_published_without_an_answer_has_seen_it(one, two, theirs, mine, comes_to):
    one.write(f="one")
    one.run()
    one.write(f="two")
    one.run("answer lost")
    two.run()
    assert two.texts() == {"f": "two"}
    two.write(f=theirs)
    two.run()
    if mine is not None:
        one.write(f=mine)

    for mount in (one, two):
        mount.run()

    assert one.texts() == two.texts()
    assert sorted(one.texts().values()) == comes_to


def test_what_was_not_published_is_no_base(one, two):
    one.write(f="one", g="one")
    one.run()
    two.run()
    one.write(f="mine", g="mine")
    one.run("request lost")
    two.write(f="theirs")
    two.run()

    for mount in (one, two):
        mount.run()

    assert one.texts() == two.texts()
    assert sorted(one.texts().values()) == ["mine", "mine", "theirs"]


def test_a_publication_that_comes_late_is_known_again(one, two):
    """The run after the one that gave up found nothing to do, and nothing published."""
    one.write(f="one")
    one.run()
    one.write(f="two")
    late = one.run("request lost").late
    one.write(f="one")
    assert one.run().report.actions == []
    late()
    one.write(f="three")

    report = one.run().report
    two.run()

    assert not report.plan.conflicts
    assert one.texts() == two.texts() == {"f": "three"}


def test_a_publication_that_comes_late_and_too_late_is_refused(one, two):
    one.write(f="one")
    one.run()
    one.write(f="two")
    late = one.run("request lost").late
    one.write(f="three")
    one.run()

    with pytest.raises(Exception, match="VersionMoved"):
        late()
    two.run()

    assert two.texts() == {"f": "three"}


def test_what_failed_again_and_again_does_not_pile_up(one):
    for number in range(8):
        one.write(f=f"number {number}")
        one.run("request lost")
    assert len(one.noted()) <= 4
    one.run()
    assert len(one.noted()) <= 4
    one.write(f="the last")
    one.run()
    one.run()
    assert not one.noted()


@pytest.mark.parametrize("half", (Half.UPLOAD, Half.DOWNLOAD))
def test_runs_of_one_half_take_it_up_too(one, two, half):
    one.write(f="one")
    one.run()
    one.write(f="two", n="new")
    one.run("answer lost", half=Half.UPLOAD)
    one.write(f="three", n=None)

    one.run(half=half)
    one.run()
    two.run()

    assert one.texts() == two.texts() == {"f": "three"}


@pytest.mark.parametrize("mode", (Reconcile.MIRROR, Reconcile.ADD, Reconcile.NEWER))
def test_runs_of_another_mode_take_it_up_too(one, two, mode):
    one.write(f="one")
    one.run()
    one.write(f="two", n="new")
    one.run("answer lost", mode=mode)
    one.write(f="three", n="edited")

    report = one.run().report
    two.run()

    assert not report.plan.conflicts
    assert one.texts() == two.texts() == {"f": "three", "n": "edited"}


def test_a_mirror_that_was_pulled_and_cut_short_brings_no_conflict(one, two, monkeypatch):
    two.write(f="one")
    two.run()
    one.write(f="mine")
    with monkeypatch.context() as patching:
        patching.setattr(Part, "remember", _die)
        with suppress(Crash):
            one.run(mode=Reconcile.MIRROR, pull=True)
    assert one.texts() == {"f": "one"}
    two.write(f="two")
    two.run()

    assert not one.run().report.plan.conflicts
    assert one.texts() == {"f": "two"}


def _die(*_):
    raise Crash("dead")


def test_what_arrived_before_a_download_was_cut_short_is_no_edit(one, two, monkeypatch):
    two.write(f="one", g="g")
    two.run()
    with monkeypatch.context() as patching:
        patching.setattr(Part, "remember", _die)
        with suppress(Crash):
            one.run()
    assert one.texts() == {"f": "one", "g": "g"}
    two.write(f="two", g=None)
    two.run()

    report = one.run().report

    assert not report.plan.conflicts
    assert one.texts() == {"f": "two"}


# The site -------------------------------------------------------------------------------------------------------------


def test_a_run_is_published_once_and_said_to_be(host, context):
    entry = file_of(host, context, b"a")
    assert host.published(context.id, "mine") == ""
    version = host.publish(context.id, context.version, [("/a", entry)], "mine")
    later = host.publish(context.id, version, [("/a", None)])

    assert host.publish(context.id, context.version, [("/a", entry)], "mine") == version
    assert host.published(context.id, "mine") == version
    assert tree(host, context) == {}
    assert host.find(context.name).version == later
    assert host.published(host.create(f"another {context.name}").id, "mine") == ""


def test_a_connection_that_dies_with_the_answer_is_made_again_and_nothing_is_published_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(delivering, "ATTEMPTS", 3)
    with api.open(tmp_path / "site.db", create=True):
        pass
    with running(str(tmp_path / "site.db")) as address, closing(RemoteHost(address)) as near:
        context = near.create("work")
        entry = file_of(near, context, b"a")
        for cut in (1, 40, 100):
            before = near.find("work").version
            with (
                Proxy(address, lambda number, cut=cut: SOUND if number else Fault(cut_down=cut)) as proxy,
                closing(RemoteHost(proxy.url, wait=lambda _: None)) as far,
            ):
                made = delivering.publish_pages(far, context.id, before, [(f"/{cut}", entry)])
            assert made == near.find("work").version != before
            assert proxy.connections == 2


def test_a_site_of_an_earlier_release_is_not_asked_in_vain(tmp_path, monkeypatch):
    """It cannot say, so both versions are kept."""
    importlib.import_module("tallystick.stores.errors")  # which gives its answer a class of its own
    monkeypatch.delitem(provider._CALLS, ("GET", "publish"))
    with api.open(tmp_path / "site.db", create=True):
        pass
    with running(str(tmp_path / "site.db")) as address:
        with closing(RemoteHost(address)) as host:
            host.create("work")
        one = Mount(tmp_path / "one", lambda: RemoteHost(address, attempts=1), "work")
        one.write(f="two")
        one.run("answer lost")
        one.write(f="three")
        one.run()
        assert sorted(one.texts().values()) == ["three", "two"]


def test_a_site_that_was_restored_from_before_the_publication_gets_it_again(tmp_path):
    database = tmp_path / "site.db"
    with api.open(database, create=True) as site, closing(_local(site)) as host:
        host.create("work")
    one = Mount(tmp_path / "one", lambda: _hosted(database), "work")
    one.write(f="one")
    one.run()
    _copy(database, tmp_path / "backup.db")
    one.write(f="two")
    one.run("answer lost")
    _copy(tmp_path / "backup.db", database)
    one.write(f="three", n="new")

    one.run()

    assert one.texts() == {"f": "three", "n": "new"}
    two = Mount(tmp_path / "two", lambda: _hosted(database), "work")
    two.run()
    assert two.texts() == one.texts()


def _local(site):
    return LocalHost(site.ledger, "here", DirectoryStore(f"{site.ledger.engine.path}.content", durable=False))


def _hosted(database):
    site = api.open(database)
    return LocalHost(site.ledger, "here", DirectoryStore(f"{database}.content", durable=False), closing=site.close)


def _copy(source, target):
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


# Laws -----------------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(("write", "write", "remove", "run", "answer lost", "request lost", "late", "dies")),
        st.sampled_from(("a", "b", "c")),
    ),
    max_size=14,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
@example(steps=[(0, "write", "a"), (0, "answer lost", "a"), (0, "write", "a")])
@example(steps=[(0, "write", "a"), (0, "request lost", "a"), (0, "write", "a"), (0, "late", "a")])
def test_whatever_connections_die_mounts_agree_and_a_path_that_one_mount_alone_writes_has_no_conflict(site, steps):
    place = Path(tempfile.mkdtemp())
    with closing(_local(site)) as host:
        context = host.create(f"c{len(host.contexts())}").name
    mounts = [Mount(place / name, lambda: _local(site), context) for name in ("one", "two")]
    try:
        last, writers = _carried_out(mounts, steps)
        for mount in (*mounts, *mounts, *mounts):
            mount.run()
        one, two = (mount.texts() for mount in mounts)
        assert one == two
        for name, by in writers.items():
            if len(by) == 1:
                assert one.get(name) == last[name]
                assert not any(other.startswith(f"{name}.conflict") for other in one)
    finally:
        shutil.rmtree(place)


def _carried_out(mounts, steps):
    last, writers, late = {}, {}, {}
    for number, (which, verb, name) in enumerate(steps):
        mount = mounts[which]
        if verb == "write" or (verb == "remove" and (mount.root / name).exists()):
            last[name] = f"{number} of {name}" if verb == "write" else None
            mount.write(**{name: last[name]})
            writers.setdefault(name, set()).add(which)
        elif verb in ("run", "answer lost", "request lost"):
            late[which] = mount.run("" if verb == "run" else verb).late
        elif verb == "late":
            with suppress(Exception):
                late.pop(which, lambda: None)()
        elif verb == "dies":
            with pytest.MonkeyPatch.context() as patching:
                patching.setattr(Part, "remember", _die)
                with suppress(Crash):
                    mount.run()
    return last, writers
