"""What can go wrong with a throw-away server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LINES_SHOWN = 30


class ServerMissingError(RuntimeError):
    """A program is not installed; says which, and how to get it."""

    def __init__(self, server: str, program: str, package: str) -> None:
        super().__init__(f"{server} is not installed ({program} not found): apt-get install {package}")
        self.server = server
        self.package = package


class ServerFailedError(RuntimeError):
    """A server did not do what was asked of it; carries the end of its log."""

    def __init__(self, what: str, log: Path) -> None:
        super().__init__(f"{what}\n--- the end of {log.name} ---\n{tail(log)}")


def tail(log: Path) -> str:
    """The last lines of a log, or that there is none."""
    if not log.exists():
        return "(no log was written)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]) or "(the log is empty)"
