"""Pages that targets' results were posted with, by run (spec 13): what ``tallystick log --run`` shows of them."""

from __future__ import annotations

import msgspec

from tallystick.protocols.sdata.store import ResultReport
from tallystick.site.ledger import Ledger

KEPT_PAGES = 10_000
"""Pages of results kept in all; older ones are forgotten."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ResultReport)


def add_report(ledger: Ledger, resource_kind: str, report: ResultReport) -> None:
    """Keep a page of results. Inside ``ledger.engine.write()``."""
    number = int(ledger.engine.query("SELECT coalesce(max(id), 0)+1 FROM tally_sdata_result")[0][0])
    ledger.engine.execute(
        "INSERT INTO tally_sdata_result(id, resource_kind, run_name, run_stamp, report) VALUES (?, ?, ?, ?, ?)",
        (number, resource_kind, report.run_name, report.run_stamp, _encoder.encode(report)),
    )
    ledger.engine.execute("DELETE FROM tally_sdata_result WHERE id<=?", (number - KEPT_PAGES,))


def reports(ledger: Ledger, run_name: str = "") -> list[tuple[str, ResultReport]]:
    """Resource kind and page of everything that was posted, oldest first; only of one run when given."""
    sql, parameters = "SELECT resource_kind, report FROM tally_sdata_result", ()
    if run_name:
        sql += " WHERE run_name=?"
        parameters = (run_name,)  # type: ignore[assignment]
    rows = ledger.engine.query(f"{sql} ORDER BY id", parameters)
    return [(str(kind), _decoder.decode(bytes(raw))) for kind, raw in rows]
