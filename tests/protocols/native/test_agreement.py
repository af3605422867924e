"""Served sites keep the contract: with a local end beside them, and among each other."""

from __future__ import annotations

import pytest

from tallystick.testing.contract import AgreementContract


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
