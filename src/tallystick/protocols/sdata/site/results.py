"""Pages that targets' results were posted with, by run (spec 13): what ``tallystick log --run`` shows of them."""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.protocols.sdata.errors import MalformedMessage
from tallystick.protocols.sdata.site.bodies import packed, unpacked
from tallystick.protocols.sdata.site.tables import ROOM
from tallystick.protocols.sdata.store import Job, ResultReport
from tallystick.site import runs
from tallystick.site.ledger import Ledger

KEPT_PAGES = 10_000
"""Pages of results kept in all; older ones are forgotten."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ResultReport)


def add_report(ledger: Ledger, resource_kind: str, report: ResultReport) -> None:
    """Keep a page of results. Inside ``ledger.engine.write()``."""
    number = int(ledger.engine.query("SELECT coalesce(max(id), 0)+1 FROM tally_sdata_result")[0][0])
    kept = msgspec.structs.replace(report, page=packed(report.page))
    ledger.engine.execute(
        "INSERT INTO tally_sdata_result(id, resource_kind, run_name, run_stamp, report) VALUES (?, ?, ?, ?, ?)",
        (number, resource_kind, report.run_name, report.run_stamp, _encoder.encode(kept)),
    )
    ledger.engine.execute("DELETE FROM tally_sdata_result WHERE id<=?", (number - KEPT_PAGES,))


def reports(ledger: Ledger, run_name: str = "") -> list[tuple[str, ResultReport]]:
    """Resource kind and page of everything that was posted, oldest first; only of one run when given."""
    sql, parameters = "SELECT resource_kind, report FROM tally_sdata_result", ()
    if run_name:
        sql += " WHERE run_name=?"
        parameters = (run_name,)  # type: ignore[assignment]
    rows = ledger.engine.query(f"{sql} ORDER BY id", parameters)
    return [(str(kind), _unpacked(_decoder.decode(bytes(raw)))) for kind, raw in rows]


def _unpacked(report: ResultReport) -> ResultReport:
    return msgspec.structs.replace(report, page=unpacked(report.page))


def results(ledger: Ledger, run_name: str) -> list[dict[str, Any]]:
    """What targets reported of a run, entry by entry; nothing where the site was never served as SData."""
    if not ledger.meta(f"format.{ROOM}"):
        return []
    return [line for kind, report in reports(ledger, run_name) for line in _lines(kind, report)]


def _lines(kind: str, report: ResultReport) -> list[dict[str, Any]]:
    head = {"kind": kind, "from": report.endpoint, "stamp": report.run_stamp}
    try:
        entries = report.entries
    except MalformedMessage as error:
        return [{**head, "status": 0, "method": "", "uuid": "", "message": f"cannot be read: {error.message}"}]
    return [
        {
            **head,
            "status": entry.status,
            "method": entry.method,
            "uuid": entry.uuid,
            "message": "; ".join(found.message for found in entry.diagnoses) or entry.message,
        }
        for entry in entries
    ]


def note_run(ledger: Ledger, job: Job, action: str, peer: str, records: int, refused: int = 0) -> None:
    """Note in the run log what a job of a named run moved; all jobs of a run and kind are one line of it.

    Inside ``ledger.write()``. Jobs that moved nothing leave no trace.
    """
    if not job.run_name or not records:
        return
    action = f"{action} {job.resource_kind}"
    rows = ledger.engine.query(
        "SELECT id, report FROM tally_run WHERE name=? AND stamp=? AND action=? AND peer=?",
        (job.run_name, job.run_stamp, action, peer),
    )
    report = {"records": records, "failed": refused}
    if rows:
        before = msgspec.json.decode(rows[0][1], type=dict[str, int])
        report = {name: count + before.get(name, 0) for name, count in report.items()}
        number = int(rows[0][0])
    else:
        number = runs.begin(ledger, job.run_name, peer, action)
        ledger.engine.execute("UPDATE tally_run SET stamp=? WHERE id=?", (job.run_stamp, number))
    runs.finish(ledger, number, runs.WARNING if report["failed"] else runs.SUCCESS, report)
