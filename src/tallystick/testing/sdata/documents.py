"""What the provider's documents must contain."""

from __future__ import annotations

from lxml import etree

from tallystick.protocols.sdata.codec.documents import parse_document
from tallystick.protocols.sdata.codec.names import SDATA, SYNC
from tallystick.protocols.sdata.codec.tracking import read_tracking
from tallystick.protocols.sdata.transport import Response
from tallystick.testing.sdata.expecting import expect


def expect_type(answer: Response, prefix: str) -> None:
    """Old engines compare the beginning of the content type."""
    found = answer.headers.get("content-type", "")
    accepted = found.replace(";type", "; type").startswith(prefix)
    expect(accepted, f"the content type is {found!r} instead of {prefix!r}")


def expect_children(element: etree._Element, namespace: str, *names: str) -> None:
    """``element`` has each of these children."""
    for name in names:
        expect(element.find(f"{{{namespace}}}{name}") is not None, f"{local(element)} has no {name}")


def local(element: etree._Element) -> str:
    """The name of an element without its namespace."""
    return etree.QName(element).localname


def expect_digest(element: etree._Element) -> None:
    """A ``sync:digest`` with its parts in the sync namespace."""
    expect_children(element, SYNC, "origin", "digestEntry")
    for entry in element.findall(f"{{{SYNC}}}digestEntry"):
        expect_children(entry, SYNC, "endpoint", "tick", "stamp", "conflictPriority")
        expect(int(entry.findtext(f"{{{SYNC}}}tick", "")) >= 1, "a tick is below 1")
        priority = int(entry.findtext(f"{{{SYNC}}}conflictPriority", ""))
        expect(1 <= priority <= 9, f"the conflict priority {priority} is not between 1 and 9")


def expect_tracking(answer: Response) -> None:
    """202 as old engines want it: Location, application/xml, a tracking body with everything in it."""
    expect(answer.status == 202, f"the job was answered {answer.status} instead of 202")
    expect(answer.headers.get("location"), "the 202 has no Location")
    expect_type(answer, "application/xml")
    root = parse_document(answer.body)
    expect(root.tag == f"{{{SDATA}}}tracking", f"the body of the 202 is {root.tag}")
    expect_children(
        root, SDATA, "phase", "phaseDetail", "progress", "elapsedSeconds", "remainingSeconds", "pollingMillis"
    )
    for name in ("elapsedSeconds", "remainingSeconds", "pollingMillis"):
        text = root.findtext(f"{{{SDATA}}}{name}", "").strip()
        expect(text.isdigit(), f"{name} is {text!r}, which old engines cannot read as an integer")
    read_tracking(answer.body)


def expect_diagnoses(answer: Response, *statuses: int) -> None:
    """An error as it should be: one of ``statuses``, with diagnoses."""
    expect(answer.status in statuses, f"the error was answered {answer.status} instead of {statuses}")
    root = parse_document(answer.body)
    expect(
        root.tag in (f"{{{SDATA}}}diagnoses", f"{{{SDATA}}}diagnosis"), f"the body of the {answer.status} is {root.tag}"
    )
