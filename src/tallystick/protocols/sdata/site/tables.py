"""The tables that SData keeps beside a site's ledger (spec 9.1), on SQLite and PostgreSQL alike."""

from __future__ import annotations

ROOM = "sdata"

STEPS = (
    (
        "CREATE TABLE tally_sdata_origin (resource {int} NOT NULL, origin {text} NOT NULL, endpoint {text} NOT NULL, "
        "url {text} NOT NULL, shift {int} NOT NULL DEFAULT 0, PRIMARY KEY (resource, origin))",
        "CREATE TABLE tally_sdata_standing (resource {int} PRIMARY KEY, standing {blob} NOT NULL)",
        "CREATE TABLE tally_sdata_link (resource {int} NOT NULL, uuid {text} NOT NULL, key {text} NOT NULL, "
        "main {int} NOT NULL, PRIMARY KEY (resource, uuid))",
        "CREATE INDEX tally_sdata_link_key ON tally_sdata_link (resource, key)",
        "CREATE TABLE tally_sdata_job (resource_kind {text} NOT NULL, kind {text} NOT NULL, id {text} NOT NULL, "
        "job {blob} NOT NULL, request {blob} NOT NULL, ended {int} NOT NULL, changed {int} NOT NULL, "
        "PRIMARY KEY (resource_kind, kind, id))",
        "CREATE TABLE tally_sdata_part (resource_kind {text} NOT NULL, kind {text} NOT NULL, id {text} NOT NULL, "
        "start {int} NOT NULL, part {blob} NOT NULL, PRIMARY KEY (resource_kind, kind, id, start))",
        "CREATE TABLE tally_sdata_dropped (resource_kind {text} NOT NULL, kind {text} NOT NULL, id {text} NOT NULL, "
        "at {int} NOT NULL, PRIMARY KEY (resource_kind, kind, id))",
        "CREATE TABLE tally_sdata_result (id {int} PRIMARY KEY, resource_kind {text} NOT NULL, "
        "run_name {text} NOT NULL, run_stamp {text} NOT NULL, report {blob} NOT NULL)",
        "CREATE INDEX tally_sdata_result_run ON tally_sdata_result (run_name)",
        "CREATE INDEX tally_sdata_tick ON tally_record (resource, origin, tick)",
    ),
    (
        "CREATE TABLE tally_sdata_child (resource {int} NOT NULL, key {text} NOT NULL, parent {text} NOT NULL, "
        "PRIMARY KEY (resource, key))",
        "CREATE TABLE tally_sdata_nested (resource {int} PRIMARY KEY, seq {int} NOT NULL)",
    ),
)
"""Names of origins, standings, links, jobs with what they froze or brought about, results; an index by dot; the
parents of nested records, and up to which seq these are known."""
