"""Mail sources by address."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from tallystick.errors import UsageError
from tallystick.stores.mail.imap import ImapSource, parse_address
from tallystick.stores.mail.maildir import MaildirSource
from tallystick.stores.mail.mbox import MboxSource
from tallystick.stores.mail.source import MailSource


def open_source(
    address: str, password: Callable[[str], str] | None = None, context: ssl.SSLContext | None = None
) -> MailSource:
    """The source at ``maildir:PATH``, ``mbox:PATH`` or ``imap(s)://USER[:PASSWORD]@HOST[:PORT]``.

    ``password`` is asked with the user's name where the address has none; ``context`` says which certificates are
    trusted. Raises UsageError for other addresses, StorageError, PeerError.
    """
    kind, _, path = address.partition(":")
    if kind == "maildir" and path:
        return MaildirSource(path)
    if kind == "mbox" and path:
        return MboxSource(path)
    if kind not in ("imap", "imaps"):
        raise UsageError(
            f"{address!r} names no source of mail", hint="write maildir:PATH, mbox:PATH or imaps://USER@HOST"
        )
    parsed = parse_address(address)
    given = parsed.password
    if given is None:
        if password is None:
            raise UsageError(f"the password of {parsed.user} at {parsed.host} is missing", hint="give it")
        given = password(parsed.user)
    return ImapSource(parsed, given, context)
