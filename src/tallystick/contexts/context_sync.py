"""One mount wanted: which context, at which path, under which policy (spec contexts A.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from tallystick.contexts.policies import SyncPolicy
from tallystick.contexts.policy import Policy, PolicyTypeError, PolicyValueError, require_type

WAIT_KEY = "betaWaitForCompletion"


@dataclass
class ContextSync(Policy):
    """Mount context ``context_id`` at ``path`` under ``policy``; no policy means the service's defaults.

    Incomplete or impossible values construct, as published; they are refused when the context is bound.
    ``beta_wait_for_completion=False`` leaves this context out of the wait of ``create``; it never travels.
    """

    context_id: str | None = None
    path: str | None = None
    policy: SyncPolicy | None = None
    beta_wait_for_completion: bool | None = None

    wire_names: ClassVar[Mapping[str, str]] = {
        "context_id": "ContextId",
        "path": "Path",
        "policy": "Policy",
        "beta_wait_for_completion": WAIT_KEY,
    }

    def _check(self) -> None:
        require_type(self, "context_id", "path", kind=(str, type(None)), wanted="a string")
        require_type(self, "policy", kind=(SyncPolicy, type(None)), wanted="a SyncPolicy")
        require_type(self, "beta_wait_for_completion", kind=(bool, type(None)), wanted="True, False or None")

    @classmethod
    def new(
        cls,
        context_id: str,
        path: str,
        policy: SyncPolicy | None = None,
        beta_wait_for_completion: bool | None = None,
    ) -> Self:
        """The same as the constructor, with the identifier and the path required."""
        return cls(context_id, path, policy, beta_wait_for_completion)

    def with_policy(self, policy: SyncPolicy | None) -> Self:
        """Set the policy and return self."""
        self.policy = policy
        return self

    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """The wire form: the policy as a JSON string, absent where there is none."""
        self._check()
        wire: dict[str, Any] = {"ContextId": self.context_id, "Path": self.path}
        if self.policy is not None:
            wire["Policy"] = _json(self.policy.__dict__())
        return wire

    def to_dict(self) -> dict[str, Any]:
        """The complete form: with the wait flag, where it is set."""
        document = self.__dict__()
        if self.policy is not None:
            document["Policy"] = _json(self.policy.to_dict())
        if self.beta_wait_for_completion is not None:
            document[WAIT_KEY] = self.beta_wait_for_completion
        return document

    @classmethod
    def _from_wire(cls, name: str, value: Any) -> Any:
        if name != "policy" or value is None:
            return value
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as problem:
                raise PolicyValueError(f"Policy is not JSON: {problem}") from None
        if not isinstance(value, Mapping):
            raise PolicyTypeError(f"Policy must be a JSON object, not {value!r}")
        return SyncPolicy.from_dict(value)


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
