"""Sites over HTTP: the ASGI application, its providers, users, limits, metrics and documents (docs/web.md).

Loaded when asked for: a command line that only says ``serve`` should not import a server to print its help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tallystick.web.app import Application, create_app
    from tallystick.web.providers import Mounted, Services
    from tallystick.web.server import running, serve

__all__ = ["Application", "Mounted", "Services", "create_app", "running", "serve"]

_PLACES = {
    "Application": "app",
    "create_app": "app",
    "Mounted": "providers",
    "Services": "providers",
    "running": "server",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"tallystick.web.{_PLACES[name]}"), name)
