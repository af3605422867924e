"""Pages, passes and states (laws 5, 6, 8 and 9)."""

from __future__ import annotations

import pytest

from tallystick.core.pages import Page
from tallystick.core.states import parse_state
from tallystick.errors import StateFutureError, StateScopeError
from tallystick.sync.replica import Scope, Selection, Settings
from tallystick.testing.contract.ends import PEOPLE, Agreeing, End, Workshop, people, settle, sync, wanted


class PageContract(Agreeing):
    """Pages, passes and states (laws 5, 6, 8 and 9)."""

    def test_a_page_applied_twice_changes_nothing(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 1)")
        b = workshop.end("b", PEOPLE)
        sync(a, b)
        a.execute("UPDATE people SET age=2", "INSERT INTO people VALUES ('p2', 'B', NULL, 2)")
        scope = Scope(("people",))
        site = a.replica.describe().site
        known = b.replica.digest(site, scope)
        pages = [item for item in a.replica.changes(Selection(scope, known)) if isinstance(item, Page)]
        settings = Settings(site, scope)
        for page in pages:
            b.replica.apply(page, settings)
        before = (people(b), b.replica.digest(site, scope).prints)
        for page in pages:
            tally = b.replica.apply(page, settings)
            assert tally.written == 0
        assert (people(b), b.replica.digest(site, scope).prints) == before

    def test_a_pass_resumes_at_the_last_committed_page(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n:05}', 'n', NULL, {n})" for n in range(9000))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE)
        a.replica.prepare(wanted("people"))
        b.replica.prepare(wanted("people"))
        scope, site = Scope(("people",)), a.replica.describe().site
        settings = Settings(site, scope)
        pages = a.replica.changes(Selection(scope, b.replica.digest(site, scope)))
        first = next(pages)
        assert isinstance(first, Page)
        b.replica.apply(first, settings)
        rest = a.replica.changes(Selection(scope, b.replica.digest(site, scope)))
        second = next(rest)
        assert isinstance(second, Page)
        assert not {row[0] for row in first.rows} & {row[0] for row in second.rows}
        sync(a, b)
        assert people(b) == people(a)

    def test_a_poison_record_delays_nobody(self, workshop: Workshop) -> None:
        strict = "CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, phone TEXT, age INTEGER CHECK (age < 100))"
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('bad', 'B', NULL, 500), ('good', 'G', NULL, 5)")
        b = workshop.end("b", strict)
        done = sync(a, b)
        assert people(b) == [("good", "G", None, 5)]
        assert done.parked == 1
        a.execute("UPDATE people SET age=50 WHERE id='bad'")
        assert sync(a, b).parked == 0
        assert people(b) == people(a)

    def test_a_state_is_bound_to_its_scope(self, pair: tuple[End, End]) -> None:
        a, b = pair
        site = a.replica.describe().site
        known = b.replica.digest(site, Scope(("people",)))
        other = Scope(("people",), (("people", "age gt 5"),))
        with pytest.raises(StateScopeError):
            list(a.replica.changes(Selection(other, known)))

    def test_a_state_of_another_site_is_refused(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 1)")
        b, c = workshop.end("b", PEOPLE), workshop.end("c", PEOPLE)
        settle(a, b, c)
        scope = Scope(("people",))
        known = b.replica.digest(a.replica.describe().site, scope)
        with pytest.raises(StateScopeError, match="belongs to site"):
            list(c.replica.changes(Selection(scope, known)))

    def test_a_state_from_the_future_is_refused(self, pair: tuple[End, End]) -> None:
        a, b = pair
        scope = Scope(("people",))
        known = b.replica.digest(a.replica.describe().site, scope)
        state = parse_state(known.state)
        known.state = state._replace(seq=state.seq + 1000).text()
        with pytest.raises(StateFutureError):
            list(a.replica.changes(Selection(scope, known)))

    def test_unchanged_means_the_identical_state(self, pair: tuple[End, End]) -> None:
        a, b = pair
        scope, site = Scope(("people",)), a.replica.describe().site
        sync(a, b)
        before = b.replica.digest(site, scope).state
        sync(a, b)
        assert before
        assert b.replica.digest(site, scope).state == before
