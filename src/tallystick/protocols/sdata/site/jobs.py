"""Jobs in a site's database: they survive a restart with what they froze or brought about (spec 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tallystick.protocols.sdata.site.bodies import packed, unpacked
from tallystick.protocols.sdata.store import Job, JobState, Outcome
from tallystick.site.ledger import Ledger

REMEMBERED_MS = 24 * 3600 * 1000
"""How long a deleted job is answered 410 instead of 404."""
HEAD, OUTCOMES = -1, -2
"""Parts of a job beside its pages: the frozen digest, and what became of its entries."""

_encoder = msgspec.msgpack.Encoder()
_jobs = msgspec.msgpack.Decoder(Job)
_outcomes = msgspec.msgpack.Decoder(list[Outcome])
_NAMED = "resource_kind=? AND kind=? AND id=?"
_Name = tuple[str, str, str]


def named(job: Job) -> _Name:
    """How a job is found: tracking ids are compared without case."""
    return (job.resource_kind, job.kind.value, job.id.lower())


def add(ledger: Ledger, job: Job) -> tuple[Job, bool]:
    """Store a job, or find the one that there is under its name. Inside ``ledger.engine.write()``."""
    known = find(ledger, named(job))
    if known is not None:
        return known, False
    bare = msgspec.structs.replace(job, request=b"")
    ledger.engine.execute(
        "INSERT INTO tally_sdata_job(resource_kind, kind, id, job, request, ended, changed) "
        "VALUES (?, ?, ?, ?, ?, 0, ?)",
        (*named(job), _encoder.encode(bare), packed(job.request), int(job.changed * 1000)),
    )
    return job, True


def find(ledger: Ledger, name: _Name) -> Job | None:
    """A job without its request; None when there is none."""
    rows = ledger.engine.query(f"SELECT job FROM tally_sdata_job WHERE {_NAMED}", name)
    return _jobs.decode(bytes(rows[0][0])) if rows else None


def change(ledger: Ledger, job: Job) -> None:
    """Store how far a job is. An ended one needs its request no more."""
    ended = job.state in (JobState.DONE, JobState.FAILED)
    bare = msgspec.structs.replace(job, request=b"")
    drop = ", request=''" if ended else ""
    ledger.engine.execute(
        f"UPDATE tally_sdata_job SET job=?, ended=?, changed=?{drop} WHERE {_NAMED}",
        (_encoder.encode(bare), int(ended), int(job.changed * 1000), *named(job)),
    )


def drop(ledger: Ledger, name: _Name) -> bool:
    """Forget a job with its parts, and remember for a while that it was there. False when there is none."""
    if find(ledger, name) is None:
        return False
    ledger.engine.execute(f"DELETE FROM tally_sdata_job WHERE {_NAMED}", name)
    ledger.engine.execute(f"DELETE FROM tally_sdata_part WHERE {_NAMED}", name)
    remember(ledger, name)
    return True


def remember(ledger: Ledger, name: _Name) -> None:
    """Remember for a while that something was there: a job, or (kind "resource") a resource by its key."""
    ledger.engine.execute(
        "INSERT INTO tally_sdata_dropped(resource_kind, kind, id, at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (resource_kind, kind, id) DO UPDATE SET at=excluded.at",
        (*name, ledger.now()),
    )


def was_dropped(ledger: Ledger, name: _Name) -> bool:
    """True when such a job was dropped, or such a resource deleted, not long ago."""
    return bool(ledger.engine.query(f"SELECT 1 FROM tally_sdata_dropped WHERE {_NAMED}", name))


def open_jobs(ledger: Ledger) -> list[Job]:
    """Jobs that have not ended, with their requests."""
    rows = ledger.engine.query("SELECT job, request FROM tally_sdata_job WHERE ended=0 ORDER BY changed, id")
    return [msgspec.structs.replace(_jobs.decode(bytes(job)), request=unpacked(bytes(body))) for job, body in rows]


def expire(ledger: Ledger, before: float) -> int:
    """Drop jobs that nobody has touched since ``before`` (Unix seconds), and forget old deletions; how many jobs."""
    rows = ledger.engine.query(
        "SELECT resource_kind, kind, id FROM tally_sdata_job WHERE changed<?", (int(before * 1000),)
    )
    for name in rows:
        drop(ledger, (name[0], name[1], name[2]))
    ledger.engine.execute("DELETE FROM tally_sdata_dropped WHERE at<?", (ledger.now() - REMEMBERED_MS,))
    return len(rows)


# Parts ----------------------------------------------------------------------------------------------------------


def keep(ledger: Ledger, job: Job, start: int, part: bytes) -> None:
    """Keep a part of a job under its first index."""
    ledger.engine.execute(
        "INSERT INTO tally_sdata_part(resource_kind, kind, id, start, part) VALUES (?, ?, ?, ?, ?)",
        (*named(job), start, part),
    )


def part(ledger: Ledger, job: Job, start: int) -> bytes | None:
    """The part that was kept under an index; None when there is none."""
    rows = ledger.engine.query(f"SELECT part FROM tally_sdata_part WHERE {_NAMED} AND start=?", (*named(job), start))
    return bytes(rows[0][0]) if rows else None


def parts(ledger: Ledger, job: Job, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """The parts that begin between two indexes, in order."""
    rows = ledger.engine.query(
        f"SELECT start, part FROM tally_sdata_part WHERE {_NAMED} AND start>=? AND start<=? ORDER BY start",
        (*named(job), first, last),
    )
    for start, raw in rows:
        yield int(start), bytes(raw)


def keep_outcomes(ledger: Ledger, job: Job, outcomes: Sequence[Outcome]) -> None:
    """Keep what became of a job's entries; resources are read again when somebody asks."""
    keep(ledger, job, OUTCOMES, _encoder.encode([msgspec.structs.replace(one, resource=None) for one in outcomes]))


def outcomes(ledger: Ledger, job: Job) -> list[Outcome] | None:
    """What `keep_outcomes` kept."""
    raw = part(ledger, job, OUTCOMES)
    return None if raw is None else _outcomes.decode(raw)
