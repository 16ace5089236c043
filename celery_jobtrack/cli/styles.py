"""Which state has which colour, everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from enum import Enum

_STYLES = {
    "ENQUEUED": "cyan",
    "WAITING": "cyan",
    "AWAITING": "cyan",
    "STARTED": "blue",
    "RUNNING": "blue",
    "RETRY": "yellow",
    "REQUEUED": "yellow",
    "REPLACED": "yellow",
    "SUCCESS": "green",
    "SUCCEEDED": "green",
    "COMPLETED": "green",
    "FAILURE": "red",
    "FAILED": "red",
    "LOST": "red",
    "REVOKED": "magenta",
    "CANCELLED": "magenta",
    "SKIPPED": "dim",
}


def state_text(state: Enum | None) -> Text:
    """A state, in its colour."""
    name = "" if state is None else str(state.value)
    return Text(name, style=_STYLES.get(name, ""))
