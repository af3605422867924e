"""Whatever is done to the sites and to the sticks between them: once that ends, all agree and nothing is lost."""

from __future__ import annotations

import base64
import random
import secrets
import shutil
import sqlite3
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick import api
from tallystick.jobs.bundles import exchange, signing_key
from tallystick.protocols.bundle.codec.signing import fingerprint
from tallystick.sync.plan import Plan

SITES, STICKS, KEYS = 3, 2, 4
SITE, STICK = st.integers(0, SITES - 1), st.integers(0, STICKS - 1)
EVENTS = st.one_of(
    st.tuples(st.just("write"), SITE, st.integers(0, KEYS - 1)),
    st.tuples(st.just("delete"), SITE, st.integers(0, KEYS - 1)),
    st.tuples(st.just("visit"), SITE, STICK),
    st.tuples(st.just("visit"), SITE, STICK),
    st.tuples(st.just("visit"), SITE, STICK),
    st.tuples(st.just("cut off"), SITE, STICK),
    st.tuples(st.just("lose"), STICK, st.integers(0, 2**16)),
    st.tuples(st.just("copy"), STICK, STICK),
    st.tuples(st.just("meet"), SITE, SITE),
)


class CutOff(Exception):
    """The stick was pulled."""


class World:
    """Three sites, two sticks."""

    def __init__(self, directory):
        self.directory, self.writes = directory, 0
        self.sites = []
        for number in range(SITES):
            path = directory / f"s{number}.db"
            connection = sqlite3.connect(path)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE things (id TEXT PRIMARY KEY, value TEXT)")
            connection.close()
            site = api.open(path)
            site.ledger.engine.execute("PRAGMA synchronous=OFF")
            site.track("things")
            self.sites.append(site)
        self.prints = [fingerprint(signing_key(site.ledger).public) for site in self.sites]
        for number in range(STICKS):
            self.stick(number).mkdir()

    def stick(self, number):
        return self.directory / f"stick{number}"

    def rows(self, site):
        return site.ledger.engine.query("SELECT id, value FROM things ORDER BY id")

    def write(self, site, key):
        self.writes += 1
        self.sites[site].ledger.engine.execute(
            "INSERT INTO things VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value=excluded.value",
            (f"k{key}", f"w{self.writes}"),
        )

    def delete(self, site, key):
        self.sites[site].ledger.engine.execute("DELETE FROM things WHERE id=?", (f"k{key}",))

    def visit(self, site, stick, progress=None):
        plan = Plan(allowed=-1, progress=progress)
        end = exchange(f"files+dir:{self.stick(stick)}", self.prints)
        return api.logged_agree(self.sites[site].replica, end, plan)

    def cut_off(self, site, stick):
        def progress(resource, records):
            raise CutOff

        with suppress(CutOff):
            self.visit(site, stick, progress)

    def lose(self, stick, seed):
        """Some files are gone, some torn, as after pulling a stick that was not unmounted."""
        chance = random.Random(seed)
        for path in sorted(self.stick(stick).rglob("*")):
            if path.is_file() and chance.random() < 0.3:
                raw = path.read_bytes()
                path.unlink() if chance.random() < 0.5 else path.write_bytes(raw[: chance.randrange(len(raw) + 1)])

    def copy(self, one, other):
        if one != other:
            shutil.rmtree(self.stick(other))
            shutil.copytree(self.stick(one), self.stick(other))

    def meet(self, one, other):
        if one != other:
            self.sites[one].sync(self.sites[other].replica, Plan(allowed=-1))

    def close(self):
        for site in self.sites:
            site.close()


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(events=st.lists(EVENTS, max_size=25))
def test_all_sites_agree_in_the_end(tmp_path_factory, events):
    world = World(tmp_path_factory.mktemp("world"))
    try:
        for name, *arguments in events:
            getattr(world, name.replace(" ", "_"))(*arguments)
        for _ in range(4):
            for site in range(SITES):
                report = world.visit(site, 0)
        found = [world.rows(site) for site in world.sites]
        assert found[0] == found[1] == found[2]
        for other in (1, 2):
            assert world.sites[0].verify(world.sites[other].replica).agree
        for site in range(SITES):
            report = world.visit(site, 0)
            assert (report.records, report.refused) == (0, [])
    finally:
        world.close()
