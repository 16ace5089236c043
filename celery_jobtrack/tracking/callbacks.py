"""Publishes the callbacks of groups: at least once each, and every start asks, so that each runs once."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.errors import JobTrackError, StoreUnavailable
from celery_jobtrack.model.callback import due_at, due_in_all, may_be_a_callback
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import GroupQuery, Origin, RedriveRequest, SettleRequest
from celery_jobtrack.model.state import FINAL, EventKind, JobState, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.model.callback import Callback
    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

GROUPS_AT_ONCE = 500
"""Groups that one question gives."""
_EVER = timedelta(days=36_500)
"""Whatever is due at all is due before then."""


class Callbacks:
    """The callbacks of a group, from the event that makes them due to their end."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def publish(self, event: EventRecord, group: GroupRecord) -> None:
        """Publish what an event makes due, as far as it has not started yet.

        Raises:
            Exception: The broker's. What was not published is published when the event is delivered again.
        """
        namespace = self._tracker.ports.namespace
        for callback in due_at(event, group.callbacks):
            job_id = callback.job_id(namespace, group.id, event.generation, event.step)
            self._publish(group, callback, job_id)
        if event.kind is EventKind.COMPLETED and event.generation == group.generation:
            # Also one of an event that was given up, as its listeners failed.
            self.publish_missing(group)

    def publish_missing(self, group: GroupRecord) -> None:
        """Publish what a completed group made due and nobody has published; raises as ``publish`` does."""
        for callback, job_id, job in self._due(group):
            if job is None or _was_not_sent(job):
                self._publish(group, callback, job_id)

    def have_ended(self, group: GroupRecord) -> bool:
        """Whether all that the completed present generation of a group made due has ended."""
        return all(
            job is not None and job.is_final and not _was_not_sent(job) for _, _, job in self._due(group)
        )

    def group_awaiting(self, job_id: str) -> GroupRecord | None:
        """The group that a job is a callback of, if that could publish it again; None for all others.

        A job does not say whose callback it is, so the groups are asked of which anything is to be done yet.
        """
        if not may_be_a_callback(job_id):
            return None
        store, namespace = self._tracker.store, self._tracker.ports.namespace
        query = GroupQuery(due_before=store.now() + _EVER, limit=GROUPS_AT_ONCE)
        while True:
            page = store.groups(query)
            for group in page.items:
                ids = (each.job_id(namespace, group.id, group.generation) for each in group.callbacks)
                if job_id in ids:
                    found: GroupRecord = group
                    return found
            if page.cursor is None:
                return None
            query = replace(query, cursor=page.cursor)

    def _due(self, group: GroupRecord) -> Iterator[tuple[Callback, str, JobRecord | None]]:
        store, namespace = self._tracker.store, self._tracker.ports.namespace
        for callback in due_in_all(group):
            job_id = callback.job_id(namespace, group.id, group.generation)
            job = store.job(job_id)
            if job is not None or not self._may_be_deleted(group, callback):
                yield callback, job_id, job

    def _may_be_deleted(self, group: GroupRecord, callback: Callback) -> bool:
        """Whether its job may have ended, and have been kept for as long as ended jobs are.

        To publish such a one again would be to run it again.
        """
        assert group.completed_at is not None
        kept = self._tracker.ports.retentions().shortest(callback.task)
        if kept is None:
            return False
        return self._tracker.store.now() - group.completed_at > timedelta(seconds=kept)

    def _publish(self, group: GroupRecord, callback: Callback, job_id: str) -> None:
        known = self._tracker.store.job(job_id)
        try:
            if known is not None and _was_not_sent(known):
                known = self._tracker.redrive(RedriveRequest(job_id=job_id)).job
            if known is None or _awaits_message(known):
                run = 1 if known is None else known.run
                self._tracker.ports.publish_callback(group, callback, job_id, run=run)
        except StoreUnavailable:
            raise
        except (JobTrackError, ValueError, LookupError, TypeError) as error:
            self._give_up(group, callback, job_id, error)

    def _give_up(self, group: GroupRecord, callback: Callback, job_id: str, error: Exception) -> None:
        """One that can never be sent has failed: the group must not wait for it."""
        logger.error(
            "the %s callback %s of group %s cannot be sent: %s", callback.kind, callback.task, group.id, error
        )
        request = SettleRequest(
            origin=Origin(job_id=job_id, task=callback.task, callback_of=group.id),
            state=JobState.FAILURE,
            reason=Reason.ERROR,
            error=ErrorInfo(type=type(error).__name__, message=f"the callback cannot be sent: {error}"),
        )
        self._tracker.settle(request, tell=False)


def _awaits_message(job: JobRecord) -> bool:
    """Whether the process that published it may have died before the message was sent."""
    return job.state is JobState.ENQUEUED and job.attempts == 0


def _was_not_sent(job: JobRecord) -> bool:
    return job.state in FINAL and job.reason is Reason.PUBLISH_FAILED
