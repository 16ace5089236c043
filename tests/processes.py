"""Who is running: the process table as ``/proc`` shows it (empty where there is none)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A live process; zombies are dead and never listed."""

    pid: int
    parent: int
    command: str

    def __str__(self) -> str:
        return f"{self.pid} (parent {self.parent}): {self.command}"


def table() -> dict[int, Process]:
    """Every live process by its pid."""
    found = (_read(entry) for entry in PROC.glob("[0-9]*"))
    return {process.pid: process for process in found if process}


def alive(pid: int) -> bool:
    """Whether ``pid`` runs. ``os.kill(pid, 0)`` would say so of a zombie that nobody has reaped, too."""
    return _read(PROC / str(pid)) is not None


def descendants(pid: int) -> list[Process]:
    """The children of ``pid``, their children, and so on; without those whose parent died before them."""
    everyone = table()
    found: list[Process] = []
    parents = {pid}
    while parents:
        generation = [process for process in everyone.values() if process.parent in parents]
        found += generation
        parents = {process.pid for process in generation}
    return found


def marked(name: str, value: str) -> list[Process]:
    """Those started with ``name=value`` in their environment, whoever their parent is by now."""
    wanted = f"{name}={value}".encode()
    return [process for process in table().values() if wanted in _environment(process.pid)]


def _read(entry: Path) -> Process | None:
    try:
        stat = (entry / "stat").read_text(errors="replace")
        command = (entry / "cmdline").read_bytes()
    except OSError:  # it ended while we looked
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")  # the name may hold parentheses itself
    state, parent, *_ = rest.split()
    if state in "ZX":
        return None
    shown = os.fsdecode(command.replace(b"\0", b" ")).strip()
    return Process(pid=int(entry.name), parent=int(parent), command=shown or f"[{name}]")


def _environment(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or belongs to somebody else
        return []
