"""Trees by name: directories here, contexts of served sites by URL, buckets; and pairs of them with a memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from tallystick.contexts.keys import normal
from tallystick.errors import ConfigurationError
from tallystick.trees.ends import TreeEnd
from tallystick.trees.opening import OpenedPair, memory_of, open_directories, open_pair
from tallystick.trees.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tallystick.contexts.host import ContextHost
    from tallystick.contexts.watching import ContextWatch

T = TypeVar("T")
PLACE = "/contexts/"
BUCKETS = ("s3", "gs", "gcs", "az", "azure", "abfs", "abfss", "adl")
PUBLISHING_ATTEMPTS = 8
"""How often a run starts again because somebody else has published meanwhile (spec contexts C1)."""


def is_remote_tree(name: str) -> bool:
    """True for the URL of a context at a served site, or of a bucket."""
    scheme, mark, rest = name.partition("://")
    if not mark:
        return False
    return scheme in BUCKETS or (scheme in ("http", "https") and PLACE in f"/{rest.partition('/')[2]}")


def is_bucket(name: str) -> bool:
    """True for the URL of a bucket."""
    return name.partition("://")[0] in BUCKETS


def open_end(name: str, clock: Callable[[], int], *, password: str | None = None, create: bool = False) -> TreeEnd:
    """The tree of a name: a context by ``https://host/contexts/NAME[/PREFIX]``, a bucket, else a directory.

    ``create`` lets a context that is not there be made. Raises ConfigurationError for what cannot be a tree.
    """
    if not is_remote_tree(name):
        from tallystick.trees.directory import DirectoryEnd

        return DirectoryEnd(os.path.realpath(name), clock)
    from tallystick.contexts.end import ContextEnd

    place = place_of(name, password)
    return ContextEnd(place.opening(), place.context, place.prefix, create=create or is_bucket(name))


class RemotePlace(NamedTuple):
    """A tree elsewhere: what makes its host, the name of its context, and the prefix of its keys."""

    opening: Callable[[], ContextHost]
    context: str
    prefix: str = ""


def place_of(name: str, password: str | None = None) -> RemotePlace:
    """Where the tree of a URL is. Raises ConfigurationError."""
    if is_bucket(name):
        from tallystick.contexts.bucket import BucketHost, bucket_name

        return RemotePlace(lambda: BucketHost(name), bucket_name(name))
    from tallystick.contexts.http.client import RemoteHost

    site, context, prefix = parts_of(name)
    return RemotePlace(lambda: RemoteHost(site, password=password), context, prefix)


def parts_of(url: str) -> tuple[str, str, str]:
    """The site, the name of the context and the prefix in a context's URL. Raises ConfigurationError."""
    parts = urlsplit(url)
    before, _, after = parts.path.partition(PLACE)
    context, _, prefix = after.partition("/")
    if not context or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{url[:200]!r} names no context",
            hint="write it like https://host/contexts/NAME or .../contexts/NAME/FOLDER",
        )
    site = parts._replace(path=f"{before}/").geturl()
    return site, unquote(context), normal(unquote(f"/{prefix}")) if prefix else ""


def open_trees(
    first: str,
    second: str,
    state: Path | None,
    clock: Callable[[], int],
    *,
    create: bool = True,
    password: str | None = None,
) -> OpenedPair:
    """Any two trees as a pair; its memory is found by both names, in whatever order. Raises ConfigurationError.

    Without ``create`` empty directories stand for trees that are not there and never were synchronized.
    """
    names = [first, second]
    if not any(map(is_remote_tree, names)):
        return open_directories(first, second, state, create=create, clock=clock)
    plain = [shown(name) if is_remote_tree(name) else os.path.realpath(name) for name in names]
    memory = memory_of(plain, state)
    for name in names:
        if create and not is_remote_tree(name) and not os.path.isdir(name) and not State(memory).has_roots():
            os.makedirs(name, exist_ok=True)  # one that was synchronized before and has vanished stays so (G3)
    ends = [open_end(name, clock, password=password, create=create) for name in names]
    turned = is_remote_tree(first) and (not is_remote_tree(second) or plain[0] > plain[1])
    stand_in = None
    if not create and not State(memory).has_roots():
        stand_in = _stood_in(ends, clock)
        memory = memory if stand_in is None else Path(stand_in, "memory.db")
    opened = open_pair(ends[0], ends[1], memory, turned=turned, clock=clock)
    opened.stand_in = stand_in
    return opened


def _stood_in(ends: list[TreeEnd], clock: Callable[[], int]) -> str | None:
    """Put empty directories in the place of ends that are not there; gives what holds them, None for nothing."""
    import tempfile

    from tallystick.contexts.problems import ContextNotFound
    from tallystick.trees.directory import DirectoryEnd
    from tallystick.trees.problems import RootMissing

    place = None
    for position, end in enumerate(ends):
        try:
            end.identity()
        except (ContextNotFound, RootMissing):
            end.close()
            place = place or tempfile.mkdtemp(prefix="tallystick-")
            root = os.path.join(place, str(position))
            os.mkdir(root)
            ends[position] = DirectoryEnd(root, clock)
    return place


def watches(names: Iterable[str], password: str | None) -> list[ContextWatch]:
    """What hears changes of those of the names that are trees elsewhere."""
    from tallystick.contexts.watching import ContextWatch

    places = [place_of(name, password) for name in names if is_remote_tree(name)]
    return [ContextWatch(place.opening, place.context) for place in places]


def again_while_moved(run: Callable[[], T], wait: Callable[[float], None]) -> T:
    """What a run gives, begun again with the newer version when somebody else has published meanwhile (C1)."""
    from random import uniform

    from tallystick.content.problems import HeadMoved
    from tallystick.contexts.problems import VersionMoved

    for attempt in range(PUBLISHING_ATTEMPTS - 1):
        try:
            return run()
        except (VersionMoved, HeadMoved):
            wait(0.05 * 2**attempt * uniform(0.5, 1.0))
    return run()


def shown(url: str) -> str:
    """A URL without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
