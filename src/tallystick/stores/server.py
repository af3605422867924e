"""A server: everything kept in one site database, as whoever opened it sees it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar, Self

from tallystick.errors import AccessDenied
from tallystick.stores import relocation, synchronization
from tallystick.stores.changelog import Class, Entry, Kind
from tallystick.stores.company import Company
from tallystick.stores.delivery import Importer, OnError
from tallystick.stores.errors import ArgumentError, DuplicateError, LogonError, NotFoundError
from tallystick.stores.folder import DeletedFolder, Folder
from tallystick.stores.group import Group
from tallystick.stores.item import DeletedItem, Item
from tallystick.stores.objects import Managed, entryid_of, key_in
from tallystick.stores.port import SERVER, Draft, Parked, Record, Records
from tallystick.stores.rights import ALL, EVERYONE, Right
from tallystick.stores.states import Form, from_text, to_text
from tallystick.stores.store import WELL_KNOWN, Store
from tallystick.stores.user import DeletedUser, User
from tallystick.stores.watching import Watch

_FIRST_COMPANY = sha256(b"tallystick company Default").digest()[:22]
"""Its key is the same everywhere: sites that meet later have one company, not two of one name."""

_LIFETIME = 90 * 86400
"""Seconds after its last use that a registered synchronization is kept. States outlive it: the log is never cut."""


@dataclass(frozen=True)
class Faces:
    """Which classes a server shows its objects as; another face of the same model names its own here."""

    company: type[Company] = Company
    user: type[User] = User
    group: type[Group] = Group
    store: type[Store] = Store
    folder: type[Folder] = Folder
    item: type[Item] = Item
    deleted_item: type[DeletedItem] = DeletedItem
    deleted_folder: type[DeletedFolder] = DeletedFolder
    deleted_user: type[DeletedUser] = DeletedUser


class Server:
    """The stores, users and companies of a site.

    ``records`` is the port to the site's database. ``user`` is the name of whoever is using it; None is the site
    itself, which may do everything. Raises LogonError for a user that does not exist.
    """

    faces: ClassVar[Faces] = Faces()
    """The classes that objects are shown as."""
    faithful: bool = False
    """Repeat what recordings of the original show where it loses or disorders changes."""
    unnoticed: ClassVar[tuple[type[BaseException], ...]] = (NotFoundError, AccessDenied)
    """What an importer may raise because the object it was told of is gone or out of reach; not counted as an error."""

    def __init__(self, records: Records, *, user: str | None = None, log: logging.Logger | None = None) -> None:
        self.records = records
        self.log = log or logging.getLogger("tallystick.stores")
        self.sleep: Callable[[float], None] = time.sleep
        self.time: Callable[[], float] = time.time
        self.caller: User | None = None
        self._guids: dict[int, bytes] = {}
        with records.transaction():
            if not records.children(SERVER, Class.COMPANY):
                records.insert([Draft(Class.COMPANY, SERVER, name="Default", key=_FIRST_COMPANY)])
            records.expire(int(self.time()) - _LIFETIME)
        if user is not None:
            self.caller = self._logged_on(user)

    def _logged_on(self, name: str) -> User:
        try:
            return self.user(name)
        except NotFoundError:
            raise LogonError("could not log on: user name or password incorrect") from None

    # identifiers and moments -----------------------------------------------------------------------------------

    def text(self, raw: bytes) -> str:
        """Bytes as identifiers and states are written here."""
        return to_text(raw, Form.HEX)

    def raw(self, text: str | bytes) -> bytes:
        """The bytes of an identifier. Raises binascii.Error."""
        return from_text(text, Form.HEX)

    def raw_state(self, text: str | bytes) -> bytes:
        """The bytes of a state. Raises StateInvalidError."""
        return synchronization.state_bytes(self.raw, text)

    @property
    def guid(self) -> str:
        """The site's identity."""
        return self.text(self.records.identity())

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        return int(self.time() * 1_000_000)

    def store_guid(self, number: int) -> bytes:
        """The GUID of a store, by number; the site's for what is in none."""
        if number not in self._guids:
            found = self.records.records([number]).get(number)
            self._guids[number] = self.records.identity() if found is None else found.key
        return self._guids[number]

    def entryid(self, entry: Entry) -> str:
        """The address that a logged object has or had."""
        return self.text(entryid_of(self.store_guid(entry.store), entry.object, entry.key))

    def folder_sourcekey(self, number: int) -> str:
        """The sourcekey of a folder, even of one that is gone; empty if there never was such a folder."""
        found = self.records.folder_entries([number])
        return self.text(found[0].key) if found else ""

    # opening ---------------------------------------------------------------------------------------------------

    def require(self, number: int) -> Record:
        """The record of this number. Raises NotFoundError."""
        found = self.records.records([number]).get(number)
        if found is None:
            raise NotFoundError(f"object {number} was deleted")
        return found

    def opened(self, entryid: str | bytes | None, sourcekey: str | bytes | None, object: Class) -> Record:
        """The record of this address or identity. Raises NotFoundError, ArgumentError without either."""
        if (entryid is None) == (sourcekey is None):
            raise ArgumentError("give either an entryid or a sourcekey")
        try:
            key = key_in(self.raw(entryid)) if entryid is not None else self.raw(sourcekey or b"")
        except ValueError:
            key = b""
        found = self.records.find(key)
        if found is None or found.object != object:
            raise NotFoundError(f"there is no {object.name.lower()} {entryid if entryid is not None else sourcekey!r}")
        return found

    def transaction(self) -> AbstractContextManager[None]:
        """A block whose writes are committed as one; many small writes are much faster in it."""
        return self.records.transaction()

    # companies and users ---------------------------------------------------------------------------------------

    def companies(self) -> Iterator[Company]:
        """Every company."""
        return (self.faces.company(self, found) for found in self.records.children(SERVER, Class.COMPANY))

    def company(self, name: str, create: bool = False) -> Company:
        """The company of that name, made if there is none and ``create``. Raises NotFoundError."""
        found = self.records.children(SERVER, Class.COMPANY, name=name)
        if not found and not create:
            raise NotFoundError(f"no such company: {name!r}")
        return self.faces.company(self, found[0]) if found else self.create_company(name)

    def create_company(self, name: str) -> Company:
        """A new company. Raises DuplicateError."""
        with self.records.transaction():
            if self.records.children(SERVER, Class.COMPANY, name=name):
                raise DuplicateError(f"company {name!r} already exists")
            return self.faces.company(self, self.records.insert([Draft(Class.COMPANY, SERVER, name=name)])[0])

    @property
    def multitenant(self) -> bool:
        """True when there is more than one company."""
        return len(self.records.children(SERVER, Class.COMPANY)) > 1

    def users(self) -> Iterator[User]:
        """Every user that the caller may see, in the order they were made."""
        return (user for company in self.companies() if self.sees(company.hierarchyid) for user in company.users())

    def user(self, name: str, create: bool = False, company: Company | None = None) -> User:
        """The user of that name (``name@company`` works, too), made if there is none and ``create``.

        Raises NotFoundError.
        """
        plain, _, place = name.partition("@")
        for one in [company] if company is not None else self.companies():
            for asked in {name} | ({plain} if place == one.name else set()):
                found = self.records.children(one.hierarchyid, Class.USER, name=asked)
                if found:
                    return self.faces.user(self, found[0])
        if create:
            return self.create_user(name, company=company)
        raise NotFoundError(f"no such user: {name!r}")

    def create_user(
        self,
        name: str,
        email: str | None = None,
        password: str | None = None,
        company: Company | None = None,
        fullname: str | None = None,
        create_store: bool = True,
    ) -> User:
        """A new user, with a store unless told otherwise. Raises DuplicateError."""
        place = company or next(self.companies())
        now = self.now()
        details = {"fullname": fullname or "", "email": email or "", "created": now, "modified": now}
        with self.records.transaction():
            if self.records.children(place.hierarchyid, Class.USER, name=name):
                raise DuplicateError(f"user {name!r} already exists")
            draft = Draft(Class.USER, place.hierarchyid, name=name, properties=details)
            user = self.faces.user(self, self.records.insert([draft])[0])
            if password is not None:
                user.password = password
            if create_store:
                self.create_store(user=user)
        return user

    def remove_user(self, name: str) -> None:
        """Delete a user; his store stays, without an owner. Raises NotFoundError."""
        self.records.remove([self.user(name).hierarchyid], hard=True)

    def groups(self) -> Iterator[Group]:
        """Every group that the caller may see."""
        return (group for company in self.companies() if self.sees(company.hierarchyid) for group in company.groups())

    def group(self, name: str, create: bool = False) -> Group:
        """The group of that name, made if there is none and ``create``. Raises NotFoundError."""
        found = next((group for group in self.groups() if group.name == name), None)
        if found is None and not create:
            raise NotFoundError(f"no such group: {name!r}")
        return found or self.create_group(name)

    def create_group(self, name: str, fullname: str = "", email: str = "", company: Company | None = None) -> Group:
        """A new group. Raises DuplicateError."""
        place = company or next(self.companies())
        with self.records.transaction():
            if self.records.children(place.hierarchyid, Class.GROUP, name=name):
                raise DuplicateError(f"group {name!r} already exists")
            details = {"fullname": fullname, "email": email, "members": []}
            draft = Draft(Class.GROUP, place.hierarchyid, name=name, properties=details)
            return self.faces.group(self, self.records.insert([draft])[0])

    def remove_group(self, name: str) -> None:
        """Delete a group. Raises NotFoundError."""
        self.records.remove([self.group(name).hierarchyid], hard=True)

    def member(self, key: str) -> User | Group | None:
        """The user or group with this key (hexadecimal, as permissions keep it); None if it is gone."""
        found = self.records.find(bytes.fromhex(key))
        if found is None or found.object not in (Class.USER, Class.GROUP):
            return None
        return self.faces.user(self, found) if found.object == Class.USER else self.faces.group(self, found)

    # who may what ----------------------------------------------------------------------------------------------

    @property
    def caller_key(self) -> str | None:
        """Key of whoever opened the server, hexadecimal; None for the site itself."""
        return None if self.caller is None else self.caller.record.key.hex()

    @property
    def admin(self) -> bool:
        """True when the caller may do everything."""
        return self.caller is None or self.caller.admin

    def sees(self, company: int) -> bool:
        """True when the caller may see the users of a company."""
        return self.admin or (self.caller is not None and self.caller.record.parent == company)

    def rights(self, folder: Folder, user: User) -> Right:
        """Everything ``user`` may do in ``folder``."""
        if user.admin or self.require(folder.record.store).key.hex() in user.properties.get("stores", {}).values():
            return ALL
        granted = folder.granted()
        members = {EVERYONE, user.record.key.hex()}
        if granted.keys() - members:
            members |= {group.record.key.hex() for group in user.groups()}
        rights = Right(0)
        for member in members & granted.keys():
            rights |= Right(granted[member])
        return rights

    def gone(self, message: str) -> Exception:
        """The error for an object that was deleted."""
        return NotFoundError(message)

    def denied(self, message: str) -> Exception:
        """The error for a caller who may not do what he asked for."""
        return AccessDenied(message, hint="ask the owner of the folder for permission")

    def administer(self, what: str) -> None:
        """Raise AccessDenied (as ``denied`` has it) unless the caller is an administrator."""
        if not self.admin:
            raise self.denied(f"only administrators may {what}")

    # stores ----------------------------------------------------------------------------------------------------

    def stores(self) -> Iterator[Store]:
        """Every store, in the order they were made."""
        return (self.faces.store(self, found) for found in self.records.children(SERVER, Class.STORE))

    def store(self, guid: str | None = None, entryid: str | None = None) -> Store:
        """A store by GUID or entryid. Raises NotFoundError."""
        return self.faces.store(self, self.opened(entryid, guid, Class.STORE))

    def store_by_number(self, number: int) -> Store:
        """A store by its number. Raises NotFoundError."""
        found = self.require(number)
        if found.object != Class.STORE:
            raise NotFoundError(f"there is no store {number}")
        return self.faces.store(self, found)

    def store_of(self, user: User, kind: str) -> Store | None:
        """A user's store of one kind."""
        found = self.by_key(user.properties.get("stores", {}).get(kind), Class.STORE)
        return None if found is None else self.faces.store(self, found)

    def by_key(self, key: str | None, object: Class) -> Record | None:
        """The record that another one refers to by its key in hexadecimal; None if it is gone."""
        found = self.records.find(bytes.fromhex(key)) if key else None
        return found if found is not None and found.object == object else None

    @property
    def public_store(self) -> Store | None:
        """The store of all users, if there is one."""
        return next((store for store in self.stores() if store.public), None)

    def create_public_store(self) -> Store:
        """The store of all users. Raises DuplicateError."""
        return self.create_store(kind="public")

    def create_store(self, user: User | None = None, kind: str = "private") -> Store:
        """A store with its folders: ``private`` or ``archive`` to ``user``, or ``public``. Raises DuplicateError."""
        with self.records.transaction():
            there = self.public_store if user is None else self.store_of(user, kind)
            if there is not None:
                raise DuplicateError(
                    f"{'the site' if user is None else f'user {user.name!r}'} has a {kind} store already"
                )
            name = "Public store" if user is None else f"Inbox - {user.fullname or user.name}"
            store = self._insert_store(name, kind, "" if user is None else user.record.key.hex())
            if user is not None:
                user._write({"stores": {**user.properties.get("stores", {}), kind: store.record.key.hex()}})
        return store

    def _insert_store(self, name: str, kind: str, owner: str) -> Store:
        now = self.now()
        described = {"type": kind, "owner": owner, "created": now, "folders": {}}
        record = self.records.insert([Draft(Class.STORE, SERVER, name=name, properties=described)])[0]
        root = self._insert_folders(record.id, record.id, [("Root", None)])[0]
        subtree = self._insert_folders(record.id, root.id, [("IPM_SUBTREE", None)])[0]
        known = WELL_KNOWN if kind == "private" else ()
        below = self._insert_folders(record.id, subtree.id, [(shown, purpose) for _, shown, purpose in known])
        names = ("root", "subtree", *(name for name, _, _ in known))
        folders = {name: made.key.hex() for name, made in zip(names, (root, subtree, *below), strict=True)}
        store = self.faces.store(self, record)
        store._write({"folders": folders})
        return store

    def _insert_folders(self, store: int, parent: int, named: Sequence[tuple[str, str | None]]) -> list[Record]:
        now = self.now()
        kinds = (Kind.NEW, Kind.CHANGE)
        drafts = [
            Draft(Class.FOLDER, parent, store, name, {"created": now, "container_class": purpose}, kinds=kinds)
            for name, purpose in named
        ]
        return self.records.insert(drafts) if drafts else []

    def remove_store(self, store: Store) -> None:
        """Delete a store and all that is in it."""
        with self.records.transaction():
            relocation.delete_tree(self.records, store.root.record, soft=False)
            self.records.remove([store.hierarchyid], hard=True)

    # moving and deleting ---------------------------------------------------------------------------------------

    def remove(self, objects: Iterable[Managed], soft: bool) -> None:
        """Delete items and folders, with all that is in those, recoverably if ``soft``."""
        relocation.delete(self, list(objects), soft)

    def relocate(self, objects: Iterable[Managed], folder: Folder, restoring: bool = False) -> list[Any]:
        """Move (or restore) items and folders; see ``Folder.move``."""
        return relocation.move(self, list(objects), folder, restoring)

    def duplicate(self, objects: Iterable[Managed], folder: Folder) -> list[Any]:
        """Copy items and folders; see ``Folder.copy``."""
        return relocation.copy(self, list(objects), folder)

    # synchronization -------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The state of now: a synchronization from it tells what comes later. Only administrators may ask."""
        self.administer("follow a whole server")
        return synchronization.current(self, SERVER)

    def sync(
        self,
        importer: Importer,
        state: str | bytes,
        log: object = None,
        max_changes: int | None = None,
        window: float | None = None,
        begin: datetime | None = None,
        end: datetime | None = None,
        stats: MutableMapping[str, int] | None = None,
        *,
        on_error: OnError = "log",
    ) -> str:
        """Tell ``importer`` what changed among the items of all stores since ``state``; the new state.

        Like ``Folder.sync``, but ``state`` is needed: take it first, then synchronize each folder, then go on from it.
        Raises TypeError without a state, StateError for states of something else.
        """
        if state is None:
            raise TypeError("a server can only be synchronized from a state on")
        self.administer("follow a whole server")
        span = synchronization.Span(max_changes or 0, (0,), window, begin, end)
        return synchronization.contents(self, None, importer, state, span, stats, on_error)

    def sync_gab(self, importer: Importer, state: str | bytes | None = None) -> str:
        """Tell ``importer`` which users the caller sees changed since ``state`` (None: all); the new state.

        Callbacks: ``update(user)``, ``delete(user)``; what they raise ends the synchronization.
        """
        return synchronization.directory(self, importer, state)

    @cached_property
    def watch(self) -> Watch:
        """Who tells subscriptions what happened."""
        return Watch(self.records, self.log)

    @property
    def parked(self) -> list[Parked]:
        """Changes that importers following the whole server would not take."""
        return self.records.parked(SERVER)

    def close(self) -> None:
        """End notifications and give the database back."""
        if "watch" in self.__dict__:
            self.watch.close()
        self.records.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.guid!r})"
