"""A living worker looks for attempts of its own that nothing runs any more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celery_jobtrack.model.job import Attempt
    from celery_jobtrack.tracking.reaper import Reaper
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)


class RollCall:
    """Closes attempts that are open in the store and not in the worker.

    A pool child that is killed under load is sometimes missed by the pool itself, and the end of a job
    may be recorded nowhere. An attempt has to be missing at two calls in a row: at the first its end
    may just be on the way.

    Args:
        tracker: Whose store is looked at.
        reaper: Closes what is missing.
        worker_id: The worker's identity.
        is_running: Whether the worker runs an attempt, given all of its open ones.
    """

    def __init__(
        self,
        tracker: Tracker,
        reaper: Reaper,
        worker_id: str,
        is_running: Callable[[Attempt, Sequence[Attempt]], bool],
    ) -> None:
        self._tracker = tracker
        self._reaper = reaper
        self._worker_id = worker_id
        self._is_running = is_running
        self._missing: frozenset[str] = frozenset()

    def tick(self, limit: int = 1000) -> int:
        """Call the roll. Returns how many attempts it closed."""
        opened = self._tracker.store.open_attempts(self._worker_id, limit)
        missing = [attempt for attempt in opened if not self._is_running(attempt, opened)]
        again = [attempt for attempt in missing if attempt.token in self._missing]
        self._missing = frozenset(attempt.token for attempt in missing)
        closed = self._reaper.close(again)
        for attempt in closed:
            logger.error(
                "attempt %d of job %s is open and nothing runs it (pid %d): closed as lost",
                attempt.number,
                attempt.job_id,
                attempt.pid,
            )
        return len(closed)
