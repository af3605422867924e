"""Trees to measure with: made alike every time, changed alike for every tool."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

LEAST, MOST = 512, 8192


def grow_many(root: Path, files: int, directories: int, seed: int = 1) -> int:
    """Small files of random content in directories two levels deep; returns the bytes written."""
    chance = random.Random(seed)
    size = 0
    for number, directory in enumerate(_directories(root, directories)):
        for position in range(number * files // directories, (number + 1) * files // directories):
            content = chance.randbytes(chance.randint(LEAST, MOST))
            write(f"{directory}/file-{position:06d}.dat", content)
            size += len(content)
    return size


def _directories(root: Path, number: int) -> Iterator[str]:
    for position in range(number):
        directory = f"{root}/group-{position // 50:03d}/part-{position % 50:02d}"
        os.makedirs(directory)
        yield directory


def grow_entries(root: Path, entries: int, each: int = 100) -> int:
    """So many entries: empty files, ``each`` to a directory. Returns how many there are."""
    made = 0
    for number in range(entries // (each + 1)):
        directory = f"{root}/g{number // 100:03d}/d{number % 100:02d}"
        os.makedirs(directory)
        for position in range(each):
            os.close(os.open(f"{directory}/f{position:03d}", os.O_CREAT | os.O_WRONLY, 0o644))
        made += each + 1
    return made


def grow_big(root: Path, files: int, size: int) -> int:
    """Large files that do not compress."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        with open(root / f"big-{number}", "wb") as file:
            for _ in range(size // (1 << 20)):
                file.write(os.urandom(1 << 20))
    return files * size


def write(path: str, content: bytes) -> None:
    """One file."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    os.write(handle, content)
    os.close(handle)


def paths(root: Path) -> list[str]:
    """Every file, in order."""
    return sorted(f"{directory}/{name}" for directory, _, names in os.walk(root) for name in names)


def edit(root: Path, share: float, round_number: int) -> int:
    """Write other content of the same size into some of the files."""
    chosen = _chosen(root, share, round_number)
    for path in chosen:
        write(path, os.urandom(os.path.getsize(path)))
    return len(chosen)


def rename(root: Path, share: float, round_number: int) -> int:
    """Give some of the files other names, in their directories."""
    chosen = _chosen(root, share, round_number)
    for position, path in enumerate(chosen):
        os.rename(path, f"{os.path.dirname(path)}/renamed-{round_number}-{position:06d}.dat")
    return len(chosen)


def delete(root: Path, share: float, round_number: int) -> int:
    """Remove some of the files."""
    chosen = _chosen(root, share, round_number)
    for path in chosen:
        os.unlink(path)
    return len(chosen)


def _chosen(root: Path, share: float, round_number: int) -> list[str]:
    found = paths(root)
    return random.Random(round_number).sample(found, max(1, int(len(found) * share)))
