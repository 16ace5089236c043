"""Closes the attempts of workers that are gone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.tracking.lost import LostAttempts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celery_jobtrack.config import Settings
    from celery_jobtrack.model.job import Attempt
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

MISSED = 2
"""So many heartbeats without any look at the store are a silence. With the usual settings a worker that
was well misses at most one more before it is heard again, which its lease allows."""


class Reaper:
    """Gives up workers that have not been heard of for a whole lease, and what they had open.

    Every worker looks at the store before each of its heartbeats. When nobody has for a while, heartbeats
    are missing because the store was away, not because workers are dead, and nobody is given up for
    one lease. A while after all workers have said goodbye is none: nobody was there to look.

    Args:
        tracker: Whose store is looked at.
        settings: For the lease, the heartbeat, and how often a job may be lost.
    """

    def __init__(self, tracker: Tracker, settings: Settings) -> None:
        self._tracker = tracker
        self._lost = LostAttempts(tracker, settings.max_lost)
        self._silence = MISSED * settings.heartbeat
        self._lease = settings.lease

    def observe(self) -> bool:
        """Note that the store is looked at; False while missing heartbeats do not count."""
        return self._tracker.store.observe(self._silence, self._lease)

    def tick(self, limit: int = 200) -> int:
        """Close what is lost, where heartbeats count (see ``observe``). Returns how many it closed."""
        return self._close(self._tracker.store.lost_attempts(limit))

    def close_left(self, worker_id: str, limit: int = 1000) -> int:
        """Close what a worker that says goodbye has left open."""
        return self._close(self._tracker.store.open_attempts(worker_id, limit))

    def close(self, attempts: Iterable[Attempt]) -> list[Attempt]:
        """Close these attempts, each guarded: one that fails must not keep the others open."""
        return [attempt for attempt in attempts if self._guarded_close(attempt)]

    def _close(self, attempts: Sequence[Attempt]) -> int:
        closed = self.close(attempts)
        jobs_of: dict[tuple[str, str], list[str]] = {}
        for attempt in closed:
            jobs_of.setdefault((attempt.worker_id, attempt.worker), []).append(attempt.job_id)
        for (worker_id, worker), jobs in jobs_of.items():
            logger.error("worker %s is lost; it was running %s", worker, ", ".join(jobs))
            self._tracker.store.stop_worker(worker_id)
            self._tracker.announcer.announce_lost(worker_id, worker, jobs)
        return len(closed)

    def _guarded_close(self, attempt: Attempt) -> bool:
        try:
            return self._lost.close(attempt)
        except StoreUnavailable:
            raise
        except Exception:
            logger.exception("attempt %d of job %s cannot be closed", attempt.number, attempt.job_id)
            return False
