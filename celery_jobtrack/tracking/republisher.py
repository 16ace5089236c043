"""Publishes jobs again whose message was lost before they started."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.tracking.presence import present_since

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

LONGEST_DOUBLING = 7
"""The wait before the next copy doubles with every copy, up to 2**7 times the first wait."""


class Republisher:
    """Finds jobs that should be in the broker and are not, and sends their message from the store.

    A message counts as lost when its job is overdue and either the broker holds nothing for the
    queue, or the queue has since started a job that was published a whole wait later. A copy that
    was not needed does no harm: every start asks the store.

    Only time in which some worker was there makes a job overdue. After a night without workers the first
    one takes the backlog out of the broker before it begins it, and all of it would seem lost at once.

    Args:
        tracker: Whose store is looked at.
        wait: Seconds of workers' presence after which a job that has not started is suspected.
    """

    def __init__(self, tracker: Tracker, wait: float) -> None:
        self._tracker = tracker
        self._wait = timedelta(seconds=wait)

    def tick(self, limit: int = 500) -> int:
        """Publish again what is lost, up to ``limit`` jobs of each queue. Returns how many it sent."""
        store = self._tracker.store
        now = store.now()
        if not store.overdue_queues(now - self._wait):
            return 0
        overdue = present_since(store, self._wait)
        if overdue is None:
            return 0
        return sum(self._look_at(queue, now, overdue, limit) for queue in store.overdue_queues(overdue))

    def suspects(self, limit: int = 500) -> list[JobRecord]:
        """Jobs that are due to be published again, of queues in which the broker holds nothing."""
        now = self._tracker.store.now()
        return [
            job
            for queue in self._tracker.store.overdue_queues(now - self._wait)
            if self._tracker.ports.queue_is_empty(queue)
            for job in self._tracker.store.overdue_jobs(queue, now - self._wait, limit)
            if self._is_due(job, now)
        ]

    def publish_now(self, job: JobRecord) -> bool:
        """Publish a suspect again; False if it has moved on, or its message was not kept."""
        return self._send(job)

    def _look_at(self, queue: str, now: datetime, overdue: datetime, limit: int) -> int:
        is_empty = self._tracker.ports.queue_is_empty(queue)
        sent = 0
        for job in self._tracker.store.overdue_jobs(queue, overdue, limit):
            if not self._is_due(job, now):
                continue
            # They come oldest first: what has not overtaken one has not overtaken a later one.
            if not is_empty and not self._was_overtaken(job):
                break
            sent += self._send(job)
        return sent

    def _is_due(self, job: JobRecord, now: datetime) -> bool:
        since = max(filter(None, (job.published_at, job.eta)))
        wait: timedelta = self._wait * 2 ** min(job.copies, LONGEST_DOUBLING)
        return now - since >= wait

    def _was_overtaken(self, job: JobRecord) -> bool:
        assert job.queue is not None
        assert job.published_at is not None
        return self._tracker.store.started_after(job.queue, job.published_at + self._wait)

    def _send(self, job: JobRecord) -> bool:
        store = self._tracker.store
        message = store.message(job.id)
        if not store.claim_copy(job):
            return False  # it has moved on meanwhile, or somebody else publishes it again
        if message is None:
            logger.warning(
                "job %s (%s) seems lost before it started, and its message was not kept "
                "(jobtrack_keep_message): it cannot be published again",
                job.id,
                job.task,
            )
            return False
        try:
            self._tracker.ports.publish_again(job, message)
        except (ValueError, KeyError, TypeError) as error:
            # Not the broker: the next job's message may be in order.
            logger.error("the kept message of job %s (%s) cannot be published: %r", job.id, job.task, error)  # noqa: TRY400
            return False
        logger.warning("job %s (%s) seemed lost before it started: published again", job.id, job.task)
        return True
