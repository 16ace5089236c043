"""What becomes of a job whose attempt nobody will finish."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import Origin, RequeueRequest, SettleRequest
from celery_jobtrack.model.state import JobState, Outcome, Reason

if TYPE_CHECKING:
    from celery_jobtrack.model.answers import Settled
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)


class LostAttempts:
    """Closes attempts as lost: their jobs end, or are published again if they may run twice.

    An attempt that was opened counts as run. Whether its job may run again was said by the process
    that opened it, from the task's settings (``Attempt.reruns``).

    Args:
        tracker: Whose store is written.
        max_lost: How often one job is queued again; after that it is a poison pill, and fails.
    """

    def __init__(self, tracker: Tracker, max_lost: int) -> None:
        self._tracker = tracker
        self._max_lost = max_lost

    def close(self, attempt: Attempt, *, redelivered: bool = False) -> bool:
        """Close one attempt, unless somebody else did.

        Args:
            attempt: As it was read; the store decides by its token.
            redelivered: Whether the broker delivers the job's message again by itself, so that a job
                that may run again need not be published.
        """
        job = self._tracker.store.job(attempt.job_id)
        if job is None or job.token != attempt.token:
            return False
        error = ErrorInfo(
            type="WorkerLost",
            message=f"worker {attempt.worker} (pid {attempt.pid}) stopped without telling how attempt "
            f"{attempt.number} ended",
        )
        if job.cancel_requested:
            return self._end(job, attempt, JobState.REVOKED, Reason.CANCELLED, error)
        if not attempt.reruns:
            return self._end(job, attempt, JobState.FAILURE, Reason.WORKER_LOST, error)
        lost = 1 + self._lost_before(attempt)
        message = self._tracker.store.message(job.id)
        if lost > self._max_lost:
            error = _more(error, f"it was lost {lost} times, which is more than jobtrack_max_lost allows")
        elif message is None:
            error = _more(error, "it may run again, but its message was not kept (jobtrack_keep_message)")
        else:
            request = RequeueRequest(job_id=job.id, token=attempt.token, error=error)
            result = self._tracker.requeue_lost(request)
            if result.applied and (job.copy_waiting or not redelivered):
                self._publish(job, message)
            return result.applied
        return self._end(job, attempt, JobState.FAILURE, Reason.WORKER_LOST, error)

    def _end(
        self, job: JobRecord, attempt: Attempt, state: JobState, reason: Reason, error: ErrorInfo
    ) -> bool:
        request = SettleRequest(
            origin=Origin(job_id=job.id, task=job.task),
            state=state,
            reason=reason,
            error=error,
            token=attempt.token,
            outcome=Outcome.LOST,
            record_unknown=False,
        )
        result: Settled = self._tracker.settle(request, tell=True)
        return result.applied

    def _lost_before(self, attempt: Attempt) -> int:
        # Nobody else can close an attempt of this job while this one is the open one.
        attempts = self._tracker.store.attempts(attempt.job_id)
        return sum(a.outcome is Outcome.LOST and a.run == attempt.run for a in attempts)

    def _publish(self, job: JobRecord, message: bytes) -> None:
        try:
            self._tracker.ports.publish_again(job, message)
        except Exception:  # the broker's; the job is recorded as queued, so the republisher will find it
            logger.exception("job %s (%s) cannot be published again now; it will be later", job.id, job.task)
        else:
            logger.warning("job %s (%s) was lost with its worker: published again", job.id, job.task)


def _more(error: ErrorInfo, text: str) -> ErrorInfo:
    return ErrorInfo(type=error.type, message=f"{error.message}; {text}")
