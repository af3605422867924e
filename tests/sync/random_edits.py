"""Random edits of an odd schema, as applications make them: through plain SQL, and refused as often as not."""

from __future__ import annotations

import random
import re
import sqlite3
from itertools import count
from typing import Any

Statement = tuple[str, tuple[Any, ...]]

TOKEN = re.compile(rb"w\d+w")
"""What every edit writes somewhere, and no other edit."""
NAMED = ("author", "book", "tag", "tagged", "link", "pair", "item", "part", "badge", "worn")
SHARED_KEYS = ("link GROUP BY book_id, tag", "pair GROUP BY a, b")
_LETTERS = "xyzuvX"


def odd_schema(chance: random.Random) -> list[str]:
    """Tables with every kind of key and reference, and with what databases do by themselves."""

    def action() -> str:
        on_delete = chance.choice(("", " ON DELETE CASCADE", " ON DELETE SET NULL"))
        return on_delete + chance.choice(("", " ON UPDATE CASCADE"))

    def maybe(*texts: str) -> str:
        return chance.choice(("", *texts))

    return [
        f"CREATE TABLE author (id INTEGER PRIMARY KEY{maybe(' AUTOINCREMENT')}, name TEXT, "
        f"code INTEGER{maybe(' UNIQUE')}, boss INTEGER REFERENCES author (id){action()})",
        f"CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INTEGER{maybe(' NOT NULL')} "
        f"REFERENCES author (id){action()}, name TEXT, "
        f"up TEXT GENERATED ALWAYS AS (upper(name)) {chance.choice(('STORED', 'VIRTUAL'))})",
        f"CREATE TABLE tag (id TEXT{maybe(' COLLATE NOCASE')} PRIMARY KEY, name TEXT, "
        f"code INTEGER{maybe(' UNIQUE', ' NOT NULL UNIQUE')}){maybe(' WITHOUT ROWID')}",
        f"CREATE TABLE tagged (id INTEGER PRIMARY KEY, tag TEXT REFERENCES tag (id){action()}, name TEXT)",
        f"CREATE TABLE link (book_id INTEGER REFERENCES book (id){maybe(' ON DELETE CASCADE')}, "
        "tag TEXT REFERENCES tag (id) ON DELETE CASCADE ON UPDATE CASCADE, name TEXT, PRIMARY KEY (book_id, tag))",
        "CREATE TABLE pair (a TEXT, b INTEGER, name TEXT, PRIMARY KEY (a, b))",
        "CREATE TABLE item (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, name TEXT)",
        f"CREATE TABLE part (id INTEGER PRIMARY KEY, item_id INTEGER REFERENCES item (id){action()}, name TEXT)",
        f"CREATE TABLE badge (id TEXT PRIMARY KEY, code INTEGER{maybe(' NOT NULL')} UNIQUE, name TEXT)",
        f"CREATE TABLE worn (id TEXT PRIMARY KEY, code INTEGER REFERENCES badge (code){action()}, name TEXT)",
    ]


