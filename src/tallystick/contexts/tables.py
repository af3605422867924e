"""The tables of contexts beside the ledger of a site (DESIGN.md 4.10).

``tally_context``: one row a context; its records are those of the managed resource ``contexts/<id>``.
``tally_context_chunk``: the chunks that a context holds or has been sent: it sees no others.
``tally_staged``: pages of an upload that is not published yet. ``tally_history``: what was replaced or removed.
``tally_expired``: keys that recycle rules took. ``tally_publication``: what was published under a name of its own, so
that whoever lost the answer can ask. ``tally_unpublished``: chunks that a context with a quota was sent, and that no
publication has referred to yet.
"""

from __future__ import annotations

STEPS = (
    (
        "CREATE TABLE tally_context (id {text} PRIMARY KEY, name {text} NOT NULL UNIQUE, created {int} NOT NULL, "
        "used {int} NOT NULL, files {int} NOT NULL DEFAULT 0, bytes {int} NOT NULL DEFAULT 0, "
        "quota_files {int}, quota_bytes {int}, rules {text} NOT NULL DEFAULT '')",
        "CREATE TABLE tally_context_chunk (context {int} NOT NULL, hash {blob} NOT NULL, length {int} NOT NULL, "
        "at {int} NOT NULL, PRIMARY KEY (context, hash))",
        "CREATE TABLE tally_staged (context {int} NOT NULL, run {text} NOT NULL, page {int} NOT NULL, "
        "at {int} NOT NULL, body {blob} NOT NULL, PRIMARY KEY (context, run, page))",
        "CREATE TABLE tally_history (context {int} NOT NULL, version {int} NOT NULL, key {text} NOT NULL, "
        "at {int} NOT NULL, content {blob} NOT NULL, PRIMARY KEY (context, version, key))",
        "CREATE INDEX tally_history_key ON tally_history (context, key)",
        "CREATE INDEX tally_history_at ON tally_history (at)",
        "CREATE TABLE tally_expired (context {int} NOT NULL, key {text} NOT NULL, at {int} NOT NULL, "
        "PRIMARY KEY (context, key))",
    ),
    ("DELETE FROM tally_staged",),  # pages are columns now; an upload that is under way begins again
    (
        "CREATE TABLE tally_publication (context {int} NOT NULL, run {text} NOT NULL, version {text} NOT NULL, "
        "at {int} NOT NULL, PRIMARY KEY (context, run))",
    ),
    (
        "CREATE TABLE tally_unpublished (context {int} NOT NULL, hash {blob} NOT NULL, length {int} NOT NULL, "
        "PRIMARY KEY (context, hash))",
    ),
    (
        "ALTER TABLE tally_staged ADD COLUMN changes {int} NOT NULL DEFAULT 0",
        "ALTER TABLE tally_history ADD COLUMN size {int} NOT NULL DEFAULT 0",  # older rows count nothing for 30 days
        "CREATE INDEX tally_history_size ON tally_history (context, version, size)",
    ),
)
"""Formats of the tables, for ``Ledger.require``."""

ROOM = "contexts"
