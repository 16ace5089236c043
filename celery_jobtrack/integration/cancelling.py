"""Cancelling: the store is told first, so that it holds whatever becomes of workers and messages."""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.names import check_name
from celery_jobtrack.model.requests import JobQuery
from celery_jobtrack.model.state import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.job import JobRecord

CHUNK = 500
"""Jobs that one message to the workers names."""


def cancel(runtime: Runtime, job_id: str, *, terminate: bool, signal: str) -> bool:
    """Record that a job shall not run and, if asked to, have a running one ended by force.

    Args:
        runtime: Whose job it is.
        job_id: The job's id.
        terminate: Whether a body that runs is ended.
        signal: The name of the signal for that.

    Returns:
        Whether the job ended by this call.

    Raises:
        UnknownJob: It was never recorded.
        InvalidPayload: There is no such signal, the id cannot be one, or the job stands for a group.
    """
    check_name("a job's id", job_id, InvalidPayload)
    check_signal(signal)
    known = runtime.store.job(job_id)
    if known is not None and known.task == GROUP_TASK:
        raise InvalidPayload(f"job {job_id} stands for a group; cancel that: groups.get(id).cancel()")
    result = runtime.tracker.cancel(job_id)
    if terminate and result.job is not None and result.job.state is JobState.STARTED:
        _terminate(runtime, [result.job], signal)
    return result.applied


def terminate_members(runtime: Runtime, group_id: str, *, signal: str) -> None:
    """Have the running members of a cancelled group ended by force: since its flag is set, none follow.

    Args:
        runtime: Whose group it is.
        group_id: The group's id.
        signal: The name of the signal.
    """
    cursor: str | None = None
    while True:
        query = JobQuery(group_id=group_id, state=JobState.STARTED, limit=CHUNK, cursor=cursor)
        page = runtime.store.jobs(query)
        _terminate(runtime, page.items, signal)
        if page.cursor is None:
            break
        cursor = page.cursor
    for child_id in children(runtime, group_id):
        terminate_members(runtime, child_id, signal=signal)


def children(runtime: Runtime, group_id: str) -> Iterator[str]:
    """The ids of the groups that are members of a group and have not ended."""
    cursor: str | None = None
    while True:
        query = JobQuery(
            group_id=group_id, state=JobState.ENQUEUED, task=GROUP_TASK, limit=CHUNK, cursor=cursor
        )
        page = runtime.store.jobs(query)
        yield from (job.id for job in page.items)
        if page.cursor is None:
            return
        cursor = page.cursor


def check_signal(signal: Any) -> None:
    """Refuse what is no signal here: a worker would only log it. Raises InvalidPayload."""
    if not isinstance(signal, str) or signal not in signals.Signals.__members__:
        raise InvalidPayload(f"{signal!r} is not a signal; give its name, such as 'SIGTERM' or 'SIGKILL'")


def _terminate(runtime: Runtime, jobs: Sequence[JobRecord], signal: str) -> None:
    if jobs:
        ids = [job.id for job in jobs]
        runtime.app.control.revoke(ids, terminate=True, signal=signal)
