"""Contents of one folder and of the whole server, behaviour by behaviour as a live server was observed to do it."""

import re
from datetime import datetime, timedelta

import pytest

from tallystick.compat import kopano
from tallystick.compat.kopano import SYNC_NEW_MESSAGE
from tallystick.compat.MAPI.Struct import (
    MAPIErrorCollision,
    MAPIErrorDiskError,
    MAPIErrorInvalidParameter,
    MAPIErrorNoAccess,
    MAPIErrorNoSupport,
)
from tallystick.stores.states import State, parse_state

NEW = SYNC_NEW_MESSAGE


def number(state):
    return parse_state(bytes.fromhex(state)).seq


def registration(state):
    return parse_state(bytes.fromhex(state)).sync


def create(folder, *subjects, **properties):
    return [folder.create_item(subject=subject, **properties) for subject in subjects]


# states and unrestricted synchronizations --------------------------------------------------------------------------


def test_every_reading_of_a_state_is_a_registration_of_its_own(folder, server):
    one, other, whole = folder.state, folder.state, server.state
    assert registration(one) < registration(other) < registration(whole)
    assert number(one) == number(other)
    assert number(one) > 0


def test_a_state_is_sixteen_upper_case_hexadecimal_digits(folder, told):
    assert re.fullmatch("[0-9A-F]{16}", folder.state)
    assert re.fullmatch("[0-9A-F]{16}", told(folder)[1])


def test_an_initial_synchronization_tells_everything_newest_first(folder, told):
    create(folder, "A", "B", "C")
    events, state = told(folder)
    assert events == [("U", "C", NEW), ("U", "B", NEW), ("U", "A", NEW)]
    assert told(folder, state) == ([], state)


@pytest.mark.parametrize("initial", ("", "0000000000000000", b"0000000000000000", None))
def test_these_all_mean_from_the_beginning(folder, told, initial):
    create(folder, "A")
    assert told(folder, initial)[0] == [("U", "A", NEW)]


def test_what_is_new_comes_ascending(folder, told):
    state = folder.state
    create(folder, "A", "B", "C")
    assert told(folder, state)[0] == [("U", "A", NEW), ("U", "B", NEW), ("U", "C", NEW)]


def test_a_state_may_be_given_in_lower_case_and_as_bytes(folder, told):
    state = folder.state
    create(folder, "A")
    assert told(folder, state.lower())[0] == told(folder, state.encode())[0] == [("U", "A", NEW)]


def test_an_old_state_tells_everything_since_again_and_again(folder, told):
    state = folder.state
    create(folder, "A")
    assert told(folder, state)[0] == told(folder, state)[0] == [("U", "A", NEW)]


def test_two_saves_are_one_update_that_shows_the_last(folder, told):
    (a,) = create(folder, "A")
    state = folder.state
    a.subject = "A2"
    a.subject = "A3"
    assert told(folder, state)[0] == [("U", "A3", 0)]


@pytest.mark.parametrize("values", ((False,), (False, True, False), (True, False)))
def test_read_flags_are_told_once_with_the_last_value(folder, told, values):
    (a,) = create(folder, "A")
    state = folder.state
    for value in values:
        a.read = value
    assert told(folder, state)[0] == [("R", a.sourcekey, False)]


def test_a_flag_set_to_what_it_is_is_no_change(folder, told):
    (a,) = create(folder, "A")
    state = folder.state
    a.read = True
    assert told(folder, state) == ([], state)


@pytest.mark.parametrize("flag_first", (True, False))
def test_a_flag_beside_a_save_is_only_an_update(folder, told, flag_first):
    (a,) = create(folder, "A")
    state = folder.state
    if flag_first:
        a.read = False
    a.subject = "A2"
    if not flag_first:
        a.read = False
    assert told(folder, state)[0] == [("U", "A2", 0)]


def test_a_flag_before_a_deletion_is_only_a_deletion(folder, told):
    (a,) = create(folder, "A")
    state = folder.state
    key = a.sourcekey
    a.read = False
    folder.delete(a)
    assert told(folder, state)[0] == [("D", key, 0)]


