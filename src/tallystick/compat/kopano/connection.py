"""Opening a site as programs written for the original open their server (spec ics 1, C12)."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, MutableMapping
from datetime import datetime
from typing import Any, ClassVar

from tallystick import api
from tallystick.compat.kopano import identifiers, model
from tallystick.compat.kopano.errors import (
    AccessDeniedError,
    Error,
    LogonError,
    NotFoundError,
    ObjectGoneError,
    as_mapi,
)
from tallystick.compat.MAPI.Struct import MAPIErrorNoAccess, MAPIErrorNotFound
from tallystick.errors import ConfigurationError
from tallystick.stores import server as native
from tallystick.stores import synchronization
from tallystick.stores.company import Company
from tallystick.stores.delivery import Importer, OnError
from tallystick.stores.notices import Notice
from tallystick.stores.objects import Managed
from tallystick.stores.port import SERVER, Records
from tallystick.stores.records import SiteRecords
from tallystick.stores.server import Faces
from tallystick.stores.store import Store
from tallystick.stores.user import User

ENVIRONMENT = "KOPANO_SOCKET"
"""The variable that names the site where neither the call nor a configuration does."""

_SYSTEM = ("", "SYSTEM")


class Server(native.Server):
    """A site, opened. Programs call ``kopano.server()``; calling this class itself works and warns.

    ``server_socket`` names the site: the path of its database, ``sqlite:///PATH`` or ``postgresql://...``.
    ``auth_user`` and ``auth_pass`` are checked where the user has a password; without a user, the site itself is
    speaking, which may do everything. ``lossless`` repairs what recordings of the original show as lost or out of
    order: a window begun on an unrestricted state loses nothing, folders come after their parents. The other arguments
    are taken for programs that pass them.

    Raises LogonError, and MAPIErrorNetworkError when the database cannot be opened.
    """

    faces: ClassVar[Faces] = model.FACES
    unnoticed: ClassVar[tuple[type[BaseException], ...]] = (MAPIErrorNotFound, MAPIErrorNoAccess)

    def __init__(
        self,
        auth_user: str | None = None,
        auth_pass: str | None = None,
        server_socket: str | None = None,
        sslkey_file: str | None = None,
        sslkey_pass: str | None = None,
        config: Any = None,
        options: Any = None,
        log: logging.Logger | None = None,
        service: Any = None,
        parse_args: bool = False,
        notifications: bool = False,
        store_cache: bool = True,
        lossless: bool = False,
        *,
        called: bool = False,
    ) -> None:
        if not called:
            warnings.warn("kopano.Server() is deprecated; call kopano.server()", DeprecationWarning, stacklevel=2)
        chosen = _Choice(options, config if config is not None else getattr(service, "config", None))
        self.notifications = notifications
        self.faithful = not lossless
        self.options = options
        self.config = config
        self.server_socket = server_socket or chosen.of("server_socket") or os.environ.get(ENVIRONMENT, "")
        self.auth_user = auth_user or chosen.of("auth_user")
        with as_mapi():
            records = open_records(self.server_socket)
            try:
                super().__init__(records, log=log or getattr(service, "log", None) or logging.getLogger("kopano"))
                self._log_on(self.auth_user, auth_pass or chosen.of("auth_pass"))
            except BaseException:
                records.close()
                raise

    def _log_on(self, name: str, password: str) -> None:
        if name not in _SYSTEM:
            caller = self._logged_on(name)
            if caller.has_password and not caller.check_password(password):
                raise LogonError("could not log on: user name or password incorrect")
            self.caller = caller

    # identifiers -----------------------------------------------------------------------------------------------

    def text(self, raw: bytes) -> str:
        """Bytes as identifiers and states are written now."""
        return identifiers.encode(raw)

    def raw(self, text: str | bytes) -> bytes:
        """The bytes of an identifier. Raises binascii.Error."""
        return identifiers.decode(text)

    def raw_state(self, text: str | bytes) -> bytes:
        """The bytes of a state. Raises binascii.Error."""
        return identifiers.decode(text)

    # errors ----------------------------------------------------------------------------------------------------

    def gone(self, message: str) -> Exception:
        """The error for an object that was deleted."""
        return ObjectGoneError(message)

    def denied(self, message: str) -> Exception:
        """The error for a caller who may not do what he asked for."""
        return AccessDeniedError(message)

    # names that only the original has --------------------------------------------------------------------------

    def users(self, remote: bool = False, system: bool = False, parse: bool = True) -> Iterator[User]:
        """Every user that the caller may see. The arguments are taken for programs that pass them."""
        return super().users()

    def user(
        self,
        name: str | None = None,
        create: bool = False,
        company: Company | None = None,
        *,
        email: str | None = None,
        userid: str | None = None,
    ) -> User:
        """A user by name, email address or userid. Raises NotFoundError."""
        if name is not None:
            return super().user(name, create=create, company=company)
        for one in self.users():
            if (email is not None and one.email == email) or (userid is not None and one.userid == userid):
                return one
        raise NotFoundError(f"no such user: {email or userid!r}")

    def get_user(self, name: str) -> User | None:
        """A user by name, or None."""
        try:
            return self.user(name)
        except NotFoundError:
            return None

    def stores(self, system: bool = False, parse: bool = True) -> Iterator[Store]:
        """Every store. The arguments are taken for programs that pass them."""
        return super().stores()

    def sync_users(self) -> None:
        """Changes of users are visible at once; there is nothing to do."""

    def sync_gab(self, importer: Importer, state: str | bytes | None = None) -> str:
        """Tell ``importer`` which users changed since ``state``; see ``tallystick.stores.Server``."""
        with as_mapi():
            return super().sync_gab(importer, state)

    @property
    def state(self) -> str:
        """The state of now. Raises MAPIErrorNoAccess for callers who are no administrators."""
        with as_mapi():
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
        """Tell ``importer`` what changed in all stores since ``state``; see ``tallystick.stores.Server``."""
        with as_mapi():
            return super().sync(importer, state, log, max_changes, window, begin, end, stats, on_error=on_error)

    # notifications ---------------------------------------------------------------------------------------------

    def notified(self, notice: Notice) -> Managed:
        """The object that a notice is about."""
        return model.notified(self, notice)


class _Choice:
    """What the command line, else the configuration, says."""

    def __init__(self, options: Any, config: Any) -> None:
        self._options = options
        self._config = config

    def of(self, name: str) -> str:
        """The value under ``name``, empty without one."""
        found = getattr(self._options, name, None)
        if not found and self._config is not None:
            try:
                found = self._config[name]
            except (KeyError, Error):
                found = None
        return str(found or "")


def server(
    auth_user: str | None = None,
    auth_pass: str | None = None,
    server_socket: str | None = None,
    *,
    notifications: bool = False,
    **options: Any,
) -> Server:
    """Open a site; see ``Server``."""
    return Server(auth_user, auth_pass, server_socket, notifications=notifications, called=True, **options)


def open_records(site: str) -> Records:
    """The records of the site called ``site``. Raises LogonError for what is no site, StorageError."""
    named = f"pass server_socket=SITE, the path or URL of a site's database, or set {ENVIRONMENT} to it"
    if not site or site == "default:":
        raise LogonError(f"{site!r} names no site", hint=named)
    try:
        opened = api.open(site, create=True)
    except ConfigurationError as error:
        raise LogonError(f"{site!r} names no site: {error.message}", hint=named) from error
    try:
        return SiteRecords(opened.ledger)
    except BaseException:
        opened.close()
        raise
