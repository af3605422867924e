"""The contract that every kind of end must keep: the laws of DESIGN.md 4.9 on real databases.

Inherit ``AgreementContract``, give it a ``workshop`` fixture that makes ends, and run it with pytest. SQL in here is
plain enough for every engine. An ``End`` is a replica and the application's own connection to the same data.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import pytest

from tallystick.core.pages import Page
from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.errors import IdentityDoubt, StateScopeError, UsageError
from tallystick.site.applying import OnConflict
from tallystick.sync.agreement import Plan, Report, agree
from tallystick.sync.replica import Known, Replica, Scope, Selection, Settings
from tallystick.sync.verification import verify


class End(Protocol):
    """One end with the application's view of it."""

    replica: Replica

    def execute(self, *statements: str) -> None:
        """Run statements of the application and commit."""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows as the application sees them."""


class Workshop(Protocol):
    """Makes ends."""

    def end(self, name: str, *statements: str) -> End:
        """A new end whose database holds what the statements make."""


PEOPLE = "CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, phone TEXT, age INTEGER)"
NUMBERED = (
    "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INTEGER REFERENCES author (id), title TEXT)",
)


def sync(a: End, b: End, **wanted: Any) -> Report:
    """Bring two ends into agreement."""
    return agree(a.replica, b.replica, Plan(**wanted))


def by(resolution: Resolution, **fields: Resolution) -> dict[str, Policy]:
    """A conflict policy for everything."""
    return {"": Policy(conflict=FieldPolicy(resolution, fields))}


def settle(*ends: End, **wanted: Any) -> None:
    """Let every pair synchronize until nothing moves."""
    for _ in range(6):
        moved = sum(sync(a, b, **wanted).records for a in ends for b in ends if a is not b)
        if not moved:
            return
    raise AssertionError("the ends do not come to rest")


def later() -> None:
    """Let the wall clock move on, so that what follows is newer by any clock."""
    time.sleep(0.01)


def people(end: End) -> list[tuple[Any, ...]]:
    """All people, ordered."""
    return end.rows("SELECT id, name, phone, age FROM people ORDER BY id")


class AgreementContract:
    """The laws, as tests."""

    @pytest.fixture
    def pair(self, workshop: Workshop) -> tuple[End, End]:
        """Two ends that agree on three people."""
        a = workshop.end(
            "a",
            PEOPLE,
            "INSERT INTO people VALUES ('p1', 'Ann', '1', 30), ('p2', 'Bob', '2', 40), ('p3', 'Cleo', NULL, NULL)",
        )
        b = workshop.end("b", PEOPLE)
        sync(a, b)
        return a, b

    # First contact

    def test_everything_reaches_an_empty_end(self, pair: tuple[End, End]) -> None:
        a, b = pair
        assert people(b) == people(a)
        assert verify(a.replica, b.replica, deep=True).agree

    def test_a_missing_table_is_created(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 1)")
        b = workshop.end("b")
        sync(a, b)
        assert people(b) == people(a)

    def test_a_created_table_has_its_columns_in_the_declared_order(self, workshop: Workshop) -> None:
        a = workshop.end(
            "a", "CREATE TABLE z (zip TEXT, id TEXT PRIMARY KEY, alpha TEXT)", "INSERT INTO z VALUES ('1', 'k', 'b')"
        )
        b = workshop.end("b")
        sync(a, b)
        assert b.rows("SELECT * FROM z") == [("1", "k", "b")]

    def test_equal_copies_agree_with_nothing_sent(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n{n}', NULL, {n})" for n in range(200))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE, rows)
        done = sync(a, b)
        assert done.records == 0
        assert done.total().conflicts == 0
        assert verify(a.replica, b.replica).agree

    def test_copies_that_differ_little_send_only_the_difference(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n{n}', NULL, {n})" for n in range(500))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE, rows)
        a.execute("UPDATE people SET name='changed' WHERE id='p7'", "DELETE FROM people WHERE id='p9'")
        done = sync(a, b)
        assert done.records <= 6
        settle(a, b)
        assert verify(a.replica, b.replica).agree

    def test_unrelated_rows_under_one_integer_stop_the_run(self, workshop: Workshop) -> None:
        ends = []
        for name in ("a", "b"):
            rows = ", ".join(f"({n}, '{name} {n}')" for n in range(1, 41))
            ends.append(workshop.end(name, NUMBERED[0], f"INSERT INTO author VALUES {rows}"))
        before = [end.rows("SELECT * FROM author ORDER BY id") for end in ends]
        with pytest.raises(IdentityDoubt) as stopped:
            sync(*ends)
        assert stopped.value.exit_code == 4
        assert [end.rows("SELECT * FROM author ORDER BY id") for end in ends] == before

    def test_unrelated_rows_can_be_kept_apart(self, workshop: Workshop) -> None:
        ends = []
        for name in ("a", "b"):
            rows = ", ".join(f"({n}, '{name} {n}')" for n in range(1, 41))
            books = ", ".join(f"({n}, {n}, '{name} book {n}')" for n in range(1, 41))
            ends.append(
                workshop.end(name, *NUMBERED, f"INSERT INTO author VALUES {rows}", f"INSERT INTO book VALUES {books}")
            )
        sync(*ends, identity="separate")
        for end in ends:
            assert end.rows("SELECT count(*) FROM author") == [(80,)]
            joined = "SELECT count(*) FROM book JOIN author ON author.id=book.author_id "
            assert end.rows(joined + "WHERE title=replace(name, ' ', ' book ')") == [(80,)]

    def test_rows_can_be_matched_by_a_natural_column(self, workshop: Workshop) -> None:
        a = workshop.end("a", NUMBERED[0], "INSERT INTO author VALUES (1, 'Ann'), (2, 'Bob')")
        b = workshop.end("b", NUMBERED[0], "INSERT INTO author VALUES (1, 'Bob'), (2, 'Cleo')")
        sync(a, b, identity="natural:name")
        for end in (a, b):
            assert sorted(end.rows("SELECT name FROM author")) == [("Ann",), ("Bob",), ("Cleo",)]

    # Law 1 and 4

    def test_changes_on_both_sides_meet(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("UPDATE people SET age=31 WHERE id='p1'", "INSERT INTO people VALUES ('p4', 'Dora', NULL, 5)")
        b.execute("UPDATE people SET age=41 WHERE id='p2'", "DELETE FROM people WHERE id='p3'")
        sync(a, b)
        assert people(a) == people(b) == [("p1", "Ann", "1", 31), ("p2", "Bob", "2", 41), ("p4", "Dora", None, 5)]

    def test_three_ends_in_a_ring_come_to_rest(self, workshop: Workshop) -> None:
        ends = [
            workshop.end(name, PEOPLE, f"INSERT INTO people VALUES ('{name}', '{name}', NULL, 1)") for name in "abc"
        ]
        settle(*ends)
        for number, end in enumerate(ends):
            end.execute(
                f"UPDATE people SET age={number} WHERE id='a'", f"INSERT INTO people VALUES ('n{number}', 'x', NULL, 1)"
            )
        settle(*ends)
        assert people(ends[0]) == people(ends[1]) == people(ends[2])
        assert verify(ends[0].replica, ends[2].replica).agree

    def test_a_second_pass_sends_and_writes_nothing(self, pair: tuple[End, End]) -> None:
        a, b = pair
        scope = Scope(("people",))
        before = [end.replica.digest("", scope) for end in pair]
        assert sync(a, b).records == 0
        assert [end.replica.digest("", scope) for end in pair] == before

    def test_a_row_changed_and_changed_back_sends_nothing(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("UPDATE people SET age=99 WHERE id='p1'", "UPDATE people SET age=30 WHERE id='p1'")
        assert sync(a, b).records == 0

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
        assert done.undecided == 2
        a.execute("UPDATE people SET name='decided' WHERE id='p1'")
        settle(a, b, policies=policies)
        assert sync(a, b, policies=policies).undecided in (0, 2)

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

    # Law 2, 3

    def test_an_edit_that_never_saw_a_deletion_brings_the_record_back(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("DELETE FROM people WHERE id='p1'")
        later()
        b.execute("UPDATE people SET name='still here' WHERE id='p1'")
        done = sync(a, b)
        settle(a, b)
        assert done.total().conflicts >= 1
        assert people(a) == people(b)
        assert ("p1", "still here", "1", 30) in people(a)

    def test_a_deleted_record_does_not_come_back(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 1), ('p2', 'B', NULL, 2)")
        b, c = workshop.end("b", PEOPLE), workshop.end("c", PEOPLE)
        settle(a, b, c)
        a.execute("DELETE FROM people WHERE id='p1'")
        sync(a, b)
        sync(b, c)
        sync(c, a)
        assert [row[0] for end in (a, b, c) for row in people(end)] == ["p2", "p2", "p2"]

    def test_a_deletion_spares_rows_that_its_maker_had_not_seen(self, workshop: Workshop) -> None:
        schema = (
            "CREATE TABLE author (id TEXT PRIMARY KEY, name TEXT)",
            "CREATE TABLE book "
            "(id TEXT PRIMARY KEY, author_id TEXT REFERENCES author (id) ON DELETE CASCADE, title TEXT)",
        )
        a = workshop.end("a", *schema, "INSERT INTO author VALUES ('x', 'X')")
        b = workshop.end("b", *schema)
        sync(a, b)
        b.execute("INSERT INTO book VALUES ('unseen', 'x', 'T')")
        a.execute("DELETE FROM author WHERE id='x'")
        done = sync(a, b)
        settle(a, b)
        assert done.total().conflicts >= 1
        for end in (a, b):
            assert end.rows("SELECT id, author_id FROM book") == [("unseen", "x")]
            assert end.rows("SELECT id FROM author") == [("x",)]

    # Law 5, 6, 8, 9

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
        a.replica.prepare(_wanted("people"))
        b.replica.prepare(_wanted("people"))
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

    # Identity and references

    def test_new_rows_under_one_integer_stay_two_records_with_their_children(self, workshop: Workshop) -> None:
        a = workshop.end("a", *NUMBERED, "INSERT INTO author VALUES (1, 'old')")
        b = workshop.end("b", *NUMBERED)
        sync(a, b)
        for end, name in ((a, "A"), (b, "B")):
            end.execute(f"INSERT INTO author VALUES (2, '{name}')", f"INSERT INTO book VALUES (1, 2, 'by {name}')")
        settle(a, b)
        for end in (a, b):
            found = end.rows("SELECT name, title FROM book JOIN author ON author.id=book.author_id ORDER BY title")
            assert found == [("A", "by A"), ("B", "by B")]
        assert verify(a.replica, b.replica, deep=True).agree

    def test_an_integer_used_again_is_a_new_record(self, workshop: Workshop) -> None:
        a = workshop.end("a", *NUMBERED, "INSERT INTO author VALUES (1, 'first')")
        b = workshop.end("b", *NUMBERED)
        sync(a, b)
        a.execute("DELETE FROM author WHERE id=1", "INSERT INTO author VALUES (1, 'second')")
        later()
        b.execute("UPDATE author SET name='edited first' WHERE id=1")
        settle(a, b)
        assert sorted(a.rows("SELECT name FROM author")) == [("edited first",), ("second",)]
        assert sorted(b.rows("SELECT name FROM author")) == [("edited first",), ("second",)]

    def test_a_moved_row_is_told_from_the_deleted_one_whose_integer_it_took(self, workshop: Workshop) -> None:
        from tallystick.sync.verification import repair

        a = workshop.end("a", *NUMBERED, "INSERT INTO author VALUES (4, 'four'), (7, 'seven')")
        b = workshop.end("b", *NUMBERED)
        sync(a, b)
        b.execute("UPDATE author SET name='seven of b' WHERE id=7")
        later()
        a.execute("DELETE FROM author WHERE id=7", "UPDATE author SET id=7 WHERE id=4")
        settle(a, b)
        assert verify(a.replica, b.replica, deep=True).agree
        repair(a.replica, b.replica)
        assert a.rows("SELECT id, name FROM author") == [(7, "four")]
        assert b.rows("SELECT name FROM author") == [("four",)]

    def test_primary_keys_can_swap(self, workshop: Workshop) -> None:
        a = workshop.end(
            "a", *NUMBERED, "INSERT INTO author VALUES (1, 'x'), (2, 'y')", "INSERT INTO book VALUES (1, 1, 'of x')"
        )
        b = workshop.end("b", *NUMBERED)
        sync(a, b)
        a.execute(
            "UPDATE book SET author_id=NULL",
            "UPDATE author SET id=3 WHERE id=1",
            "UPDATE author SET id=1 WHERE id=2",
            "UPDATE author SET id=2 WHERE id=3",
            "UPDATE book SET author_id=2",
        )
        settle(a, b)
        assert a.rows("SELECT name FROM author JOIN book ON author.id=author_id") == [("x",)]
        assert b.rows("SELECT name FROM author JOIN book ON author.id=author_id") == [("x",)]
        assert verify(a.replica, b.replica).agree

    def test_rows_that_refer_to_each_other_arrive(self, workshop: Workshop) -> None:
        schema = "CREATE TABLE staff (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES staff (id), name TEXT)"
        a = workshop.end("a", schema)
        b = workshop.end("b", schema)
        sync(a, b)
        a.execute(
            "INSERT INTO staff VALUES (1, NULL, 'one')",
            "INSERT INTO staff VALUES (2, 1, 'two')",
            "UPDATE staff SET boss=2 WHERE id=1",
        )
        b.execute("INSERT INTO staff VALUES (1, NULL, 'taken')")
        settle(a, b)
        pairs = "SELECT s.name, t.name FROM staff s JOIN staff t ON t.id=s.boss ORDER BY s.name"
        assert a.rows(pairs) == b.rows(pairs) == [("one", "two"), ("two", "one")]

    def test_two_rows_can_swap_a_unique_value(self, workshop: Workshop) -> None:
        schema = "CREATE TABLE seat (id TEXT PRIMARY KEY, place INTEGER NOT NULL UNIQUE)"
        a = workshop.end("a", schema, "INSERT INTO seat VALUES ('x', 1), ('y', 2)")
        b = workshop.end("b", schema)
        sync(a, b)
        a.execute(
            "UPDATE seat SET place=9 WHERE id='x'",
            "UPDATE seat SET place=1 WHERE id='y'",
            "UPDATE seat SET place=2 WHERE id='x'",
        )
        assert sync(a, b).parked == 0
        assert b.rows("SELECT id, place FROM seat ORDER BY id") == [("x", 2), ("y", 1)]

    def test_new_rows_whose_unique_values_are_taken_stay_parked(self, workshop: Workshop) -> None:
        schema = "CREATE TABLE seat (id TEXT PRIMARY KEY, place INTEGER NOT NULL UNIQUE)"
        a = workshop.end("a", schema, "INSERT INTO seat VALUES ('x', 1), ('y', 2)")
        b = workshop.end("b", schema, "INSERT INTO seat VALUES ('p', 1), ('q', 2)")
        assert [sync(a, b).parked for _ in range(3)] == [4, 4, 4]
        assert a.rows("SELECT id FROM seat ORDER BY id") == [("x",), ("y",)]
        assert b.rows("SELECT id FROM seat ORDER BY id") == [("p",), ("q",)]
        b.execute("UPDATE seat SET place=place+10")
        settle(a, b)
        assert len(a.rows("SELECT id FROM seat")) == 4
        assert verify(a.replica, b.replica, deep=True).agree

    def test_a_row_that_cannot_swap_does_not_stop_others_from_it(self, workshop: Workshop) -> None:
        schema = "CREATE TABLE seat (id TEXT PRIMARY KEY, place INTEGER NOT NULL UNIQUE)"
        a = workshop.end("a", schema, "INSERT INTO seat VALUES ('x', 1), ('y', 2), ('z', 3)")
        b = workshop.end("b", schema)
        sync(a, b)
        b.execute("INSERT INTO seat VALUES ('own', 4)")
        a.execute(
            "UPDATE seat SET place=9 WHERE id='x'",
            "UPDATE seat SET place=1 WHERE id='y'",
            "UPDATE seat SET place=2 WHERE id='x'",
            "UPDATE seat SET place=4 WHERE id='z'",
        )
        sync(a, b)
        assert b.rows("SELECT id, place FROM seat ORDER BY id") == [("own", 4), ("x", 2), ("y", 1), ("z", 3)]

    # Filters, direction, strategy

    def test_only_matching_records_travel_and_leavers_are_kept(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 30), ('p2', 'B', NULL, 5)")
        b = workshop.end("b", PEOPLE)
        where = {"people": "age gt 18"}
        sync(a, b, where=where)
        assert [row[0] for row in people(b)] == ["p1"]
        a.execute("UPDATE people SET age=6 WHERE id='p1'", "UPDATE people SET age=20 WHERE id='p2'")
        sync(a, b, where=where)
        assert [row[0] for row in people(b)] == ["p1", "p2"]
        sync(a, b)
        assert people(b) == people(a)

    def test_leavers_can_be_deleted_at_the_receiver_only(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 30)")
        b = workshop.end("b", PEOPLE)
        wanted = {"where": {"people": "age gt 18"}, "delete_left": True, "direction": "push"}
        sync(a, b, **wanted)
        a.execute("UPDATE people SET age=6 WHERE id='p1'")
        sync(a, b, **wanted)
        assert people(b) == []
        assert len(people(a)) == 1

    @pytest.mark.parametrize("later", ({}, {"people": "age gt 3"}, {"people": "name eq 'Ann'"}))
    def test_what_left_a_filter_comes_back_when_the_filter_lets_it(
        self, workshop: Workshop, later: dict[str, str]
    ) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'Ann', NULL, 30), ('p2', 'Bob', NULL, 40)")
        b = workshop.end("b", PEOPLE)
        wanted = {"where": {"people": "age gt 18"}, "delete_left": True}
        sync(a, b, **wanted)
        a.execute("UPDATE people SET age=6 WHERE id='p1'")
        sync(a, b, **wanted)
        assert [row[0] for row in people(b)] == ["p2"]
        sync(a, b, where=later)
        assert ("p1", "Ann", None, 6) in people(b)
        b.execute("UPDATE people SET age=7 WHERE id='p1'")
        sync(a, b, where=later)
        assert people(a)[0][3] == 7
        assert sync(a, b, where=later).records == 0

    @pytest.mark.parametrize(
        ("parent", "child", "row", "unseen"),
        (
            (
                "CREATE TABLE owner (id TEXT PRIMARY KEY, code TEXT NOT NULL UNIQUE)",
                "CREATE TABLE pet (id TEXT PRIMARY KEY, code TEXT REFERENCES owner (code) ON DELETE CASCADE)",
                "INSERT INTO owner VALUES ('x', 'c')",
                "INSERT INTO pet VALUES ('p', 'c')",
            ),
            (
                "CREATE TABLE owner (a TEXT, b TEXT, PRIMARY KEY (a, b))",
                "CREATE TABLE pet (id TEXT PRIMARY KEY, a TEXT, b TEXT, "
                "FOREIGN KEY (a, b) REFERENCES owner (a, b) ON DELETE CASCADE)",
                "INSERT INTO owner VALUES ('x', 'y')",
                "INSERT INTO pet VALUES ('p', 'x', 'y')",
            ),
            (
                "CREATE TABLE owner (a TEXT, b TEXT, c TEXT NOT NULL, d TEXT NOT NULL, PRIMARY KEY (a, b), "
                "UNIQUE (c, d))",
                "CREATE TABLE pet (id TEXT PRIMARY KEY, c TEXT, d TEXT, "
                "FOREIGN KEY (c, d) REFERENCES owner (c, d) ON DELETE CASCADE)",
                "INSERT INTO owner VALUES ('x', 'y', 'z', 'w')",
                "INSERT INTO pet VALUES ('p', 'z', 'w')",
            ),
        ),
        ids=("unique-column", "composite-key", "composite-unique"),
    )
    def test_a_deletion_spares_unseen_rows_whatever_they_refer_by(
        self, workshop: Workshop, parent: str, child: str, row: str, unseen: str
    ) -> None:
        a, b = workshop.end("a", parent, child, row), workshop.end("b", parent, child)
        sync(a, b)
        b.execute(unseen)
        a.execute("DELETE FROM owner")
        assert sync(a, b).total().conflicts >= 1
        settle(a, b)
        for end in (a, b):
            assert end.rows("SELECT count(*) FROM owner") == [(1,)]
            assert end.rows("SELECT id FROM pet") == [("p",)]
        assert verify(a.replica, b.replica, deep=True).agree

    def test_a_renamed_table_keeps_its_records_and_its_name_on_the_wire(self, workshop: Workshop) -> None:
        a = workshop.end("a", *NUMBERED, "INSERT INTO author VALUES (1, 'Ann')", "INSERT INTO book VALUES (1, 1, 'T')")
        b = workshop.end("b", *NUMBERED)
        sync(a, b)
        a.execute(
            "INSERT INTO author VALUES (2, 'before')",
            "ALTER TABLE author RENAME TO writer",
            "INSERT INTO writer VALUES (3, 'after')",
            "UPDATE writer SET name='Anna' WHERE id=1",
        )
        b.execute("INSERT INTO book VALUES (2, 1, 'U')")
        sync(a, b)
        assert b.rows("SELECT name FROM author ORDER BY name") == [("Anna",), ("after",), ("before",)]
        assert a.rows("SELECT name, title FROM writer JOIN book ON author_id=writer.id ORDER BY title") == [
            ("Anna", "T"),
            ("Anna", "U"),
        ]
        assert sync(a, b).records == 0
        assert verify(a.replica, b.replica, deep=True).agree

    def test_push_takes_nothing_back(self, pair: tuple[End, End]) -> None:
        a, b = pair
        a.execute("UPDATE people SET age=1 WHERE id='p1'")
        b.execute("UPDATE people SET age=2 WHERE id='p2'")
        sync(a, b, direction="push")
        assert [row[3] for row in people(a)] == [1, 40, None]
        assert [row[3] for row in people(b)] == [1, 2, None]

    def test_methods_that_are_not_allowed_are_held_and_passed_on(self, workshop: Workshop) -> None:
        a = workshop.end("a", PEOPLE, "INSERT INTO people VALUES ('p1', 'A', NULL, 1), ('p2', 'B', NULL, 2)")
        b, c = workshop.end("b", PEOPLE), workshop.end("c", PEOPLE)
        settle(a, b, c)
        from tallystick.core.policies import Method

        a.execute("DELETE FROM people WHERE id='p1'")
        sync(a, b, policies={"": Policy(frozenset({Method.CREATE, Method.UPDATE}))})
        assert len(people(b)) == 2
        sync(b, c)
        assert [row[0] for row in people(c)] == ["p2"]

    # Guards

    def test_deleting_most_of_a_resource_is_held_back(self, workshop: Workshop) -> None:
        rows = "INSERT INTO people VALUES " + ", ".join(f"('p{n}', 'n', NULL, {n})" for n in range(60))
        a, b = workshop.end("a", PEOPLE, rows), workshop.end("b", PEOPLE)
        sync(a, b)
        a.execute("DELETE FROM people WHERE age > 5", "UPDATE people SET name='edited' WHERE id='p1'")
        done = sync(a, b)
        assert sum(done.held.values()) == 54
        assert len(people(b)) == 60
        assert ("p1", "edited", None, 1) in people(b)
        sync(a, b, allowed=54)
        assert people(b) == people(a)

    # Verification

    def test_ends_without_a_common_resource_do_not_agree(self, workshop: Workshop) -> None:
        a, b = workshop.end("a", PEOPLE), workshop.end("b")
        assert not verify(a.replica, b.replica).agree
        sync(a, b)
        assert verify(a.replica, b.replica).agree
        assert not verify(a.replica, b.replica, only=("nowhere",)).agree

    def test_verification_finds_and_repair_heals_what_bypassed_capture(self, pair: tuple[End, End]) -> None:
        from tallystick.sync.verification import repair

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


def _wanted(*names: str) -> Any:
    from tallystick.sync.replica import Wanted

    return Wanted([], list(names))


def known_nothing() -> Known:
    """What an end knows that knows nothing."""
    return Known("", {}, {})


def all_rows(end: End, tables: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of tables, sorted by text."""
    return {name: sorted(end.rows(f'SELECT * FROM "{name}"'), key=str) for name in tables}
