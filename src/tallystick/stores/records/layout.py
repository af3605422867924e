"""Names and tables: the resources that objects are kept in, and what stands beside the ledger."""

from __future__ import annotations

ROOM = "stores"

DIRECTORY = "stores.directory"
"""The resource of companies, users, groups and stores."""

STEPS = (
    (
        "CREATE TABLE tally_stores_object (id {int} PRIMARY KEY, entry {int} NOT NULL, key {text} NOT NULL, "
        "object {int} NOT NULL, parent {int} NOT NULL, store {int} NOT NULL, soft {int} NOT NULL, "
        "associated {int} NOT NULL, is_read {int} NOT NULL, delivered {int}, name {text} NOT NULL, "
        "resource {int} NOT NULL, body {text} NOT NULL, digest {int} NOT NULL)",
        "CREATE UNIQUE INDEX tally_stores_object_key ON tally_stores_object (key)",
        "CREATE INDEX tally_stores_object_place ON tally_stores_object (parent, object, soft, associated, id)",
        "CREATE INDEX tally_stores_object_name ON tally_stores_object (parent, name) WHERE object > 1",
        "CREATE INDEX tally_stores_object_unread ON tally_stores_object (parent, soft, associated) "
        "WHERE object = 1 AND is_read = 0",
        "CREATE INDEX tally_stores_object_delivered ON tally_stores_object (delivered) "
        "WHERE object = 1 AND soft = 0 AND associated = 0",
        "CREATE INDEX tally_stores_object_body ON tally_stores_object (body) WHERE body <> ''",
        "CREATE TABLE tally_stores_change (id {int} PRIMARY KEY, parent {int} NOT NULL, key {text} NOT NULL, "
        "object {int} NOT NULL, record {int} NOT NULL, store {int} NOT NULL, created {int} NOT NULL, "
        "content {int} NOT NULL, flagged {int} NOT NULL, soft {int} NOT NULL, hard {int} NOT NULL, "
        "detail {int} NOT NULL, latest {int} NOT NULL)",
        "CREATE UNIQUE INDEX tally_stores_change_key ON tally_stores_change (key, parent)",
        "CREATE INDEX tally_stores_change_parent ON tally_stores_change (parent, latest)",
        "CREATE INDEX tally_stores_change_latest ON tally_stores_change (latest) WHERE object <= 2",
        "CREATE INDEX tally_stores_change_place ON tally_stores_change (record) WHERE object = 2",
        "CREATE INDEX tally_stores_change_folder ON tally_stores_change (latest) WHERE object = 2",
        "CREATE INDEX tally_stores_change_other ON tally_stores_change (latest) WHERE object >= 3",
        "CREATE TABLE tally_stores_waiting (resource {int} NOT NULL, key {text} NOT NULL, above {text} NOT NULL, "
        "PRIMARY KEY (resource, key))",
        "CREATE INDEX tally_stores_waiting_above ON tally_stores_waiting (above)",
        "CREATE TABLE tally_stores_counter (name {text} PRIMARY KEY, value {int} NOT NULL)",
        "INSERT INTO tally_stores_counter (name, value) VALUES ('observed', 0)",
        "CREATE TABLE tally_stores_sync (id {int} PRIMARY KEY, scope {int} NOT NULL, subject {int} NOT NULL, "
        "done {int} NOT NULL, completed {int} NOT NULL, restricted {int} NOT NULL)",
        "CREATE TABLE tally_stores_remembered (sync {int} NOT NULL, seq {int} NOT NULL, position {int} NOT NULL, "
        "entries {blob} NOT NULL, PRIMARY KEY (sync, seq, position))",
        "CREATE TABLE tally_stores_parked (id {int} PRIMARY KEY, sync {int} NOT NULL, scope {int} NOT NULL, "
        "seq {int} NOT NULL, key {text} NOT NULL, kind {int} NOT NULL, message {text} NOT NULL, at {int} NOT NULL)",
        "CREATE INDEX tally_stores_parked_scope ON tally_stores_parked (scope, id)",
        "CREATE TABLE tally_stores_imported (source {text} NOT NULL, place {text} NOT NULL, uid {text} NOT NULL, "
        "item {int} NOT NULL, flags {text} NOT NULL, digest {blob} NOT NULL, PRIMARY KEY (source, place, uid))",
        "CREATE TABLE tally_stores_note (name {text} PRIMARY KEY, content {blob} NOT NULL)",
    ),
)
"""See ``Ledger.require``. ``object`` holds what there is, ``change`` what happened; ``waiting`` names records that came
from another site before the folder they are in."""


def items_of(store: str) -> str:
    """The resource of the folders and items of the store with this key."""
    return f"stores.{store}.items"


def bodies_of(store: str) -> str:
    """The resource of their bulk parts."""
    return f"stores.{store}.bodies"


def store_in(wire: str) -> str:
    """The key of the store whose items a resource holds; empty for any other resource."""
    parts = wire.split(".")
    return parts[1] if len(parts) == 3 and parts[0] == ROOM and parts[2] == "items" else ""
