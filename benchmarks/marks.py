"""How often a task ran, and when first and last: a few bytes that the children of a worker share with us."""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = struct.Struct("=QQQ")
"""Runs, and the monotonic time of the first and of the last in nanoseconds."""


class Marks:
    """One process's side: it costs a job about a microsecond, the same in every variant.

    Args:
        folder: Where each process keeps a file of its own, named by its pid.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._page: mmap.mmap | None = None

    def add(self) -> None:
        """The task ran once more in this process."""
        page = self._page or self._open()
        now = time.monotonic_ns()
        runs, first, _ = LAYOUT.unpack_from(page)
        LAYOUT.pack_into(page, 0, runs + 1, first or now, now)

    def _open(self) -> mmap.mmap:
        # Only a process that runs bodies comes here, so no page is inherited through a fork.
        path, new = self._folder / str(os.getpid()), self._folder.with_name(f"new-mark-{os.getpid()}")
        # Somebody may be reading the folder.
        new.write_bytes(bytes(LAYOUT.size))
        new.replace(path)
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), LAYOUT.size)
        return self._page


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """What all processes of a worker have marked."""

    count: int
    seconds: float
    """From the first body to the last."""
    last: int
    """When the last body ran, on the monotonic clock in nanoseconds."""


def read(folder: Path) -> Runs:
    """The sum over all processes."""
    marks = [LAYOUT.unpack(path.read_bytes()) for path in folder.iterdir()]
    ran = [(first, last) for count, first, last in marks if count]
    if not ran:
        return Runs(count=0, seconds=0.0, last=0)
    last = max(last for _, last in ran)
    span = last - min(first for first, _ in ran)
    return Runs(count=sum(mark[0] for mark in marks), seconds=span / 1e9, last=last)


def reset(folder: Path) -> None:
    """Begin anew, while no job runs."""
    for path in folder.iterdir():
        with path.open("r+b") as file:
            file.write(bytes(LAYOUT.size))
