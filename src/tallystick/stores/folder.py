"""Folders: trees of them, with items, permissions, and the synchronizations that start at one (spec ics 1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tallystick.stores import synchronization
from tallystick.stores.changelog import Class, Kind
from tallystick.stores.delivery import Importer, OnError
from tallystick.stores.errors import ArgumentError, DuplicateError, NotFoundError
from tallystick.stores.hierarchy import breadth_first
from tallystick.stores.item import Item, described, fresh_properties
from tallystick.stores.objects import Field, Managed
from tallystick.stores.port import Draft, Parked, Record, pages
from tallystick.stores.rights import EVERYONE, Permission, Right, names_of
from tallystick.stores.subscribing import MOST, Kinds, Place, Subscription, Wanted, folder_type

if TYPE_CHECKING:
    from tallystick.stores.group import Group
    from tallystick.stores.store import Store
    from tallystick.stores.user import User

_PAGE = 500


class Folder(Managed):
    """A folder of a store."""

    __slots__ = ("__weakref__",)

    container_class = Field[str | None]("container_class", None)
    _permissions = Field[dict[str, int]]("permissions", {})

    _soft = False
    _associated: tuple[int, ...] = (0,)

    # what it is ------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name. Setting it raises DuplicateError when a sibling has it."""
        return self.record.name

    @name.setter
    def name(self, name: str) -> None:
        with self.server.records.transaction():
            self._unused(self.record.parent, name)
            self._write(name=name)

    def _allow_write(self) -> None:
        self.allow(Right.FOLDER_OWNER)

    def _unused(self, parent: int, name: str) -> None:
        found = self.server.records.children(parent, Class.FOLDER, name=name)
        if any(one.id != self._number for one in found):
            raise DuplicateError(f"folder {name!r} already exists")

    @property
    def store(self) -> Store:
        """The store it is in."""
        return self.server.store_by_number(self.record.store)

    @property
    def parent(self) -> Folder | None:
        """The folder it is in; None for the root of a store."""
        found = self.server.records.records([self.record.parent]).get(self.record.parent)
        if found is None or found.object != Class.FOLDER:
            return None
        return self.server.faces.folder(self.server, found)

    @property
    def path(self) -> str | None:
        """Names from below the subtree to here, with slashes; None outside the subtree."""
        subtree = self.store.subtree
        names: list[str] = []
        at: Folder | None = self
        while at is not None and at != subtree:
            names.append(at.name.replace("/", "\\/"))
            at = at.parent
        return None if at is None else "/".join(reversed(names))

    @property
    def type_(self) -> str:
        """What it is for: mail, contacts, calendar, tasks or notes; ``folder`` if something else."""
        return folder_type(self.container_class)

    @property
    def count(self) -> int:
        """How many items are in it."""
        return self.server.records.count(self._number, soft=self._soft, associated=self._associated == (1,))[0]

    @property
    def unread(self) -> int:
        """How many of them are unread."""
        return self.server.records.count(self._number, soft=self._soft, associated=self._associated == (1,))[1]

    @property
    def subfolder_count(self) -> int:
        """How many folders are directly in it."""
        return len(self.server.records.children(self._number, Class.FOLDER))

    # views -----------------------------------------------------------------------------------------------------

    @property
    def associated(self) -> Folder:
        """Its associated (hidden) items, as a folder."""
        return AssociatedItems(self.server, self.record)

    @property
    def deleted(self) -> Folder:
        """What was deleted from it recoverably, as a folder."""
        return DeletedItems(self.server, self.record)

    # items -----------------------------------------------------------------------------------------------------

    def items(self) -> Iterator[Item]:
        """Its items, newest first."""
        self.allow(Right.READ_ITEMS)
        listed = self.server.records.listed(self._number, soft=self._soft, associated=self._associated)
        for page in pages(self.server.records, [number for number, _ in listed], _PAGE):
            yield from (self.server.faces.item(self.server, found) for found in page if found.parent == self._number)

    def __iter__(self) -> Iterator[Item]:
        return self.items()

    def item(self, entryid: str | None = None, sourcekey: str | None = None) -> Item:
        """An item of this folder by entryid or sourcekey. Raises NotFoundError."""
        self.allow(Right.READ_ITEMS)
        found = self.server.opened(entryid, sourcekey, Class.ITEM)
        if found.parent != self._number or bool(found.soft) != self._soft:
            raise NotFoundError(f"folder {self.name!r} has no such item")
        return self.server.faces.item(self.server, found)

    def create_item(self, **properties: Any) -> Item:
        """A new item, in one write.

        ``properties`` are attributes of items (``subject``, ``to``, ``text``, ``html``, ``received``, ``read``,
        ``message_class`` ...), and ``eml``: a whole message. Items count as read unless told otherwise.
        Raises ArgumentError for other names, NotFoundError when the folder was deleted.
        """
        return self.create_items([properties])[0]

    def create_items(self, many: Iterable[dict[str, Any]]) -> list[Item]:
        """Several new items in one transaction; see ``create_item``."""
        self.allow(Right.CREATE_ITEMS)
        with self.server.records.transaction():
            self.standing()
            drafts = [self._draft(properties) for properties in many]
            made = self.server.records.insert(drafts) if drafts else []
        return [self.server.faces.item(self.server, record) for record in made]

    def _draft(self, given: dict[str, Any]) -> Draft:
        changed, fields = described(given)
        owner = {} if self.server.caller_key is None else {"owner": self.server.caller_key}
        properties = {**fresh_properties(self.server.now()), **owner, **changed}
        fields = {"read": True, "associated": self._associated == (1,), **fields}
        kinds = (Kind.NEW, Kind.CHANGE) if given else (Kind.NEW,)
        return Draft(Class.ITEM, self._number, self.record.store, properties=properties, kinds=kinds, **fields)

    # folders ---------------------------------------------------------------------------------------------------

    def folders(self, recurse: bool = True) -> Iterator[Folder]:
        """The folders in it: parents before children; without ``recurse`` only those directly in it."""
        if recurse:
            yield from breadth_first(self, lambda folder: folder.folders(recurse=False))
            return
        for found in self.server.records.children(self._number, Class.FOLDER, soft=self._soft):
            folder = self.server.faces.folder(self.server, found)
            if folder.allowed(Right.FOLDER_VISIBLE):
                yield folder

    def folder(
        self, path: str | None = None, entryid: str | None = None, sourcekey: str | None = None, create: bool = False
    ) -> Folder:
        """A folder by path from here, by entryid or by sourcekey; made if ``create``. Raises NotFoundError."""
        if path is None:
            found = self.server.opened(entryid, sourcekey, Class.FOLDER)
            return self.server.faces.folder(self.server, found)
        at: Folder = self
        for name in split_path(path):
            below = at._child(name)
            if below is None and not create:
                raise NotFoundError(f"no such folder: {path!r}")
            at = below or at.create_folder(name.replace("/", "\\/"))
        return at

    def _child(self, name: str) -> Folder | None:
        found = self.server.records.children(self._number, Class.FOLDER, name=name)
        return self.server.faces.folder(self.server, found[0]) if found else None

    def get_folder(self, path: str) -> Folder | None:
        """A folder by path from here, or None."""
        try:
            return self.folder(path)
        except NotFoundError:
            return None

    def create_folder(self, path: str, container_class: str | None = None) -> Folder:
        """A new folder, with those above it that are missing.

        Raises DuplicateError when it is there, NotFoundError when the one above was deleted, ArgumentError for a path
        without a name.
        """
        *above, name = split_path(path) or [""]
        if not name:
            raise ArgumentError(f"{path!r} names no folder", hint="give the new folder a name")
        at = self.folder("/".join(one.replace("/", "\\/") for one in above), create=True) if above else self
        at.allow(Right.CREATE_SUBFOLDERS)
        now = self.server.now()
        properties = {"created": now, "modified": now, "container_class": container_class}
        with self.server.records.transaction():
            store = at.standing().store
            if at._child(name) is not None:
                raise DuplicateError(f"folder {path!r} already exists")
            draft = Draft(Class.FOLDER, at._number, store, name, properties, kinds=(Kind.NEW, Kind.CHANGE))
            (made,) = self.server.records.insert([draft])
        return self.server.faces.folder(self.server, made)

    def standing(self) -> Record:
        """Its record as it is in the transaction under way. Raises NotFoundError when somebody deleted it."""
        self._refresh()
        record = self.record
        if record.soft:
            raise self.server.gone(f"folder {record.name!r} was deleted")
        return record

    # moving and deleting ---------------------------------------------------------------------------------------

    def move(self, objects: Managed | Iterable[Managed], folder: Folder) -> list[Any]:
        """Move items or folders of this one to ``folder``; gives them as they are then.

        Items get a new identity, folders keep theirs. Raises NotFoundError, DuplicateError (a folder of that name is
        there) or ArgumentError (a folder moved into itself).
        """
        return self.server.relocate(several(objects), folder)

    def copy(self, objects: Managed | Iterable[Managed], folder: Folder) -> list[Any]:
        """Copy items or folders to ``folder``; gives the copies. Raises like ``move``."""
        return self.server.duplicate(several(objects), folder)

    def delete(self, objects: Managed | Iterable[Managed], soft: bool = False) -> None:
        """Delete items or folders of this one, recoverably if ``soft``."""
        self.server.remove(several(objects), soft=soft)

    def empty(self, recurse: bool = True, associated: bool = False) -> None:
        """Delete everything in it: items, folders if ``recurse``, hidden items if ``associated``."""
        doomed: list[Managed] = [*self.items(), *(self.associated.items() if associated else ())]
        self.server.remove([*doomed, *(self.folders(recurse=False) if recurse else ())], soft=False)

    def restore(self, objects: Managed | Iterable[Managed]) -> list[Any]:
        """Bring back what was deleted recoverably from here: items under a new identity, folders with their own."""
        return self.server.relocate(several(objects), self, restoring=True)

    # permissions -----------------------------------------------------------------------------------------------

    def granted(self) -> dict[str, int]:
        """Rights by member: a user's or group's key in hexadecimal, or ``everyone``."""
        return dict(self._permissions)

    def grant(self, member: str, rights: Right) -> None:
        """Give ``member`` exactly these rights."""
        self._permissions = {**self._permissions, member: int(rights)}

    def permissions(self) -> Iterator[Permission]:
        """Who was given rights here."""
        return (Permission(self, member) for member in self._permissions)

    def permission(self, member: User | Group | None, create: bool = False) -> Permission:
        """What ``member`` (None: everyone) was given. Raises NotFoundError if nothing was, unless ``create``."""
        key = EVERYONE if member is None else member.record.key.hex()
        if key not in self._permissions:
            if not create:
                raise NotFoundError(
                    f"folder {self.name!r} gives no permission to {getattr(member, 'name', EVERYONE)!r}"
                )
            self.grant(key, Right(0))
        return Permission(self, key)

    def rights(self, member: User) -> list[str]:
        """Names of everything ``member`` may do here."""
        return names_of(self.server.rights(self, member))

    def allowed(self, right: Right) -> bool:
        """True when whoever opened the server has ``right`` here."""
        return self.server.caller is None or right in self.server.rights(self, self.server.caller)

    def allow(self, right: Right) -> None:
        """Raise AccessDenied (as the server's faults have it) unless ``right`` is given."""
        if not self.allowed(right):
            raise self.server.denied(
                f"user {self.server.caller} has no right {names_of(right)[0]} in folder {self.name!r}"
            )

    # synchronization -------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The state of now: a synchronization from it tells only what comes later. Registers a synchronization."""
        return synchronization.current(self.server, self._number)

    def sync(
        self,
        importer: Importer,
        state: str | bytes | None = None,
        log: object = None,
        max_changes: int | None = None,
        associated: bool = False,
        window: float | None = None,
        begin: datetime | None = None,
        end: datetime | None = None,
        stats: MutableMapping[str, int] | None = None,
        *,
        on_error: OnError = "log",
    ) -> str:
        """Tell ``importer`` what changed in this folder since ``state`` (None or "": everything); the new state.

        Callbacks: ``update(item, flags)``, ``delete(item, flags)``, ``read(item, status)``. ``max_changes`` stops after
        that many updates with a partial state to continue from. ``window`` (seconds) or ``begin`` and ``end`` restrict
        by delivery time; what leaves the window is deleted. ``log`` is accepted for programs that pass it.
        Raises StateError for states of something else.
        """
        self.allow(Right.READ_ITEMS)
        shown = (0, 1) if associated else self._associated
        span = synchronization.Span(max_changes or 0, shown, window, begin, end)
        return synchronization.contents(self.server, self, importer, state, span, stats, on_error)

    def sync_hierarchy(
        self,
        importer: Importer,
        state: str | bytes | None = None,
        stats: MutableMapping[str, int] | None = None,
        *,
        parents_first: bool | None = None,
    ) -> str:
        """Tell ``importer`` what changed among the folders below this one since ``state``; the new state.

        Callbacks: ``update(folder)``, ``delete(folder, flags)``; what they raise ends the synchronization. Unless
        ``parents_first`` is false, no folder is told before the one it is in. Raises StateError.
        """
        self.allow(Right.FOLDER_VISIBLE)
        in_order = not self.server.faithful if parents_first is None else parents_first
        return synchronization.hierarchy(self.server, self, importer, state, in_order)

    def subscribe(
        self,
        sink: Any,
        object_types: Kinds = None,
        folder_types: Kinds = None,
        event_types: Kinds = None,
        *,
        most: int = MOST,
    ) -> Any:
        """Call ``sink`` (a function, or its ``update``) with a ``Notification`` of what happens here from now on.

        ``object_types`` are any of folder and item, ``folder_types`` of mail, contacts, calendar, tasks and notes,
        ``event_types`` of created, updated and deleted; all when none are named. Sinks are called in threads of their
        own; beyond ``most`` waiting notifications they become one of the type gap. ``close()`` of what this gives ends
        it.
        """
        wanted = Wanted(object_types, folder_types, event_types)
        return Subscription(self.server, sink, Place(folder=self._number), wanted, most)

    @property
    def parked(self) -> list[Parked]:
        """Changes of this folder that importers would not take."""
        return self.server.records.parked(self._number)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class AssociatedItems(Folder):
    """The associated items of a folder."""

    __slots__ = ()
    _associated = (1,)


