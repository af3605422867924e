"""The Eden protocol: how fast records become S3XML and S3XML becomes decided writes.

    python benchmarks/eden.py [--records 50000]

Each record has one reference and one component, the shape of the acceptance figures. The store is the one in memory,
so what is measured is the codec, validation, references, policies and the work of export and import around them, and
no database. Prints JSON: records per second (of the main table), floors to reach, and how much memory the export held.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tallystick.protocols.eden.answering import Pull, answer_pull
from tallystick.protocols.eden.codec.json_format import read_json, write_json
from tallystick.protocols.eden.codec.schema import Component, Field, Kind, Table, table
from tallystick.protocols.eden.codec.xml_reading import XmlReader, read_xml
from tallystick.protocols.eden.codec.xml_writing import write_xml
from tallystick.protocols.eden.collecting import collector_paused
from tallystick.protocols.eden.deciding import Policies
from tallystick.protocols.eden.importing import import_document
from tallystick.protocols.eden.items import Options
from tallystick.protocols.eden.memory import MemoryStore
from tallystick.protocols.eden.store import Identity, Stored, Target

FLOORS = {"export": 10_000, "import": 6_000}
START = datetime(2026, 11, 20, 8, tzinfo=UTC)
CHUNK = 64 * 1024


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


def empty(name: str) -> MemoryStore:
    return MemoryStore(Identity(f"urn:uuid:{name}", name, name), tables())


def filled(records: int) -> MemoryStore:
    store = empty("source")
    for number in range(1000):
        put(
            store,
            "gis_location",
            f"{number:08x}-3333-4000-8000-000000000000",
            number,
            name=f"Place {number}",
            lat=47.5,
            lon=8.25,
        )
    for number in range(records):
        uuid = f"{number:08x}-1111-4000-8000-000000000000"
        values = {
            "name": f"Organisation number {number}",
            "acronym": f"O{number}",
            "website": f"http://www.example.org/organisations/{number}",
            "year": 1900 + number % 120,
            "active": number % 2 == 0,
            "founded": "1999-05-17",
            "comments": "Relief & shelter <coordination>, north and south",
            "location_id": Target("gis_location", f"urn:uuid:{number % 1000:08x}-3333-4000-8000-000000000000"),
        }
        put(store, "org_organisation", uuid, number, **values)
        owner = Target("org_organisation", f"urn:uuid:{uuid}")
        office = f"{number:08x}-2222-4000-8000-000000000000"
        put(
            store,
            "org_office",
            office,
            number,
            name=f"HQ {number}",
            phone="+41 1",
            obsolete=False,
            organisation_id=owner,
        )
    return store


def put(store: MemoryStore, resource: str, uuid: str, number: int, **values: object) -> None:
    moment = START + timedelta(seconds=number % 86_400)
    store.put(Stored(resource, f"urn:uuid:{uuid}", 0, values, 0, moment, moment, "a@example.org", "a@example.org"))


def rate(records: int, work: Callable[[], object]) -> dict[str, int]:
    """Records per second of the clock, and of processor time: on a busy machine only the latter says much."""
    gc.collect()
    began, used = time.perf_counter(), time.process_time()
    work()
    elapsed, spent = time.perf_counter() - began, time.process_time() - used
    return {"per second": round(records / elapsed), "per processor second": round(records / spent)}


def export_all(store: MemoryStore) -> int:
    found = answer_pull(store, Pull(tables()[0]), "http://source", START)
    return sum(map(len, write_xml(found.attributes, found.resources)))


def export_json(store: MemoryStore) -> int:
    found = answer_pull(store, Pull(tables()[0]), "http://source", START)
    return sum(map(len, write_json(found.attributes, found.resources)))


def parse(body: bytes) -> int:
    reader, found = XmlReader(), 0
    for start in range(0, len(body), CHUNK):
        found += len(reader.feed(body[start : start + CHUNK]))
    return found + len(reader.close())


def take(store: MemoryStore, body: bytes) -> int:
    pieces = (body[start : start + CHUNK] for start in range(0, len(body), CHUNK))
    with collector_paused():
        done = import_document(store, tables()[0], read_xml(pieces), Options(Policies(), "peer"), START)
    return done.reply.records


def peak_megabytes(work: Callable[[], object]) -> float:
    gc.collect()
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 1_000_000, 1)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--records", type=int, default=50_000)
    arguments.add_argument("--smoke", action="store_true", help="few records: does it still run?")
    given = arguments.parse_args()
    records = 500 if given.smoke else given.records
    store = filled(records)
    gc.freeze()
    found = answer_pull(store, Pull(tables()[0]), "http://source", START)
    body = b"".join(write_xml(found.attributes, found.resources))
    found = answer_pull(store, Pull(tables()[0]), "http://source", START)
    json_body = b"".join(write_json(found.attributes, found.resources))
    target = empty("target")
    rates = {
        "export S3XML": rate(records, lambda: export_all(store)),
        "export S3JSON": rate(records, lambda: export_json(store)),
        "parse S3XML": rate(records, lambda: parse(body)),
        "parse S3JSON": rate(records, lambda: read_json(json_body)),
        "import S3XML, all new": rate(records, lambda: take(target, body)),
        "import S3XML, nothing new": rate(records, lambda: take(target, body)),
    }
    smaller = filled(records // 5)
    result = {
        "records": records,
        "megabytes": round(len(body) / 1_000_000, 1),
        "rates": rates,
        "floors": FLOORS,
        "export peak MB": {
            str(records): peak_megabytes(lambda: export_all(store)),
            str(records // 5): peak_megabytes(lambda: export_all(smaller)),
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
