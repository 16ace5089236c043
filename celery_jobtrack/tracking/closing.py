"""Closes groups: once their callbacks have ended, and the groups that they are members of know."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery_jobtrack.errors import GroupCancelled, StoreUnavailable, UnknownGroup, UnknownJob
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import Origin, RedriveRequest, SettleRequest
from celery_jobtrack.model.state import GroupOutcome, JobState, Reason
from celery_jobtrack.tracking.callbacks import Callbacks

if TYPE_CHECKING:
    from celery_jobtrack.model.answers import Settled
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)


class Closing:
    """Whoever ends the last callback looks, and so does whoever delivered the completion, and the checker.

    The parent is told before the group is closed, and is told again if a crash comes between the two.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._callbacks = Callbacks(tracker)

    def look_at(self, group_id: str) -> bool:
        """Close a completed group of which nothing is to be done any more. Returns whether it did.

        Raises:
            StoreUnavailable: The store does not answer. Whatever else goes wrong is left to the checker.
        """
        try:
            group = self._tracker.store.group(group_id)
            return group is not None and self._close(group)
        except StoreUnavailable:
            raise
        except Exception:  # the job whose end brought us here has nothing to do with it
            logger.exception("group %s cannot be closed now; the checker will look at it", group_id)
            return False

    def catch_up(self, group: GroupRecord) -> bool:
        """What ``look_at`` does, and before that what a process that died may have left undone.

        Raises:
            Exception: The broker's, or the store's.
        """
        if _is_open(group):
            self._callbacks.publish_missing(group)
        return self._close(group)

    def _close(self, group: GroupRecord) -> bool:
        if not _is_open(group) or not self._callbacks.have_ended(group):
            return False
        if group.parent_id is not None:
            if self._was_told_of_an_earlier_end(group):
                self._redrive_in_parent(group)
            self.tell_parent(group)
        try:
            closed = self._tracker.store.close_group(group.id).group
        except UnknownGroup:
            return False  # pruned meanwhile
        if closed.closed_at is None and group.parent_id is not None:
            # It was reopened meanwhile, so its parent has to wait for it again.
            self._redrive_in_parent(group)
        return closed.closed_at is not None

    def tell_parent(self, group: GroupRecord) -> Settled:
        """End the job that stands for a group that is over, as the group ended."""
        state, reason, error = self._ending(group)
        request = SettleRequest(
            origin=Origin(job_id=group.id, task=GROUP_TASK),
            state=state,
            reason=reason,
            error=error,
            record_unknown=False,
        )
        return self._tracker.settle(request, tell=False)

    def _was_told_of_an_earlier_end(self, group: GroupRecord) -> bool:
        """Whether the parent of a batch did not begin to wait again when the batch did.

        Who runs a member again opens its group first and those above next, and may have died in between.
        A standing group goes on to its next generation by itself, and its parent does not wait for that.
        """
        if group.standing:
            return False
        stands_for_it = self._tracker.store.job(group.id)
        if stands_for_it is None or stands_for_it.finished_at is None:
            return False
        return group.completed_at is not None and stands_for_it.finished_at < group.completed_at

    def _redrive_in_parent(self, group: GroupRecord) -> None:
        try:
            self._tracker.redrive(RedriveRequest(job_id=group.id))
        except (UnknownJob, GroupCancelled) as error:
            logger.warning("group %s runs again, and its parent does not wait for it: %s", group.id, error)

    def _ending(self, group: GroupRecord) -> tuple[JobState, Reason | None, ErrorInfo | None]:
        if group.outcome is GroupOutcome.SUCCEEDED:
            return JobState.SUCCESS, None, None
        if group.outcome is GroupOutcome.CANCELLED:
            return JobState.REVOKED, Reason.GROUP_CANCELLED, None
        return JobState.FAILURE, Reason.ERROR, self._failure(group)

    def _failure(self, group: GroupRecord) -> ErrorInfo:
        said = [f"group {group.title!r} ({group.id}) failed"]
        totals = group.totals
        if group.incomplete:
            said.append("not all of its jobs could be dispatched")
        if totals.failed or totals.revoked:
            said.append(f"{totals.failed} of {totals.total} jobs failed, {totals.revoked} were revoked")
        first = None if group.first_failure is None else self._tracker.store.job(group.first_failure)
        if first is not None:
            said.append(f"first job {first.id} ({first.task}): {first.error or first.reason or first.state}")
        return ErrorInfo(type="GroupFailed", message="; ".join(said))


def _is_open(group: GroupRecord) -> bool:
    return group.is_over and group.needs_closing and group.closed_at is None
