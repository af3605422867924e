"""The URLs of the protocol and what their parameters say (spec: sections 4.1, 5 and 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, quote

from tallystick.core.policies import Method, Resolution
from tallystick.protocols.eden.codec.elements import STATE
from tallystick.protocols.eden.codec.filters import Filter, format_filter, parse_filters
from tallystick.protocols.eden.codec.times import format_time, parse_msince
from tallystick.protocols.eden.deciding import parse_resolution
from tallystick.protocols.eden.errors import DocumentError

_PARAMETERS = 500

# Ours, active --------------------------------------------------------------------------------------------------


def pull_url(
    base: str,
    table: str,
    repository: str,
    *,
    msince: datetime | None = None,
    components: bool = True,
    filters: Sequence[Filter] = (),
    state: str | None = None,
) -> str:
    """The URL of a pull, parameters in the order in which real Eden sends them.

    ``state`` is what the peer's last answer gave, if it is a Tallystick site; other sites never see the parameter.
    """
    url = f"{base}/sync/sync.xml?resource={table}&repository={repository}"
    if msince is not None:
        url += f"&msince={format_time(msince)}"
    if not components:
        url += "&mcomponents=None"
    url += "&include_deleted=True" + "".join(f"&{format_filter(one)}" for one in filters)
    return url if state is None else f"{url}&{STATE}={quote(state)}"


def push_url(
    base: str,
    table: str,
    repository: str,
    *,
    strategy: frozenset[Method],
    update: Resolution,
    conflict: Resolution,
    msince: datetime | None = None,
) -> str:
    """The URL of a push.

    ``/sync/sync.xml`` drops strategy and policies, so anything but the defaults goes to the table's own endpoint. The
    policies are written from our viewpoint; the receiver exchanges THIS and OTHER (section 9.5).
    """
    words = ",".join(method.value for method in Method if method in strategy)
    query = f"strategy={words}&update_policy={update.name}&conflict_policy={conflict.name}"
    if msince is not None:
        query += f"&msince={format_time(msince)}"
    if update is Resolution.NEWER and strategy == frozenset(Method):
        return f"{base}/sync/sync.xml?resource={table}&repository={repository}&{query}"
    return f"{table_url(base, table)}/sync.xml?repository={repository}&{query}"


def register_url(base: str) -> str:
    """Where to register."""
    return f"{base}/sync/repository/register.json"


def table_url(base: str, table: str) -> str:
    """``{base}/{prefix}/{name}`` of a table."""
    prefix, _, name = table.partition("_")
    return f"{base}/{prefix}/{name}"


# Theirs, passive -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SyncQuery:
    """What the query of a sync or REST URL says. ``msince`` was checked, the policies are still the sender's view."""

    resource: str | None
    repository: str | None
    msince: datetime | None
    strategy: frozenset[Method]
    update: Resolution | None
    conflict: Resolution | None
    components: bool
    component_names: tuple[str, ...] | None
    include_deleted: bool
    start: int | None
    limit: int | None
    ignore_errors: bool
    show_ids: bool
    filters: tuple[Filter, ...]
    state: str | None
    parameters: tuple[tuple[str, str], ...]


def parse_query(query: str, *, rest: bool = False) -> SyncQuery:
    """The parameters of a raw query string, brackets literal or percent-encoded.

    ``rest`` reads it as plain REST does: filters without brackets, ``mcomponents``. Raises TimeFormatError for an
    ``msince`` in any other form than the exact one, and DocumentError for numbers that are none.
    """
    try:
        pairs = tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=_PARAMETERS))
    except ValueError:
        raise DocumentError(f"more than {_PARAMETERS} parameters in the URL") from None
    given = dict(reversed(pairs))
    components = given.get("mcomponents") if rest else None
    return SyncQuery(
        given.get("resource"),
        given.get("repository") or None,
        parse_msince(given["msince"]) if given.get("msince") else None,
        parse_strategy(given.get("strategy")),
        parse_resolution(given.get("update_policy")),
        parse_resolution(given.get("conflict_policy")),
        "None" not in (components, given.get("components")),
        tuple(components.split(",")) if components and components != "None" else None,
        given.get("include_deleted", "").lower() in ("true", "1"),
        _number(given, "start"),
        _number(given, "limit"),
        "ignore_errors" in given,
        given.get("show_ids", "").lower() in ("true", "1"),
        parse_filters(pairs, bare=rest),
        given.get(STATE),
        pairs,
    )


def parse_strategy(text: str | None) -> frozenset[Method]:
    """The methods in a comma list; unknown words are dropped, nothing at all means every method."""
    if text is None:
        return frozenset(Method)
    words = {word.strip().lower() for word in text.split(",")}
    return frozenset(method for method in Method if method.value in words)


def _number(given: dict[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise DocumentError(f"{name}={text} is no number")
    return int(text)
