"""The elements of S3XML and S3JSON documents as values (spec: section 6.1).

Both formats carry the same model, so both readers make these and both writers take them. Attributes stay text as
they were on the wire: a record whose time cannot be read must be handed back in the error tree exactly as it came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Data(NamedTuple):
    """One ``data`` element. ``value`` is the raw attribute (JSON text where possible), ``text`` the representation."""

    field: str
    value: str | None = None
    text: str | None = None
    url: str | None = None
    filename: str | None = None
    error: str | None = None


class Reference(NamedTuple):
    """One ``reference`` element.

    ``uuids`` and ``tuids`` hold one identifier, or several for a multi-reference (``many``). ``attributes`` are those
    that only inform (``id``, ``lat``, ``lon``). ``inline`` is an anonymous target written inside the reference.
    """

    field: str
    table: str
    uuids: tuple[str, ...] = ()
    tuids: tuple[str, ...] = ()
    many: bool = False
    text: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    inline: Resource | None = None
    error: str | None = None


@dataclass(slots=True)
class Resource:
    """One ``resource`` element: a record, a component record inside a record, or a stub of a deleted one.

    ``attributes`` holds every attribute but ``name``, ``alias`` and ``error``, in the order of the document, unknown
    ones included. ``components`` are the records nested in this one.
    """

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    data: list[Data] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    components: list[Resource] = field(default_factory=list)
    alias: str | None = None
    error: str | None = None

    @property
    def uuid(self) -> str | None:
        """The identifier as written, or None."""
        return self.attributes.get("uuid")

    @property
    def tuid(self) -> str | None:
        """The temporary identifier, valid inside its document only, or None."""
        return self.attributes.get("tuid")

    @property
    def deleted(self) -> bool:
        """True for the stub of a deleted or merged record (section 6.5)."""
        flag = self.attributes.get("deleted")
        return flag is not None and flag.lower() == "true"

    @property
    def replaced_by(self) -> str | None:
        """The identifier of the survivor, on a merge stub."""
        return self.attributes.get("replaced_by")

    @property
    def modified_on(self) -> str | None:
        """The time of the last change as written, or None."""
        return self.attributes.get("modified_on")


@dataclass(slots=True)
class Document:
    """A whole document: attributes of its root and its top-level records, dependencies included."""

    attributes: dict[str, str] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)

    @property
    def domain(self) -> str | None:
        """The name of the server that exported the document, or None."""
        return self.attributes.get("domain")


class Limits(NamedTuple):
    """What a reader accepts; beyond it DocumentTooLarge or DocumentTooDeep is raised."""

    document_bytes: int = 256 * 1024 * 1024
    nesting: int = 16
    """Records inside records."""
    elements: int = 20_000
    """Fields, references and component records of one record."""


DEFAULT_LIMITS = Limits()

EXTENSION = "tally"
"""The attribute of ``resource`` in which two Tallystick sites carry versions; Eden ignores it.

At the root it says that a Tallystick site wrote the document, whether or not a record in it has a version to carry.
"""

NULLS = "tally_nulls"
"""The attribute of ``resource`` that names, separated by commas, the fields that hold nothing; Eden ignores it."""

UNSENT = "tally_unsent"
"""The attribute of the root that names, one a line, records which no document can hold (``EdenStore.unsent``)."""

STATE = "tally_state"
"""The attribute of the root, and the URL parameter, with which two Tallystick sites go on where they stopped."""
