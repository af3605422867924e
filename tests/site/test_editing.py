"""Local writes by key: what the application could have done itself, stamped at once, on both engines."""

from __future__ import annotations

import pytest

import tallystick
from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.site import editing, managed
from tallystick.site.editing import Done, Reason, delete, insert, put, update
from tallystick.site.stamping import stamp
from tallystick.sync.agreement import Plan

SCHEMA = (
    "CREATE TABLE place (code VARCHAR(20) PRIMARY KEY, name TEXT)",
    "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, chief INTEGER REFERENCES person (id), "
    "place VARCHAR(20) REFERENCES place (code), state TEXT NOT NULL DEFAULT 'new')",
    "CREATE TABLE visit (id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES person (id), note TEXT)",
    "CREATE TABLE member (person INTEGER REFERENCES person (id), club TEXT, since TEXT, PRIMARY KEY (person, club))",
)
CASCADING = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent (id) ON DELETE CASCADE)",
)


@pytest.fixture(params=("sqlite", "postgresql"))
def database(request, tmp_path):
    return str(tmp_path / "site.db") if request.param == "sqlite" else request.getfixturevalue("postgresql_database")


@pytest.fixture
def site(database):
    with made(database, SCHEMA) as opened:
        yield opened


def made(database, schema):
    site = tallystick.open(database, create=True)
    for statement in schema:
        site.ledger.engine.execute(statement)
    site.track()
    return site


def write(site, resource, *edits):
    with site.ledger.write():
        stamp(site.ledger)
        return editing.write(site.ledger, site.ledger.resource(resource), edits)


def rows(site, sql):
    return [tuple(row) for row in site.ledger.engine.query(sql)]


def sound(site):
    """True when rows, ledger and fingerprints fit each other."""
    return site.replica.check([tracked.wire for tracked in site.ledger.resources()]) == {}


def entry_of(site, resource, key):
    return site.ledger.resource(resource).rows.by_keys([key]).get(key)


def test_an_insert_makes_a_row_with_a_new_key_and_the_columns_defaults(site):
    (person,) = write(site, "person", insert({"name": "Ann"}))
    assert (person.done, person.content) == (Done.CREATED, {"name": "Ann", "state": "new"})
    assert rows(site, "SELECT id, name, state FROM person") == [(person.local, "Ann", "new")]
    entry = entry_of(site, "person", person.key)
    assert (entry.seq, entry.local) == (person.seq, person.local)
    assert site.ledger.origin_name(entry.origin) == site.ledger.origin


def test_references_are_keys(site):
    ann, bob = write(site, "person", insert({"name": "Ann"}), insert({"name": "Bob"}))
    (visit,) = write(site, "visit", insert({"person": bob.key, "note": "hello"}))
    assert visit.content == {"person": bob.key, "note": "hello"}
    assert rows(site, "SELECT person FROM visit") == [(bob.local,)]
    (moved,) = write(site, "visit", update(visit.key, {"person": ann.key}))
    assert (moved.done, rows(site, "SELECT person FROM visit")) == (Done.UPDATED, [(ann.local,)])


def test_rows_of_one_batch_may_refer_to_each_other(site):
    one, two = write(
        site, "person", insert({"name": "A", "chief": "k2"}, "k1"), insert({"name": "B", "chief": "k1"}, "k2")
    )
    assert (one.done, two.done) == (Done.CREATED, Done.CREATED)
    assert (one.content["chief"], two.content["chief"]) == ("k2", "k1")
    assert rows(site, "SELECT id FROM person WHERE chief IS NOT NULL ORDER BY name") == [(one.local,), (two.local,)]
    assert sound(site)


def test_an_update_changes_the_named_fields_and_a_put_all_of_them(site):
    write(site, "place", insert({"code": "x", "name": "X"}))
    (person,) = write(site, "person", insert({"name": "Ann", "place": "x", "state": "old"}))
    (changed,) = write(site, "person", update(person.key, {"place": None}))
    assert changed.content == {"name": "Ann", "state": "old"}
    (unchanged,) = write(site, "person", update(person.key, {"name": "Ann"}))
    assert (unchanged.done, unchanged.seq) == (Done.UNCHANGED, changed.seq)
    (whole,) = write(site, "person", put(person.key, {"name": "Eve", "state": "s"}))
    assert (whole.done, whole.content) == (Done.UPDATED, {"name": "Eve", "state": "s"})
    (new,) = write(site, "place", put("y", {"name": "Y"}))
    assert (new.done, rows(site, "SELECT name FROM place WHERE code='y'")) == (Done.CREATED, [("Y",)])


def test_each_edit_is_one_change_of_this_site_and_leaves_no_mark(site):
    (person,) = write(site, "person", insert({"name": "Ann"}))
    before = site.ledger.digest(site.ledger.resource("person"))[site.ledger.origin]
    write(site, "person", update(person.key, {"state": "a"}), update(person.key, {"state": "b"}))
    assert site.ledger.digest(site.ledger.resource("person"))[site.ledger.origin] == before + 2
    seq = entry_of(site, "person", person.key).seq
    with site.ledger.write():
        assert stamp(site.ledger) == 0
    assert entry_of(site, "person", person.key).seq == seq


