"""tallystick/__init__.py: the public names are there, documented, and cost nothing until they are used."""

import subprocess
import sys

import pytest

import tallystick


@pytest.mark.parametrize("name", sorted(set(tallystick.__all__) - {"__version__"}))
def test_a_public_name_is_there_and_documented(name):
    assert getattr(tallystick, name).__doc__


def test_only_public_names_are_listed_and_other_names_are_refused():
    assert dir(tallystick) == sorted(tallystick.__all__)
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        tallystick.no_such_name  # noqa: B018


def test_importing_the_package_loads_no_room():
    script = "import sys, tallystick; print(*(name for name in sys.modules if name.startswith('tallystick.')))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == ["tallystick.version"]
