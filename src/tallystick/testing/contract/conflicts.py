"""Conflicts, and who decides them (DESIGN.md 4.1, 4.6)."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.errors import UsageError
from tallystick.site.deciding import OnConflict
from tallystick.sync.verification import verify
from tallystick.testing.contract.ends import Agreeing, End, Workshop, by, later, people, settle, sync


class ConflictContract(Agreeing):
    """Conflicts, and who decides them (DESIGN.md 4.1, 4.6)."""

    @pytest.mark.parametrize("resolution", ("newer", "master", "merge", "this", "other"))
    def test_a_conflict_ends_equal_everywhere(self, pair: tuple[End, End], resolution: str) -> None:
        a, b = pair
        policies = by(Resolution(resolution))
        a.execute("UPDATE people SET name='from a' WHERE id='p1'")
        later()
        b.execute("UPDATE people SET name='from b' WHERE id='p1'")
        done = sync(a, b, policies=policies)
        settle(a, b, policies=policies)
        assert done.total().conflicts >= 1
        assert people(a) == people(b)
        if resolution in ("this", "master"):
            assert people(a)[0][1] == "from a"
        if resolution in ("other", "newer"):
            assert people(a)[0][1] == "from b"
        assert verify(a.replica, b.replica).agree

    def test_fields_changed_on_one_side_only_combine(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("UPDATE people SET name='Anna' WHERE id='p1'")
        b.execute("UPDATE people SET phone='99' WHERE id='p1'")
        sync(a, b, policies=by(Resolution.MERGE))
        assert people(a) == people(b)
        assert people(a)[0] == ("p1", "Anna", "99", 30)

    def test_policies_can_differ_by_field(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("UPDATE people SET name='A', phone='a' WHERE id='p1'")
        b.execute("UPDATE people SET name='B', phone='b' WHERE id='p1'")
        sync(a, b, policies=by(Resolution.OTHER, phone=Resolution.THIS))
        assert people(a) == people(b)
        assert people(a)[0][1:3] == ("B", "a")

    def test_keep_both_makes_a_record_of_the_loser(self, pair: tuple[End, End]) -> None:
        a, b = pair
        policies = by(Resolution.KEEP_BOTH)
        a.execute("UPDATE people SET name='A' WHERE id='p1'")
        b.execute("UPDATE people SET name='B' WHERE id='p1'")
        settle(a, b, policies=policies)
        assert people(a) == people(b)
        assert sorted(row[1] for row in people(a)) == ["A", "B", "Bob", "Cleo"]

    def test_ask_keeps_what_each_end_shows_until_somebody_decides(self, pair: tuple[End, End]) -> None:
        a, b = pair
        policies = by(Resolution.ASK)
        a.execute("UPDATE people SET name='A' WHERE id='p1'")
        b.execute("UPDATE people SET name='B' WHERE id='p1'")
        done = sync(a, b, policies=policies)
        assert (people(a)[0][1], people(b)[0][1]) == ("A", "B")
        assert done.undecided == 1
        a.execute("UPDATE people SET name='A2' WHERE id='p1'")
        settle(a, b, policies=policies)
        assert (people(a)[0][1], people(b)[0][1]) == ("A2", "B")
        assert sync(a, b, policies=policies).undecided == 1

    def test_an_onconflict_hook_decides_for_every_end(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("UPDATE people SET name='A' WHERE id='p1'")
        b.execute("UPDATE people SET name='B' WHERE id='p1'")
        seen: list[int] = []

        def onconflict(conflict: Any) -> Resolution:
            seen.append(len(conflict.record.versions))
            return Resolution.OTHER

        if self.ruled(a, b, "both", onconflict):
            assert seen == [2]
            assert people(a) == people(b)
            assert people(a)[0][1] == "B"
            assert sync(a, b).records == 0

    def ruled(self, a: End, b: End, direction: str, hook: OnConflict) -> bool:
        """Synchronize with a hook; where no end that applies can ask it, that is refused before anything moves."""
        targets = {"pull": (a,), "push": (b,), "both": (a, b)}[direction]
        if any(target.replica.capabilities.hooks for target in targets):
            sync(a, b, onconflict=hook, direction=direction)
            return True
        before = people(a), people(b)
        with pytest.raises(UsageError, match="onconflict cannot be asked"):
            sync(a, b, onconflict=hook, direction=direction)
        assert (people(a), people(b)) == before
        return False

    @pytest.mark.parametrize("direction", ("pull", "push"))
    @pytest.mark.parametrize(("ruling", "shown"), ((Resolution.THIS, "A"), (Resolution.OTHER, "B")))
    def test_a_hook_means_the_first_end_by_this(
        self, pair: tuple[End, End], direction: str, ruling: Resolution, shown: str
    ) -> None:
        a, b = pair
        a.execute("UPDATE people SET name='A' WHERE id='p1'")
        b.execute("UPDATE people SET name='B' WHERE id='p1'")
        if self.ruled(a, b, direction, lambda _: ruling):
            assert people(a if direction == "pull" else b)[0][1] == shown

    def test_a_hook_may_set_strategy_and_resolutions(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("UPDATE people SET name='A', phone='a' WHERE id='p1'", "UPDATE people SET name='A2' WHERE id='p2'")
        b.execute("UPDATE people SET name='B', phone='b' WHERE id='p1'", "UPDATE people SET name='B2' WHERE id='p2'")
        by_field = Policy(conflict=FieldPolicy(Resolution.THIS, {"phone": Resolution.OTHER}))
        nothing = Policy(strategy=frozenset(), conflict=FieldPolicy(Resolution.OTHER))
        if self.ruled(a, b, "pull", lambda one: by_field if one.key == "p1" else nothing):
            assert people(a)[:2] == [("p1", "A", "b", 30), ("p2", "A2", "2", 40)]

    def test_keep_both_parks_a_copy_that_no_key_of_its_own_can_be_given(self, workshop: Workshop) -> None:
        schema = "CREATE TABLE mark (a TEXT, b INTEGER, name TEXT, PRIMARY KEY (a, b))"
        a = workshop.end("a", schema, "INSERT INTO mark VALUES ('x', 1, 'first'), ('y', 2, 'other')")
        b = workshop.end("b", schema)
        policies = by(Resolution.KEEP_BOTH)
        sync(a, b, policies=policies)
        a.execute("UPDATE mark SET name='A' WHERE a='x'")
        later()
        b.execute("UPDATE mark SET name='B' WHERE a='x'")
        settle(a, b, policies=policies)
        assert a.rows("SELECT * FROM mark ORDER BY a") == [("x", 1, "B"), ("y", 2, "other")]
        assert b.rows("SELECT * FROM mark ORDER BY a") == [("x", 1, "B"), ("y", 2, "other")]
        assert sync(a, b, policies=policies).parked == 2
        assert verify(a.replica, b.replica, deep=True).agree
