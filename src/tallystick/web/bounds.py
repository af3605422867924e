"""What a server refuses before anybody looks at a request: sizes of its head, hosts that are not ours (DESIGN.md 8)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from tallystick.errors import LimitExceeded, TallystickError
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import Limits, check_most
from tallystick.protocols.native.requests import ASGIScope

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def check_head(scope: ASGIScope, limits: Limits) -> None:
    """Raise LimitExceeded when a request's address or headers are beyond the limits."""
    check_most("an address", len(scope.get("raw_path") or b"") + len(scope.get("query_string", b"")), limits.url)
    headers = scope["headers"]
    check_most("the number of headers", len(headers), limits.header_count)
    check_most("the size of the headers", sum(len(name) + len(value) for name, value in headers), limits.header_bytes)


def head_status(error: TallystickError) -> int | None:
    """The status of what ``check_head`` refuses, where it is not the usual one."""
    if not isinstance(error, LimitExceeded):
        return None
    return 414 if "address" in error.message else 431


def is_loopback(host: str) -> bool:
    """True for names and addresses of this machine that no other reaches."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_open_here(scope: ASGIScope, headers: Mapping[str, str]) -> bool:
    """True when a request comes from this machine and was meant for it: a site without users answers nothing else.

    A page in a browser of this machine may be made to send requests here by a name that points here, hence the look
    at ``Host``; and a proxy on this machine passes on what others send.
    """
    client = scope.get("client")
    if not client or not is_loopback(client[0]) or any(name in headers for name in _FORWARDED):
        return False
    return names_this_machine(scope, headers)


def names_this_machine(scope: ASGIScope, headers: Mapping[str, str]) -> bool:
    """True when the ``Host`` of a request is this machine, or is missing as HTTP/1.0 lets it be: browsers send one."""
    if "host" not in headers:
        return scope.get("http_version") == "1.0"
    return is_loopback(host_name(headers["host"]))


def check_origin(scope: ASGIScope, headers: Mapping[str, str]) -> None:
    """Refuse what a page of another site makes a browser send. Raises RequestError (foreign-origin).

    Browsers send along what they know of a site: its users' passwords, or that it answers this machine only. Reading is
    refused to such pages by the browser itself, except over a WebSocket.
    """
    if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
        return
    origin = headers.get("origin")
    foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    if origin is not None:
        foreign = foreign or origin.rpartition("://")[2].lower() != headers.get("host", "").lower()
    if foreign:
        raise RequestError(
            f"a page of {(origin or 'another site')[:200]} asked for this",
            code="foreign-origin",
            status=403,
            hint="open the page that asks from the address of the site itself, or ask from a program",
        )


def host_name(host: str) -> str:
    """The name or address in a ``Host`` header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def wrong_host(headers: Mapping[str, str]) -> RequestError:
    """The error for a request to an open site by a name that is not this machine's."""
    return RequestError(
        f"this site has no users, so it answers only its own machine, and not as {headers.get('host', '')[:200]!r}",
        code="wrong-host",
        status=421,
        hint="add a user with: tallystick users add SITE NAME",
    )


def headers_of(scope: ASGIScope) -> dict[str, str]:
    """The headers of a request, names in lower case."""
    found: list[tuple[Any, Any]] = scope["headers"]
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in found}
