"""A full-text index over a store of mail, kept up to date: killed at any moment and started again, it misses nothing.

    python search_index.py mail.db anna index.db                  # bring the index up to date
    python search_index.py mail.db anna index.db --search invoice
    python search_index.py mail.db anna index.db --follow         # and stay

The index is a consumer like any other: it keeps a state per folder and asks what changed since. What it writes and the
state it stands at are committed together, so a page is either indexed and remembered or neither.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import threading
from typing import Any

import tallystick

PAGE = 100
"""Mails that are indexed in one transaction."""

TABLES = """
CREATE VIRTUAL TABLE IF NOT EXISTS mail USING fts5(key UNINDEXED, folder UNINDEXED, subject, sender, text);
CREATE TABLE IF NOT EXISTS place (key TEXT PRIMARY KEY, folder TEXT NOT NULL, row INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS place_folder ON place (folder);
CREATE TABLE IF NOT EXISTS state (scope TEXT PRIMARY KEY, token TEXT NOT NULL);
"""


class SearchIndex:
    """An SQLite FTS5 index of one store in the file ``path``."""

    def __init__(self, path: str) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.executescript(TABLES)

    def state(self, scope: str) -> str:
        """Where the index stands in a scope; empty at the beginning."""
        found = self.database.execute("SELECT token FROM state WHERE scope = ?", (scope,)).fetchone()
        return str(found[0]) if found else ""

    def keep_state(self, scope: str, token: str) -> None:
        """Note where it stands, in the transaction that is open."""
        self.database.execute("REPLACE INTO state VALUES (?, ?)", (scope, token))

    def forget(self, where: str, value: str) -> None:
        """Take mails out of the index."""
        rows = self.database.execute(f"SELECT row, key FROM place WHERE {where} = ?", (value,)).fetchall()
        self.database.executemany("DELETE FROM mail WHERE rowid = ?", [(row,) for row, _ in rows])
        self.database.executemany("DELETE FROM place WHERE key = ?", [(key,) for _, key in rows])

    def add(self, item: Any, folder: str) -> None:
        """Index a mail, instead of what was indexed of it before."""
        self.forget("key", item.sourcekey)
        values = (item.sourcekey, folder, item.subject, str(item.from_ or ""), item.text)
        row = self.database.execute("INSERT INTO mail VALUES (?, ?, ?, ?, ?)", values).lastrowid
        self.database.execute("INSERT INTO place VALUES (?, ?, ?)", (item.sourcekey, folder, row))

    def update(self, store: Any) -> int:
        """Bring the index up to date with ``store``; how many changes there were."""
        told = self._follow_tree(store)
        for folder in store.folders():
            told += self._follow(folder)
        return told

    def _follow_tree(self, store: Any) -> int:
        importer = _Folders(self)
        self.database.execute("BEGIN")
        before = self.state("tree")
        after = store.subtree.sync_hierarchy(importer, before)
        self.keep_state("tree", after)
        self.database.execute("COMMIT")
        return importer.told

    def _follow(self, folder: Any) -> int:
        """Take a folder page by page. A page that is cut off by a crash comes again."""
        told = 0
        while True:
            importer = _Mails(self, folder.sourcekey)
            self.database.execute("BEGIN")
            before = self.state(folder.sourcekey)
            after = folder.sync(importer, before, max_changes=PAGE)
            self.keep_state(folder.sourcekey, after)
            self.database.execute("COMMIT")
            told += importer.told
            if after == before or importer.told < PAGE:
                return told

    def search(self, words: str) -> list[tuple[str, str]]:
        """Subjects and senders of the mails that contain all the words, best first."""
        sql = "SELECT subject, sender FROM mail WHERE mail MATCH ? ORDER BY rank"
        return self.database.execute(sql, (words,)).fetchall()

    def content(self) -> set[tuple[str, ...]]:
        """Everything that is indexed, to compare with another index."""
        return set(self.database.execute("SELECT key, folder, subject, sender, text FROM mail"))


class _Mails:
    """What the index does when it is told of mails of one folder."""

    def __init__(self, index: SearchIndex, folder: str) -> None:
        self.index, self.folder, self.told = index, folder, 0

    def update(self, item: Any, flags: int) -> None:
        self.told += 1
        self.index.add(item, self.folder)

    def delete(self, item: Any, flags: int) -> None:
        self.told += 1
        self.index.forget("key", item.sourcekey)


class _Folders:
    """What the index does when it is told of folders: those that are gone take their mails along."""

    def __init__(self, index: SearchIndex) -> None:
        self.index, self.told = index, 0

    def delete(self, folder: Any, flags: int) -> None:
        self.told += 1
        for gone in (folder.sourcekey, *self._below(folder)):
            self.index.forget("folder", gone)
            self.index.database.execute("DELETE FROM state WHERE scope = ?", (gone,))

    def _below(self, folder: Any) -> list[str]:
        """Folders that the index holds and the store does not: they went with one above."""
        known = [row[0] for row in self.index.database.execute("SELECT DISTINCT folder FROM place")]
        live = {one.sourcekey for one in folder.store.folders()}
        return [key for key in known if key not in live]


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("site")
    parser.add_argument("user")
    parser.add_argument("index")
    parser.add_argument("--search", metavar="WORDS")
    parser.add_argument("--follow", action="store_true")
    given = parser.parse_args(arguments)
    with tallystick.open(given.site) as site:
        store = site.server().user(given.user).store
        index = SearchIndex(given.index)
        changed = threading.Event()
        if given.follow:
            site.subscribe(lambda notification: changed.set())
        print(f"{index.update(store)} changes indexed")
        for subject, sender in index.search(given.search) if given.search else ():
            print(f"{sender}: {subject}")
        while given.follow:
            changed.wait()
            changed.clear()
            print(f"{index.update(store)} changes indexed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
