from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.engine import run_pass
from tallystick.protocols.sdata.errors import PassStopped
from tallystick.protocols.sdata.linking import (
    Candidate,
    Certainty,
    Match,
    candidates,
    link,
    normalized,
    propose,
)
from tallystick.protocols.sdata.provider import Settings
from tallystick.protocols.sdata.remote_jobs import Remote, Run
from tallystick.protocols.sdata.transport import HttpTransport

NAMESPACE = "http://schemas.example/crm/1"
U1 = "3b9f6a52-1c8d-4e07-a5f4-60d2c7e9138b"
U2 = "71c5e8d2-a03f-4c96-9b27-e8d450f1a63b"


def candidate(key: str, *values: str, uuid: str = "") -> Candidate:
    return Candidate(key, f"http://x/accounts('{key}')", uuid, key, values)


def pairs(first: list[Candidate], second: list[Candidate]) -> list[tuple[str, str, str]]:
    return [(match.certainty.value, match.first.key, match.second.key) for match in propose(first, second).matches]


@pytest.mark.parametrize(
    ("one", "other"), (("Ann@X.org", "ann@x.ORG"), ("Café  Müller", "cafe muller"), ("Straße", "STRASSE"), ("ﬁ", "fi"))
)
def test_writing_it_differently_makes_no_difference(one: str, other: str) -> None:
    assert normalized(one) == normalized(other)


def test_exact_matches_come_before_normalized_ones() -> None:
    first = [candidate("1", "ann@x"), candidate("2", "BOB@x"), candidate("3", "none")]
    second = [candidate("a", "bob@x"), candidate("b", "ann@x"), candidate("c", "ANN@x")]
    assert pairs(first, second) == [("exact", "1", "b"), ("normalized", "2", "a")]


def test_what_is_linked_already_is_a_pair_whatever_it_is_called() -> None:
    assert pairs([candidate("1", "x", uuid=U1)], [candidate("a", "y", uuid=U1)]) == [("linked", "1", "a")]


def test_values_that_several_share_are_left_to_people() -> None:
    first = [candidate("1", "info@x"), candidate("2", "info@x"), candidate("3", "y")]
    found = propose(first, [candidate("a", "info@x"), candidate("b", "y")])
    assert [match.first.key for match in found.matches] == ["3"]
    assert ("info@x",) in found.ambiguous


def test_nothing_matches_nothing() -> None:
    assert pairs([candidate("1", "")], [candidate("a", "")]) == []
    assert pairs([candidate("1", "x", "")], [candidate("a", "x", "")]) == []


def test_several_properties_must_all_match() -> None:
    assert pairs([candidate("1", "x", "y")], [candidate("a", "x", "z")]) == []
    assert pairs([candidate("1", "x", "y")], [candidate("a", "x", "y")]) == [("exact", "1", "a")]


def test_a_resource_is_in_one_pair_at_most() -> None:
    found = pairs([candidate("1", "a"), candidate("2", "A")], [candidate("x", "a")])
    assert found == [("exact", "1", "x")]


@pytest.fixture
def ends(loopback: Callable[..., Any]) -> Iterator[list[tuple[Any, Remote]]]:
    servers = [loopback(name, settings=Settings(page_size=2, largest_page=2)) for name in ("books", "shop")]
    carriers = [HttpTransport(server.root) for server in servers]
    yield [(server, Remote(server.accounts, carrier)) for server, carrier in zip(servers, carriers, strict=True)]
    for carrier in carriers:
        carrier.close()


def create(server: Any, name: str, uuid: str = "") -> None:
    server.store.create(server.store.contract.kind("accounts"), Payload("account", NAMESPACE, {"name": name}, uuid))


def uuid_of(server: Any, key: str) -> str:
    found: str = server.store.resource(server.store.contract.kind("accounts"), key).uuid
    return found


def test_pairs_are_linked_at_both_ends_and_then_synchronize_as_one(ends: list[tuple[Any, Remote]]) -> None:
    (one, first), (two, second) = ends
    for name in ("Oakfield", "Brightwater", "Only here"):
        create(one, name)
    for name in ("BRIGHTWATER", "Oakfield", "Only there"):
        create(two, name)
    found = propose(candidates(first, ["name"]), candidates(second, ["name"]))
    assert [match.certainty for match in found.matches] == [Certainty.EXACT, Certainty.NORMALIZED]
    for match in found.matches:
        link(first, second, match)
    assert uuid_of(one, "1") == uuid_of(two, "2") != ""
    assert uuid_of(one, "2") == uuid_of(two, "1") != ""
    assert uuid_of(one, "3") == uuid_of(two, "3") == ""
    run_pass(first, second, Run("after", "1"))
    kind = two.store.contract.kind("accounts")
    assert len(two.store.shelf(kind).by_key) == 4
    again = propose(candidates(first, ["name"]), candidates(second, ["name"]))
    assert [match.certainty for match in again.matches][:2] == [Certainty.LINKED] * 2


def test_the_uuid_that_is_there_is_shared(ends: list[tuple[Any, Remote]]) -> None:
    (one, first), (two, second) = ends
    create(one, "x", U1)
    create(two, "x")
    (match,) = propose(candidates(first, ["name"]), candidates(second, ["name"])).matches
    assert link(first, second, match) == U1
    assert uuid_of(two, "1") == U1


@pytest.mark.parametrize(("winner", "kept"), (("first", U1), ("second", U2)))
def test_where_both_are_linked_differently_somebody_has_to_win(
    ends: list[tuple[Any, Remote]], winner: str, kept: str
) -> None:
    (one, first), (two, second) = ends
    create(one, "x", U1)
    create(two, "x", U2)
    (match,) = propose(candidates(first, ["name"]), candidates(second, ["name"])).matches
    assert match.contradicted
    with pytest.raises(PassStopped, match="linked to"):
        link(first, second, match)
    assert (uuid_of(one, "1"), uuid_of(two, "1")) == (U1, U2)
    assert link(first, second, match, winner=winner) == kept
    assert uuid_of(one, "1") == uuid_of(two, "1") == kept


def test_a_property_that_an_end_lacks_is_said_to_be_missing(ends: list[tuple[Any, Remote]]) -> None:
    with pytest.raises(PassStopped, match="no property 'email'"):
        list(candidates(ends[0][1], ["email"]))


def test_a_pair_says_whether_it_contradicts_itself() -> None:
    assert not Match(Certainty.EXACT, candidate("1", uuid=U1), candidate("2")).contradicted
