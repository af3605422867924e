"""Messages: bytes to typed values and back (docs/protocol.md, *Messages* and *Verbs*). Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from tallystick.core.pages import Tally
from tallystick.core.policies import DEFAULT_POLICY, Policy
from tallystick.core.values import Logical
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.site.schema import Definition, Field, Identity
from tallystick.site.users import Role
from tallystick.sync.replica import (
    Announced,
    Answer,
    Closing,
    Concluded,
    Described,
    Known,
    Meeting,
    RangeForm,
    Scope,
    Selection,
    Settings,
    Wanted,
)

MAJOR, MINOR = 1, 2
VERSION: Final = f"{MAJOR}.{MINOR}"
MSGPACK: Final = "application/vnd.tallystick+msgpack"
JSON: Final = "application/json"
BLOCKS: Final = "application/vnd.tallystick.blocks"
LINES: Final = "application/x-ndjson"
COMPRESS_FROM: Final = 256
"""Messages shorter than this are sent as they are."""

T = TypeVar("T")


class Digesting(msgspec.Struct):
    """The request of ``digest``."""

    source: str
    scope: Scope


class Ranging(msgspec.Struct):
    """The request of ``ranges``."""

    resource: str
    stated: list[RangeForm] = []


class Keyed(msgspec.Struct):
    """The request of ``older``."""

    resource: str
    keys: list[str]


class Leaving(msgspec.Struct):
    """The request of ``unreferred``: keys by resource."""

    keys: dict[str, list[str]]


class Columned(msgspec.Struct):
    """The request of ``naturals``."""

    resource: str
    columns: list[str]


class Rekeying(msgspec.Struct):
    """The request of ``rekey``."""

    resource: str
    keys: dict[str, str]


class Reconciling(msgspec.Struct):
    """The request of ``reconcile``."""

    resource: str
    keys: list[str]
    digest: dict[str, int]
    forgotten: dict[str, int]


class Resourced(msgspec.Struct):
    """The request of ``check`` and ``heal``."""

    resources: list[str]


class SettingsForm(msgspec.Struct, omit_defaults=True):
    """Settings as sent: all but the hook, which is asked at the end where it was given."""

    source: str
    scope: Scope
    policies: dict[str, Policy]
    run: str = ""
    allowed: int = 0


class Acknowledging(msgspec.Struct):
    """The request of ``acknowledge``."""

    closing: Closing
    settings: SettingsForm


class Verb(NamedTuple):
    """One verb: the type of its request and of its answer, and the role it needs. None: blocks, see the provider."""

    name: str
    request: Any
    answer: Any
    role: Role


_LISTED = (
    Verb("describe", msgspec.UnsetType, Described, Role.READ),
    Verb("prepare", Wanted, Described, Role.SYNC),
    Verb("meet", Meeting, Meeting, Role.READ),
    Verb("digest", Digesting, Known, Role.READ),
    Verb("ranges", Ranging, Answer, Role.READ),
    Verb("older", Keyed, list[str], Role.READ),
    Verb("unreferred", Leaving, dict[str, list[str]], Role.READ),
    Verb("naturals", Columned, dict[str, str], Role.READ),
    Verb("rekey", Rekeying, None, Role.SYNC),
    Verb("reconcile", Reconciling, int, Role.SYNC),
    Verb("check", Resourced, dict[str, list[tuple[str, str]]], Role.READ),
    Verb("heal", Resourced, int, Role.SYNC),
    Verb("announce", Selection, Announced, Role.READ),
    Verb("changes", Selection, None, Role.READ),
    Verb("apply", None, Tally, Role.SYNC),
    Verb("acknowledge", Acknowledging, dict[str, Tally], Role.SYNC),
    Verb("conclude", None, Concluded, Role.SYNC),
)
VERBS: Final = {verb.name: verb for verb in _LISTED}
"""Every verb by name."""

_to_msgpack = msgspec.msgpack.Encoder().encode
_to_json = msgspec.json.Encoder().encode


_DEFINITION = msgspec.to_builtins(Definition("", "", Identity.NATURAL))
_FIELD = msgspec.to_builtins(Field("", "", Logical.ANY))
_ALWAYS = frozenset(("name", "column", "wire", "identity", "logical"))


def encode(message: Any, media_type: str = MSGPACK) -> bytes:
    """A message as MessagePack or JSON."""
    if isinstance(message, Described | Wanted):
        message = _brief(message)
    return _to_json(message) if media_type == JSON else _to_msgpack(message)


def _brief(message: Described | Wanted) -> dict[str, Any]:
    """A message without what its definitions need not say: most members of most fields are what they are by default."""
    form: dict[str, Any] = msgspec.to_builtins(message)
    form["resources"] = [_said(resource, _DEFINITION) for resource in form["resources"]]
    for resource in form["resources"]:
        for part in ("fields", "key_fields"):
            if part in resource:
                resource[part] = [_said(field, _FIELD) for field in resource[part]]
    return form


def _said(form: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in form.items() if name in _ALWAYS or value != defaults[name]}


def decode(kind: type[T], body: bytes, media_type: str = MSGPACK) -> T:
    """The message of type ``kind`` in ``body``.

    Raises RequestError (malformed) for anything else: unknown members are ignored, wrong types are not.
    """
    try:
        return _decoder(kind, media_type == JSON)(body)  # type: ignore[arg-type, no-any-return]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError(f"a message cannot be read: {str(error)[:300]}") from error


@cache
def _decoder(kind: Any, json: bool) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode if json else msgspec.msgpack.Decoder(kind).decode


def settings_form(settings: Settings) -> SettingsForm:
    """The form of settings. Policies that are all what a receiver takes anyway are not said."""
    said = any(policy != DEFAULT_POLICY for policy in settings.policies.values())
    policies = dict(settings.policies) if said else {}
    return SettingsForm(settings.source, settings.scope, policies, settings.run, settings.allowed)


def settings_of(form: SettingsForm) -> Settings:
    """The settings a form stands for."""
    return Settings(form.source, form.scope, form.policies, form.run, form.allowed)
