"""Whose time has come: jobs that wait for a rate, for a moment, or behind a place that has run out."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

LOOKS_AHEAD = 2.0
"""Seconds of which one look at the store tells what is due in them."""
IN_VAIN = 0.05
"""Seconds until the next look if a key is due and nobody can be called: another one calls at this moment."""
LONGEST_IN_VAIN = 1.0
"""Seconds until the next look if that stays so: whoever called somebody died before publishing him."""
AT_ONCE = 200
"""How many keys one look takes."""


class Timekeeper:
    """Calls and publishes those whose time has come. Any number of processes may do so side by side.

    Args:
        tracker: Over the store whose lines it watches.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._wait = 0.0
        """Seconds that it waited after the last look in vain."""

    def tick(self) -> float | None:
        """Call who is due.

        Returns:
            Seconds until the next one is; None if nobody is within ``LOOKS_AHEAD``.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        store = self._tracker.store
        now = store.now()
        due = store.due_keys(now + timedelta(seconds=LOOKS_AHEAD), AT_ONCE)
        called = [job_id for key, at in due if at <= now for job_id in self._call(key)]
        later = [(at - now).total_seconds() for _, at in due if at > now]
        if called or len(later) == len(due):
            self._wait = 0.0
            # Who was called has made others due, of whom nothing was read.
            return 0.0 if called else min(later, default=None)
        self._wait = min(max(IN_VAIN, 2 * self._wait), LONGEST_IN_VAIN)
        return self._wait

    def _call(self, key: str) -> Sequence[str]:
        """Call and publish who is due at a key. One that cannot be called must not stop the others."""
        try:
            called = self._tracker.store.call_due(key)
            self._tracker.turns.call(called)
        except StoreUnavailable:
            raise
        except Exception:
            logger.exception("who waits for %r cannot be called", key)
            return ()
        return called
