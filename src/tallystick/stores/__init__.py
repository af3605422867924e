"""The object model: servers, companies, users, stores, folders and items, and what changed among them."""

from __future__ import annotations

from tallystick.stores.errors import (
    ArgumentError,
    ConfigError,
    DuplicateError,
    LogonError,
    NotFoundError,
    NotSupportedError,
    StoreError,
)
from tallystick.stores.folder import Folder
from tallystick.stores.item import Item
from tallystick.stores.message import Address
from tallystick.stores.records import SiteRecords
from tallystick.stores.server import Server
from tallystick.stores.store import Store
from tallystick.stores.user import User

__all__ = [
    "Address",
    "ArgumentError",
    "ConfigError",
    "DuplicateError",
    "Folder",
    "Item",
    "LogonError",
    "NotFoundError",
    "NotSupportedError",
    "Server",
    "SiteRecords",
    "Store",
    "StoreError",
    "User",
]
