"""Record keys and Eden's identifiers (spec/eden.md: section 6.4; DESIGN.md 4.4). Pure.

An identifier tells the key and a key the identifier, without anything stored, wherever that is possible:

* a key that is a UUID is ``urn:uuid:<key>``, and the other way round;
* an integer key (a row older than tracking) becomes a UUID of version 8 that carries the integer and is ours alone;
* any other key of a primary key that means something is ``urn:tally:<resource>:<key>``;
* any other identifier is the key itself.

A record that came under an identifier which does not tell its key (its primary key means something, or it was re-keyed
by ``synchronise_uuids``) has that identifier as its alias.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import quote, unquote
from uuid import UUID

from tallystick.core.values import Logical
from tallystick.site.schema import Definition, Identity

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_INTEGER = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)
_URN = "urn:uuid:"
_OURS = "urn:tally:"
_ESCAPE = "eden:"
_LOW = (1 << 62) - 1


@dataclass(slots=True)
class Names:
    """The identifiers of one resource of one site."""

    site: str
    definition: Definition
    _mark: int = field(init=False)
    _prefix: str = field(init=False)
    _begin: str = field(init=False)
    """How a UUID begins that carries an integer of ours."""

    _is_mapped: bool = field(init=False)

    def __post_init__(self) -> None:
        self._is_mapped = self.definition.identity is Identity.MAPPED
        self._mark = int.from_bytes(sha256(f"{self.site}\0{self.definition.wire}".encode()).digest()[:8], "big") >> 4
        mark = f"{self._mark >> 12:012x}"
        self._begin = f"{mark[:8]}-{mark[8:]}-8{self._mark & 0xFFF:03x}-"
        self._prefix = f"{_OURS}{quote(self.definition.wire, safe='')}:"

    @property
    def keys_are_free(self) -> bool:
        """True when any text can be the key of a new record."""
        return self.definition.mapped

    def identifier(self, key: str) -> str:
        """The identifier of a record that has no alias."""
        if len(key) == 36 and _UUID.fullmatch(key):
            return _URN + key
        if not self.keys_are_free:
            return key if key.startswith("urn:") else self._prefix + quote(key, safe="")
        if key.startswith(_ESCAPE):
            return key[len(_ESCAPE) :]
        return self._of_integer(int(key)) if _INTEGER.fullmatch(key) else key

    def _of_integer(self, number: int) -> str:
        high, low = self._mark >> 12, self._mark & 0xFFF
        value = high << 80 | 8 << 76 | low << 64 | 2 << 62 | number
        return _URN + str(UUID(int=value))

    def keys(self, identifier: str) -> tuple[str, ...]:
        """The keys under which a record of this identifier may be here, the likeliest first."""
        if self._is_urn(identifier):
            bare = identifier[9:]
            return (bare,) if self.definition.identity is Identity.MAPPED else (bare, identifier)
        if identifier.startswith(self._prefix):
            return (unquote(identifier[len(self._prefix) :]),)
        bare = identifier[len(_URN) :] if identifier.startswith(_URN) else ""
        if not _UUID.fullmatch(bare):
            return (self._free(identifier),) if self.keys_are_free else (identifier,)
        number = self._integer_in(bare)
        if number is not None:
            return (str(number),)
        return (bare,) if self.definition.identity is Identity.MAPPED else (bare, identifier)

    def _is_urn(self, identifier: str) -> bool:
        """True for a UUID that carries no integer of ours."""
        if identifier[:9] != _URN or identifier.startswith(self._begin, 9):
            return False
        return _UUID.fullmatch(identifier, 9) is not None

    def _integer_in(self, bare: str) -> int | None:
        if not bare.startswith(self._begin) or not self.keys_are_free:
            return None
        return UUID(bare).int & _LOW

    def new_key(self, identifier: str) -> str:
        """The key of a new record; "" when its fields make it and its identifier does not tell it."""
        if self._is_mapped and self._is_urn(identifier):
            return identifier[9:]  # as nearly all of them are
        if not self.keys_are_free:
            return self.keys(identifier)[0] if self._is_text and identifier.startswith(self._prefix) else ""
        first, *others = self.keys(identifier)
        return others[0] if others and not self._holds_uuids() else first

    @property
    def _is_text(self) -> bool:
        """True when the primary key is one text, which any identifier of the resource tells."""
        keys = self.definition.key_fields
        return self.definition.identity is Identity.NATURAL and [one.logical for one in keys] == [Logical.TEXT]

    def _holds_uuids(self) -> bool:
        """True when the uuid column has that type, and not Eden's text with a prefix."""
        column = self.definition.key_column
        return any(item.column == column and item.logical is Logical.UUID for item in self.definition.fields)

    @staticmethod
    def _free(identifier: str) -> str:
        """An identifier as a key that cannot be taken for an integer."""
        if _INTEGER.fullmatch(identifier) or identifier.startswith(_ESCAPE) or _UUID.fullmatch(identifier):
            return _ESCAPE + identifier
        return identifier
