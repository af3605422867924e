"""The adapter contract over every protocol, and what single ones say beyond it."""

from __future__ import annotations

import base64
import json
import secrets
import socket

import pytest
from adapter_contract import ANN, BOB, AdapterContract, Meeting, Side

from tallystick import api
from tallystick.protocols.bundle.codec.signing import fingerprint
from tallystick.protocols.eden.store import Repository
from tallystick.sync.plan import Plan
from tallystick.web import running
from tallystick.web.eden import eden
from tallystick.web.sdata import Service


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())


class Served(Meeting):
    """The other side is served; our own is reached by nobody."""

    server = None

    def serve(self, **options):
        with api.open(self.there.path) as site:
            site.track()
        self.server = running(str(self.there.path), **options)
        return self.server.__enter__()

    def close(self):
        super().close()
        self.server.__exit__(None, None, None)


class Native(Served):
    def open(self):
        self.here.connect(self.serve())
        self.there.connect("http://127.0.0.1:1/")


class Databases(Meeting):
    def open(self):
        self.here.connect(str(self.there.path))
        self.there.connect(str(self.here.path))


class Bundles(Meeting):
    """A stick that is carried to and fro; both sides have confirmed each other."""

    def open(self):
        self.stick = self.tmp_path / "stick"
        self.stick.mkdir()
        prints = []
        for side in (self.here, self.there):
            side.connect(f"files+dir:{self.stick}")
            prints.append(fingerprint(side.adapter.language.key.public))
        for side in (self.here, self.there):
            side.connect(f"files+dir:{self.stick}", prints)
            side.adapter.register()
        for side in (self.here, self.there, self.here):
            assert side.adapter.register()
            side.log.clear()

    def introduced(self):
        for side in (self.here, self.there):
            side.track()

    def carry(self):
        end = self.there.adapter.ends.connect(self.there.adapter.peer, None)
        api.logged_agree(self.there.replica, end, Plan())

    def stranger(self):
        made = Side(self.tmp_path / "stranger.db")
        made.execute(ANN)
        made.connect(f"files+dir:{self.stick}")
        made.track()
        return made


class Eden(Served):
    def open(self):
        address = self.serve(providers=[eden("/eden")])
        self.here.connect(f"eden+{address}eden")
        self.there.connect("eden+http://127.0.0.1:1/eden")
        self.here.track()
        assert self.here.adapter.register()  # a push needs that
        self.here.log.clear()

    def introduced(self):
        for side, other in ((self.here, self.there), (self.there, self.here)):
            side.track()
            store = side.adapter.adapter.store
            known = Repository(
                other.adapter.adapter.store.identity().uuid, "peer", url=side.adapter.adapter.repository.url
            )
            side.adapter.adapter.repository = store.save_repository(known)
        self.here.adapter.register()
        self.here.log.clear()

    def unknown(self, side):
        repository = side.adapter.adapter.repository
        repository.deleted = True
        side.adapter.adapter.store.save_repository(repository)


class SData(Served):
    resource = "prPeoples"

    def open(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.serve(port=port, providers=[Service(f"http://127.0.0.1:{port}/sdata")])
        self.here.connect(f"sdata+http://127.0.0.1:{port}/sdata/tallystick/site/-")
        self.there.connect("sdata+http://127.0.0.1:1/sdata/tallystick/site/-")

    def introduced(self):
        assert self.here.adapter.register()
        self.here.log.clear()
        self.here.track()


class TestNative(AdapterContract):
    @pytest.fixture
    def meeting(self, tmp_path):
        made = Native(tmp_path)
        yield made
        made.close()

    def test_the_reply_counts_what_was_taken(self, passive):
        passive.there.execute(ANN, BOB)
        taken = self.received(passive, passive.there.adapter.send("pr_people"))
        assert json.loads(taken["response"])["resources"]["prpeople"]["created"] == 2


class TestDatabases(AdapterContract):
    @pytest.fixture
    def meeting(self, tmp_path):
        made = Databases(tmp_path)
        yield made
        made.close()


class TestBundles(AdapterContract):
    knows_tables = False  # nobody can be asked: nothing was left under that name

    @pytest.fixture
    def meeting(self, tmp_path):
        made = Bundles(tmp_path)
        yield made
        made.close()


class TestEden(AdapterContract):
    mixes, vouches, checks_words, dates_old_rows = False, False, False, True

    @pytest.fixture
    def meeting(self, tmp_path):
        made = Eden(tmp_path)
        yield made
        made.close()

    def test_the_reply_lists_what_was_taken(self, passive):
        passive.there.execute(ANN, BOB)
        taken = self.received(passive, passive.there.adapter.send("pr_people"))
        assert len(json.loads(taken["response"])["created"]) == 2


class TestSData(AdapterContract):
    decides, mixes = False, False
    vouches = False  # anybody may carry a feed, and an endpoint keeps its first name wherever its site moves

    @pytest.fixture
    def meeting(self, tmp_path):
        made = SData(tmp_path)
        yield made
        made.close()
