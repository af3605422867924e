"""Figures of the object model: delivery of items, and synchronizations that cost what changed. Prints one JSON object.

python benchmarks/streams_items.py                                 # 100,000 items; then 10,000 folders, 1,000,000 items
python benchmarks/streams_items.py --items 100000 --folders 1000
python benchmarks/streams_items.py --site postgresql://localhost/empty
python benchmarks/streams_items.py --keep /var/tmp/items.db        # build the large site once and use it again

The floor of delivery is the same content read by bare SQL and decoded, in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import msgspec

import tallystick
from tallystick.stores import Server
from tallystick.stores.changelog import Class, Kind
from tallystick.stores.port import Draft

BATCH = 5000
TEXT = b"The quick brown fox jumps over the lazy dog. " * 40


class Counting:
    """An importer that looks at each item as a mirror would, but at no body."""

    def __init__(self) -> None:
        self.seen = 0

    def update(self, item: Any, flags: int) -> None:
        if item.sourcekey and item.subject is not None:
            self.seen += 1

    def delete(self, item: Any, flags: int) -> None:
        self.seen += 1

    def read(self, item: Any, status: bool) -> None:
        self.seen += 1


def draft(folder: int, store: int, number: int, body: bool) -> Draft:
    properties = {
        "subject": f"Order {number} of {number % 997}",
        "from": [["Anna Brightwater", f"anna{number % 991}@example.org"]],
        "to": [["Bert Oakley", "bert@example.org"]],
        "message_id": f"<{number}@example.org>",
        "sent": 1_700_000_000_000_000 + number * 1_000_000,
        "created": 1_700_000_000_000_000,
        "modified": 1_700_000_000_000_000,
    }
    parts = {"text": TEXT} if body else {}
    kinds = (Kind.NEW, Kind.CHANGE)
    return Draft(
        Class.ITEM, folder, store, properties=properties, parts=parts, kinds=kinds, delivered=properties["sent"]
    )


def fill(server: Server, store: Any, folders: list[int], count: int, body: bool = False) -> float:
    """Make ``count`` items, spread over ``folders``; items a second."""
    begun = time.perf_counter()
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        server.records.insert([draft(folders[n % len(folders)], store.hierarchyid, n, body) for n in numbers])
    return count / (time.perf_counter() - begun)


def timed(action: Callable[[], Any], runs: int) -> float:
    """Median milliseconds of ``action``."""
    found = []
    for _ in range(runs):
        begun = time.perf_counter()
        action()
        found.append((time.perf_counter() - begun) * 1000)
    return statistics.median(found)


def floor(server: Server, folder: int) -> float:
    """The same content read by bare SQL and decoded: items a second."""
    decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
    begun = time.perf_counter()
    rows = server.records.session.rows(  # type: ignore[attr-defined]
        "SELECT o.id, o.key, m.content FROM tally_stores_object o "
        "JOIN tally_managed m ON m.resource=o.resource AND m.key=o.key WHERE o.parent=? ORDER BY o.id DESC",
        (folder,),
    )
    for _, _, content in rows:
        decode(bytes(content))
    return len(rows) / (time.perf_counter() - begun)


def delivery(server: Server, count: int, runs: int) -> dict[str, Any]:
    """Deliver a folder of ``count`` items with bodies that nobody reads."""
    store = server.create_user("delivery").store
    assert store is not None
    folder = store.create_folder("all")
    written = fill(server, store, [folder.hierarchyid], count, body=True)
    rates, floors, processor = [], [], []
    for _ in range(runs):
        importer = Counting()
        begun, spent = time.perf_counter(), time.process_time()
        folder.sync(importer)
        rates.append(importer.seen / (time.perf_counter() - begun))
        processor.append((time.process_time() - spent) / count * 1e6)
        assert importer.seen == count
        floors.append(floor(server, folder.hierarchyid))
    return {
        "items": count,
        "delivered_per_second": round(statistics.median(rates)),
        "processor_us_per_item": round(statistics.median(processor), 2),
        "floor_bare_sql_per_second": round(statistics.median(floors)),
        "written_per_second": round(written),
    }


def incremental(server: Server, folders: int, items: int, changed: int, runs: int) -> dict[str, Any]:
    """No-change and small synchronizations in a site of ``folders`` and ``items``."""
    known = {user.name: user for user in server.users()}
    figures: dict[str, Any] = {"folders": folders, "items": items}
    if "large" not in known:
        store = server.create_user("large").store
        assert store is not None
        top = store.create_folder("top")
        made = []
        for start in range(0, folders, 500):
            names = range(start, min(start + 500, folders))
            drafts = [Draft(Class.FOLDER, top.hierarchyid, store.hierarchyid, f"folder {n}") for n in names]
            made += [record.id for record in server.records.insert(drafts)]
        figures["written_per_second"] = round(fill(server, store, made, items))
    store = server.user("large").store
    assert store is not None
    folder = next(store.folder("top").folders(recurse=False))
    state = folder.sync(Counting())
    figures["no_change_folder_ms"] = round(timed(lambda: folder.sync(Counting(), state), runs * 20), 3)
    before = server.state
    figures["no_change_server_ms"] = round(timed(lambda: server.sync(Counting(), before), runs * 20), 3)
    chosen = [number for one in list(store.folder("top").folders(recurse=False))[:50] for number in one.items()]
    with server.transaction():
        for number, item in enumerate(chosen[:changed]):
            item.change(subject=f"changed {number}")
    importer = Counting()
    server.sync(importer, before)
    figures["changed"] = importer.seen
    figures["server_changed_ms"] = round(timed(lambda: server.sync(Counting(), before), runs), 2)
    return figures


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--site", help="an empty database to use instead of a file that is thrown away")
    parser.add_argument("--keep", help="the file of the large site: built when missing, and kept")
    parser.add_argument("--delivered", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--folders", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    if given.smoke:
        given.delivered, given.items, given.folders, given.runs = 500, 1000, 20, 1
    changed = min(1000, given.items // 2)
    with tempfile.TemporaryDirectory() as directory:
        figures: dict[str, Any] = {}
        if given.delivered:
            with tallystick.open(given.site or os.path.join(directory, "delivery.db"), create=True) as site:
                figures["delivery"] = delivery(site.server(), given.delivered, given.runs)
        if given.items:
            with tallystick.open(given.site or given.keep or os.path.join(directory, "large.db"), create=True) as site:
                figures["large"] = incremental(site.server(), given.folders, given.items, changed, given.runs)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
