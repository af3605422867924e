"""What tells others of changes while a site is served: deliveries to webhooks, hints to a carrier."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tallystick.jobs.credentials import Credentials
from tallystick.protocols.native.pool import Pool
from tallystick.site.ledger import Ledger
from tallystick.streams.carriers import Carrier, carrier
from tallystick.streams.telling import HintTelling
from tallystick.streams.webhook_runner import WebhookRunner


def webhook_runner(opening: Callable[[], Ledger]) -> WebhookRunner:
    """What delivers to the webhooks of a site, in a thread of its own, once it is started."""
    return WebhookRunner(opening, Credentials)


def carrier_of(pool: Pool, url: str) -> Carrier:
    """The carrier at ``url`` for the site that a pool is of. Raises ConfigurationError when it cannot be reached."""
    with pool.borrowed() as replica:
        return carrier(url, replica.ledger.site)


@asynccontextmanager
async def delivering(pool: Pool, told: Carrier | None = None) -> AsyncIterator[None]:
    """Deliver to the site's webhooks, and tell a carrier of changes, for as long as the ``async with`` lasts."""

    def opening() -> Ledger:
        return pool.take().ledger

    runners: list[WebhookRunner | HintTelling] = [webhook_runner(opening)]
    if told is not None:
        runners.append(HintTelling(opening, told))
    for runner in runners:
        runner.start()
    try:
        yield
    finally:
        loop = asyncio.get_running_loop()
        for runner in runners:
            await loop.run_in_executor(None, runner.close)
        if told is not None:
            await loop.run_in_executor(None, told.close)