@pytest.mark.parametrize(("soft", "flags"), ((False, 0), (True, 1)))
def test_what_came_and_went_is_told_as_gone(folder, told, soft, flags):
    state = folder.state
    (d,) = create(folder, "D")
    key = d.sourcekey
    folder.delete(d, soft=soft)
    assert told(folder, state)[0] == [("D", key, flags)]


def test_a_recoverable_deletion_made_final_is_told_twice(folder, told):
    (c,) = create(folder, "C")
    key = c.sourcekey
    state = folder.state
    c.subject = "C2"
    folder.delete(c, soft=True)
    events, state = told(folder, state)
    assert events == [("D", key, 1)]
    folder.delete(list(folder.deleted.items()))
    assert told(folder, state)[0] == [("D", key, 0)]


def test_updates_come_first_then_soft_then_hard_deletions_then_flags(folder, told):
    a, b, g = create(folder, "A", "B", "G")
    state = folder.state
    keys = [a.sourcekey, b.sourcekey, g.sourcekey]
    b.read = False
    create(folder, "E")
    folder.delete(a)
    g.subject = "G2"
    create(folder, "H")
    folder.delete(g, soft=True)
    expected = [("U", "E", NEW), ("U", "H", NEW), ("D", keys[2], 1), ("D", keys[0], 0), ("R", keys[1], False)]
    assert told(folder, state)[0] == expected


def test_a_move_is_a_hard_deletion_here_and_a_new_identity_there(store, folder, told):
    other = store.create_folder("f2")
    (h,) = create(folder, "H")
    here, there, key, address, searchkey = folder.state, other.state, h.sourcekey, h.entryid, h.searchkey
    moved = folder.move(h, other)[0]
    assert told(folder, here)[0] == [("D", key, 0)]
    assert told(other, there)[0] == [("U", "H", NEW)]
    assert moved.sourcekey != key
    assert moved.entryid != address
    assert moved.searchkey == searchkey


def test_moved_back_it_has_yet_another_identity(store, folder, told):
    other = store.create_folder("f2")
    (h,) = create(folder, "H")
    first = h.sourcekey
    second = folder.move(h, other)[0]
    key, here, there = second.sourcekey, folder.state, other.state
    third = other.move(second, folder)[0]
    assert told(folder, here)[0] == [("U", "H", NEW)]
    assert told(other, there)[0] == [("D", key, 0)]
    assert len({first, key, third.sourcekey}) == 3


def test_a_restored_item_is_new_under_another_key(folder, told):
    (k,) = create(folder, "K")
    key = k.sourcekey
    folder.delete(k, soft=True)
    state = folder.state
    back = folder.restore(list(folder.deleted.items()))[0]
    assert told(folder, state)[0] == [("U", "K", NEW)]
    assert back.sourcekey != key


def test_a_subfolder_moves_the_state_without_events(folder, told):
    state = folder.state
    folder.create_folder("sub")
    events, new = told(folder, state)
    assert events == []
    assert new != state
    assert registration(new) == registration(state)


def test_hidden_items_are_told_only_when_asked_for(folder, told):
    state = folder.state
    folder.associated.create_item(subject="FAI")
    assert told(folder, state)[0] == []
    assert told(folder, state, associated=True)[0] == [("U", "FAI", 0x810)]


def test_deletions_of_hidden_items_are_told_to_everybody(folder, told):
    hidden = folder.associated.create_item(subject="FAI")
    key, state = hidden.sourcekey, folder.state
    folder.associated.delete(hidden)
    assert told(folder, state)[0] == [("D", key, 0)]


def test_the_state_of_the_hidden_items_can_be_followed(folder, told):
    hidden = folder.associated.create_item(subject="FAI")
    state = folder.associated.state
    create(folder, "A")
    hidden.subject = "FAI2"
    assert told(folder.associated, state)[0] == [("U", "FAI2", 0x10)]


