"""A site of this machine as the engine sees a provider: the same messages, without a network between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.requests import Request
from starlette.responses import Response as Answer

from tallystick.protocols.native.pool import Pool
from tallystick.protocols.sdata.codec.kinds import Contract
from tallystick.protocols.sdata.provider.application import Dataset, Provider
from tallystick.protocols.sdata.site.store import PRIORITY, SiteStore
from tallystick.protocols.sdata.transport import Response

APPLICATION, DATASET = "tallystick", "-"


class DirectTransport:
    """Carries requests to a site's own provider. ``spelling`` is the contract of the other end."""

    def __init__(self, pool: Pool, spelling: Contract | None = None, *, priority: int = PRIORITY) -> None:
        with pool.borrowed() as replica:
            base = f"http://{replica.ledger.site}.tallystick.invalid/sdata"
        name = (spelling.name if spelling is not None else "") or "site"
        namespace = spelling.namespace if spelling is not None else "urn:tallystick:contract:site"
        self.dataset = f"{base}/{APPLICATION}/{name}/{DATASET}"
        self.store = SiteStore(pool, self.dataset, name, namespace, priority=priority, spelling=spelling)
        self._provider = Provider(base, [Dataset(APPLICATION, name, DATASET, self.store)])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sdata-direct", daemon=True)
        self._thread.start()

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """See `Transport.request`."""
        scope = _scope(method, url, headers)
        answer: Answer = asyncio.run_coroutine_threadsafe(self._answer(scope, body), self._loop).result()
        return Response(answer.status_code, dict(answer.headers), bytes(answer.body))

    async def _answer(self, scope: dict[str, Any], body: bytes) -> Answer:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        return await self._provider.respond(Request(scope, receive))

    def close(self) -> None:
        """Wait for the jobs in hand and end."""
        self._provider.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _scope(method: str, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "type": "http",
        "method": method,
        "scheme": parts.scheme,
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": (parts.hostname, 80),
    }
