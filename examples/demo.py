"""Two databases with real schema quirks, edited on both sides, brought into agreement over HTTP, and proved.

Run it with ``make demo``, or ``python examples/demo.py [DIRECTORY]``. It shows every command as you would type it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE ward (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE patient (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  ward_id INTEGER NOT NULL REFERENCES ward (id),
  referred_by INTEGER REFERENCES patient (id),
  name TEXT NOT NULL, phone TEXT, note TEXT, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE "drug stock" (code TEXT PRIMARY KEY, amount NUMERIC(10,2) CHECK (amount >= 0), expires DATE) WITHOUT ROWID;
CREATE TABLE prescription (
  patient_id INTEGER NOT NULL REFERENCES patient (id), code TEXT NOT NULL REFERENCES "drug stock" (code),
  PRIMARY KEY (patient_id, code));
CREATE TRIGGER touch AFTER UPDATE OF name, phone, note ON patient
  BEGIN UPDATE patient SET updated_at=CURRENT_TIMESTAMP WHERE id=NEW.id; END;
INSERT INTO ward (name) VALUES ('North'), ('Süd');
INSERT INTO patient (ward_id, name, phone) VALUES (1, 'Ana', '100'), (1, 'Björn', '200'), (2, 'Chloé', '300');
INSERT INTO "drug stock" VALUES ('AMX', 20.50, '2027-01-31'), ('PCM', 100, '2026-12-31');
INSERT INTO prescription VALUES (1, 'AMX'), (3, 'PCM');
"""
CLINIC = """
UPDATE patient SET phone='111' WHERE name='Ana';
UPDATE patient SET note='allergic to penicillin' WHERE name='Björn';
INSERT INTO patient (ward_id, referred_by, name) VALUES (2, 2, 'Dana (new at the clinic)');
INSERT INTO prescription VALUES (4, 'PCM');
DELETE FROM prescription WHERE patient_id=3;
"""
HUB = """
UPDATE patient SET note='moved to room 7' WHERE name='Ana';
UPDATE patient SET note='no allergies known' WHERE name='Björn';
INSERT INTO patient (ward_id, name) VALUES (1, 'Eli (new at the hub)');
INSERT INTO prescription VALUES (4, 'AMX');
REPLACE INTO "drug stock" VALUES ('PCM', 80.25, '2027-06-30');
"""


def main() -> int:
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-data")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    os.chdir(directory)
    make("clinic.db", SCHEMA)
    shutil.copy("clinic.db", "hub.db")
    say("Two copies of one database: clinic.db and hub.db. The hub serves its own over HTTP.")
    port = free_port()
    show(f"tallystick serve hub.db --port {port} &")
    server = subprocess.Popen(command("serve", "hub.db", "--port", str(port)), stderr=subprocess.DEVNULL)
    try:
        return story(f"http://127.0.0.1:{port}/")
    finally:
        server.terminate()
        server.wait(10)


def story(hub: str) -> int:
    wait_for(hub)
    say("First contact: equal copies agree with nothing sent but proofs.")
    run("sync", "clinic.db", hub)
    say("The line goes down. Both sides go on working; new patients take the same number 4 on both sides.")
    make("clinic.db", CLINIC)
    make("hub.db", HUB)
    say("The line is back. Fields that one side changed combine; for Björn's note somebody will be asked.")
    run("sync", "clinic.db", hub, "--conflict", "merge", "--conflict", "patient.note=ask", expect=(0, 1))
    run("conflicts", "list", "clinic.db")
    key = conflict_key()
    run("conflicts", "show", "clinic.db", "patient", key)
    decision = {**versions(key)[0], "note": "allergic to penicillin (checked)"}
    run("conflicts", "resolve", "clinic.db", "patient", key, "--content", json.dumps(decision, ensure_ascii=False))
    run("sync", "clinic.db", hub, "--conflict", "merge")
    run("sync", "clinic.db", hub, "--conflict", "merge")
    say("Both show the same patients, the two new ones apart, with what was prescribed to whom:")
    same = table("clinic.db") == table("hub.db")
    for row in table("clinic.db"):
        print("   ", *row)
    say("And the proof, recomputed from the data at both ends:")
    run("verify", "clinic.db", hub, "--deep")
    return 0 if same else 1


def conflict_key() -> str:
    return str(answer("conflicts", "list", "clinic.db")[0]["key"])


def versions(key: str) -> list[dict[str, object]]:
    return [version["content"] for version in answer("conflicts", "show", "clinic.db", "patient", key)]


def answer(*words: str) -> list[dict[str, Any]]:
    done = subprocess.run(command(*words, "--json"), capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def table(path: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT p.name, w.name, coalesce(p.phone, '-'), coalesce(p.note, '-'), coalesce(group_concat(code), '-') "
            "FROM patient p JOIN ward w ON w.id=p.ward_id LEFT JOIN prescription r ON r.patient_id=p.id "
            "GROUP BY p.id ORDER BY p.name"
        ).fetchall()


def make(path: str, statements: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.executescript(statements)
    connection.commit()
    connection.close()


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tallystick", *words]


def run(*words: str, expect: tuple[int, ...] = (0,)) -> None:
    show("tallystick " + " ".join(f"'{word}'" if " " in word else word for word in words))
    code = subprocess.run(command(*words), check=False).returncode
    if code not in expect:
        sys.exit(f"demo: that ended with {code}, not {expect}")


def say(text: str) -> None:
    print(f"\n\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def show(text: str) -> None:
    print(f"$ {text}", flush=True)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"demo: {url} does not answer")


if __name__ == "__main__":
    sys.exit(main())
