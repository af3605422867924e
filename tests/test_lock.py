"""The lock files: whatever pyproject.toml asks for is pinned in them, with hashes, in a version that fits."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pinned(name):
    """Name to version of what a lock file pins."""
    lines = re.findall(r"^([\w.-]+)==(\S+)(?: ;[^\\]*)? \\$", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in lines}


def requirements(*lists):
    """What the lists ask for, without our own extras."""
    found = [Requirement(text) for each in lists for text in each]
    return [requirement for requirement in found if requirement.name != "tallystick"]


CORE = requirements(PROJECT["project"]["dependencies"], PROJECT["dependency-groups"]["build"])
ALL = CORE + requirements(*PROJECT["project"]["optional-dependencies"].values(), PROJECT["dependency-groups"]["dev"])


@pytest.mark.parametrize(("lock", "wanted"), (("requirements.lock", CORE), ("requirements-dev.lock", ALL)))
def test_every_dependency_is_locked_in_a_version_that_fits(lock, wanted):
    versions = pinned(lock)
    missing = [str(each) for each in wanted if versions.get(canonicalize_name(each.name), "none") not in each.specifier]
    assert not missing, f"run 'make lock': {lock} lacks {missing}"


def test_demo_and_tests_run_on_the_same_versions():
    small, large = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert small
    assert small.items() <= large.items()
