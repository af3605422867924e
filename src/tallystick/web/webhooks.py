"""Webhooks of a served site are delivered while it is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tallystick.jobs.credentials import Credentials
from tallystick.protocols.native.pool import Pool
from tallystick.site.ledger import Ledger
from tallystick.streams.webhook_delivery import WebhookRunner


def webhook_runner(opening: Callable[[], Ledger]) -> WebhookRunner:
    """What delivers to the webhooks of a site, in a thread of its own, once it is started."""
    return WebhookRunner(opening, Credentials)


@asynccontextmanager
async def delivering(pool: Pool) -> AsyncIterator[None]:
    """Deliver to the site's webhooks for as long as the ``async with`` lasts."""
    runner = webhook_runner(lambda: pool.take().ledger)
    runner.start()
    try:
        yield
    finally:
        await asyncio.get_running_loop().run_in_executor(None, runner.close)
