"""Streams: each record once, in order, with a state to continue from behind every change."""

import asyncio
import threading

import pytest

import tallystick
from tallystick.errors import FilterError, SchemaError, UsageError
from tallystick.streams.hints import Signal


def keys(changes):
    return [change.key for change in changes]


def people(place):
    return place.site.resource("person")


def test_everything_comes_first_then_what_changed(place):
    place.put("a")
    place.put("b")
    changes = people(place).changes()
    assert keys(changes) == ["a", "b"]
    place.put("a", age=7)
    (change,) = people(place).changes(changes.state)
    assert (change.key, change.content["age"], change.deleted, change.new) == ("a", 7, False, False)


def test_a_deletion_comes_without_content(place):
    place.put("a")
    state = people(place).state
    place.delete("a")
    (change,) = people(place).changes(state)
    assert (change.key, change.deleted, change.content, change.hash) == ("a", True, None, b"")


def test_what_was_deleted_before_the_beginning_is_not_told(place):
    place.put("a")
    place.site.state()
    place.delete("a")
    assert keys(people(place).changes()) == []


def test_a_record_that_changed_often_comes_once(place):
    state = people(place).state
    for age in range(5):
        place.put("often", age=age)
    (change,) = people(place).changes(state)
    assert change.content["age"] == 4
    assert change.new


def test_a_record_that_comes_back_after_its_deletion_is_new_again(place):
    place.put("back")
    before = people(place).state
    place.delete("back")
    gone = people(place).state
    place.put("back", age=7)
    for state in (before, gone):
        (change,) = people(place).changes(state)
        assert (change.new, change.born, change.content["age"]) == (True, True, 7)


def test_with_nothing_new_the_state_is_the_identical_text(place):
    place.put("a")
    changes = people(place).changes()
    list(changes)
    again = people(place).changes(changes.state)
    assert list(again) == []
    assert again.state == changes.state == people(place).state == people(place).state


def test_changes_elsewhere_leave_the_state_of_a_resource_alone(place):
    state = people(place).state
    place.put("t", table="town")
    assert people(place).state == state
    changes = people(place).changes(state)
    assert list(changes) == []
    assert changes.state == state


def test_every_change_carries_a_state_that_continues_behind_it(place):
    for key in "abcde":
        place.put(key)
    for position, change in enumerate(people(place).changes()):
        assert keys(people(place).changes(change.state)) == list("abcde"[position + 1 :])


def test_the_site_tells_of_all_resources_in_the_order_of_commits(place):
    place.put("a")
    place.site.state()
    place.put("t", table="town")
    place.site.state()
    place.put("b")
    changes = place.site.changes()
    assert [(change.resource, change.key) for change in changes] == [("person", "a"), ("town", "t"), ("person", "b")]
    place.put("u", table="town")
    assert keys(place.site.changes(changes.state)) == ["u"]


def test_a_table_tracked_later_joins_the_stream_of_the_site(place):
    state = place.site.state()
    place.execute("CREATE TABLE pet (id VARCHAR(20) PRIMARY KEY)")
    place.execute("INSERT INTO pet VALUES ('rex')")
    place.site.track("pet")
    assert keys(place.site.changes(state)) == ["rex"]


@pytest.mark.parametrize("most", (1, 2, 3, 4))
def test_max_changes_says_truly_whether_there_is_more(place, most):
    for key in "abc":
        place.put(key)
    changes = people(place).changes(max_changes=most)
    assert keys(changes) == list("abc"[:most])
    assert changes.has_more == (most < 3)
    assert keys(people(place).changes(changes.state)) == list("abc"[most:])


@pytest.mark.parametrize("most", (0, -1, "3", 2.5))
def test_a_page_of_nothing_is_refused(place, most):
    with pytest.raises(UsageError, match="can deliver nothing"):
        people(place).changes(max_changes=most)


def test_another_way_back_than_the_difference_is_refused(place):
    with pytest.raises(UsageError, match="resync='all' is unknown"):
        people(place).changes(resync="all")


def test_many_changes_are_read_in_many_batches(place):
    place.execute("BEGIN")
    for number in range(3000):
        place.put(f"{number:04}")
    place.execute("COMMIT")
    found = keys(people(place).changes())
    assert len(found) == len(set(found)) == 3000


def test_a_record_marked_again_meanwhile_waits_for_its_next_turn(place):
    place.put("a", age=1)
    changes = people(place).changes()
    place.put("a", age=2)
    assert keys(changes) == []
    (change,) = people(place).changes(changes.state)
    assert change.content["age"] == 2


def test_names_may_be_those_of_tables_and_unknown_ones_are_refused(place):
    with pytest.raises(SchemaError, match="nowhere"):
        place.site.changes(None, "nowhere")


def test_a_filter_is_part_of_the_scope_and_leaving_it_is_told(place):
    place.put("a", age=1)
    place.put("b", age=9)
    changes = people(place).changes(where="age gt 5")
    assert keys(changes) == ["b"]
    place.put("a", age=8)
    place.put("b", age=2)
    told = {
        change.key: (change.deleted, change.left) for change in people(place).changes(changes.state, where="age gt 5")
    }
    assert told == {"a": (False, False), "b": (True, True)}


def test_a_bad_filter_is_named(place):
    with pytest.raises(FilterError):
        people(place).changes(where="age gt")
    with pytest.raises(UsageError):
        place.site.changes(where="age gt 5")


def test_async_for_gives_the_same(place):
    for key in "abc":
        place.put(key)

    async def gathered():
        return [change.key async for change in people(place).changes(max_changes=2)]

    assert asyncio.run(gathered()) == ["a", "b"]


def test_following_goes_on_with_what_comes(place):
    place.put("a")
    found = []
    for change in people(place).changes(follow=True):
        found.append(change.key)
        if change.key == "a":
            place.put("b")
        if change.key == "b":
            break
    assert found == ["a", "b"]


def test_following_ends_with_max_changes(place):
    place.put("a")
    place.put("b")
    assert keys(people(place).changes(follow=True, max_changes=2)) == ["a", "b"]


def test_following_can_be_closed_by_another_thread(place):
    changes = people(place).changes(follow=True)
    timer = threading.Timer(0.2, changes.close)
    timer.start()
    assert list(changes) == []
    timer.join()


def test_following_misses_nothing_where_every_hint_is_lost(place):
    changes = people(place).changes(follow=True, hints=Signal())
    place.put("a")
    assert next(changes).key == "a"
    place.put("b")
    assert next(changes).key == "b"
    changes.close()


def test_following_asynchronously_is_woken(place):
    async def first():
        async for change in people(place).changes(people(place).state, follow=True):
            return change.key

    async def run():
        waiting = asyncio.create_task(first())
        await asyncio.sleep(0.2)
        place.another()  # a second site at the same database changes nothing
        place.put("z")
        return await asyncio.wait_for(waiting, 20)

    assert asyncio.run(run()) == "z"


def test_following_a_resource_that_is_untracked_ends_and_says_so(place):
    with tallystick.open(place.url) as other:
        changes = other.resource("person").changes(follow=True)
        place.put("a")
        assert next(changes).key == "a"
        place.site.untrack("person")
        with pytest.raises(SchemaError, match="person"):
            next(changes)
