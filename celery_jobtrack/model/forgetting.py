"""Of which ended jobs a message may still come: to forget such a one would be to run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.state import JobState, Reason

if TYPE_CHECKING:
    from celery_jobtrack.model.job import JobRecord


def may_come_back(job: JobRecord) -> bool:
    """Whether a message of an ended job may still be in the broker, or be sent, as far as the store knows.

    A message that is refused writes nothing, so that the store does not know whether it has come. One that
    has expired is dropped by the worker itself.
    """
    if job.copies:
        return True
    if job.state is not JobState.REVOKED or job.reason is Reason.EXPIRED:
        return False
    if job.started_at is None or job.published_at is None:
        return True
    return job.started_at < job.published_at
