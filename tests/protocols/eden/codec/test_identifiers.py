"""Identifiers and domains (section 6.4)."""

import pytest

from tallystick.protocols.eden.codec.identifiers import exported, imported, reference_spellings


@pytest.mark.parametrize(
    ("identifier", "on_the_wire"),
    (
        ("urn:uuid:1", "urn:uuid:1"),
        ("plain-uid-1", "vm/plain-uid-1"),
        ("peer.example.org/abc123", "peer.example.org/abc123"),
    ),
)
def test_bare_identifiers_leave_with_our_domain(identifier, on_the_wire):
    assert exported(identifier, "vm") == on_the_wire
    assert imported(on_the_wire, "vm") == identifier


def test_a_foreign_domain_stays():
    assert imported("peer.example.org/abc123", "vm") == "peer.example.org/abc123"
    assert imported("vmx/abc", "vm") == "vmx/abc"


@pytest.mark.parametrize(
    ("identifier", "own", "sender", "spellings"),
    (
        ("urn:uuid:1", "here", "vm", ("urn:uuid:1",)),
        ("own-uid-1", "here", "vm", ("own-uid-1", "vm/own-uid-1")),
        ("vm/own-uid-1", "here", "vm", ("vm/own-uid-1",)),
        ("here/x", "here", "vm", ("x",)),
        ("x", "vm", "vm", ("x",)),
        ("x", "here", None, ("x",)),
    ),
)
def test_a_reference_is_tried_in_both_spellings(identifier, own, sender, spellings):
    """Live sites write the domain on records, but not on references to them: 94."""
    assert reference_spellings(identifier, own, sender) == spellings
