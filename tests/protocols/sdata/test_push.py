from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tallystick.errors import PeerUnreachable
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.engine import run_pass
from tallystick.protocols.sdata.push import immediate_feed, push
from tallystick.protocols.sdata.remote_jobs import Patience, Remote, Run
from tallystick.protocols.sdata.transport import HttpTransport

NAMESPACE = "http://schemas.example/crm/1"
RUN = Run("push", "2026-03-02T09:30:00Z")


def create(server: Any, name: str) -> bytes:
    kind = server.store.contract.kind("accounts")
    resource, _ = server.store.create(
        kind, Payload("account", NAMESPACE, {"name": name}, f"00000000-0000-4000-8000-{len(name):012d}")
    )
    return immediate_feed(server.accounts, "accounts", server.store.digest(kind), resource)


def names(server: Any) -> list[str]:
    shelf = server.store.shelf(server.store.contract.kind("accounts"))
    return sorted(found.payload.fields["name"] for found in shelf.by_key.values())


def test_a_change_is_pushed_to_every_target_and_needs_no_pass(loopback: Callable[..., Any]) -> None:
    source, one, two = loopback("source"), loopback("one"), loopback("two")
    transports = [HttpTransport(server.root) for server in (one, two)]
    targets = [Remote(server.accounts, carrier) for server, carrier in zip((one, two), transports, strict=True)]
    for name in ("a", "bb", "ccc"):
        found = push(targets, create(source, name), RUN)
        assert [(pushed.status, pushed.catch_up) for pushed in found] == [(200, False)] * 2
    assert names(one) == names(two) == ["a", "bb", "ccc"]
    kind = one.store.contract.kind("accounts")
    assert one.store.digest(kind).tick(source.accounts) == 4
    assert len(one.store._jobs) == 0
    for carrier in transports:
        carrier.close()


def test_a_gap_is_left_to_a_catch_up_pass_which_closes_it(loopback: Callable[..., Any]) -> None:
    source, target = loopback("source"), loopback("target")
    to_source, to_target = HttpTransport(source.root), HttpTransport(target.root)
    create(source, "a")
    (pushed,) = push([Remote(target.accounts, to_target)], create(source, "bb"), RUN)
    assert (pushed.status, pushed.catch_up) == (400, True)
    assert "tick 2" in pushed.problem
    assert names(target) == []
    run_pass(Remote(source.accounts, to_source), Remote(target.accounts, to_target), RUN)
    assert names(target) == ["a", "bb"]
    (pushed,) = push([Remote(target.accounts, to_target)], create(source, "ccc"), RUN)
    assert (pushed.status, pushed.catch_up) == (200, False)
    to_source.close()
    to_target.close()


def test_a_target_that_cannot_be_reached_keeps_no_other_from_getting_it(loopback: Callable[..., Any]) -> None:
    source, target = loopback("source"), loopback("target")

    class Dead:
        def request(self, *_: Any) -> Any:
            raise PeerUnreachable("nobody there")

        def close(self) -> None:
            return

    carrier = HttpTransport(target.root)
    dead = Remote("http://dead/accounts", Dead(), Patience(tries=1))
    found = push([dead, Remote(target.accounts, carrier)], create(source, "a"), RUN)
    assert [(pushed.status, pushed.catch_up) for pushed in found] == [(0, True), (200, False)]
    assert names(target) == ["a"]
    carrier.close()