# what callback objects carry ---------------------------------------------------------------------------------------


def test_an_updated_item_carries_everything(folder, recorder):
    (a,) = create(folder, "A")
    importer = recorder()
    folder.sync(importer)
    (item,) = importer.objects
    assert (item.sourcekey, item.entryid, item.store, item.folder) == (a.sourcekey, a.entryid, folder.store, folder)
    assert item.server is folder.server
    assert item.docid == a.docid
    assert isinstance(item.docid, int)
    assert item.storeid == folder.store.guid
    assert importer.store == folder.store


def test_a_deleted_item_carries_who_it_was_and_where(server, folder, recorder):
    (a,) = create(folder, "A")
    key, address, docid = a.sourcekey, a.entryid, a.docid
    for scope, store in ((folder, folder.store), (server, None)):
        state = scope.state
        (b,) = create(folder, "B")
        key, address, docid = b.sourcekey, b.entryid, b.docid
        folder.delete(b)
        importer = recorder()
        scope.sync(importer, state)
        (gone,) = importer.objects
        assert (gone.sourcekey, gone.entryid, gone.docid, gone.server) == (key, address, docid, server)
        assert (gone.folder, gone.store, gone.parent_sourcekey) == (folder, folder.store, folder.sourcekey)
        assert not hasattr(gone, "subject")
        assert importer.store == store


def test_a_deleted_item_of_a_deleted_folder_still_tells_which(server, folder, recorder):
    create(folder, "A")
    state, key = server.state, folder.sourcekey
    folder.parent.delete(folder)
    importer = recorder()
    server.sync(importer, state)
    assert [gone.parent_sourcekey for gone in importer.objects] == [key]
    with pytest.raises(kopano.NotFoundError):
        importer.objects[0].folder  # noqa: B018


def test_a_read_item_is_the_item(server, folder, recorder):
    (a,) = create(folder, "A")
    for scope in (folder, server):
        state = scope.state
        a.read = not a.read
        importer = recorder()
        scope.sync(importer, state)
        assert (importer.objects[0].entryid, importer.objects[0].subject) == (a.entryid, "A")


class Slotted:
    __slots__ = ("seen",)

    def update(self, item, flags):
        self.seen = item.subject


class Nothing:
    pass


def test_importers_need_no_attributes_and_no_methods(folder):
    (a,) = create(folder, "A")
    importer, state = Slotted(), folder.state
    folder.sync(importer)
    assert importer.seen == "A"
    folder.delete(a)
    assert folder.sync(Nothing(), state) != state


# windows -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def windowed(store):
    folder = store.create_folder("w")
    for subject, days in (("A1", 1), ("B5", 5), ("C9", 9)):
        folder.create_item(subject=subject, received=ago(days))
    folder.create_item(subject="Dnone")
    return folder


def ago(days):
    return datetime.now() - timedelta(days=days)


def named(folder):
    return {item.subject: item for item in folder.items()}


def shown(events, names):
    """Events with subjects for keys."""
    return [(kind, names.get(what, what), how) for kind, what, how in events]


def test_a_window_slides_grows_and_ends_as_observed(windowed, told):
    keys = {item.sourcekey: item.subject for item in windowed.items()}
    items = named(windowed)
    events, state = told(windowed, begin=ago(7))
    assert events == [("U", "B5", NEW), ("U", "A1", NEW)]
    assert told(windowed, state, begin=ago(7)) == ([], state)

    items["A1"].subject = "A1"
    items["B5"].read = False
    create(windowed, "E2", received=ago(2))
    keys[named(windowed)["E2"].sourcekey] = "E2"
    events, state = told(windowed, state, begin=ago(7))
    assert shown(events, keys) == [("U", "E2", NEW), ("U", "A1", 0), ("R", "B5", False)]

    events, smaller = told(windowed, state, begin=ago(3))
    assert shown(events, keys) == [("D", "B5", 0)]
    assert number(smaller) == number(state) + 1

    events, state = told(windowed, smaller, begin=ago(10))
    assert shown(events, keys) == [("U", "C9", NEW), ("U", "B5", NEW)]

    windowed.delete(items["A1"])
    items["C9"].subject = "C9"
    events, state = told(windowed, state, begin=ago(10))
    assert shown(events, keys) == [("U", "C9", 0), ("D", "A1", 0)]

    events, state = told(windowed, state)
    assert events == [("U", "Dnone", NEW)]
    assert told(windowed, state) == ([], state)

    events, state = told(windowed, state, begin=ago(3))
    assert shown(events, keys) == [("D", "Dnone", 0), ("D", "C9", 0), ("D", "B5", 0)]


