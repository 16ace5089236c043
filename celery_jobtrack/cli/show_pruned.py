"""What was deleted because it was old, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from contextlib import ExitStack

    from rich.console import Console

    from celery_jobtrack.tracking.pruner import Pruned


def pruned_text(pruned: Pruned) -> str:
    """``3 jobs, 1 group and 0 workers``; keys of locks are told if there were any."""
    found = [(pruned.jobs, "job"), (pruned.groups, "group"), (pruned.workers, "worker")]
    if pruned.locks:
        found.append((pruned.locks, "lock"))
    *others, last = (f"{number:,} {noun}{'' if number == 1 else 's'}" for number, noun in found)
    return f"{', '.join(others)} and {last}"


class CountingLine:
    """A line that is drawn anew after each chunk, and is gone at the end."""

    def __init__(self, console: Console, stack: ExitStack) -> None:
        self._live = stack.enter_context(
            Live(console=console, auto_refresh=False, transient=True, redirect_stderr=False)
        )

    def show(self, pruned: Pruned) -> None:
        """Draw the numbers."""
        self._live.update(Text(f"Deleting: {pruned_text(pruned)} …", style="dim"), refresh=True)
