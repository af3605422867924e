"""A site that Eden sites register at, pull from and push to (docs/eden.md)."""

from __future__ import annotations

from tallystick.errors import ConfigurationError, StorageError, TallystickError
from tallystick.jobs.eden import eden_store
from tallystick.protocols.eden.codec.elements import DEFAULT_LIMITS
from tallystick.protocols.eden.requests import failed
from tallystick.protocols.eden.serving import EdenService
from tallystick.protocols.native.requests import Reply
from tallystick.web.bounds import head_status
from tallystick.web.providers import Mounted, Mounting, Services

VERSION = "1"


def eden(path: str = "/eden") -> Mounting:
    """What mounts the Eden protocol at ``path``.

    Raises ConfigurationError for a path that is none.
    """
    if not path.startswith("/") or path.strip("/") == "" or "//" in path:
        raise ConfigurationError(f"--eden {path!r} is no path", hint="write it like /eden")
    prefix = path.rstrip("/") + "/"

    def mounting(services: Services) -> Mounted:
        service = EdenService(services.pool, eden_store, services.users.check, prefix, DEFAULT_LIMITS)
        end = f"eden+{{}}{prefix.rstrip('/')}"
        return Mounted("eden", VERSION, prefix, service, authenticates=True, refuse=_refuse, end=end)

    return mounting


def _refuse(error: TallystickError) -> Reply:
    """What is refused before the protocol is reached, in its own form."""
    status = head_status(error) or (503 if isinstance(error, StorageError) else 403)
    response = failed(status, str(error))
    body = response.body if isinstance(response.body, bytes) else b""
    return Reply(status, response.content_type, body)