def test_a_window_in_seconds_wins_over_begin(windowed, told):
    assert told(windowed, window=2 * 86400)[0] == [("U", "A1", NEW)]
    assert told(windowed, window=2 * 86400, begin=ago(10))[0] == [("U", "A1", NEW)]


def test_a_window_is_half_open(store, told):
    folder = store.create_folder("w")
    for second in range(4):
        folder.create_item(subject=str(second), received=datetime(2024, 5, 1, 12, 0, second))
    events = told(folder, begin=datetime(2024, 5, 1, 12, 0, 1), end=datetime(2024, 5, 1, 12, 0, 3, 999999))[0]
    assert events == [("U", "2", NEW), ("U", "1", NEW)]


def test_a_window_that_admits_nothing_is_remembered(windowed, told):
    events, state = told(windowed, begin=datetime(2099, 1, 1))
    assert events == []
    assert len(state) == 16
    windowed.create_item(subject="Z0", received=ago(0))
    assert told(windowed, state, begin=ago(3))[0] == [("U", "Z0", NEW), ("U", "A1", NEW)]


def test_old_states_of_a_window_can_be_gone_back_to(store, told):
    windowed = store.create_folder("w")
    create(windowed, "A1", "B5", received=ago(1))
    states = [told(windowed, begin=ago(20))[1]]
    for step in range(14):
        create(windowed, f"n{step}", received=ago(1))
        states.append(told(windowed, states[-1], begin=ago(20))[1])
    for back in (1, 6, 9, 12, 14):
        expected = [("U", f"n{step}", NEW) for step in reversed(range(14 - back, 14))]
        assert told(windowed, states[-1 - back], begin=ago(20))[0] == expected


def test_a_window_begun_later_loses_nothing_when_asked_to(tmp_path, recorder):
    with kopano.server(server_socket=str(tmp_path / "other.db"), lossless=True) as server:
        folder = server.create_user("anna").store.create_folder("w")
        near, far, gone = (
            folder.create_item(subject=subject, received=ago(days))
            for subject, days in (("near", 1), ("far", 9), ("x", 1))
        )
        state, keys = folder.state, (near.sourcekey, far.sourcekey, gone.sourcekey)
        near.subject = "near2"
        far.subject = "far2"
        folder.delete(gone)
        importer = recorder()
        folder.sync(importer, state, begin=ago(3))
        assert importer.told == [("U", "near2", 0), ("D", keys[1], 0), ("D", keys[2], 0)]


# max_changes ---------------------------------------------------------------------------------------------------------


