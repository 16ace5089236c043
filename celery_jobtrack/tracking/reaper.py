"""Closes the attempts of workers that are gone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery_jobtrack import events
from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import Origin, SettleRequest
from celery_jobtrack.model.state import JobState, Outcome, Reason

if TYPE_CHECKING:
    from celery_jobtrack.model.job import Attempt
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)


class Reaper:
    """Ends jobs whose worker has not been heard of for a whole lease. What it has opened counts as run."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def tick(self, limit: int = 200) -> int:
        """Close what is lost. Returns how many jobs it ended."""
        closed: dict[tuple[str, str], list[str]] = {}
        for attempt in self._tracker.store.lost_attempts(limit):
            if self._guarded_close(attempt):
                closed.setdefault((attempt.worker_id, attempt.worker), []).append(attempt.job_id)
        for (worker_id, worker), jobs in closed.items():
            logger.error("worker %s is lost; it was running %s", worker, ", ".join(jobs))
            self._tracker.store.stop_worker(worker_id)
            self._tracker.announcer.send(events.worker_lost, worker_id=worker_id, worker=worker, jobs=jobs)
        return sum(map(len, closed.values()))

    def _guarded_close(self, attempt: Attempt) -> bool:
        try:
            return self._close(attempt)
        except StoreUnavailable:
            raise
        except Exception:  # one that cannot be closed must not keep the others open
            logger.exception("attempt %d of job %s cannot be closed", attempt.number, attempt.job_id)
            return False

    def _close(self, attempt: Attempt) -> bool:
        job = self._tracker.store.job(attempt.job_id)
        if job is None:
            return False
        error = ErrorInfo(
            type="WorkerLost",
            message=f"worker {attempt.worker} (pid {attempt.pid}) stopped without telling how attempt "
            f"{attempt.number} ended",
        )
        request = SettleRequest(
            origin=Origin(job_id=job.id, task=job.task),
            state=JobState.FAILURE,
            reason=Reason.WORKER_LOST,
            error=error,
            token=attempt.token,
            outcome=Outcome.LOST,
            record_unknown=False,
        )
        return self._tracker.settle(request, tell=True).applied
