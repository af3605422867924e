"""Daemons and their worker processes (spec ics C12)."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import cached_property
from multiprocessing.context import ForkProcess
from types import FrameType
from typing import Any

from tallystick.compat.kopano.config import Config, Setting
from tallystick.compat.kopano.connection import Server, server
from tallystick.compat.kopano.errors import Error

_LOG_SETTINGS = {
    "log_method": Config.string(default="stderr"),
    "log_level": Config.string(default="info"),
    "log_file": Config.string(default="-"),
    "log_timestamp": Config.boolean(default=True),
    "server_socket": Config.string(default=""),
    "sslkey_file": Config.string(default=None),
    "sslkey_pass": Config.string(default=None),
}
_LEVELS = {"0": "CRITICAL", "1": "CRITICAL", "2": "ERROR", "3": "WARNING", "4": "INFO", "5": "INFO", "6": "DEBUG"}


@contextmanager
def log_exc(log: logging.Logger, stats: MutableMapping[str, int] | None = None) -> Iterator[None]:
    """Log what the block raises, count it in ``stats["errors"]``, and go on behind it."""
    try:
        yield
    except Exception as error:
        log.error("%s\n%s", error, traceback.format_exc())
        if stats is not None:
            stats["errors"] = stats.get("errors", 0) + 1


def logger(service: str, config: Config | None = None, options: Any = None) -> logging.Logger:
    """The log of a service, as its settings and command line say."""
    log = logging.getLogger(service)
    settings = {} if config is None else config.data
    level = getattr(options, "loglevel", None) or settings.get("log_level") or "info"
    if not log.handlers:
        target = settings.get("log_file") or "-"
        handler = logging.StreamHandler(sys.stderr) if target == "-" else logging.FileHandler(target)
        handler.setFormatter(logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s"))
        log.addHandler(handler)
    log.setLevel(_LEVELS.get(str(level), str(level).upper()))
    return log


class Service:
    """A daemon. Subclasses write ``main``; ``start`` runs it.

    ``config`` describes settings beside those every service has, ``options`` is the parsed command line.
    """

    def __init__(
        self,
        name: str,
        config: Mapping[str, Setting] | None = None,
        options: Any = None,
        args: Any = None,
        logname: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.name = name
        self.__dict__.update(kwargs)
        self.options = options
        self.args = args
        self.config = Config({**_LOG_SETTINGS, **(config or {})}, service=name, options=options)
        self.log = logger(logname or name, self.config, options)
        self._stopping = False

    @cached_property
    def server(self) -> Server:
        """The site, opened as command line and settings say."""
        return server(options=self.options, config=self.config, log=self.log)

    def main(self) -> None:
        """What the service does."""
        raise Error(f"{type(self).__name__} has no main()")

    def start(self) -> None:
        """Run ``main`` in this process until it ends, or the process is told to end.

        The process stays in the foreground; what supervises it may put it elsewhere.
        """
        self.log.info("starting %s", self.name)
        before = signal.signal(signal.SIGTERM, self._terminated)
        try:
            with log_exc(self.log):
                self.main()
        except (KeyboardInterrupt, SystemExit):
            self.log.info("stopping %s", self.name)
        finally:
            signal.signal(signal.SIGTERM, before)
            if "server" in self.__dict__:
                self.server.close()
        self.log.info("stopped %s", self.name)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)


class Worker(ForkProcess):
    """A process of a service. Subclasses write ``main``, and open the site themselves.

    It is forked, whatever Python's default, because programs hand it queues and services as attributes.
    """

    def __init__(self, service: Service, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, daemon=True)
        self.service = service
        self.log = service.log
        self.__dict__.update(kwargs)

    def main(self) -> None:
        """What the worker does."""
        raise Error(f"{type(self).__name__} has no main()")

    def run(self) -> None:
        """Run ``main`` in the new process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with log_exc(self.log):
            self.main()
