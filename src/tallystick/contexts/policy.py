"""What all policy classes share: validation on every assignment, the wire form, copying (spec contexts A.1).

The wire form is what calling ``obj.__dict__()`` returns: a method of that name, as the published interface has it.
Everything that Python builds on the attribute of that name (``copy``, ``pickle``) is therefore spelled out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from enum import Enum
from typing import Any, ClassVar, Self, TypeVar

from tallystick.contexts.choices import wire_values
from tallystick.errors import ValueRejected

Choice = TypeVar("Choice", bound=Enum)

WILDCARDS = "*?[]"


class PolicyValueError(ValueRejected, ValueError):
    """A policy field holds a value that its class does not allow. Correct the value; the old one is kept."""

    code = "policy-value"
    default_hint = ""


class PolicyTypeError(ValueRejected, TypeError):
    """A policy field holds something of the wrong type. Correct the call; the old value is kept."""

    code = "policy-type"
    default_hint = ""


class Policy:
    """The base of all policies: a mutable dataclass that is valid after construction and after every assignment."""

    wire_names: ClassVar[Mapping[str, str]] = {}
    """Wire key of every field, in wire order."""

    def _check(self) -> None:
        """Raise PolicyValueError or PolicyTypeError unless the object as a whole is valid."""

    def _complete(self) -> None:
        """Put defaults in the place of missing parts."""

    _constructed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._complete()
        self._check()
        object.__setattr__(self, "_constructed", True)

    def __setattr__(self, name: str, value: Any) -> None:
        names = field_names(type(self))
        if name not in names:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}; its fields are {', '.join(names)}")
        if not self._constructed:
            return object.__setattr__(self, name, value)
        before = getattr(self, name)
        object.__setattr__(self, name, value)
        try:
            self._complete()
            self._check()
        except Exception:
            object.__setattr__(self, name, before)
            raise

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"fields of {type(self).__name__} cannot be deleted; assign a value to {name!r}")

    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """The wire form: a JSON-compatible dictionary."""
        self._check()
        return {wire: to_wire(getattr(self, name)) for name, wire in self.wire_names.items()}

    def to_dict(self) -> dict[str, Any]:
        """The wire form together with what the wire leaves out, so that ``from_dict`` gives an equal object."""
        self._check()
        return {wire: to_document(getattr(self, name)) for name, wire in self.wire_names.items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The policy that a wire form or ``to_dict`` describes; missing keys take their defaults.

        Raises PolicyValueError naming a key that this class does not know, and whatever the constructor raises.
        """
        return cls(**cls._arguments(document))

    @classmethod
    def _arguments(cls, document: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(document, Mapping):
            raise PolicyTypeError(f"{cls.__name__} is read from a dictionary, not from {document!r}")
        by_wire = {wire: name for name, wire in cls.wire_names.items()}
        unknown = [key for key in document if key not in by_wire]
        if unknown:
            raise PolicyValueError(
                f"Unknown key {unknown[0]!r} in {cls.__name__}. Valid keys are: {', '.join(by_wire)}"
            )
        return {by_wire[key]: cls._from_wire(by_wire[key], value) for key, value in document.items()}

    @classmethod
    def _from_wire(cls, name: str, value: Any) -> Any:
        return value

    @classmethod
    def default(cls) -> Self:
        """The policy with every field at its default."""
        return cls()

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in field_names(type(self))}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_constructed", True)


def field_names(cls: type) -> tuple[str, ...]:
    """The names of a policy's fields in declaration order."""
    declared: Mapping[str, Field[Any]] = getattr(cls, "__dataclass_fields__", {})
    return tuple(declared)


def to_wire(value: Any) -> Any:
    """A field's value in the wire form."""
    if isinstance(value, Policy):
        return value.__dict__()
    return _plain(value, to_wire)


def to_document(value: Any) -> Any:
    """A field's value in the complete form of ``to_dict``."""
    if isinstance(value, Policy):
        return value.to_dict()
    return _plain(value, to_document)


def _plain(value: Any, convert: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [convert(item) for item in value]
    return value


def choice_of(choice: type[Choice], value: Any) -> Any:
    """The enum member that a wire value names; the value itself where there is none, for the check to refuse."""
    try:
        return choice(value)
    except ValueError:
        return value


def require_choice(policy: Policy, name: str, choice: type[Enum], *, optional: bool = False) -> None:
    """Raise PolicyValueError unless the field holds a member of ``choice`` (or None, where that is allowed)."""
    value = getattr(policy, name)
    if isinstance(value, choice) or (optional and value is None):
        return
    raise PolicyValueError(f"Invalid {name} value: {value}. Valid values are: {wire_values(choice)}")


def require_type(policy: Policy, *names: str, kind: type | tuple[type, ...], wanted: str) -> None:
    """Raise PolicyTypeError unless every named field is an instance of ``kind``."""
    for name in names:
        value = getattr(policy, name)
        if not isinstance(value, kind):
            raise PolicyTypeError(f"{name} must be {wanted}, not {type(value).__name__}: {value!r}")


def require_list(policy: Policy, *names: str, kind: type = str) -> None:
    """Raise PolicyTypeError unless every named field is a list of ``kind``."""
    for name in names:
        require_type(policy, name, kind=list, wanted=f"a list of {kind.__name__}")
        for item in getattr(policy, name):
            if not isinstance(item, kind):
                raise PolicyTypeError(f"{name} must be a list of {kind.__name__}, but holds {item!r}")


def wildcard_in(value: str) -> bool:
    """True when the value holds any of ``* ? [ ]``."""
    return any(character in WILDCARDS for character in value)
