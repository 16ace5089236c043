"""What is paused, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.spans import span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from celery_jobtrack.model.halt import Halt
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.strategies.contract import Store


class Halted:
    """The halts of a store at one moment.

    Args:
        store: What is asked.
        now: Its time.
    """

    def __init__(self, store: Store, now: datetime) -> None:
        self._halts = store.halts()
        self._now = now

    def said_of(self, job: JobRecord) -> Iterator[str]:
        """Why a job may not start: a sentence for each halt that holds it."""
        return (self._said(halt) for halt in self._halts if halt.holds(job))

    def said_of_gate(self, job: JobRecord) -> str:
        """Why a job waits at a gate."""
        said = ", ".join(self.said_of(job))
        return f"is parked: {said}" if said else "was parked by a pause that is over: it is about to be sent"

    def _said(self, halt: Halt) -> str:
        lasts = span(max(0.0, (self._now - halt.since).total_seconds()))
        reason = "" if halt.reason is None else f" ({halt.reason})"
        return f"{halt.kind} {halt.name!r} has been paused for {lasts}{reason}"