class Editor:
    """An application that edits one database, and remembers what it wrote and what it overwrote."""

    def __init__(self, chance: random.Random, connection: sqlite3.Connection, numbers: count[int]) -> None:
        self.chance, self.connection, self.numbers = chance, connection, numbers
        self.written: set[bytes] = set()
        self.overwritten: set[bytes] = set()

    def shown(self) -> set[bytes]:
        """Every token in the rows."""
        found = set()
        for table in NAMED:
            for (name,) in self.connection.execute(f"SELECT name FROM {table} WHERE name IS NOT NULL"):
                found.update(TOKEN.findall(name.encode()))
        return found

    def edit(self) -> None:
        """One transaction of a few statements, undone where the database refuses one of them."""
        before = self.shown()
        self.connection.execute("BEGIN")
        try:
            for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
                for sql, parameters in self._statements():
                    self.connection.execute(sql, parameters)
            self.connection.execute("COMMIT")
        except sqlite3.Error:
            self.connection.execute("ROLLBACK")
        after = self.shown()
        self.written |= after - before
        self.overwritten |= before - after

    def _statements(self) -> list[Statement]:
        kinds = (self._insert, self._update, self._delete, self._move, self._refer, self._swap)
        (made,) = self.chance.choices(kinds, (42, 20, 12, 10, 6, 10))
        return made(self.chance.choice(NAMED), f"w{next(self.numbers)}w")

    def _known(self, table: str, column: str = "id") -> Any:
        """A value that some row has, or now and then NULL."""
        rows = [row[0] for row in self.connection.execute(f"SELECT {column} FROM {table}")]
        return self.chance.choice(rows) if rows and self.chance.random() < 0.85 else None

    def _insert(self, table: str, token: str) -> list[Statement]:
        number, letter = self.chance.choice((None, self.chance.randint(1, 6))), self.chance.choice(_LETTERS)
        small = self.chance.randint(1, 9)
        values: dict[str, tuple[Any, ...]] = {
            "author": (number, token, self.chance.choice((None, small)), self._known("author")),
            "tag": (letter, token, small),
            "tagged": (number, self._known("tag"), token),
            "link": (self._known("book"), self._known("tag"), token),
            "pair": (self.chance.choice((None, letter)), self.chance.choice((None, 1, 2)), token),
            "item": (number, _uuid(small), token),
            "part": (number, self._known("item"), token),
            "badge": (letter, small, token),
            "worn": (letter, self._known("badge", "code"), token),
            "book": (number, self._known("author"), token),
        }
        verb = self.chance.choice(("INSERT INTO", "INSERT INTO", "INSERT OR REPLACE INTO"))
        named = " (id, author_id, name)" if table == "book" else ""
        marks = ", ".join("?" * len(values[table]))
        return [(f"{verb} {table}{named} VALUES ({marks})", values[table])]

    def _update(self, table: str, token: str) -> list[Statement]:
        column = _key(table)
        return [(f"UPDATE {table} SET name=? WHERE {column} IS ?", (token, self._known(table, column)))]

    def _delete(self, table: str, _: str) -> list[Statement]:
        column = _key(table)
        return [(f"DELETE FROM {table} WHERE {column} IS ?", (self._known(table, column),))]

    def _move(self, table: str, token: str) -> list[Statement]:
        """Another primary key, or another unique value, which another row may have."""
        letter, number = self.chance.choice(_LETTERS), self.chance.randint(1, 6)
        changed, value = {
            "link": ("tag", self._known("tag")),
            "pair": ("a", letter),
            "tag": ("id", letter),
            "badge": ("code", number),
            "worn": ("id", letter),
            "item": self.chance.choice((("id", number), ("uuid", _uuid(number)))),
        }.get(table, ("id", number))
        column = _key(table)
        verb = self.chance.choice(("UPDATE", "UPDATE OR REPLACE"))
        return [
            (f"{verb} {table} SET {changed}=?, name=? WHERE {column} IS ?", (value, token, self._known(table, column)))
        ]

    def _refer(self, table: str, _: str) -> list[Statement]:
        """Another parent."""
        column, parent, referred = {
            "author": ("boss", "author", "id"),
            "book": ("author_id", "author", "id"),
            "tagged": ("tag", "tag", "id"),
            "part": ("item_id", "item", "id"),
            "worn": ("code", "badge", "code"),
        }.get(table, ("boss", "author", "id"))
        table = table if table in ("book", "tagged", "part", "worn") else "author"
        return [(f"UPDATE {table} SET {column}=? WHERE id IS ?", (self._known(parent, referred), self._known(table)))]

    def _swap(self, table: str, _: str) -> list[Statement]:
        """Two rows exchange a unique value, or their primary keys."""
        table, column = ("tag", "code") if table in ("tag", "tagged", "link", "badge", "worn") else ("author", "id")
        rows = self.connection.execute(f"SELECT id, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
        if len(rows) < 2:
            return []
        (_, first), (_, second) = self.chance.sample(rows, 2)
        change = f"UPDATE {table} SET {column}=? WHERE {column}=?"
        return [
            ("PRAGMA defer_foreign_keys=ON", ()),
            (change, (-1, first)),
            (change, (first, second)),
            (change, (second, -1)),
        ]


def _key(table: str) -> str:
    return {"link": "book_id", "pair": "b"}.get(table, "id")


def _uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"
