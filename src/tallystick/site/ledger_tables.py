"""The tables of the ledger, as portable DDL, and their format (DESIGN.md 4)."""

FORMAT = 2
"""The ledger format this release writes. Older ones are migrated in one transaction, newer ones refused."""

_DANGLING = (
    "CREATE TABLE tally_dangling (parent {int} NOT NULL, integer {int} NOT NULL, child {int} NOT NULL, "
    "PRIMARY KEY (parent, integer, child))"
)
_UNDECIDED = "CREATE INDEX tally_sibling_undecided ON tally_sibling (resource) WHERE undecided=1"
"""Siblings of conflicts that a policy decided stay until the next edit: they are not to be read to be counted out."""
MIGRATIONS = {1: (_DANGLING, _UNDECIDED)}
"""Portable DDL that leads from a format to the next one."""

TABLES = (
    "CREATE TABLE tally_meta (name {text} PRIMARY KEY, value {text})",
    "CREATE TABLE tally_origin (id {int} PRIMARY KEY, name {text} NOT NULL UNIQUE)",
    "CREATE TABLE tally_resource (id {int} PRIMARY KEY, name {text} NOT NULL UNIQUE, wire {text} NOT NULL UNIQUE, "
    "kind {text} NOT NULL, parent {int}, definition {text} NOT NULL, seq {int} NOT NULL DEFAULT 0, "
    "tick {int} NOT NULL DEFAULT 0, count {int} NOT NULL DEFAULT 0, names {blob}, content {blob}, "
    "horizon {int} NOT NULL DEFAULT 0)",
    "CREATE INDEX tally_resource_seq ON tally_resource (seq)",
    "CREATE TABLE tally_record (resource {int} NOT NULL, seq {int} NOT NULL, key {text} NOT NULL, local {any}, "
    "born_seq {int} NOT NULL, origin {int} NOT NULL, tick {int} NOT NULL, stamp {int} NOT NULL, "
    "hash {blob} NOT NULL, rendered {blob}, flags {int} NOT NULL, extra {blob}, PRIMARY KEY (resource, seq))",
    "CREATE UNIQUE INDEX tally_record_key ON tally_record (resource, key)",
    "CREATE INDEX tally_record_local ON tally_record (resource, local) WHERE local IS NOT NULL",
    "CREATE TABLE tally_managed (resource {int} NOT NULL, key {text} NOT NULL, content {blob} NOT NULL, "
    "PRIMARY KEY (resource, key))",
    "CREATE TABLE tally_sibling (resource {int} NOT NULL, key {text} NOT NULL, whole {blob} NOT NULL, "
    "undecided {int} NOT NULL DEFAULT 0, PRIMARY KEY (resource, key))",
    _UNDECIDED,
    "CREATE TABLE tally_parked (resource {int} NOT NULL, key {text} NOT NULL, kind {text} NOT NULL, "
    "reason {text} NOT NULL, since {int} NOT NULL, attempts {int} NOT NULL DEFAULT 0, PRIMARY KEY (resource, key))",
    "CREATE TABLE tally_conflict (id {int} PRIMARY KEY, resource {int} NOT NULL, key {text} NOT NULL, "
    "at {int} NOT NULL, kind {text} NOT NULL, run {text}, version {blob} NOT NULL)",
    "CREATE INDEX tally_conflict_record ON tally_conflict (resource, key)",
    "CREATE TABLE tally_digest (resource {int} NOT NULL, origin {int} NOT NULL, tick {int} NOT NULL, "
    "PRIMARY KEY (resource, origin))",
    "CREATE TABLE tally_forgotten (resource {int} NOT NULL, origin {int} NOT NULL, tick {int} NOT NULL, "
    "PRIMARY KEY (resource, origin))",
    "CREATE TABLE tally_state (peer {text} NOT NULL, scope {text} NOT NULL, state {text} NOT NULL, "
    "at {int} NOT NULL, PRIMARY KEY (peer, scope))",
    "CREATE TABLE tally_run (id {int} PRIMARY KEY, name {text} NOT NULL, stamp {text} NOT NULL, peer {text} NOT NULL, "
    "action {text} NOT NULL, started {int} NOT NULL, finished {int}, outcome {text} NOT NULL, report {text} NOT NULL)",
    "CREATE TABLE tally_user (name {text} PRIMARY KEY, role {text} NOT NULL, secret {text} NOT NULL)",
    _DANGLING,
)
MARKS = (
    "CREATE TABLE tally_mark (id INTEGER PRIMARY KEY, resource INTEGER NOT NULL, kind TEXT NOT NULL, old, new, "
    "at INTEGER NOT NULL, columns)",
    "CREATE TABLE tally_applying (one INTEGER)",
)
"""Capture tables of SQLite; other engines bring their own."""
