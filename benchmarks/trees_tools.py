"""The tools that are compared, as whole processes: Tallystick and what a distribution offers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import trees_data as data

SOURCE = Path(__file__).parent.parent / "src"


class Used(NamedTuple):
    """What a process took: wall-clock seconds, processor seconds of it and its children, and the peak memory of the
    largest of them in megabytes.
    """

    seconds: float
    processor: float
    megabytes: float


def measured(command: Sequence[str], cwd: Path, may_leave: Sequence[int] = (0,)) -> Used:
    """Run a command to its end. Raises RuntimeError with what it said when it fails."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "HOME": str(cwd), "UNISON": str(cwd / "unison-memory")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(cwd / "compiled")  # compiled once, as an installation is
    with open(cwd / "said.txt", "w+b") as said:
        started = time.perf_counter()
        process = subprocess.Popen(list(command), cwd=cwd, stdout=said, stderr=said, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in may_leave:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {process.returncode}: {said.read()[-2000:]!r}")
    return Used(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


class Tool:
    """One way to keep a copy of a tree. ``run`` brings the target up to date with the source."""

    def __init__(self, name: str, ground: Path) -> None:
        self.name = name
        self.ground = ground
        self.serial = 0
        self.target = ground
        self.fresh()

    def fresh(self) -> None:
        """Start with a target that is not there, and no memory of any."""
        self.serial += 1
        self.target = self.ground / f"{self.name}-{self.serial}"

    def close(self) -> None:
        """Stop what runs between two runs."""

    def forget(self) -> None:
        """Remove the target."""
        self.close()
        shutil.rmtree(self.target, ignore_errors=True)

    def run(self, source: Path) -> Used:
        """Synchronize once."""
        raise NotImplementedError


class Tallystick(Tool):
    """This project; ``durable`` waits for the disk as it does by default."""

    durable = False

    def run(self, source: Path) -> Used:
        command = [sys.executable, "-m", "tallystick.cli.main", "sync", str(source), str(self.target)]
        command += ["--state", str(self.ground / f"memory-{self.serial}"), "--allow-deletes", "all"]
        return measured(command + ([] if self.durable else ["--no-fsync"]), self.ground)


class Rsync(Tool):
    """``rsync -a --delete``; ``durable`` adds ``--fsync``."""

    durable = False

    def run(self, source: Path) -> Used:
        extra = ["--fsync"] if self.durable else []
        return measured(["rsync", "-a", "--delete", *extra, f"{source}/", f"{self.target}/"], self.ground)


class Rclone(Tool):
    """``rclone sync``."""

    def run(self, source: Path) -> Used:
        return measured(["rclone", "sync", "--create-empty-src-dirs", str(source), str(self.target)], self.ground)


class Unison(Tool):
    """``unison -batch``, two-way like Tallystick."""

    def run(self, source: Path) -> Used:
        self.target.mkdir(exist_ok=True)
        command = ["unison", str(source), str(self.target), "-batch", "-auto", "-silent", "-confirmbigdel=false"]
        return measured([*command, "-times", "-perms", "0o777"], self.ground)


def agree(source: Path, target: Path) -> bool:
    """True when two trees hold the same names and contents."""
    one = [path.removeprefix(str(source)) for path in data.paths(source)]
    other = [path.removeprefix(str(target)) for path in data.paths(target)]
    return one == other and all(
        Path(f"{source}{path}").read_bytes() == Path(f"{target}{path}").read_bytes() for path in one
    )
