"""The tables that the Eden protocol keeps beside the ledger.

Times are whole seconds since the epoch, as on Eden's wire. A record has a row in ``tally_eden_record`` once it came
from an Eden site; ``origin`` and ``tick`` name the version it speaks of. ``alias`` is the identifier of a record whose
key does not tell it, ``ahead`` the time of a change that lies after the moment in which it was written here.
"""

from __future__ import annotations

STEPS = (
    (
        "CREATE TABLE tally_eden_table (name {text} PRIMARY KEY, local {text} NOT NULL, form {text} NOT NULL)",
        "CREATE TABLE tally_eden_record (resource {int} NOT NULL, key {text} NOT NULL, alias {text}, "
        "origin {int} NOT NULL, tick {int} NOT NULL, copies {int} NOT NULL, created_on {int}, modified_on {int}, "
        "created_by {text}, modified_by {text}, owned_by_user {text}, owned_by_group {text}, replaced_by {text}, "
        "source {text}, ahead {int}, PRIMARY KEY (resource, key))",
        "CREATE UNIQUE INDEX tally_eden_record_alias ON tally_eden_record (resource, alias) WHERE alias IS NOT NULL",
        "CREATE INDEX tally_eden_record_ahead ON tally_eden_record (resource, ahead) WHERE ahead IS NOT NULL",
        "CREATE INDEX tally_eden_record_stamp ON tally_record (resource, stamp)",
        "CREATE TABLE tally_eden_waiting (resource {int} NOT NULL, key {text} NOT NULL, field {text} NOT NULL, "
        "target {text} NOT NULL, uuid {text} NOT NULL, PRIMARY KEY (resource, key, field))",
        "CREATE INDEX tally_eden_waiting_target ON tally_eden_waiting (target, uuid)",
        "CREATE TABLE tally_eden_repository (id {int} PRIMARY KEY, name {text} NOT NULL UNIQUE, uuid {text}, "
        "form {text} NOT NULL)",
        "CREATE TABLE tally_eden_task (id {int} PRIMARY KEY, uuid {text} NOT NULL UNIQUE, repository {text}, "
        "resource {text} NOT NULL, form {text} NOT NULL)",
        "CREATE TABLE tally_eden_dataset (id {int} PRIMARY KEY, uuid {text} NOT NULL UNIQUE, form {text} NOT NULL)",
        "CREATE TABLE tally_eden_archive (name {text} PRIMARY KEY, body {blob} NOT NULL)",
        "CREATE TABLE tally_eden_answer (repository {text} NOT NULL, scope {text} NOT NULL, answers {text} NOT NULL, "
        "PRIMARY KEY (repository, scope))",
        "CREATE TABLE tally_eden_parked (repository {text} NOT NULL, resource {text} NOT NULL, "
        "records {text} NOT NULL, PRIMARY KEY (repository, resource))",
    ),
)
