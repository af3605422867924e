"""The thread that delivers to all webhooks of a site, each at its own pace: one that hangs delays no other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tallystick.site.ledger import Ledger
from tallystick.streams.hints import Hints, watch
from tallystick.streams.webhook_delivery import Posted, deliver_next, posted, prepare, settled
from tallystick.streams.webhooks import Secrets, webhooks

_IDLE_S = 2.0
_AT_ONCE = 16
"""Deliveries that are posted at the same time."""
_log = logging.getLogger("tallystick.webhooks")


class WebhookRunner:
    """See the module. Several processes may run one each."""

    def __init__(self, opening: Callable[[], Ledger], secrets: Callable[[Ledger], Secrets]) -> None:
        """``opening`` opens the site for the thread alone."""
        self._opening, self._secrets = opening, secrets
        self._closing = threading.Event()
        self._hints: Hints | None = None
        self._under_way: dict[int, Future[Posted]] = {}
        self._posting = ThreadPoolExecutor(_AT_ONCE, "tally-webhook")
        self._thread = threading.Thread(target=self._run, name="tally-webhooks", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def once(self) -> None:
        """Deliver what is due, in this thread."""
        ledger = self._opening()
        try:
            secrets = self._secrets(ledger)
            more = True
            while more:
                due = [item for item in webhooks(ledger) if item.due <= ledger.now()]
                more = sum(deliver_next(ledger, secrets, item) for item in due) > 0
        finally:
            ledger.engine.close()

    def close(self) -> None:
        """End; deliveries under way end first. Idempotent."""
        self._closing.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join()
        self._posting.shutdown()

    def _wake(self) -> None:
        if self._hints is not None:
            self._hints.wake()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                ledger = self._opening()
                try:
                    self._serve(ledger)
                finally:
                    if self._hints is not None:
                        self._hints.close()
                        self._hints = None
                    ledger.engine.close()
            except Exception:
                _log.exception("delivering to webhooks is interrupted")
                self._closing.wait(_IDLE_S)

    def _serve(self, ledger: Ledger) -> None:
        secrets = self._secrets(ledger)
        while not self._closing.is_set():
            ledger.engine.check_in_place()
            self._settle(ledger)
            if not any(item.enabled for item in webhooks(ledger)):
                self._closing.wait(_IDLE_S)
                continue
            if self._hints is None:
                self._hints = watch(ledger.engine)
            self._hints.wait(self._deliver(ledger, secrets))
        for delivery in self._under_way.values():
            delivery.result()
        self._settle(ledger)

    def _settle(self, ledger: Ledger) -> None:
        """Note what became of deliveries that were answered."""
        for number in [number for number, delivery in self._under_way.items() if delivery.done()]:
            settled(ledger, self._under_way.pop(number).result())

    def _deliver(self, ledger: Ledger, secrets: Secrets) -> float:
        """Post to every webhook that is due. Returns the seconds until the next one is."""
        now, pause = ledger.now(), _IDLE_S
        for item in webhooks(ledger):
            if item.id in self._under_way or not item.enabled:
                continue
            if item.due > now:
                pause = min(pause, max((item.due - now) / 1000, 0.05))
            elif (prepared := prepare(ledger, secrets, item)) is not None:
                self._under_way[item.id] = delivery = self._posting.submit(posted, prepared)
                delivery.add_done_callback(lambda _: self._wake())
        return pause
