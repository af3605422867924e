"""Items: mails, appointments, contacts, whatever a folder holds."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tallystick.stores.attachment import Attachment
from tallystick.stores.changelog import Kind
from tallystick.stores.errors import ArgumentError
from tallystick.stores.message import Address, Attached, Opened, addresses, compose, properties_of, with_subject
from tallystick.stores.objects import Field, Managed, MomentField
from tallystick.stores.rights import Right
from tallystick.stores.times import to_local, to_micros

if TYPE_CHECKING:
    from tallystick.stores.folder import Folder
    from tallystick.stores.store import Store


class PeopleField(Field[list[Address]]):
    """People. May be set from text such as ``A <a@x>; b@y``."""

    def __init__(self, name: str) -> None:
        super().__init__(name, [])

    def __get__(self, instance: Managed | None, owner: type) -> Any:
        """A list of addresses."""
        return self if instance is None else [Address(*one) for one in instance.properties.get(self.name, ())]

    def stored(self, value: Any) -> list[list[str]] | None:
        """Pairs of name and address."""
        return [list(one) for one in addresses(value)] or None


class Item(Managed):
    """An item of a folder. Its bodies and attachments are read when they are asked for."""

    __slots__ = ()

    subject = Field[str]("subject", "")
    message_class = Field[str]("message_class", "IPM.Note")
    importance = Field[str]("importance", "normal")
    sensitivity = Field[str]("sensitivity", "normal")
    categories = Field[list[str]]("categories", [])
    flagged = Field[bool]("flagged", False)
    replied = Field[bool]("replied", False)
    draft = Field[bool]("draft", False)
    message_id = Field[str]("message_id", "")
    in_reply_to = Field[str]("in_reply_to", "")
    location = Field[str]("location", "")
    sent = MomentField("sent")
    start = MomentField("start")
    end = MomentField("end")
    to = PeopleField("to")
    cc = PeopleField("cc")
    bcc = PeopleField("bcc")
    reply_to = PeopleField("reply_to")
    _from = PeopleField("from")
    _sender = PeopleField("sender")

    # where it is -----------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Folder:
        """The folder it is in."""
        return self.server.faces.folder(self.server, self.server.require(self.record.parent))

    @property
    def parent(self) -> Folder:
        """The folder it is in."""
        return self.folder

    @property
    def store(self) -> Store:
        """The store it is in."""
        return self.server.store_by_number(self.record.store)

    @property
    def docid(self) -> int:
        """Its number: moves keep it."""
        return self._number

    @property
    def storeid(self) -> str:
        """GUID of its store."""
        return self.server.text(self.server.store_guid(self.record.store))

    @property
    def searchkey(self) -> str:
        """An identity that moves and copies keep."""
        return self.server.text(self.properties.get("searchkey", self.record.key))

    @property
    def associated(self) -> bool:
        """True for a hidden item."""
        return bool(self.record.associated)

    def _allow_write(self) -> None:
        if self.server.caller is not None:
            folder = self.folder
            own = self.properties.get("owner") == self.server.caller_key
            if not (own and folder.allowed(Right.EDIT_OWN)):
                folder.allow(Right.EDIT_ALL)

    # what it says ----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its subject."""
        return self.subject

    @property
    def read(self) -> bool:
        """Whether it has been read. Setting the value it has writes nothing."""
        return bool(self.record.read)

    @read.setter
    def read(self, value: bool) -> None:
        if bool(value) != self.read:
            self._write(kinds=(Kind.FLAG,), read=bool(value))

    @property
    def received(self) -> datetime | None:
        """When it was delivered, naive local time; None if it never was."""
        return to_local(self.record.delivered)

    @received.setter
    def received(self, moment: datetime) -> None:
        self._write(delivered=to_micros(moment))

    @property
    def from_(self) -> Address | None:
        """Who it is from."""
        return next(iter(self._from), None)

    @from_.setter
    def from_(self, person: str | Address) -> None:
        self._write({"from": Item._from.stored(person)})

    @property
    def sender(self) -> Address | None:
        """Who sent it, if not the one it is from."""
        return next(iter(self._sender or self._from), None)

    @sender.setter
    def sender(self, person: str | Address) -> None:
        self._write({"sender": Item._sender.stored(person)})

    def recipients(self) -> list[Address]:
        """Everybody it is addressed to."""
        return [*self.to, *self.cc, *self.bcc]

    # bodies ----------------------------------------------------------------------------------------------------

    def part(self, name: str) -> bytes | None:
        """One of its parts as kept: ``text``, ``html``, ``source``, ``attachment/0`` ...; None without it."""
        return self.server.records.part(self.record.id, name)

    def _opened(self) -> Opened:
        return Opened(self.part("source") or b"")

    @property
    def text(self) -> str:
        """The plain text."""
        kept = self.part("text")
        return self._opened().text() if kept is None else kept.decode("utf-8", "replace")

    @text.setter
    def text(self, text: str) -> None:
        self._write({"altered": True}, parts={"text": text.encode()})

    @property
    def body(self) -> str:
        """The plain text."""
        return self.text

    @property
    def html(self) -> bytes | None:
        """The HTML text in UTF-8; None if it has none."""
        kept = self.part("html")
        return self._opened().html() if kept is None else kept

    @html.setter
    def html(self, html: bytes | str) -> None:
        self._write({"altered": True}, parts={"html": html.encode() if isinstance(html, str) else html})

    def headers(self) -> dict[str, str]:
        """Headers of the message it came as; the last of several equal ones."""
        return dict(self._opened().headers())

    def header(self, name: str) -> str | None:
        """One header of the message it came as, in any case."""
        wanted = name.lower()
        return next((value for found, value in self._opened().headers() if found.lower() == wanted), None)

    def eml(self) -> bytes:
        """The item as a message (RFC 5322): as it came, if it did and nothing but its subject was changed since."""
        source = self.part("source")
        if source is None or self.properties.get("altered"):
            whole = [
                Attached(one.number, one.name, one.mimetype, one.content_id, one.inline, one.data)
                for one in self.attachments()
            ]
            return compose(self.properties, self.text, self.html, whole)
        return source if self.subject == properties_of(source)["subject"] else with_subject(source, self.subject)

    @property
    def size(self) -> int:
        """Bytes it takes, about."""
        return len(self.record.properties) + sum(self.server.records.parts(self._number).values())

    # attachments -----------------------------------------------------------------------------------------------

    def attachments(self) -> Iterator[Attachment]:
        """What is attached, in order."""
        kept = self.properties.get("attachments")
        if kept is None:
            for one in self._opened().attachments():
                number, name, mimetype, content_id, inline, data = one
                yield Attachment(self, number, name, mimetype, content_id, inline, len(data))
        else:
            sizes = self.server.records.parts(self._number)
            for number, name, mimetype, content_id, inline in kept:
                size = sizes.get(f"attachment/{number}", 0)
                yield Attachment(self, number, name, mimetype, content_id, inline, size)

    def create_attachment(
        self, name: str | None = None, data: bytes | None = None, filename: str | None = None
    ) -> Attachment:
        """Attach ``data``, or the file called ``filename``. Raises ArgumentError without either, OSError."""
        if data is None:
            if filename is None:
                raise ArgumentError("an attachment needs data or a file name")
            with open(filename, "rb") as file:
                data = file.read()
        called = name or (filename or "").replace("\\", "/").rpartition("/")[2]
        with self.server.records.transaction():
            listed, parts = self._own_attachments()
            number = 1 + max((one[0] for one in listed), default=-1)
            listed.append([number, called, guessed_type(called), "", False])
            contents = {**parts, f"attachment/{number}": data}
            self._write({"attachments": listed, "altered": True}, parts=contents)
        return next(one for one in self.attachments() if one.number == number)

    def _own_attachments(self) -> tuple[list[Any], dict[str, bytes]]:
        """The list of attachments to write, and the contents that must be written with it."""
        kept = self.properties.get("attachments")
        if kept is not None:
            return list(kept), {}
        inside = self._opened().attachments()
        listed = [[one.number, one.name, one.mimetype, one.content_id, one.inline] for one in inside]
        return listed, {f"attachment/{one.number}": one.data for one in inside}

    # doing something with it -----------------------------------------------------------------------------------

    def change(self, **properties: Any) -> None:
        """Set several attributes in one write. Raises ArgumentError for names that items do not have."""
        changed, fields = described(properties)
        self._write(changed, **fields)

    def move(self, folder: Folder) -> Item:
        """Move it to ``folder``; it gets a new identity there. Gives the item as it is then.

        Raises NotFoundError when it is gone, or somebody has moved it away meanwhile.
        """
        return self._only(self.folder.move(self, folder))

    def copy(self, folder: Folder) -> Item:
        """Copy it to ``folder``; gives the copy. Raises NotFoundError when it is gone."""
        return self._only(self.folder.copy(self, folder))

    def _only(self, made: Sequence[Item]) -> Item:
        if not made:
            raise self.server.gone("this item was deleted or moved away")
        return made[0]

    def delete(self, objects: Attachment | Iterable[Attachment] | None = None, soft: bool = False) -> None:
        """Delete the item, recoverably if ``soft``; or only the given attachments."""
        if objects is None:
            self.server.remove([self], soft=soft)
            return
        doomed = {one.number for one in ([objects] if isinstance(objects, Attachment) else objects)}
        with self.server.records.transaction():
            listed, parts = self._own_attachments()
            kept = {name: data for name, data in parts.items() if int(name.rpartition("/")[2]) not in doomed}
            gone = {f"attachment/{number}": None for number in doomed}
            left = [one for one in listed if one[0] not in doomed]
            self._write({"attachments": left, "altered": True}, parts={**kept, **gone})

    def __repr__(self) -> str:
        return f"Item({self.subject!r})"


