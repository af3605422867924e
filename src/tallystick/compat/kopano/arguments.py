"""Command lines of scripts, by the letters of the options they take (spec ics C12)."""

from __future__ import annotations

from optparse import OptionParser
from typing import Any

_ALL: dict[str, tuple[str, dict[str, Any]]] = {
    "C": ("--company", {"action": "append", "dest": "companies", "default": [], "help": "only this company"}),
    "F": ("--foreground", {"action": "store_true", "help": "run in the foreground"}),
    "I": ("--input-dir", {"metavar": "PATH", "help": "read from this directory"}),
    "O": ("--output-dir", {"metavar": "PATH", "help": "write to this directory"}),
    "P": ("--auth-pass", {"metavar": "PASS", "help": "password of the user to log on as"}),
    "S": ("--store", {"action": "append", "dest": "stores", "default": [], "help": "only this store"}),
    "U": ("--auth-user", {"metavar": "NAME", "help": "user to log on as"}),
    "V": ("--version", {"action": "store_true", "help": "tell the version"}),
    "b": ("--period-begin", {"metavar": "DATE", "help": "only what is not older"}),
    "c": ("--config", {"dest": "config_file", "metavar": "FILE", "help": "read settings from this file"}),
    "e": ("--period-end", {"metavar": "DATE", "help": "only what is older"}),
    "f": ("--folder", {"action": "append", "dest": "folders", "default": [], "help": "only this folder"}),
    "g": ("--group", {"action": "append", "dest": "groups", "default": [], "help": "only this group"}),
    "k": ("--sslkey-file", {"metavar": "FILE", "help": "key to identify with"}),
    "l": ("--log-level", {"dest": "loglevel", "metavar": "LEVEL", "help": "what to log: DEBUG, INFO, WARNING, ERROR"}),
    "m": ("--modify", {"action": "store_true", "help": "really change something"}),
    "p": ("--sslkey-pass", {"metavar": "PASS", "help": "password of that key"}),
    "s": ("--server-socket", {"metavar": "SITE", "help": "the site to open"}),
    "u": ("--user", {"action": "append", "dest": "users", "default": [], "help": "only this user"}),
    "v": ("--verbose", {"action": "store_true", "help": "tell more"}),
    "w": ("--worker-processes", {"type": "int", "metavar": "N", "help": "how many processes to use"}),
}


def parser(options: str = "CkpsUPufmvVcS", usage: str | None = None) -> OptionParser:
    """A parser that knows the options of these letters; letters that stand for none are passed over."""
    made = OptionParser(usage=usage)
    for letter in dict.fromkeys(options):
        if letter in _ALL:
            name, details = _ALL[letter]
            made.add_option(f"-{letter}", name, **details)
    return made
