"""Ends jobs that will never start: expired ones, and the queued members of cancelled groups."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.requests import Origin, SettleRequest
from celery_jobtrack.model.state import JobState, Reason

if TYPE_CHECKING:
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)


class Sweeper:
    """Settles in chunks what no message will settle, or not soon."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def expire(self, limit: int = 500) -> int:
        """Revoke jobs that expired before they started. RabbitMQ drops their messages unseen."""
        return sum(self._revoke(job, Reason.EXPIRED) for job in self._tracker.store.expired_jobs(limit))

    def cancel(self, limit: int = 500) -> int:
        """Revoke queued members of cancelled groups, so that these need not wait for the messages."""
        store = self._tracker.store
        return sum(
            self._revoke(job, Reason.GROUP_CANCELLED)
            for group_id in store.cancelled_groups(50)
            for job in store.queued_members(group_id, limit)
        )

    def cancel_members(self, group_id: str, limit: int = 500) -> int:
        """Revoke one chunk of the queued members of one cancelled group."""
        members = self._tracker.store.queued_members(group_id, limit)
        return sum(self._revoke(job, Reason.GROUP_CANCELLED) for job in members)

    def _revoke(self, job: JobRecord, reason: Reason) -> bool:
        request = SettleRequest(
            origin=Origin(job_id=job.id, task=job.task),
            state=JobState.REVOKED,
            reason=reason,
            record_unknown=False,
        )
        try:
            return self._tracker.settle(request, tell=True).applied
        except StoreUnavailable:
            raise
        except Exception:  # one that cannot be ended must not keep the others waiting
            logger.exception("job %s cannot be ended as %s", job.id, reason)
            return False
