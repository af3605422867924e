"""The Eden protocol on a real site: how fast records become S3XML and S3XML becomes rows of a database.

    python benchmarks/eden.py [--records 50000] [--large 1000000] [--postgresql URL]

Each record has one reference and one component, the shape of the acceptance figures. Export: rows of the application's
tables to a document, as a pull of everything gives it. Import: the document into an empty site, parsed, validated,
decided and committed durably. The same work on a store in memory is measured in the same run: what the database, the
ledger and its remarks cost is the difference. Nothing new: a registered peer pulls again from a site of ``--large``
records, in milliseconds of the whole request. Prints JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tallystick import api
from tallystick.protocols.eden.answering import Pull, answer_pull
from tallystick.protocols.eden.codec.schema import Component, Field, Kind, Table, table
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.codec.xml_writing import write_xml
from tallystick.protocols.eden.deciding import Policies
from tallystick.protocols.eden.importing import import_document
from tallystick.protocols.eden.items import Options
from tallystick.protocols.eden.memory import MemoryStore
from tallystick.protocols.eden.site.creating import create_tables
from tallystick.protocols.eden.site.store import SiteStore
from tallystick.protocols.eden.store import EdenStore, Identity, Repository
from tallystick.sync.uncollected import uncollected

FLOORS = {"export": 10_000, "import": 6_000, "nothing new ms": 50}
START = datetime(2026, 11, 20, 8, tzinfo=UTC)
CHUNK = 64 * 1024
PLACES = 1000


def tables() -> tuple[Table, ...]:
    return (
        table(
            "org_organisation",
            [
                Field("name", required=True),
                Field("acronym", represented=True),
                Field("website", represented=True),
                Field("year", Kind.INTEGER, minimum=1850, maximum=2099),
                Field("active", Kind.BOOLEAN),
                Field("founded", Kind.DATE),
                Field("comments", Kind.TEXT, represented=True),
                Field("location_id", Kind.REFERENCE, "gis_location"),
            ],
            identity=("name",),
            components=(Component("org_office", "organisation_id"),),
        ),
        table(
            "org_office",
            [
                Field("name", required=True),
                Field("phone", represented=True),
                Field("obsolete", Kind.BOOLEAN),
                Field("organisation_id", Kind.REFERENCE, "org_organisation", required=True),
            ],
        ),
        table("gis_location", [Field("name"), Field("lat", Kind.DOUBLE), Field("lon", Kind.DOUBLE)]),
    )


def memory(name: str) -> MemoryStore:
    return MemoryStore(Identity(f"urn:uuid:{name}", name, name), tables())


def site(url: str) -> SiteStore:
    """A site with the tables, as an application would have them."""
    store = SiteStore(api.open(url, create=True).replica, address="source")
    create_tables(store.ledger, store.catalog, tables())
    return store


def fill(store: SiteStore, records: int) -> None:
    """Rows made by the application, in SQL."""
    engine = store.ledger.engine
    with engine.write():
        engine.executemany(
            "INSERT INTO gis_location(id, name, lat, lon) VALUES (?, ?, ?, ?)",
            [(number + 1, f"Place {number}", 47.5, 8.25) for number in range(PLACES)],
        )
        engine.executemany(
            "INSERT INTO org_organisation(id, name, acronym, website, year, active, founded, comments, location_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    number + 1,
                    f"Organisation number {number}",
                    f"O{number}",
                    f"http://www.example.org/organisations/{number}",
                    1900 + number % 120,
                    number % 2 == 0,
                    "1999-05-17",
                    "Relief & shelter <coordination>, north and south",
                    number % PLACES + 1,
                )
                for number in range(records)
            ),
        )
        engine.executemany(
            "INSERT INTO org_office(id, name, phone, obsolete, organisation_id) VALUES (?, ?, ?, ?, ?)",
            ((number + 1, f"HQ {number}", "+41 1", False, number + 1) for number in range(records)),
        )
    store.head()


def rate(records: int, work: Callable[[], object]) -> dict[str, int]:
    """Records per second of the clock, and of processor time: on a busy machine only the latter says much."""
    gc.collect()
    began, used = time.perf_counter(), time.process_time()
    work()
    elapsed, spent = time.perf_counter() - began, time.process_time() - used
    return {"per second": round(records / elapsed), "per processor second": round(records / spent)}


def export_all(store: EdenStore) -> bytes:
    return b"".join(pieces_of(store))


def pieces_of(store: EdenStore) -> Any:
    described = store.table("org_organisation")
    assert described is not None
    found = answer_pull(store, Pull(described), "http://source", START + timedelta(days=30))
    return write_xml(found.attributes, found.resources)


def drain(store: EdenStore) -> int:
    return sum(map(len, pieces_of(store)))


def take(store: EdenStore, body: bytes) -> int:
    described = store.table("org_organisation")
    assert described is not None
    pieces = (body[start : start + CHUNK] for start in range(0, len(body), CHUNK))
    with uncollected():
        done = import_document(store, described, read_xml(pieces), Options(Policies(), "peer"), START)
    assert not done.reply.rejected, done.reply.issues[:3]
    return done.reply.records


def peak_megabytes(work: Callable[[], object]) -> float:
    gc.collect()
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 1_000_000, 1)


def nothing_new(store: SiteStore) -> dict[str, float]:
    """Milliseconds of a pull by a registered peer that has everything, and of the same after one change."""
    described = store.table("gis_location")
    assert described is not None
    repository = store.save_repository(Repository("urn:uuid:peer", "peer"))

    def pull(msince: datetime | None) -> Any:
        found = answer_pull(store, Pull(described, repository, msince), "http://source", datetime.now(UTC))
        size = sum(map(len, write_xml(found.attributes, found.resources)))
        return found.progress, size

    time.sleep(1.1)  # what is there now is older than the second in which the peer asks
    msince = datetime.now(UTC).replace(microsecond=0)
    times = []
    for _ in range(11):
        began = time.perf_counter()
        again, _ = pull(msince)
        times.append((time.perf_counter() - began) * 1000)
        assert again.records == 0
    with store.ledger.engine.write():
        store.ledger.engine.execute("UPDATE gis_location SET name='moved' WHERE id=1")
    began = time.perf_counter()
    changed, _ = pull(msince)
    assert changed.records == 1
    return {
        "median ms": round(statistics.median(times), 1),
        "one change ms": round((time.perf_counter() - began) * 1000, 1),
    }


def large(url: str, records: int) -> dict[str, float]:
    store = SiteStore(api.open(url, create=True).replica, address="source")
    create_tables(store.ledger, store.catalog, tables())
    with store.ledger.engine.write():
        store.ledger.engine.executemany(
            "INSERT INTO gis_location(id, name, lat, lon) VALUES (?, ?, ?, ?)",
            ((number + 1, f"Place {number}", 47.5, 8.25) for number in range(records)),
        )
    store.head()
    found = nothing_new(store)
    store.replica.close()
    return found


def measured(records: int, directory: Path, postgresql: str | None) -> dict[str, Any]:
    source = site(str(directory / "source.db"))
    fill(source, records)
    body = export_all(source)
    target = site(postgresql or str(directory / "target.db"))
    floor = memory("floor")
    gc.freeze()
    rates = {
        "export": rate(records, lambda: drain(source)),
        "import, all new": rate(records, lambda: take(target, body)),
        "import, nothing new": rate(records, lambda: take(target, body)),
        "floor: import into memory": rate(records, lambda: take(floor, body)),
        "floor: export from memory": rate(records, lambda: drain(floor)),
    }
    smaller = site(str(directory / "smaller.db"))
    fill(smaller, records // 5)
    peaks = {
        str(records): peak_megabytes(lambda: drain(source)),
        str(records // 5): peak_megabytes(lambda: drain(smaller)),
    }
    for store in (source, target, smaller):
        store.replica.close()
    return {"records": records, "megabytes": round(len(body) / 1e6, 1), "rates": rates, "export peak MB": peaks}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--records", type=int, default=50_000)
    arguments.add_argument("--large", type=int, default=1_000_000, help="records of the site with nothing new; 0: none")
    arguments.add_argument("--postgresql", help="URL of an empty database to import into, in place of SQLite")
    arguments.add_argument("--smoke", action="store_true", help="few records: does it still run?")
    given = arguments.parse_args()
    records, most = (500, 1000) if given.smoke else (given.records, given.large)
    with tempfile.TemporaryDirectory() as directory:
        result = measured(records, Path(directory), given.postgresql) | {"floors": FLOORS}
        if most:
            result[f"nothing new at {most}"] = large(str(Path(directory) / "large.db"), most)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
