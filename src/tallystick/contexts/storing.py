"""Where the content of a site's contexts is kept: packs beside its database, or any store by URL (DESIGN.md 4.10)."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tallystick.content.directory import DirectoryStore
from tallystick.content.packed import PackedStore
from tallystick.errors import ConfigurationError
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.ledger import Ledger

SETTING = "contexts.store"


def store_of(ledger: Ledger) -> PackedStore:
    """The content store of a site, opened. Raises ConfigurationError or StorageError when it cannot be used."""
    return open_store(location_of(ledger))


def location_of(ledger: Ledger) -> str:
    """The directory or URL of a site's content: what was set, else beside the database.

    A PostgreSQL site has no place beside it: its content goes below the data directory of this user, which several
    server processes of one machine share. Servers on several machines need a store by URL.
    """
    chosen = ledger.meta(SETTING)
    if chosen:
        return chosen
    if isinstance(ledger.engine, SQLiteEngine):
        return f"{ledger.engine.path}.content"
    home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(home, "tallystick", "content", ledger.site)


def choose_location(ledger: Ledger, location: str) -> None:
    """Keep the content of a site elsewhere from now on. Raises ConfigurationError once there is content."""
    if "://" not in location:
        location = os.path.abspath(location)  # the site is opened from other directories, too
    if location == location_of(ledger):
        return
    if ledger.engine.query("SELECT 1 FROM tally_context_chunk LIMIT 1"):
        raise ConfigurationError(
            f"this site keeps content in {location_of(ledger)} already",
            hint="the store is chosen before the first file is stored",
        )
    open_store(location).close()
    with ledger.write():
        ledger.put_meta(SETTING, location)


def open_store(location: str) -> PackedStore:
    """The store in a directory, or behind a URL that obstore knows."""
    scheme = urlsplit(location).scheme if "://" in location else ""
    if scheme in ("", "file"):
        path = unquote(urlsplit(location).path) if scheme else location
        return DirectoryStore(Path(path).absolute())
    from tallystick.content.bucket import BucketStore, bucket_of

    return BucketStore(bucket_of(location), cache_of(location))


def cache_of(location: str) -> Path:
    """The file of this machine that remembers what stands in a bucket; it may be lost."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "tallystick" / "content" / f"{sha256(location.encode()).hexdigest()[:32]}.db"
