"""Configuration files of services: ``name = value`` lines, with types, defaults and options (spec ics C12)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tallystick.compat.kopano.errors import ConfigError

_TRUE = ("yes", "true", "1", "on")
_FALSE = ("no", "false", "0", "off")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


class Setting(NamedTuple):
    """What a setting may be: how its text is read, what it is without one, and whether it is ignored."""

    read: Callable[[str], Any]
    default: Any
    required: bool
    ignored: bool = False
    options: tuple[Any, ...] = ()
    multiple: bool = False


class _Missing:
    """No default."""


def _setting(read: Callable[[str], Any], given: dict[str, Any]) -> Setting:
    default = given.pop("default", _Missing)
    options = tuple(given.pop("options", None) or ())
    multiple = bool(given.pop("multiple", False))
    return Setting(read, None if default is _Missing else default, default is _Missing, False, options, multiple)


class Config:
    """Settings, read as ``config["name"]``.

    ``config`` says which there are: names and what ``Config.string()`` and the like return. ``filename`` is read if it
    exists; without it ``/etc/kopano/SERVICE.cfg`` is. Raises ConfigError for values that do not fit or are missing.
    """

    def __init__(
        self,
        config: Mapping[str, Setting] | None = None,
        service: str | None = None,
        options: Any = None,
        filename: str | None = None,
        log: Any = None,
    ) -> None:
        self.config = dict(config or {})
        self.log = log
        self.data: dict[str, Any] = {}
        named = filename or getattr(options, "config_file", None)
        path = named or f"/etc/kopano/{service}.cfg"
        if named and not os.path.isfile(named):
            raise ConfigError(f"there is no configuration file {named}", hint="name one that exists with --config")
        found = self._file(path) if os.path.isfile(path) else {}
        self._take(found, path)

    def _file(self, path: str) -> dict[str, str]:
        found: dict[str, str] = {}
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                text = line.strip()
                if not text or text.startswith("#"):
                    continue
                if text.startswith("!include "):
                    found.update(self._file(os.path.join(os.path.dirname(path), text.split(None, 1)[1])))
                    continue
                name, equals, value = text.partition("=")
                if not equals:
                    raise ConfigError(f"line {number} of {path} is not of the form name = value: {text!r}")
                found[name.strip()] = value.strip()
        return found

    def _take(self, found: Mapping[str, str], path: str) -> None:
        for name, setting in self.config.items():
            if setting.ignored:
                continue
            if name in found:
                self.data[name] = self._value(name, setting, found[name], path)
            elif setting.required:
                raise ConfigError(f"{path} has no setting {name!r}", hint=f"add a line {name} = VALUE")
            else:
                self.data[name] = setting.default
        for name in found.keys() - self.config.keys():
            self.data[name] = found[name]
            if self.log is not None and self.config:
                self.log.warning("%s: unknown setting %r", path, name)

    def _value(self, name: str, setting: Setting, text: str, path: str) -> Any:
        try:
            value = [setting.read(one) for one in text.split()] if setting.multiple else setting.read(text)
        except ValueError as error:
            raise ConfigError(f"setting {name!r} in {path}: {error}") from None
        for one in value if setting.multiple else [value]:
            if setting.options and one not in setting.options:
                allowed = ", ".join(str(option) for option in setting.options)
                raise ConfigError(f"setting {name!r} in {path} must be one of {allowed}, not {one!r}")
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a setting, or ``default``."""
        return self.data.get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __contains__(self, name: object) -> bool:
        return name in self.data

    # kinds of settings -----------------------------------------------------------------------------------------

    @staticmethod
    def string(**given: Any) -> Setting:
        """Text. ``default``, ``options`` and ``multiple`` (several, separated by spaces) may be given to all kinds."""
        given.pop("regex", None)
        return _setting(str, given)

    @staticmethod
    def integer(**given: Any) -> Setting:
        """A whole number."""
        given.pop("base", None)
        return _setting(int, given)

    @staticmethod
    def boolean(**given: Any) -> Setting:
        """yes or no."""
        return _setting(_boolean, given)

    @staticmethod
    def size(**given: Any) -> Setting:
        """A number of bytes, with K, M or G behind it for more."""
        setting = _setting(_size, given)
        default = setting.default
        return setting._replace(default=_size(default) if isinstance(default, str) else default)

    @staticmethod
    def path(**given: Any) -> Setting:
        """A file or directory; it must exist unless ``check`` is false."""
        return _setting(_existing if given.pop("check", True) else str, given)

    @staticmethod
    def ignore(**given: Any) -> Setting:
        """A setting that may be there and means nothing."""
        return Setting(str, None, False, ignored=True)


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(f"{text!r} is neither yes nor no")
    return text.lower() in _TRUE


def _size(text: str) -> int:
    unit = text[-1:].upper() if text[-1:].isalpha() else ""
    if unit not in _UNITS:
        raise ValueError(f"{text!r} is not a size such as 5M")
    return int(float(text[: len(text) - len(unit)]) * _UNITS[unit])


def _existing(text: str) -> str:
    if not os.path.exists(text):
        raise ValueError(f"{text} does not exist")
    return text
