"""Two instances of Syncthing on this machine, one for each directory, that know and trust only each other.

They are daemons: the first synchronization counts from their start, a later one from the order to look at both
directories until the second one has everything. Nothing leaves the machine: discovery, relays and reports are off.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
import xml.etree.ElementTree as tree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trees_tools import Tool, Used

PATIENCE = 600.0
POLL = 0.05
KEY = "benchmark"
OFF = {
    "globalAnnounceEnabled": "false",
    "localAnnounceEnabled": "false",
    "relaysEnabled": "false",
    "natEnabled": "false",
    "startBrowser": "false",
    "urAccepted": "-1",
    "crashReportingEnabled": "false",
    "autoUpgradeIntervalH": "0",
    "setLowPriority": "false",
}
FOLDER = {"rescanIntervalS": "0", "fsWatcherEnabled": "false", "fsWatcherDelayS": "10", "type": "sendreceive"}


class Instance:
    """One Syncthing with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._say(["generate", "--home", str(home), "--no-default-folder"])
        self.device = self._say(["--device-id", "--home", str(home)]).strip()
        self.port, self.web = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def _say(self, words: list[str]) -> str:
        done = subprocess.run(
            ["syncthing", *words], capture_output=True, text=True, check=True, env=self._environment()
        )
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.home), "STNODEFAULTFOLDER": "1", "STNOUPGRADE": "1"}

    def configure(self, folder: Path, marker: str, other: Instance) -> None:
        """Share a folder with the other instance and talk to nobody else; ``marker`` is a directory in it."""
        path = self.home / "config.xml"
        document = tree.parse(path)
        root = document.getroot()
        options, gui = root.find("options"), root.find("gui")
        assert options is not None
        assert gui is not None
        for name, value in {**OFF, "listenAddress": f"tcp://127.0.0.1:{self.port}"}.items():
            entry = options.find(name)
            if entry is not None:
                entry.text = value
        for name, value in (("address", f"127.0.0.1:{self.web}"), ("apikey", KEY)):
            found = gui.find(name)
            (tree.SubElement(gui, name) if found is None else found).text = value
        device = tree.SubElement(root, "device", id=other.device, name="other", compression="never")
        tree.SubElement(device, "address").text = f"tcp://127.0.0.1:{other.port}"
        shared = tree.SubElement(root, "folder", id="tree", label="tree", path=str(folder), **FOLDER)
        for name in (self.device, other.device):
            tree.SubElement(shared, "device", id=name)
        for name, value in (("markerName", marker), ("disableFsync", "true"), ("fsPath", "")):
            tree.SubElement(shared, name).text = value
        document.write(path)

    def start(self) -> None:
        """Start it; it answers a moment later."""
        words = ["syncthing", "serve", "--home", str(self.home), "--no-browser", "--no-restart", "--no-upgrade"]
        with open(self.home / "said.txt", "wb") as said:
            self.process = subprocess.Popen(words, stdout=said, stderr=said, env=self._environment())

    def ask(self, path: str, post: bool = False) -> Any:
        """The answer of its interface; an OSError when there is none."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.web}/rest/{path}", headers={"X-API-Key": KEY}, data=b"" if post else None
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read() or b"null")

    def used(self) -> tuple[float, float]:
        """Processor seconds so far and the peak memory in megabytes, of it and the process that it watches."""
        assert self.process is not None
        seconds, most = 0.0, 0.0
        for number in (self.process.pid, *children(self.process.pid)):
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            status = Path(f"/proc/{number}/status").read_text()
            most = max(most, *(int(line.split()[1]) / 1024 for line in status.splitlines() if line[:6] == "VmHWM:"))
        return seconds, most

    def stop(self) -> None:
        """Stop it and wait for its end."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None


class Syncthing(Tool):
    """Both instances, started with the first run into a target."""

    instances: tuple[Instance, Instance] | None = None

    def fresh(self) -> None:
        self.close()
        super().fresh()

    def run(self, source: Path) -> Used:
        before = (0.0, 0.0)
        started = time.perf_counter()
        if self.instances is None:
            self.instances = self._opened(source)
            started = time.perf_counter()
            for instance in self.instances:
                instance.start()
        else:
            before = self._used()
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda instance: instance.ask("db/scan?folder=tree", post=True), self.instances))
        self._wait()
        seconds = time.perf_counter() - started
        after = self._used()
        return Used(seconds, after[0] - before[0], after[1])

    def _opened(self, source: Path) -> tuple[Instance, Instance]:
        home = self.ground / f"syncthing-home-{self.serial}"
        one, other = Instance(home / "one"), Instance(home / "other")
        self.target.mkdir()
        marker = min(path.name for path in source.iterdir() if path.is_dir())
        (self.target / marker).mkdir()
        one.configure(source, marker, other)
        other.configure(self.target, marker, one)
        return one, other

    def _wait(self) -> None:
        """Until the first instance knows that the second one has everything. Raises TimeoutError."""
        assert self.instances is not None
        one, other = self.instances
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                state = one.ask("db/status?folder=tree")
                need = one.ask(f"db/completion?folder=tree&device={other.device}")
                connected = one.ask("system/connections")["connections"].get(other.device, {}).get("connected")
            except OSError:
                time.sleep(POLL)
                continue
            scanned = state["state"] == "idle" and state["localFiles"] > 0
            if connected and scanned and not (need["needItems"] or need["needBytes"] or need["needDeletes"]):
                return
            time.sleep(POLL)
        raise TimeoutError(f"syncthing was not done after {PATIENCE:.0f} s")

    def _used(self) -> tuple[float, float]:
        assert self.instances is not None
        figures = [instance.used() for instance in self.instances]
        return sum(seconds for seconds, _ in figures), max(most for _, most in figures)

    def close(self) -> None:
        for instance in self.instances or ():
            instance.stop()
        self.instances = None


def children(number: int) -> list[int]:
    """The processes that the threads of a process have started."""
    lists = Path(f"/proc/{number}/task").glob("*/children")
    return [int(word) for listed in lists for word in listed.read_text().split()]


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
