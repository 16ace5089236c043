"""Sees whether two jobs are at a key at once, by means that the package has nothing to do with.

A file lock of the kernel ends with its process, however that ends. So a second holder that comes after the
first was killed is none, and one that comes while the first is alive is always seen.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

VIOLATIONS = "violations"


def at(folder: Path, key: str, job_id: str, fence: int | None, seconds: float) -> None:
    """Be alone at a key for so many seconds, with a fence that nobody had before."""
    path = folder / f"witness-{key}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        if not _taken(descriptor):
            report(folder, f"two holders of {key}: {job_id} is one")
            return
        last = int(os.read(descriptor, 40) or b"0")
        if fence is None or fence <= last:
            report(folder, f"fence of {key} went from {last} to {fence}: {job_id}")
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, b"%20d" % (fence or 0))
        time.sleep(seconds)
    finally:
        os.close(descriptor)


def among(folder: Path, name: str, limit: int, seconds: float) -> None:
    """Be one of ``limit`` for so many seconds."""
    for number in range(limit):
        descriptor = os.open(folder / f"witness-{name}-{number}", os.O_RDWR | os.O_CREAT)
        try:
            if _taken(descriptor):
                time.sleep(seconds)
                return
        finally:
            os.close(descriptor)
    report(folder, f"more than {limit} of {name}")


def report(folder: Path, what: str) -> None:
    """Write a violation down."""
    with (folder / VIOLATIONS).open("a") as violations:
        violations.write(f"{what}\n")


def violations(folder: Path) -> list[str]:
    """What was seen."""
    path = folder / VIOLATIONS
    return path.read_text().splitlines() if path.exists() else []


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
