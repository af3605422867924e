"""The contract that every kind of end must keep: the laws of DESIGN.md 4.9 on real databases.

Inherit ``AgreementContract``, give it a ``workshop`` fixture that makes ends, and run it with pytest. SQL in here is
plain enough for every engine. An ``End`` is a replica and the application's own connection to the same data.
"""

from __future__ import annotations

from tallystick.testing.contract.conflicts import ConflictContract
from tallystick.testing.contract.convergence import ConvergenceContract
from tallystick.testing.contract.deletions import DeletionContract
from tallystick.testing.contract.ends import End, Workshop, by, later, people, settle, sync
from tallystick.testing.contract.first_contact import FirstContactContract
from tallystick.testing.contract.identity import IdentityContract
from tallystick.testing.contract.pages import PageContract
from tallystick.testing.contract.scopes import ScopeContract
from tallystick.testing.contract.uniqueness import UniquenessContract
from tallystick.testing.contract.verification import VerificationContract

__all__ = ["AgreementContract", "End", "Workshop", "by", "later", "people", "settle", "sync"]


class AgreementContract(
    FirstContactContract,
    ConvergenceContract,
    ConflictContract,
    DeletionContract,
    PageContract,
    IdentityContract,
    UniquenessContract,
    ScopeContract,
    VerificationContract,
):
    """The laws, as tests."""
