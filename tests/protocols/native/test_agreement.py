"""Served sites keep the contract: with a local end beside them, and among each other."""

from __future__ import annotations

import pytest

from tallystick.core.policies import Resolution
from tallystick.testing.contract import AgreementContract, End, by, people, sync


class _Served:
    """A workshop whose ends are served; the one called ``local`` is not."""

    def __init__(self, place, local: str) -> None:
        self.place, self.local = place, local

    def end(self, name: str, *statements: str):
        made = self.place(name, *statements)
        if name != self.local:
            made.replica = made.serve()
        return made


class TestAgreementWithAServedSite(AgreementContract):
    @pytest.fixture
    def workshop(self, place):
        return _Served(place, "a")


class TestAgreementOfServedSites(AgreementContract):
    @pytest.fixture
    def workshop(self, place):
        return _Served(place, "")

    def test_an_onconflict_hook_decides(self, pair: tuple[End, End]) -> None:
        """A hook is asked where it was given: two served ends decide by their policies."""
        a, b = pair
        a.execute("UPDATE people SET name='from a' WHERE id='p1'")
        b.execute("UPDATE people SET name='from b' WHERE id='p1'")
        asked = []
        sync(a, b, policies=by(Resolution.OTHER), onconflict=asked.append)
        assert not asked
        assert people(a) == people(b)
        assert people(a)[0][1] == "from b"
