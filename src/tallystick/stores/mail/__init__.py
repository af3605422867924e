"""Mail from elsewhere into a store: maildirs, mbox files, IMAP servers; incremental, and safe to interrupt."""

from __future__ import annotations

from tallystick.stores.mail.importing import MailReport, import_mail
from tallystick.stores.mail.opening import open_source

__all__ = ["MailReport", "import_mail", "open_source"]
