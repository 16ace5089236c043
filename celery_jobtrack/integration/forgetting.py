"""Forgetting one job: what the store knows of it, and Celery's own result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.errors import GroupNotCompleted, InvalidPayload
from celery_jobtrack.integration import backend
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.names import check_name
from celery_jobtrack.strategies.unknown import unknown_job
from celery_jobtrack.tracking.callbacks import Callbacks

if TYPE_CHECKING:
    from celery_jobtrack.integration.runtime import Runtime


def forget(runtime: Runtime, job_id: str) -> None:
    """Delete a job that has ended, and then its result in Celery's result backend.

    Raises:
        UnknownJob: It was never recorded.
        InvalidPayload: It has not ended, a message of it may still come, or it stands for a group.
        GroupNotCompleted: Its group, or the one that it is a callback of, still needs it.
    """
    check_name("a job's id", job_id, InvalidPayload)
    job = runtime.store.job(job_id)
    if job is None:
        raise unknown_job(job_id, runtime.settings.namespace, so="cannot be forgotten")
    if job.task == GROUP_TASK:
        raise InvalidPayload(
            f"job {job_id} stands for a group in another one, and is deleted with what is old "
            "(jobtrack_retention, prune)"
        )
    # No group begins later to wait for a job that has ended: the next generation has other callbacks.
    waiting = Callbacks(runtime.tracker).group_awaiting(job_id)
    if waiting is not None:
        raise GroupNotCompleted(
            f"job {job_id} ({job.task}) is a callback of group {waiting.title!r} ({waiting.id}), which would "
            "send it again; forget it when the group has completed and all of its callbacks have ended"
        )
    runtime.tracker.forget(job_id)
    backend.forget(runtime.app, job)
