from __future__ import annotations

from tallystick.protocols.sdata.codec.payloads import Collection, Payload
from tallystick.protocols.sdata.merging import merged

U1 = "3b9f6a52-1c8d-4e07-a5f4-60d2c7e9138b"
U2 = "71c5e8d2-a03f-4c96-9b27-e8d450f1a63b"


def account(**fields: object) -> Payload:
    return Payload("account", fields=dict(fields), uuid=U1)  # type: ignore[arg-type]


def child(uuid: str, **fields: str) -> Payload:
    return Payload("address", fields=dict(fields), uuid=uuid)


def children(payload: Payload) -> list[Payload]:
    found = payload.fields["addresses"]
    assert isinstance(found, Collection)
    return list(found.items)


def test_absent_fields_stay_and_null_ones_become_null() -> None:
    assert merged(account(a="1", b="2"), account(b=None, c="3")).fields == {"a": "1", "b": None, "c": "3"}


def test_what_arrives_first_is_taken_as_it_is_without_its_deleted_children() -> None:
    first = merged(None, account(addresses=Collection((child(U1), Payload("address", uuid=U2, deleted=True)))))
    assert [found.uuid for found in children(first)] == [U1]


def test_children_are_matched_by_uuid_and_their_own_fields_merged() -> None:
    held = account(addresses=Collection((child(U1, city="Leiden", zip="1"), child(U2, city="Delft"))))
    found = children(merged(held, account(addresses=Collection((child(U1, city="Gouda"),)))))
    assert found == [child(U1, city="Gouda", zip="1"), child(U2, city="Delft")]


def test_a_whole_list_drops_what_it_does_not_name() -> None:
    held = account(addresses=Collection((child(U1), child(U2), Payload("address", fields={"city": "no uuid"}))))
    found = children(merged(held, account(addresses=Collection((child(U2),), delete_missing=True))))
    assert [one.uuid for one in found] == [U2]


def test_a_deleted_child_goes_and_a_new_one_comes() -> None:
    held = account(addresses=Collection((child(U1),)))
    gone = Payload("address", uuid=U1, deleted=True)
    assert children(merged(held, account(addresses=Collection((gone, child(U2)))))) == [child(U2)]


def test_a_child_without_uuid_is_a_new_one() -> None:
    held = account(addresses=Collection((child(U1),)))
    found = children(merged(held, account(addresses=Collection((child("", city="x"),)))))
    assert found == [child(U1), child("", city="x")]


def test_a_list_of_plain_values_takes_the_place_of_the_former_one() -> None:
    def tags(*texts: str) -> Payload:
        return account(tags=Collection(tuple(Payload("tag", text=text) for text in texts)))

    assert merged(tags("a", "b"), tags("b", "c")) == tags("b", "c")


def test_the_uuid_that_is_there_stays_when_none_is_sent() -> None:
    assert merged(account(), Payload("account", fields={"a": "1"})).uuid == U1


def test_merging_twice_is_merging_once() -> None:
    change = account(a="2", addresses=Collection((child(U1, city="x"), Payload("address", uuid=U2, deleted=True))))
    once = merged(account(a="1", addresses=Collection((child(U2),))), change)
    assert merged(once, change) == once
