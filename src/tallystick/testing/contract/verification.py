"""Agreement is proved, and repaired where capture was bypassed (DESIGN.md 4.8)."""

from __future__ import annotations

import pytest

from tallystick.sync.verification import repair, verify
from tallystick.testing.contract.ends import PEOPLE, Agreeing, End, Workshop, people, sync


class VerificationContract(Agreeing):
    """Agreement is proved, and repaired where capture was bypassed (DESIGN.md 4.8)."""

    def test_ends_without_a_common_resource_do_not_agree(self, workshop: Workshop) -> None:
        a, b = workshop.end("a", PEOPLE), workshop.end("b")
        assert not verify(a.replica, b.replica).agree
        sync(a, b)
        assert verify(a.replica, b.replica).agree
        assert not verify(a.replica, b.replica, only=("nowhere",)).agree

    def test_verification_finds_and_repair_heals_what_bypassed_capture(self, pair: tuple[End, End]) -> None:
        a, b = pair
        bypass = getattr(a, "bypass", None)
        if bypass is None:
            pytest.skip("this end offers no way around capture")
        bypass("UPDATE people SET name='behind' WHERE id='p1'")
        verdict = verify(a.replica, b.replica, deep=True)
        assert not verdict.agree
        repair(a.replica, b.replica)
        assert verify(a.replica, b.replica, deep=True).agree
        assert people(b) == people(a)
