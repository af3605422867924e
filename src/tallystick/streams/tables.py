"""The tables that streams keep beside the ledger."""

from __future__ import annotations

from tallystick.site.ledger import Ledger

STEPS = (
    (
        "CREATE TABLE tally_stream_scope (name {text} PRIMARY KEY, resources {text} NOT NULL, filter {text} NOT NULL)",
        "CREATE TABLE tally_stream_gone (resource {text} NOT NULL, seq {int} NOT NULL, key {text} NOT NULL, "
        "at {int} NOT NULL, PRIMARY KEY (resource, seq))",
        "CREATE TABLE tally_stream_horizon (resource {text} PRIMARY KEY, complete {int} NOT NULL, "
        "horizon {int} NOT NULL)",
        "CREATE TABLE tally_stream_parked (id {int} PRIMARY KEY, consumer {text} NOT NULL, resource {text} NOT NULL, "
        "key {text} NOT NULL, callback {text} NOT NULL, reason {text} NOT NULL, seq {int} NOT NULL, at {int} NOT NULL)",
        "CREATE UNIQUE INDEX tally_stream_parked_record ON tally_stream_parked (consumer, resource, key)",
        "CREATE TABLE tally_webhook (id {int} PRIMARY KEY, url {text} NOT NULL, resources {text} NOT NULL, "
        "state {text} NOT NULL, failures {int} NOT NULL, due {int} NOT NULL, "
        "lease {int} NOT NULL, since {int} NOT NULL, content {int} NOT NULL)",
        "CREATE TABLE tally_webhook_log (id {int} PRIMARY KEY, webhook {int} NOT NULL, at {int} NOT NULL, "
        "delivery {text} NOT NULL, changes {int} NOT NULL, status {int} NOT NULL, took {int} NOT NULL, "
        "note {text} NOT NULL)",
        "CREATE INDEX tally_webhook_log_webhook ON tally_webhook_log (webhook, id)",
    ),
)


def require(ledger: Ledger) -> None:
    """See to it that the tables are there."""
    ledger.require("streams", STEPS)
