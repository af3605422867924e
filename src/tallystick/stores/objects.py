"""What servers, companies, users, stores, folders and items have in common: a managed record, seen through a server.

An object always shows what its record is now, as far as this process knows: after any commit made here it reads the
record again when it is next asked. Setting an attribute is one write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from tallystick.stores.changelog import Class, Kind
from tallystick.stores.port import Record, Revision
from tallystick.stores.properties import STRUCTURE, read_content
from tallystick.stores.times import to_local, to_micros

if TYPE_CHECKING:
    from tallystick.stores.server import Server

_Value = TypeVar("_Value")
_Own = TypeVar("_Own", bound="Managed")

_TYPES = {Class.STORE: 1, Class.FOLDER: 3, Class.ITEM: 5, Class.USER: 6, Class.GROUP: 7, Class.COMPANY: 8}


def entryid_of(store: bytes, object: int, key: bytes) -> bytes:
    """The address of an object: store GUID, kind of object and key, in the layout such addresses have elsewhere."""
    return bytes(4) + store.ljust(16, b"\0")[:16] + bytes([1, 0, 0, 0, _TYPES[Class(object)], 0, 0, 0]) + key


def key_in(entryid: bytes) -> bytes:
    """The key inside an address; empty for what is none."""
    return entryid[28:]


class Managed:
    """An object of the model."""

    __slots__ = ("_commits", "_content", "_number", "_record", "server")

    def __init__(self, server: Server, record: Record) -> None:
        self.server = server
        self._number = record.id
        self._record: Record | None = record
        self._content: dict[str, Any] | None = None
        self._commits = server.records.commits

    @classmethod
    def unopened(cls: type[_Own], server: Server, number: int) -> _Own:
        """The object of this number, which is not looked at before it is asked for something."""
        one = cls.__new__(cls)
        one.server = server
        one._number = number
        one._record = one._content = None
        one._commits = -1
        return one

    # the record ------------------------------------------------------------------------------------------------

    @property
    def record(self) -> Record:
        """The record as it is now. Raises NotFoundError when it is gone."""
        commits = self.server.records.commits
        if commits != self._commits:
            found = self.server.records.records([self._number]).get(self._number)
            if found != self._record:
                self._record, self._content = found, None
            self._commits = commits
        if self._record is None:
            raise self.server.gone(f"this {type(self).__name__.lower()} was deleted")
        return self._record

    @property
    def properties(self) -> Mapping[str, Any]:
        """Its properties, by name."""
        return {name: value for name, value in self._read_content().items() if name not in STRUCTURE}

    def _read_content(self) -> dict[str, Any]:
        """Everything its record holds, decoded when it is first asked for."""
        record = self.record
        if self._content is None:
            self._content = read_content(record.properties)
        return self._content

    def _write(
        self, changed: Mapping[str, Any] = MappingProxyType({}), kinds: Sequence[Kind] = (Kind.CHANGE,), **fields: Any
    ) -> None:
        """One write: ``changed`` properties (None removes one) and ``fields`` of the record."""
        self._allow_write()
        with self.server.records.transaction():
            self._refresh()
            if Kind.CHANGE in kinds:
                fields["properties"] = {**self.properties, "modified": self.server.now(), **changed}
            self.server.records.update([Revision(self._number, kinds, **fields)])
        self._refresh()

    def _allow_write(self) -> None:
        """Raise AccessDenied unless the caller may write to this object."""
        self.server.administer("change this")

    def _refresh(self) -> None:
        self._commits = -1

    # identity --------------------------------------------------------------------------------------------------

    @property
    def sourcekey(self) -> str:
        """Its identity: stays with it until it is deleted or moved to another folder."""
        return self.server.text(self.record.key)

    @property
    def entryid(self) -> str:
        """Its address, to open it with."""
        record = self.record
        return self.server.text(entryid_of(self.server.store_guid(record.store), record.object, record.key))

    @property
    def hierarchyid(self) -> int:
        """Its number in the database."""
        return self._number

    @property
    def created(self) -> datetime | None:
        """When it was made, naive local time."""
        return to_local(self.properties.get("created"))

    @property
    def last_modified(self) -> datetime | None:
        """When it was last written to, naive local time."""
        return to_local(self.properties.get("modified", self.properties.get("created")))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Managed):
            return NotImplemented
        return (self.server.guid, self._number) == (other.server.guid, other._number)

    def __hash__(self) -> int:
        return hash(self._number)


class Field(Generic[_Value]):
    """A property of an object as an attribute: reading gives its value or ``default``, setting it is one write."""

    def __init__(self, name: str, default: _Value) -> None:
        self.name = name
        self._default = default

    @overload
    def __get__(self: Field[_Value], instance: None, owner: type) -> Field[_Value]: ...

    @overload
    def __get__(self: Field[_Value], instance: Managed, owner: type) -> _Value: ...

    def __get__(self, instance: Managed | None, owner: type) -> Field[_Value] | _Value:
        if instance is None:
            return self
        found: _Value = instance._read_content().get(self.name, self._default)
        return found

    def __set__(self, instance: Managed, value: _Value) -> None:
        instance._write({self.name: self.stored(value)})

    def stored(self, value: Any) -> Any:
        """``value`` as it is kept."""
        return value


class MomentField(Field[datetime | None]):
    """A moment: naive local time outside, microseconds since 1970 UTC inside."""

    def __init__(self, name: str) -> None:
        super().__init__(name, None)

    def __get__(self, instance: Managed | None, owner: type) -> Any:
        """The moment, or None."""
        return self if instance is None else to_local(instance.properties.get(self.name))

    def stored(self, value: datetime | None) -> int | None:
        """Microseconds."""
        return to_micros(value)