def test_max_changes_gives_a_longer_state_to_continue_from(folder, told, caplog):
    state = folder.state
    items = create(folder, *(f"p{n}" for n in range(5)))
    events, partial = told(folder, state, max_changes=2)
    assert events == [("U", "p0", NEW), ("U", "p1", NEW)]
    assert len(partial) > 16
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert any(str(len(partial) // 2) in message for message in errors)

    events, second = told(folder, partial, max_changes=2)
    assert events == [("U", "p2", NEW), ("U", "p3", NEW)]

    key = items[0].sourcekey
    folder.delete(items[0])
    items[1].subject = "p1b"
    create(folder, "p5")
    events, complete = told(folder, partial)
    assert [*events] == [("U", f"p{n}", NEW) for n in (2, 3, 4)] + [("U", "p1b", 0), ("U", "p5", NEW), ("D", key, 0)]
    assert len(complete) == 16
    assert told(folder, complete) == ([], complete)
    assert len(second) == len(partial)


def test_deletions_and_flags_come_with_the_last_page(folder, told):
    (a,) = create(folder, "A")
    state = folder.state
    q0, *_ = create(folder, "q0", "q1", "q2")
    key = q0.sourcekey
    a.read = False
    folder.delete(q0)
    events, state = told(folder, state, max_changes=1)
    assert events == [("U", "q1", NEW)]
    events, state = told(folder, state, max_changes=1)
    assert events == [("U", "q2", NEW), ("D", key, 0), ("R", a.sourcekey, False)]
    assert len(state) == 16


@pytest.mark.parametrize("window", ({}, {"begin": datetime(2020, 1, 1)}))
def test_an_initial_synchronization_can_be_taken_in_pages(folder, told, window):
    create(folder, *(f"p{n}" for n in range(7)), received=ago(2))
    seen, state, sizes = [], None, set()
    for _ in range(4):
        events, state = told(folder, state, max_changes=2, **window)
        assert len(events) <= 2
        seen += [subject for _, subject, _ in events]
        sizes.add(len(state))
    assert seen == [f"p{n}" for n in reversed(range(7))]
    assert told(folder, state, **window) == ([], state)
    assert len(sizes) == 2


# states of something else ------------------------------------------------------------------------------------------


def test_a_lost_registration_goes_on_from_its_number(server, folder, told, caplog):
    (a,) = create(folder, "A")
    key, state = a.sourcekey, folder.state
    create(folder, "B")
    folder.delete(a)
    server.records.expire(2**40)
    events, new = told(folder, state)
    assert events == [("U", "B", NEW), ("D", key, 0)]
    assert registration(new) > registration(state)
    assert any(record.levelname == "WARNING" for record in caplog.records)


def test_a_lost_registration_of_a_partial_state_goes_on_too(server, folder, told):
    state = folder.state
    create(folder, "A", "B", "C")
    _, partial = told(folder, state, max_changes=1)
    server.records.expire(2**40)
    assert told(folder, partial)[0] == [("U", "B", NEW), ("U", "C", NEW)]


def test_a_registration_that_never_was_is_refused(folder, told):
    with pytest.raises(MAPIErrorDiskError) as caught:
        told(folder, State(999999, 0).raw().hex())
    assert caught.value.hr == 0x80040116


def test_a_state_made_by_hand_goes_on_from_its_number(server, folder, told):
    create(folder, "A")
    middle = server.records.top(folder.hierarchyid)
    create(folder, "B")
    events, state = told(folder, State(0, middle).raw().hex())
    assert events == [("U", "B", NEW)]
    assert registration(state) > 0


def test_a_number_from_the_future_falls_back_to_now(folder, told):
    create(folder, "A")
    events, state = told(folder, State(0, 4_000_000_000).raw().hex())
    assert events == []
    assert number(state) < 1000
    create(folder, "B")
    assert told(folder, state)[0] == [("U", "B", NEW)]


def test_a_state_of_another_folder_is_refused(store, folder, told):
    with pytest.raises(MAPIErrorCollision):
        told(store.create_folder("g"), folder.state)


def test_contents_and_hierarchy_do_not_take_each_others_states(folder, told):
    with pytest.raises(MAPIErrorCollision) as caught:
        folder.sync_hierarchy(object(), folder.state)
    assert caught.value.hr == 0x80040604
    with pytest.raises(MAPIErrorCollision):
        told(folder, folder.sync_hierarchy(object()))


def test_what_is_no_state_is_refused(folder, told):
    with pytest.raises(MAPIErrorInvalidParameter) as caught:
        told(folder, "0102")
    assert caught.value.hr == 0x80070057
    with pytest.raises(ValueError, match=r"hexadecimal|digit"):
        told(folder, "no state at all!")


def test_states_and_identifiers_can_be_base64(folder, told):
    state = folder.state
    (a,) = create(folder, "A")
    raw = bytes.fromhex(a.entryid)
    kopano.set_bin_encoding("base64")
    try:
        assert len(folder.state) == 12
        events, new = told(folder)
        assert events == [("U", "A", NEW)]
        assert told(folder, new) == ([], new)
        assert folder.item(a.entryid) == a
        assert len(a.entryid) < len(raw.hex())
    finally:
        kopano.set_bin_encoding("hex")
    assert told(folder, state)[0] == [("U", "A", NEW)]
    with pytest.raises(kopano.ArgumentError):
        kopano.set_bin_encoding("rot13")


# the whole server --------------------------------------------------------------------------------------------------


def test_the_server_tells_of_all_stores(server, store, told):
    other = server.create_user("user2").store
    public = server.create_public_store()
    state = server.state
    create(store.inbox, "1")
    create(other.inbox, "2")
    create(public.create_folder("p"), "3")
    assert told(server, state)[0] == [("U", "1", NEW), ("U", "2", NEW), ("U", "3", NEW)]


def test_in_the_server_a_move_is_told_as_arrival_then_departure(server, store, folder, told):
    (h,) = create(folder, "H")
    key, state = h.sourcekey, server.state
    folder.move(h, store.inbox)
    assert told(server, state)[0] == [("U", "H", NEW), ("D", key, 0)]


def test_the_server_state_stays_while_nothing_happens_and_moves_with_folders(server, store, told):
    state = server.state
    assert told(server, state) == ([], state)
    store.create_folder("another")
    events, new = told(server, state)
    assert (events, new != state) == ([], True)


def test_the_server_needs_a_state(server, told):
    for initial in ("", "0" * 16):
        with pytest.raises(MAPIErrorNoSupport):
            told(server, initial)
    with pytest.raises(TypeError):
        told(server, None)


def test_only_administrators_follow_the_server(server, store):
    with kopano.server(server_socket=server.server_socket, auth_user="user1") as plain:
        with pytest.raises(MAPIErrorNoAccess) as caught:
            plain.state  # noqa: B018
        assert caught.value.hr == 0x80070005
    server.user("user1").admin = True
    with kopano.server(server_socket=server.server_socket, auth_user="user1") as plain:
        assert plain.state


def test_a_deleted_folder_tree_is_told_item_by_item(server, store, told):
    top = store.create_folder("top")
    below = top.create_folder("below")
    keys = {item.sourcekey for item in (*create(top, "a"), *create(below, "b"))}
    (before,) = create(below, "c")
    keys.add(before.sourcekey)
    below.delete(before, soft=True)
    state = server.state
    store.delete(top)
    events = told(server, state)[0]
    assert {key for _, key, _ in events} == keys
    assert {(kind, flags) for kind, _, flags in events} == {("D", 0)}


def test_a_window_restricts_the_server_too(server, store, told):
    near, far = (store.inbox.create_item(subject=s, received=ago(d)) for s, d in (("near", 1), ("far", 9)))
    state = server.state
    near.subject = "near2"
    far.subject = "far2"
    store.inbox.create_item(subject="older", received=ago(30))
    store.inbox.create_item(subject="newer", received=ago(0))
    events, state = told(server, state, begin=ago(5))
    assert events == [("U", "near2", 0), ("U", "newer", NEW), ("D", far.sourcekey, 0)]
    assert told(server, state, begin=ago(5)) == ([], state)
    events, state = told(server, state, begin=ago(10))
    assert events == [("U", "far2", NEW)]
    events, state = told(server, state, begin=ago(10), end=ago(3))
    assert {key for _, key, _ in events} == {near.sourcekey, named(store.inbox)["newer"].sourcekey}
    store.inbox.create_item(subject="never delivered")
    events, state = told(server, state)
    assert {subject for _, subject, _ in events} == {"older", "newer", "near2", "never delivered"}
    assert told(server, state) == ([], state)
