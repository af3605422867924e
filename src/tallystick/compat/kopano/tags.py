"""Properties by MAPI tag: which attribute of an object a tag stands for, and the values of those that stand for none.

Tags without an attribute are kept in the object's properties under their number, so nothing a program sets is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tallystick.compat.kopano.errors import NotFoundError
from tallystick.compat.MAPI import Tags
from tallystick.compat.MAPI.Struct import MAPIErrorNoAccess, MAPIErrorNotFound
from tallystick.stores.times import to_local, to_micros

if TYPE_CHECKING:
    from tallystick.stores.objects import Managed

_ATTRIBUTES = {
    0x0037: "subject",
    0x0E1D: "subject",
    0x0070: "subject",
    0x001A: "message_class",
    0x1000: "text",
    0x1013: "html",
    0x0E06: "received",
    0x0039: "sent",
    0x3007: "created",
    0x3008: "last_modified",
    0x0060: "start",
    0x0061: "end",
    0x0E69: "read",
    0x0E08: "size",
    0x67AA: "associated",
    0x1035: "message_id",
    0x1042: "in_reply_to",
    0x3001: "name",
    0x3613: "container_class",
    0x3602: "count",
    0x3603: "unread",
    0x6638: "subfolder_count",
    0x6711: "hierarchyid",
    0x3A00: "name",
    0x39FE: "email",
    0x3003: "email",
}
_IDENTIFIERS = {0x0FFF: "entryid", 0x65E0: "sourcekey", 0x300B: "searchkey", 0x0FFB: "storeid"}
_PREFIX = "tag/"


class Property:
    """One property of an object, by tag."""

    def __init__(self, owner: Managed, tag: int) -> None:
        self.object = owner
        self.proptag = tag

    @property
    def id_(self) -> int:
        """The number in the tag."""
        return Tags.PROP_ID(self.proptag)

    @property
    def type_(self) -> int:
        """The type in the tag."""
        return Tags.PROP_TYPE(self.proptag)

    @property
    def value(self) -> Any:
        """Its value."""
        return read(self.object, self.proptag)

    @value.setter
    def value(self, value: Any) -> None:
        write(self.object, self.proptag, value)

    def __repr__(self) -> str:
        return f"Property(0x{self.proptag:08X})"


class Tagged:
    """An object whose properties can be reached by tag."""

    __slots__ = ()

    def prop(self, tag: int, create: bool = False) -> Property:
        """The property with this tag. Raises NotFoundError without it, unless ``create``."""
        if not create and read(self, tag) is None:  # type: ignore[arg-type]
            raise NotFoundError(f"no such property: 0x{tag:08X}")
        return Property(self, tag)  # type: ignore[arg-type]

    def get_prop(self, tag: int) -> Property | None:
        """The property with this tag, or None."""
        try:
            return self.prop(tag)
        except NotFoundError:
            return None

    def create_prop(self, tag: int, value: Any, proptype: int | None = None) -> Property:
        """Set a property."""
        chosen = tag if proptype is None else Tags.CHANGE_PROP_TYPE(tag, proptype)
        write(self, chosen, value)  # type: ignore[arg-type]
        return Property(self, chosen)  # type: ignore[arg-type]

    def get(self, tag: int, default: Any = None) -> Any:
        """The value of a property, or ``default``."""
        found = read(self, tag)  # type: ignore[arg-type]
        return default if found is None else found

    def value(self, tag: int) -> Any:
        """The value of a property. Raises NotFoundError."""
        return self.prop(tag).value

    def __getitem__(self, tag: int) -> Any:
        return self.value(tag)

    def __setitem__(self, tag: int, value: Any) -> None:
        write(self, tag, value)  # type: ignore[arg-type]

    def props(self) -> Iterator[Property]:
        """The properties that are set."""
        for tag in _known_tags(self):  # type: ignore[arg-type]
            yield Property(self, tag)  # type: ignore[arg-type]


def read(owner: Managed, tag: int) -> Any:
    """The value that ``tag`` has for ``owner``; None if it has none."""
    number = Tags.PROP_ID(tag)
    if number in _IDENTIFIERS:
        text = getattr(owner, _IDENTIFIERS[number], None)
        return None if text is None else owner.server.raw(text)
    if number == Tags.PROP_ID(Tags.PR_MESSAGE_FLAGS) and hasattr(owner, "read"):
        return (Tags.MSGFLAG_READ if owner.read else 0) | (Tags.MSGFLAG_ASSOCIATED if owner.record.associated else 0)
    name = _ATTRIBUTES.get(number)
    if name is not None and hasattr(type(owner), name):
        return getattr(owner, name)
    kept = owner.properties.get(f"{_PREFIX}{tag:08X}")
    return to_local(kept) if kept is not None and Tags.PROP_TYPE(tag) == Tags.PT_SYSTIME else kept


def write(owner: Managed, tag: int, value: Any) -> None:
    """Set the value that ``tag`` has for ``owner``; None removes it.

    Raises MAPIErrorNoAccess for what cannot be set.
    """
    number = Tags.PROP_ID(tag)
    if number in _IDENTIFIERS:
        raise MAPIErrorNoAccess(desc=f"property 0x{tag:08X} cannot be set")
    name = _ATTRIBUTES.get(number)
    if name is not None and hasattr(type(owner), name):
        try:
            setattr(owner, name, value)
        except AttributeError:
            raise MAPIErrorNoAccess(desc=f"property 0x{tag:08X} cannot be set") from None
        return
    kept = to_micros(value) if isinstance(value, datetime) else value
    owner._write({f"{_PREFIX}{tag:08X}": kept})


def _known_tags(owner: Managed) -> Iterator[int]:
    """Tags of everything that is set, each number once."""
    told: set[int] = set()
    for name in dir(Tags):
        tag = getattr(Tags, name)
        candidate = name.startswith("PR_") and Tags.PROP_TYPE(tag) != Tags.PT_STRING8
        if candidate and Tags.PROP_ID(tag) not in told and _readable(owner, tag):
            told.add(Tags.PROP_ID(tag))
            yield tag
    for name in owner.properties:
        if name.startswith(_PREFIX) and int(name[len(_PREFIX) :], 16) >> 16 not in told:
            yield int(name[len(_PREFIX) :], 16)


def _readable(owner: Managed, tag: int) -> bool:
    try:
        return read(owner, tag) is not None
    except MAPIErrorNotFound:
        return False
