"""Ends jobs that will never start: expired ones, and the queued members of cancelled groups."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.requests import Origin, SettleRequest
from celery_jobtrack.model.state import GroupState, JobState, Reason

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
        groups = self._tracker.store.cancelled_groups(50)
        return sum(self.cancel_members(group_id, limit) for group_id in groups)

    def cancel_members(self, group_id: str, limit: int = 500) -> int:
        """Revoke one chunk of the queued members of one group, if it is being cancelled."""
        ended = 0
        queued = self._tracker.store.queued_members(group_id, limit)
        # Asked after its members: while it is being cancelled none comes to it, and what is delivered late of
        # its cancellation must not end members of the next generation.
        group = self._tracker.store.group(group_id) if queued else None
        if group is None or group.is_over or group.state is not GroupState.CANCELLED:
            return 0
        for job in queued:
            if job.task == GROUP_TASK:
                ended += self._cancel_group(job)
            else:
                ended += self._revoke(job, Reason.GROUP_CANCELLED)
        return ended

    def _cancel_group(self, job: JobRecord) -> int:
        """Cancel a member that is a group itself: it ends when its members and its callbacks have."""
        store = self._tracker.store
        group = store.group(job.id)
        if group is None:
            # Somebody deleted it by hand: nobody else would end what stands for it.
            return self._revoke(job, Reason.GROUP_CANCELLED)
        if group.is_over:
            return 0
        if group.state is not GroupState.CANCELLED:
            self._tracker.change_group(store.cancel_group(group.id))
        return self.cancel_members(group.id)

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
