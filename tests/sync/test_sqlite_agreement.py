"""Sites on SQLite keep the contract."""

from __future__ import annotations

import pytest

from tallystick.testing.contract import AgreementContract


class TestSQLiteAgreement(AgreementContract):
    @pytest.fixture
    def workshop(self, sqlite_workshop):
        return sqlite_workshop
