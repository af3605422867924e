"""A face for programs written for python-kopano: change the import, keep the program.

    from tallystick.compat import kopano
    from tallystick.compat.MAPI.Tags import SYNC_NEW_MESSAGE

``kopano.server(server_socket=SITE, auth_user=, auth_pass=, notifications=)`` opens the site whose database is at
SITE; without it the environment variable KOPANO_SOCKET names the site.
"""

from __future__ import annotations

from tallystick.compat import MAPI
from tallystick.compat.kopano.arguments import parser
from tallystick.compat.kopano.config import Config
from tallystick.compat.kopano.connection import Server, server
from tallystick.compat.kopano.errors import (
    ArgumentError,
    ConfigError,
    DuplicateError,
    Error,
    LogonError,
    NotFoundError,
    NotSupportedError,
)
from tallystick.compat.kopano.identifiers import set_bin_encoding
from tallystick.compat.kopano.model import Company, Folder, Group, Item, Store, User
from tallystick.compat.kopano.notification import Notification
from tallystick.compat.kopano.service import Service, Worker, log_exc, logger
from tallystick.compat.kopano.sockets import client_socket, server_socket
from tallystick.compat.kopano.tags import Property
from tallystick.compat.MAPI.Tags import SYNC_ASSOCIATED, SYNC_NEW_MESSAGE, SYNC_SOFT_DELETE
from tallystick.stores.attachment import Attachment
from tallystick.stores.message import Address
from tallystick.stores.rights import Permission

__all__ = [
    "MAPI",
    "SYNC_ASSOCIATED",
    "SYNC_NEW_MESSAGE",
    "SYNC_SOFT_DELETE",
    "Address",
    "ArgumentError",
    "Attachment",
    "Company",
    "Config",
    "ConfigError",
    "DuplicateError",
    "Error",
    "Folder",
    "Group",
    "Item",
    "LogonError",
    "NotFoundError",
    "NotSupportedError",
    "Notification",
    "Permission",
    "Property",
    "Server",
    "Service",
    "Store",
    "User",
    "Worker",
    "client_socket",
    "log_exc",
    "logger",
    "parser",
    "server",
    "server_socket",
    "set_bin_encoding",
]