_FIELDS = {
    "read": "read",
    "received": "delivered",
}
_PARTS = ("text", "html", "eml", "body")


def described(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes of an item, as (properties, fields of the record, parts among them).

    Raises ArgumentError for names that items do not have.
    """
    changed: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    parts: dict[str, bytes | None] = {}
    for name, value in given.items():
        field = getattr(Item, {"from_": "_from", "sender": "_sender"}.get(name, name), None)
        if name in _FIELDS:
            fields[_FIELDS[name]] = to_micros(value) if name == "received" else bool(value)
        elif name in _PARTS:
            parts.update(_part(name, value, changed))
        elif isinstance(field, Field):
            changed[field.name] = field.stored(value)
        else:
            raise ArgumentError(f"items have no {name!r} that can be set")
    if parts:
        fields["parts"] = parts
    return changed, fields


def _part(name: str, value: Any, changed: dict[str, Any]) -> dict[str, bytes | None]:
    raw = value.encode() if isinstance(value, str) else value
    if name == "eml":
        for found, content in properties_of(raw).items():
            changed.setdefault(found, content)
        return {"source": raw}
    return {"text" if name == "body" else name: raw}


def guessed_type(name: str) -> str:
    """The MIME type that a file name suggests."""
    import mimetypes

    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def fresh_properties(now: int) -> dict[str, Any]:
    """What every new item is given."""
    return {"created": now, "modified": now, "searchkey": secrets.token_bytes(16)}


class DeletedItem(Item):
    """An item that is gone: what is known of it is who it was and where. Everything else raises AttributeError."""

    __slots__ = ("_entry",)

    def __init__(self, server: Any, entry: Any) -> None:
        self.server = server
        self._entry = entry
        self._number = entry.record

    @property
    def record(self) -> Any:
        """Nothing is left of it."""
        raise AttributeError("this item was deleted; it knows sourcekey, entryid, folder, store, docid and seq")

    @property
    def sourcekey(self) -> str:
        """The identity it had."""
        return self.server.text(self._entry.key)

    @property
    def entryid(self) -> str:
        """The address it had."""
        return self.server.entryid(self._entry)

    @property
    def seq(self) -> int:
        """Seq of the deletion."""
        return int(max(self._entry.soft, self._entry.hard))

    @property
    def parent_sourcekey(self) -> str:
        """Identity of the folder it was in; empty if that was never known here."""
        return self.server.folder_sourcekey(self._entry.parent)

    @property
    def folder(self) -> Folder:
        """The folder it was in. Raises NotFoundError when that is gone, too."""
        return self.server.faces.folder(self.server, self.server.require(self._entry.parent))

    @property
    def store(self) -> Store:
        """The store it was in. Raises NotFoundError when that is gone, too."""
        return self.server.store_by_number(self._entry.store)

    @property
    def storeid(self) -> str:
        """GUID of the store it was in."""
        return self.server.text(self.server.store_guid(self._entry.store))

    def __repr__(self) -> str:
        return f"DeletedItem({self.sourcekey!r})"
