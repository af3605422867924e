"""Identifiers and domains (spec: section 6.4).

``urn:`` identifiers travel unchanged. Others belong to a domain: a site writes ``<its domain>/<identifier>`` and takes
its own domain off again. Real sites write the domain on records but not on references to them, so a reference is
tried in both spellings.
"""

from __future__ import annotations

from uuid import UUID

_URN = "urn:"


def exported(identifier: str, own_domain: str | None) -> str:
    """The spelling that leaves this site: with our domain in front of a bare identifier, on records and references."""
    if not own_domain or identifier.startswith(_URN) or "/" in identifier:
        return identifier
    return f"{own_domain}/{identifier}"


def imported(identifier: str, own_domain: str | None) -> str:
    """The spelling that is kept here: without our own domain."""
    if own_domain and identifier.startswith(own_domain + "/"):
        return identifier[len(own_domain) + 1 :]
    return identifier


def reference_spellings(identifier: str, own_domain: str | None, sender_domain: str | None) -> tuple[str, ...]:
    """What a reference in a document from ``sender_domain`` may mean here, the most likely first.

    A bare identifier means the sender's record of that name, which on its ``resource`` element carries the domain.
    """
    kept = imported(identifier, own_domain)
    if not sender_domain or sender_domain == own_domain or identifier.startswith(_URN) or "/" in identifier:
        return (kept,)
    return (kept, f"{sender_domain}/{kept}")


def urn_of(uuid: UUID) -> str:
    """The identifier that Eden gives to new records."""
    return f"urn:uuid:{uuid}"
