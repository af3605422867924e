"""Attachments of items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.stores.message import Opened

if TYPE_CHECKING:
    from tallystick.stores.item import Item


class Attachment:
    """A file attached to an item. Its content is read when it is asked for."""

    __slots__ = ("content_id", "inline", "item", "mimetype", "name", "number", "size")

    def __init__(
        self,
        item: Item,
        number: int,
        name: str,
        mimetype: str,
        content_id: str = "",
        inline: bool = False,
        size: int = 0,
    ) -> None:
        self.item = item
        self.number = number
        self.name = name
        self.mimetype = mimetype
        self.content_id = content_id
        self.inline = inline
        self.size = size

    @property
    def filename(self) -> str:
        """Its name."""
        return self.name

    @property
    def hidden(self) -> bool:
        """True for what is shown inside the text."""
        return self.inline

    @property
    def data(self) -> bytes:
        """Its content."""
        kept = self.item.part(f"attachment/{self.number}")
        if kept is not None:
            return kept
        source = self.item.part("source") or b""
        return next((one.data for one in Opened(source).attachments() if one.number == self.number), b"")

    @property
    def embedded(self) -> bool:
        """True for a message inside the message."""
        return self.mimetype == "message/rfc822"

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"Attachment({self.name!r})"
