"""Sockets of services that serve others of their kind (spec ics C12)."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from tallystick.compat.kopano.errors import ConfigError


def server_socket(addr: str, ssl_key: str | None = None, ssl_cert: str | None = None, log: Any = None) -> socket.socket:
    """A listening socket at ``file:///PATH``, ``http://HOST:PORT`` or, with key and certificate, ``https://HOST:PORT``.

    Raises ConfigError for other addresses and for https without both files, OSError.
    """
    place = urlsplit(addr)
    if place.scheme == "https" and not (ssl_key and ssl_cert):
        raise ConfigError(f"{addr} needs a key and a certificate", hint="set both, or serve a file:// address")
    if place.scheme == "file":
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if os.path.exists(place.path):
            os.remove(place.path)
        made.bind(place.path)
    else:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(_host_and_port(addr))
    if place.scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(ssl_cert), str(ssl_key))
        made = context.wrap_socket(made, server_side=True)
    made.listen(5)
    if log is not None:
        log.info("listening at %s", addr)
    return made


def client_socket(addr: str, ssl_cert: str | None = None, log: Any = None) -> socket.socket:
    """A socket connected to such an address; https servers are checked against ``ssl_cert``, or the system's list.

    Raises ConfigError for other addresses, OSError.
    """
    place = urlsplit(addr)
    if place.scheme == "file":
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.connect(place.path)
        return made
    made = socket.create_connection(_host_and_port(addr))
    if place.scheme == "https":
        context = ssl.create_default_context(cafile=ssl_cert)
        context.check_hostname = ssl_cert is None
        made = context.wrap_socket(made, server_hostname=place.hostname)
    return made


def _host_and_port(addr: str) -> tuple[str, int]:
    place = urlsplit(addr)
    if place.scheme not in ("http", "https") or not place.hostname or place.port is None:
        raise ConfigError(
            f"{addr!r} is not an address", hint="write file:///PATH, http://HOST:PORT or https://HOST:PORT"
        )
    return place.hostname, place.port
