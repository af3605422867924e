"""Memory of a serving process (tallystick.web.allocator)."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, threading
from tallystick.web.allocator import keep_memory

keep_memory()

def work():
    for _ in range(20):
        pieces = [bytes([number]) * (1 << 20) for number in range(16)]

def faults():
    thread = threading.Thread(target=work)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of the GNU C library")
def test_what_a_thread_frees_is_not_asked_of_the_system_again() -> None:
    found = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 16 * 256  # one round of pages, of the twenty that were used