def test_one_bad_edit_delays_no_other_and_says_why(site):
    (ann,) = write(site, "person", insert({"name": "Ann"}))
    found = write(
        site,
        "person",
        insert({"name": "Bob"}),
        insert({"name": "Ann"}),
        insert({"name": "C", "colour": "red"}),
        insert({"name": "D", "chief": "nobody"}),
        insert({"name": "E", "place": "nowhere"}),
        insert({"state": "x"}),
        insert({"name": "again"}, ann.key),
        update("absent", {"name": "F"}),
        delete("absent"),
        insert({"name": "Gus"}),
    )
    reasons = [item.refusal.reason if item.refusal else None for item in found]
    assert reasons == [
        None,
        Reason.CONSTRAINT,
        Reason.UNKNOWN_FIELD,
        Reason.REFERENCE,
        Reason.REFERENCE,
        Reason.CONSTRAINT,
        Reason.EXISTS,
        Reason.ABSENT,
        Reason.ABSENT,
        None,
    ]
    assert found[2].refusal.field == "colour"
    assert [row[0] for row in rows(site, "SELECT name FROM person ORDER BY name")] == ["Ann", "Bob", "Gus"]
    assert sound(site)


def test_a_row_that_others_refer_to_is_not_deleted_unless_they_go_with_it(site):
    chief, *_ = write(site, "person", insert({"name": "A"}, "a"), insert({"name": "B", "chief": "a"}, "b"))
    (visit,) = write(site, "visit", insert({"person": "b"}))
    (kept,) = write(site, "person", delete("a"))
    assert kept.refusal.reason is Reason.REFERENCE
    both = write(site, "person", delete("a"), delete("b"))
    assert [item.refusal.reason for item in both] == [Reason.REFERENCE, Reason.REFERENCE]
    write(site, "visit", delete(visit.key))
    assert [item.done for item in write(site, "person", delete("a"), delete("b"))] == [Done.DELETED, Done.DELETED]
    assert rows(site, "SELECT * FROM person") == []
    assert entry_of(site, "person", "a").flags & 1
    assert chief.done is Done.CREATED


def test_a_cascade_is_captured_as_the_applications_own_would_be(database):
    with made(database, CASCADING) as site:
        write(site, "parent", insert({"name": "p"}, "p"))
        write(site, "child", insert({"parent": "p"}, "c"))
        (gone,) = write(site, "parent", delete("p"))
        assert gone.done is Done.DELETED
        with site.ledger.write():
            assert stamp(site.ledger) == 1
        assert entry_of(site, "child", "c").flags & 1
        assert sound(site)


def test_natural_and_derived_keys_are_made_of_the_content(site):
    write(site, "person", insert({"name": "Ann"}, "ann"))
    (place,) = write(site, "place", insert({"code": "x", "name": "X"}))
    assert place.key == "x"
    (member,) = write(site, "member", insert({"person": "ann", "club": "chess", "since": "2020"}))
    assert member.done is Done.CREATED
    (same,) = write(site, "member", update(member.key, {"person": "ann", "club": "chess", "since": "2021"}))
    assert (same.done, same.content) == (Done.UPDATED, {"since": "2021"})
    (other,) = write(site, "place", update("x", {"code": "y"}))
    (without,) = write(site, "place", insert({"name": "Z"}))
    assert (other.refusal.reason, without.refusal.reason) == (Reason.KEY, Reason.KEY)


def test_a_deleted_natural_key_comes_back_as_an_edit_that_saw_the_deletion(site):
    write(site, "place", insert({"code": "x", "name": "X"}), delete("x"))
    (again,) = write(site, "place", insert({"code": "x", "name": "again"}))
    assert (again.done, again.content) == (Done.CREATED, {"name": "again"})
    assert sound(site)


def test_an_insert_takes_the_integer_it_is_given_where_that_is_free(site):
    one, two = write(site, "person", insert({"id": 70, "name": "A"}), insert({"name": "B"}, local=70))
    assert one.local == 70
    assert two.done is Done.REFUSED or two.local != 70


def test_what_an_edit_wrote_goes_to_other_sites_and_back(site, tmp_path):
    (ann,) = write(site, "person", insert({"name": "Ann"}))
    write(site, "visit", insert({"person": ann.key, "note": "n"}))
    with tallystick.open(tmp_path / "other.db", create=True) as other:
        site.sync(other)
        assert rows(other, "SELECT p.name, v.note FROM visit v JOIN person p ON p.id=v.person") == [("Ann", "n")]
        write(other, "person", update(ann.key, {"state": "there"}))
        site.sync(other)
        assert rows(site, "SELECT state FROM person") == [("there",)]
        assert site.verify(other, deep=True).agree


def test_an_edit_supersedes_what_the_row_showed_and_nothing_that_waits_for_a_decision(site, tmp_path):
    (ann,) = write(site, "person", insert({"name": "Ann"}))
    with tallystick.open(tmp_path / "other.db", create=True) as other:
        site.sync(other)
        write(site, "person", update(ann.key, {"state": "here"}))
        write(other, "person", update(ann.key, {"state": "there"}))
        site.sync(other, Plan(policies={"": Policy(conflict=FieldPolicy(Resolution.ASK))}))
        write(site, "person", update(ann.key, {"state": "later"}))
        (conflict,) = site.conflicts()
        assert {version.content["state"] for version in conflict.versions} == {"later", "there"}


def test_managed_records_are_edited_the_same_way(site):
    with site.ledger.write():
        managed.create_resource(site.ledger, "notes")
    found = write(site, "notes", insert({"text": "a"}, "n"), update("n", {"more": 1}), insert({}, "n"), delete("none"))
    assert [item.done for item in found] == [Done.CREATED, Done.UPDATED, Done.REFUSED, Done.REFUSED]
    assert found[1].content == {"text": "a", "more": 1}
    (gone,) = write(site, "notes", delete("n"))
    assert (gone.done, gone.content) == (Done.DELETED, None)
