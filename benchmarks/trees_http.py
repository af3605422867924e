"""Directories into a context over loopback HTTP, beside an rsync daemon in the same run.

    python benchmarks/trees_http.py [--smoke] [--repeat N] [--only many,big,code]

Everything lies in shared memory, so no disk is measured; the tools are whole processes, started anew each time. Where
unison is installed, it runs once beside the row of the inserted byte.
Ours verifies every chunk at the server and every file by its digest. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

SHARED = Path("/dev/shm")
INSTALLED = shutil.which("rsync") is not None
"""Without rsync only our own figures are measured."""
TALLYSTICK = (sys.executable, "-m", "tallystick.cli.main")


def make_many(root: Path, files: int, directories: int) -> None:
    """Files of 0.5-8 KiB, half of each of them words, half noise."""
    seeded = random.Random(1)
    words = b" ".join(b"%x" % seeded.getrandbits(24) for _ in range(4000))
    for number in range(directories):
        (root / f"d{number // 50:03}" / f"e{number:04}").mkdir(parents=True)
    for number in range(files):
        size = seeded.randrange(512, 8192)
        start = seeded.randrange(len(words) - size // 2)
        place = number % directories
        path = root / f"d{place // 50:03}" / f"e{place:04}" / f"f{number:05}.txt"
        path.write_bytes(words[start : start + size // 2] + seeded.randbytes(size - size // 2))


def make_big(root: Path, files: int, size: int) -> None:
    root.mkdir()
    for number in range(files):
        with open(root / f"big{number}", "wb") as file:
            for _ in range(size >> 20):
                file.write(os.urandom(1 << 20))


def change(root: Path, share: float) -> None:
    seeded = random.Random(2)
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    for path in seeded.sample(paths, max(1, int(len(paths) * share))):
        path.write_bytes(path.read_bytes() + b"changed")


def delete(root: Path, share: float) -> None:
    seeded = random.Random(3)
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    for path in seeded.sample(paths, max(1, int(len(paths) * share))):
        path.unlink()


def insert(root: Path) -> None:
    path = root / "big0"
    content = path.read_bytes()
    with open(path, "wb") as file:
        file.write(b"!")
        file.write(content)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing answers at port {port}")


@contextmanager
def process(
    command: list[str], port: int, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        wait_for(port)
        yield started
    finally:
        started.terminate()
        started.wait()


def peak_mib(identifier: int) -> float:
    text = Path(f"/proc/{identifier}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024


def run(command: list[str], environment: dict[str, str] | None = None) -> tuple[float, float, str]:
    """(seconds, peak MiB, output) of a whole process."""
    wrapped = ["/usr/bin/env", *command]
    started = time.perf_counter()
    done = subprocess.Popen(wrapped, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    output, errors = done.communicate()
    seconds = time.perf_counter() - started
    if done.returncode not in (0, 24):
        raise SystemExit(f"{command} ended with {done.returncode}: {errors.decode()}")
    return seconds, 0.0, output.decode()


class Ours:
    """A served site and a client."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.port = free_port()
        self.peak_mib = 0.0
        """The most that a server took."""
        self._serving = ExitStack()
        self._server: subprocess.Popen[bytes] | None = None
        self.environment = {**os.environ, "XDG_STATE_HOME": str(place / "state")}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.environment["PYTHONPYCACHEPREFIX"] = str(place / "compiled")  # compiled once, as an installation is

    def __enter__(self) -> Ours:
        self.renew()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def renew(self) -> None:
        """Begin with a site that holds nothing, and that has been asked once."""
        self._stop()
        for path in self.place.glob("site.db*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(self.place / "state", ignore_errors=True)
        database = str(self.place / "site.db")
        subprocess.run([sys.executable, "-c", f"import tallystick; tallystick.open({database!r}, create=True)"])
        command = [*TALLYSTICK, "serve", database, "--port", str(self.port)]
        self._server = self._serving.enter_context(process(command, self.port, self.environment))
        self._warm_up()

    def _stop(self) -> None:
        if self._server is not None:
            self.peak_mib = max(self.peak_mib, peak_mib(self._server.pid))
        self._serving.close()

    def _warm_up(self) -> None:
        """Let both ends compile and load what a run needs."""
        source = self.place / "warm-up"
        source.mkdir(exist_ok=True)
        (source / "file").write_bytes(b"content")
        self.sync(source, "warm-up")

    def sync(self, source: Path, target: str) -> float:
        url = f"http://127.0.0.1:{self.port}/contexts/{target}"
        return run([*TALLYSTICK, "sync", str(source), url, "--allow-deletes", "all"], self.environment)[0]

    def traffic(self, source: Path, target: str) -> tuple[int, int, float]:
        """(bytes of bodies sent, received, peak MiB) of a run in a process of its own that counts them."""
        script = (
            "import json, sys, time\n"
            "from pathlib import Path\n"
            "from tallystick.contexts.opening import open_trees\n"
            "from tallystick.trees.opening import Wishes\n"
            "pair = open_trees(sys.argv[1], sys.argv[2], None, time.time_ns)\n"
            "pair.run(Wishes(allowed=None))\n"
            "traffic = pair.pair.remote.host.traffic\n"
            "status = Path('/proc/self/status').read_text()\n"
            "peak = int(status.partition('VmHWM:')[2].split()[0]) / 1024\n"
            "print(json.dumps([traffic.sent, traffic.received, peak]))\n"
            "pair.close()\n"
        )
        url = f"http://127.0.0.1:{self.port}/contexts/{target}"
        output = run([sys.executable, "-c", script, str(source), url], self.environment)[2]
        sent, received, peak = json.loads(output)
        return sent, received, peak


class Rsync:
    """An rsync daemon and a client."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.port = free_port()

    def command(self) -> list[str]:
        settings = self.place / "rsyncd.conf"
        (self.place / "rsynced").mkdir()
        settings.write_text(
            f"use chroot = no\nuid = {os.getuid()}\ngid = {os.getgid()}\n"
            f"[all]\npath = {self.place / 'rsynced'}\nread only = no\n"
        )
        return ["rsync", "--daemon", "--no-detach", f"--port={self.port}", f"--config={settings}"]

    def sync(self, source: Path, target: str) -> float:
        if not INSTALLED:
            return float("nan")
        url = f"rsync://127.0.0.1:{self.port}/all/{target}/"
        return run(["rsync", "-a", "--delete", f"{source}/", url])[0]


class Unison:
    """A unison server at a socket and a client."""

    def __init__(self, place: Path) -> None:
        self.place = place / "unison"
        self.place.mkdir()
        self.port = free_port()
        self.environment = {**os.environ, "UNISON": str(self.place / "archives")}

    def command(self) -> list[str]:
        return ["unison", "-socket", str(self.port)]

    def sync(self, source: Path) -> float:
        target = f"socket://127.0.0.1:{self.port}/{self.place / source.name}"
        command = ["unison", str(source), target, "-batch", "-auto", "-silent", "-times", "-confirmbigdel=false"]
        return run(command, self.environment)[0]


def figure(ours: list[float], peer: list[float]) -> dict[str, Any]:
    """Medians, and the median of the ratios of neighbouring runs."""
    ratios = [one / other for one, other in zip(ours, peer, strict=True)]
    if not INSTALLED:
        return {"ours_s": round(statistics.median(ours), 3), "rsync_daemon_s": None, "ratio": None}
    found = {
        "ours_s": round(statistics.median(ours), 3),
        "rsync_daemon_s": round(statistics.median(peer), 3),
        "ratio": round(statistics.median(ratios), 2),
    }
    print(found, file=sys.stderr, flush=True)
    return found


def passes(
    ours: Ours, rsync: Rsync, source: Path, name: str, repeat: int, prepare: Callable[[], None]
) -> dict[str, Any]:
    mine, theirs = [], []
    for _ in range(repeat):
        prepare()
        mine.append(ours.sync(source, name))
        theirs.append(rsync.sync(source, name))
    return figure(mine, theirs)


def first(ours: Ours, rsync: Rsync, source: Path, name: str, repeat: int) -> dict[str, Any]:
    """First synchronizations, every one to where nothing is: a site that holds the content would not write it."""
    mine, theirs = [], []
    for _ in range(repeat):
        ours.renew()
        shutil.rmtree(rsync.place / "rsynced" / name, ignore_errors=True)
        mine.append(ours.sync(source, name))
        theirs.append(rsync.sync(source, name))
    return figure(mine, theirs)


def measure_many(ours: Ours, rsync: Rsync, place: Path, repeat: int, smoke: bool) -> dict[str, Any]:
    source = place / "many"
    make_many(source, 500 if smoke else 50_000, 20 if smoke else 2_000)
    found: dict[str, Any] = {"first": first(ours, rsync, source, "many", repeat)}
    found["no_change"] = passes(ours, rsync, source, "many", repeat, lambda: None)
    sent, received, peak = ours.traffic(source, "many")
    found["no_change"] |= {"bytes_on_the_wire": sent + received}
    found["changed_1_percent"] = passes(ours, rsync, source, "many", repeat, lambda: change(source, 0.01))
    found["deleted_5_percent"] = passes(ours, rsync, source, "many", repeat, lambda: delete(source, 0.05))
    ours.renew()
    sent, received, peak = ours.traffic(source, "many")
    found["first"] |= {"client_peak_mib": round(peak), "bytes_sent": sent}
    return found


def measure_big(ours: Ours, rsync: Rsync, place: Path, repeat: int, smoke: bool) -> dict[str, Any]:
    source = place / "big"
    make_big(source, 4 if not smoke else 1, (512 if not smoke else 8) << 20)
    found: dict[str, Any] = {"first": first(ours, rsync, source, "big", repeat)}
    found["first"]["bytes"] = sum(path.stat().st_size for path in source.iterdir())
    insert(source)
    sent, _, peak = ours.traffic(source, "big")
    rsync.sync(source, "big")
    found["inserted_1_byte"] = passes(ours, rsync, source, "big", repeat, lambda: insert(source))
    found["inserted_1_byte"] |= {
        "share_transferred": round(sent / (source / "big0").stat().st_size, 5),
        "client_peak_mib": round(peak),
    }
    if shutil.which("unison") is not None:
        seconds = found["inserted_1_byte"]["unison_s"] = inserted_by_unison(place, source)
        found["inserted_1_byte"]["to_unison"] = round(found["inserted_1_byte"]["ours_s"] / seconds, 2)
    return found


def inserted_by_unison(place: Path, source: Path) -> float:
    """Seconds of one run after one more byte was inserted."""
    unison = Unison(place)
    with process(unison.command(), unison.port, unison.environment):
        unison.sync(source)
        insert(source)
        return round(unison.sync(source), 3)


def measure_code(ours: Ours, rsync: Rsync, place: Path, repeat: int, smoke: bool) -> dict[str, Any]:
    """Ten copies of a source tree in one context: the Python that runs this, its tests included."""
    original = Path(os.__file__).parent / ("json" if smoke else "")
    source = place / "code"
    shutil.copytree(original, source / "copy0", symlinks=True, ignore=shutil.ignore_patterns("site-packages"))
    content = ours.place / "site.db.content"
    before = size_of(content)
    ours.sync(source, "code")
    one = size_of(content) - before
    for number in range(1, 10):
        shutil.copytree(source / "copy0", source / f"copy{number}", symlinks=True)
    ours.sync(source, "code")
    return {"ten_copies_to_one": round((size_of(content) - before) / one, 3), "bytes_of_one": one}


def size_of(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


MEASURES = {"many": measure_many, "big": measure_big, "code": measure_code}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="small, once")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="many,big,code")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=SHARED if SHARED.is_dir() else None) as name:
        place = Path(name)
        ours, rsync = Ours(place), Rsync(place)
        with ExitStack() as stack:
            stack.enter_context(ours)
            if INSTALLED:
                stack.enter_context(process(rsync.command(), rsync.port))
            for measure in given.only.split(","):
                repeat = 1 if given.smoke else given.repeat
                found[measure] = MEASURES[measure](ours, rsync, place, repeat, given.smoke)
        found["server_peak_mib"] = round(ours.peak_mib)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
