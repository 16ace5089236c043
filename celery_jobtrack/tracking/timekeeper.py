"""Whose time has come: jobs that wait for a rate, for a moment, or behind a place that has run out."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery_jobtrack.tracking.tracker import Tracker

LOOKS_AHEAD = 2.0
"""Seconds of which one look at the store tells what is due in them."""
IN_VAIN = 0.05
"""Seconds until the next look if a key is due and nobody can be called: another one calls at this moment."""
AT_ONCE = 200
"""How many keys one look takes."""


class Timekeeper:
    """Calls and publishes those whose time has come. Any number of processes may do so side by side.

    Args:
        tracker: Over the store whose lines it watches.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def tick(self) -> float | None:
        """Call who is due.

        Returns:
            Seconds until the next one is; None if nobody is within ``LOOKS_AHEAD``.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        store, turns = self._tracker.store, self._tracker.turns
        now = store.now()
        due = store.due_keys(now + timedelta(seconds=LOOKS_AHEAD), AT_ONCE)
        called = [job_id for key, at in due if at <= now for job_id in store.call_due(key)]
        turns.call(called)
        if called:
            # That has made others due, of whom nothing was read.
            return 0.0
        later = [(at - now).total_seconds() for _, at in due if at > now]
        in_vain = len(later) < len(due)
        return IN_VAIN if in_vain else min(later, default=None)
