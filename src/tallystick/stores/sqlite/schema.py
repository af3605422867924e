"""Tables of the object model in an SQLite database. All begin with ``tally_``; none is the application's."""

from __future__ import annotations

FORMAT = 1
"""The layout below. Older ones are migrated, newer ones refused."""

TABLES = """
CREATE TABLE tally_store_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE tally_record (
  id INTEGER PRIMARY KEY,
  entry INTEGER NOT NULL,
  key BLOB NOT NULL,
  object INTEGER NOT NULL,
  parent INTEGER NOT NULL,
  store INTEGER NOT NULL,
  soft INTEGER NOT NULL,
  associated INTEGER NOT NULL,
  read INTEGER NOT NULL,
  delivered INTEGER,
  name TEXT NOT NULL,
  properties BLOB NOT NULL
);
CREATE INDEX tally_record_place ON tally_record (parent, object, soft, associated, id);
CREATE INDEX tally_record_name ON tally_record (parent, name) WHERE object > 1;
CREATE INDEX tally_record_unread ON tally_record (parent, soft, associated) WHERE object = 1 AND read = 0;
CREATE INDEX tally_record_delivered ON tally_record (delivered) WHERE object = 1 AND soft = 0 AND associated = 0;
CREATE TABLE tally_part (
  id INTEGER PRIMARY KEY,
  record INTEGER NOT NULL,
  name TEXT NOT NULL,
  size INTEGER NOT NULL,
  data BLOB NOT NULL
);
CREATE UNIQUE INDEX tally_part_name ON tally_part (record, name, size);
CREATE TABLE tally_change (
  id INTEGER PRIMARY KEY,
  parent INTEGER NOT NULL,
  key BLOB NOT NULL,
  object INTEGER NOT NULL,
  record INTEGER NOT NULL,
  store INTEGER NOT NULL,
  created INTEGER NOT NULL DEFAULT 0,
  content INTEGER NOT NULL DEFAULT 0,
  flagged INTEGER NOT NULL DEFAULT 0,
  soft INTEGER NOT NULL DEFAULT 0,
  hard INTEGER NOT NULL DEFAULT 0,
  detail INTEGER NOT NULL DEFAULT 0,
  latest INTEGER NOT NULL
);
CREATE UNIQUE INDEX tally_change_key ON tally_change (key, parent);
CREATE INDEX tally_change_parent ON tally_change (parent, latest);
CREATE INDEX tally_change_latest ON tally_change (latest) WHERE object <= 2;
CREATE INDEX tally_change_place ON tally_change (record) WHERE object = 2;
CREATE INDEX tally_change_folder ON tally_change (latest) WHERE object = 2;
CREATE INDEX tally_change_other ON tally_change (latest) WHERE object >= 3;
CREATE TABLE tally_sync (
  id INTEGER PRIMARY KEY,
  scope INTEGER NOT NULL,
  subject INTEGER NOT NULL,
  done INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  restricted INTEGER NOT NULL
);
CREATE TABLE tally_remembered (
  sync INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  position INTEGER NOT NULL,
  entries BLOB NOT NULL,
  PRIMARY KEY (sync, seq, position)
);
CREATE TABLE tally_parked (
  id INTEGER PRIMARY KEY,
  sync INTEGER NOT NULL,
  scope INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  key BLOB NOT NULL,
  kind INTEGER NOT NULL,
  message TEXT NOT NULL,
  at INTEGER NOT NULL
);
CREATE INDEX tally_parked_scope ON tally_parked (scope, id);
CREATE TABLE tally_imported (
  source TEXT NOT NULL,
  place TEXT NOT NULL,
  uid TEXT NOT NULL,
  item INTEGER NOT NULL,
  flags TEXT NOT NULL,
  digest BLOB NOT NULL,
  PRIMARY KEY (source, place, uid)
) WITHOUT ROWID;
CREATE TABLE tally_note (name TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
"""

COUNTERS = ("seq", "record", "entry", "sync")
"""Numbers that only grow; each names the last one given out."""
