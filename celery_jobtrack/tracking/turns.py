"""Whose turn it is at a lock, and whose place was taken: what has to follow a key that was left."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery_jobtrack.model.requests import Origin, SettleRequest
from celery_jobtrack.model.state import JobState, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery_jobtrack.model.halt import HaltKind, Lifted
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

AT_ONCE = 200
"""How many are looked at in one tick."""
ROUNDS = 20
"""How often one tick calls the next of those who wait for what was resumed."""


class Turns:
    """Publishes parked jobs whose turn has come, and ends those in whose place a newer one waits.

    Whoever left the key does it at once. If that process dies before, the checker finds them.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def call(self, job_ids: Iterable[str]) -> int:
        """Publish these jobs, each once, whoever else does. Returns how many it published."""
        return sum(self._publish(job_id) for job_id in job_ids)

    def end_superseded(self, job_ids: Iterable[str]) -> int:
        """End these jobs as skipped. Returns how many it ended."""
        return sum(self._skip(job_id) for job_id in job_ids)

    def tick(self) -> int:
        """Do what somebody should have done, and died before. Returns for how many jobs."""
        store = self._tracker.store
        ended = self.end_superseded(store.superseded_jobs(AT_ONCE))
        for halt in store.lifted_halts():
            # Whoever lifted it may be at it, too.
            for _ in range(ROUNDS):
                lifted = self.lift_on(halt.kind, halt.name)
                self.call(lifted.called)
                if not lifted.called:
                    break
        return ended + self.call(store.called_jobs(AT_ONCE))

    def lift_on(self, kind: HaltKind, name: str) -> Lifted:
        """Call the next of those who wait at the gate of a halt that was lifted."""
        return self._tracker.store.lift(kind, name, only_if_lifted=True)

    def _publish(self, job_id: str) -> bool:
        store = self._tracker.store
        result = store.unpark(job_id)
        if not result.applied or result.job is None:
            return False
        if _has_expired(result.job):
            return self._expire(result.job)
        message = store.message(job_id)
        if message is None:
            logger.error("job %s has its turn and cannot be published: its message was not kept", job_id)
            return False
        try:
            self._tracker.ports.publish_again(result.job, message)
        except Exception:  # the broker's: the job is queued, and its message is missing
            logger.exception("job %s has its turn; its message will be sent when the broker takes it", job_id)
        return True

    def _expire(self, job: JobRecord) -> bool:
        """End a job whose turn has come too late; a worker would do no more."""
        request = SettleRequest(
            origin=Origin(job_id=job.id, task=job.task),
            state=JobState.REVOKED,
            reason=Reason.EXPIRED,
            record_unknown=False,
        )
        return self._tracker.settle(request, tell=True).applied

    def _skip(self, job_id: str) -> bool:
        job = self._tracker.store.job(job_id)
        if job is None:
            return False
        request = SettleRequest(
            origin=Origin(job_id=job_id, task=job.task),
            state=JobState.SKIPPED,
            reason=Reason.OVERLAP,
            only_from=frozenset({JobState.WAITING}),
            record_unknown=False,
        )
        return self._tracker.settle(request, tell=True).applied


def _has_expired(job: JobRecord) -> bool:
    # By the store's clock: "published" is the moment at which it left the line.
    return job.expires_at is not None and job.published_at is not None and job.expires_at < job.published_at