class DeletedItems(Folder):
    """What was deleted from a folder recoverably."""

    __slots__ = ()
    _soft = True


class DeletedFolder:
    """A folder that is gone: what is known is who it was and where."""

    def __init__(self, server: Any, entry: Any) -> None:
        self.server = server
        self._entry = entry

    @property
    def sourcekey(self) -> str:
        """The identity it had."""
        return str(self.server.text(self._entry.key))

    @property
    def entryid(self) -> str:
        """The address it had."""
        return str(self.server.entryid(self._entry))

    @property
    def hierarchyid(self) -> int:
        """The number it had."""
        return int(self._entry.record)

    @property
    def seq(self) -> int:
        """Seq of the deletion."""
        return int(max(self._entry.soft, self._entry.hard))

    @property
    def parent_sourcekey(self) -> str:
        """Identity of the folder it was in."""
        return str(self.server.folder_sourcekey(self._entry.parent))

    @property
    def store(self) -> Any:
        """The store it was in. Raises NotFoundError when that is gone, too."""
        return self.server.store_by_number(self._entry.store)

    def __repr__(self) -> str:
        return f"DeletedFolder({self.sourcekey!r})"


def split_path(path: str) -> list[str]:
    """The names in a path; a slash inside a name is written with a backslash before it."""
    marked = path.replace("\\/", "\0")
    return [name.replace("\0", "/") for name in marked.split("/") if name]


def several(objects: Managed | Iterable[Managed]) -> list[Managed]:
    """One object or several, as a list."""
    return [objects] if isinstance(objects, Managed) else list(objects)
