"""Counters of a server, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from tallystick.protocols.native.requests import Reply

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class Metrics:
    """The counters of one application; further ones may be registered in ``registry``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("tallystick_requests", "Requests answered", ("verb", "status"), registry=self.registry)
        self._bytes = Counter("tallystick_body_bytes", "Bytes of bodies", ("verb", "direction"), registry=self.registry)
        self._seconds = Histogram(
            "tallystick_request_seconds", "Seconds a request took", ("verb",), registry=self.registry, buckets=_SECONDS
        )
        self._refused = Counter(
            "tallystick_refused", "Requests refused before a provider saw them", ("code",), registry=self.registry
        )

    def observe(self, verb: str, status: int, received: int, sent: int, seconds: float) -> None:
        """Count one request. Bytes are those of bodies; ``verb`` is one of a known few."""
        self._requests.labels(verb, str(status)).inc()
        self._bytes.labels(verb, "received").inc(received)
        self._bytes.labels(verb, "sent").inc(sent)
        self._seconds.labels(verb).observe(seconds)

    def refused(self, code: str) -> None:
        """Count a request that was refused before a provider saw it."""
        self._refused.labels(code).inc()

    def reply(self) -> Reply:
        """All counters as Prometheus reads them."""
        body = generate_latest(self.registry)
        return Reply(200, "text/plain; version=0.0.4; charset=utf-8", body)
