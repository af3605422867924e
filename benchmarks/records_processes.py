"""Other processes of the records benchmark: what they are, how long they take, how much memory they had."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
COMMAND = (sys.executable, "-m", "tallystick.cli.main")


class Done(NamedTuple):
    """A process that has ended: seconds by the wall and of processors, the most memory it had in MB, its output."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


def run(command: Sequence[str], compiled: Path | None = None) -> Done:
    """Run a command to its end. Raises RuntimeError when it fails.

    ``compiled`` is where it finds and keeps compiled modules, as an installed package has them beside its own.
    """
    environment = dict(os.environ)
    if compiled is not None:
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert process.stdout is not None
    output = process.stdout.read()
    done = _waited(process, start, output)
    process.stdout.close()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {output[-2000:]}")
    return done


def tallystick(*arguments: str) -> Done:
    """Run ``tallystick`` with arguments."""
    return run((*COMMAND, *arguments))


def weighed(*arguments: str) -> Done:
    """Run ``tallystick`` with arguments, with the most memory that it had itself.

    What the system says of a process that has ended counts the one it was forked from.
    """
    done = run((sys.executable, "-c", _WEIGHED, *arguments))
    return done._replace(peak_mb=_peak_mb(done.output) or done.peak_mb)


_WEIGHED = """
import atexit, pathlib, runpy, sys
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print(status.read_text() if status.exists() else "", file=sys.stderr))
sys.argv = ["tallystick", *sys.argv[1:]]
runpy.run_module("tallystick.cli.main", run_name="__main__")
"""


def _peak_mb(status: str) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found.group(1)) / 1024 if found else 0.0


def _waited(process: subprocess.Popen[str], start: float, output: str) -> Done:
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1024 if sys.platform != "darwin" else 1024 * 1024
    return Done(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / unit, output)


def _path() -> list[str]:
    """Where this process looks for packages first: the other one must run the same code."""
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


class Server:
    """A process that serves at ``address``."""

    def __init__(self, command: Sequence[str]) -> None:
        self._start = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *_path()])},
        )
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        if "http://" not in line:
            raise RuntimeError(f"{' '.join(command)} does not serve: {line}{self._process.stderr.read()}")
        self.address = line.split()[-1]

    def cpu_s(self) -> float:
        """Processor seconds so far; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> Done:
        """End the process."""
        status = Path(f"/proc/{self._process.pid}/status")
        peak = _peak_mb(status.read_text()) if status.exists() else 0.0
        self._process.terminate()
        done = _waited(self._process, self._start, "")
        done = done._replace(peak_mb=peak or done.peak_mb)
        assert self._process.stderr is not None
        self._process.stderr.close()
        return done


@contextmanager
def serving(command: Sequence[str]) -> Iterator[Server]:
    """A server for as long as the ``with`` lasts."""
    server = Server(command)
    try:
        yield server
    finally:
        if server._process.returncode is None:
            server.stop()


def site(url: str) -> list[str]:
    """The command that serves a site."""
    return [*COMMAND, "serve", url, "--port", "0"]


def floor(target: str) -> list[str]:
    """The command that serves the floor's target."""
    return [sys.executable, "-c", f"import records_floor; records_floor.serve({target!r})"]


def used(server: Server, action: Any) -> tuple[float, float, float]:
    """Run ``action``: seconds by the wall, processor seconds here, processor seconds of ``server``."""
    theirs, mine, wall = server.cpu_s(), time.process_time(), time.perf_counter()
    action()
    return time.perf_counter() - wall, time.process_time() - mine, server.cpu_s() - theirs
