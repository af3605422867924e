"""The contexts of a served site, for its threads: each host is used by one at a time."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tallystick.contexts.host import SignedURL
from tallystick.contexts.http.signing import VALID_S, signed_path
from tallystick.contexts.local import LocalHost
from tallystick.errors import StorageReplaced, TallystickError
from tallystick.protocols.native.pool import Pool
from tallystick.site.ledger import Ledger
from tallystick.sync.local import LocalReplica

KEPT = 4
CACHE_KIB = 2048
"""What each host keeps of the database in memory: several are at work for one upload, and none reads a page twice."""
SECRET = "contexts.signing"


class Hosts:
    """Open hosts of one site. ``clock`` gives Unix seconds."""

    def __init__(self, pool: Pool, clock: Callable[[], float] = time.time) -> None:
        self.pool = pool
        self.clock = clock
        self._idle: list[tuple[LocalReplica, LocalHost]] = []
        self._lock = threading.Lock()
        self._closed = False
        self._secret = b""

    @contextmanager
    def borrowed(self) -> Iterator[LocalHost]:
        """A host for the calling thread alone."""
        replica, host = self._take()
        try:
            yield host
        except TallystickError:
            self._give(replica, host)
            raise
        except BaseException:
            host.close()
            replica.close()
            raise
        else:
            self._give(replica, host)

    def _take(self) -> tuple[LocalReplica, LocalHost]:
        kept = self._kept()
        if kept is not None:
            return kept
        replica = self.pool.take()
        try:
            replica.ledger.engine.limit_cache(CACHE_KIB)
            return replica, LocalHost(replica.ledger, replica.name, signer=self._sign, writing=self.pool.writing)
        except BaseException:
            replica.close()
            raise

    def _kept(self) -> tuple[LocalReplica, LocalHost] | None:
        """One that is idle, if its database is still the one that is at the site's address."""
        while True:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            if kept is None:
                return None
            replica, host = kept
            try:
                replica.ledger.engine.check_in_place()
                return kept
            except StorageReplaced:
                host.close()
                replica.close()

    def _give(self, replica: LocalReplica, host: LocalHost) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < KEPT:
                self._idle.append((replica, host))
                return
        host.close()
        replica.close()

    def close(self) -> None:
        """Close what is idle, and later what is given back. Idempotent."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for replica, host in idle:
            host.close()
            replica.close()

    # Signing ----------------------------------------------------------------------------------------------------------

    def secret(self, ledger: Ledger) -> bytes:
        """What the site signs URLs with: made once, the same in every process that serves the site."""
        if not self._secret:
            stored = ledger.meta(SECRET)
            if not stored:
                with ledger.write():
                    stored = ledger.meta(SECRET) or secrets.token_hex(32)
                    ledger.put_meta(SECRET, stored)
            self._secret = bytes.fromhex(stored)
        return self._secret

    def _sign(self, host: LocalHost, identifier: str, key: str, method: str) -> SignedURL:
        expires = int(self.clock()) + VALID_S
        return SignedURL(signed_path(self.secret(host.ledger), method, identifier, key, expires), expires)
