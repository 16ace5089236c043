"""Deletes single jobs over locked rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.forgetting import may_come_back
from celery_jobtrack.strategies.refusals import awaited_member, coming_back, not_ended
from celery_jobtrack.strategies.row import locking
from celery_jobtrack.strategies.row.base import RowBase
from celery_jobtrack.strategies.unknown import unknown_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.strategies.row.rows import Rows


class Forgetting(RowBase):
    """``forget_job``, in the order of locks of every transition: job, keys, group."""

    def forget_job(self, job_id: str) -> Sequence[str]:
        return self._run(lambda rows: _forget(rows, job_id))


def _forget(rows: Rows, job_id: str) -> Sequence[str]:
    """Guarded by the job's row, which a redrive locks, and by the group's, which whoever reopens it locks."""
    job = rows.job(job_id, lock=True)
    if job is None:
        raise unknown_job(job_id, rows.namespace, so="cannot be forgotten")
    if not job.is_final:
        raise not_ended(job)
    if may_come_back(job):
        raise coming_back(job)
    called = locking.leave(rows, job) if job.keyed else ()
    _check_is_not_awaited(rows, job)
    rows.delete_job(job)
    return called


def _check_is_not_awaited(rows: Rows, job: JobRecord) -> None:
    """Raise what says that the numbers, or the events, of the job's group are still about it."""
    group = None if job.group_id is None else rows.group(job.group_id, lock=True)
    if group is None:
        return
    counted = job.generation is not None and group.counts(job.generation)
    if (counted and not group.is_over) or rows.first_pending_event(group.id) is not None:
        raise awaited_member(job, group.title)
