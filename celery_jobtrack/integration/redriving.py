"""Running jobs again that did not succeed: the same id, a new run, the message that the store has kept."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from celery_jobtrack.errors import GroupCancelled, InvalidPayload, UnknownJob
from celery_jobtrack.integration.described import describe
from celery_jobtrack.integration.header import KEY, Header
from celery_jobtrack.integration.kept import Kept
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.names import check_name
from celery_jobtrack.model.requests import Origin, RedriveRequest, SettleRequest
from celery_jobtrack.model.state import QUEUED, REDRIVEN, GroupState, JobState, Reason
from celery_jobtrack.strategies.unknown import unknown_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.job import JobRecord


def retry_job(runtime: Runtime, job_id: str) -> bool:
    """Run one job again that did not succeed.

    Returns:
        Whether it is queued again by this call; False if it moved on meanwhile.

    Raises:
        UnknownJob: It was never recorded.
        InvalidPayload: It has not failed, was never sent, or stands for a group; or its message was not kept.
        GroupCancelled: A group of it is being cancelled, and has members that have not ended.
        kombu.exceptions.OperationalError: The broker takes no message; the job has failed again.
    """
    check_name("a job's id", job_id, InvalidPayload)
    job = runtime.store.job(job_id)
    if job is None:
        raise unknown_job(job_id, runtime.settings.namespace, so="cannot run again")
    if job.task == GROUP_TASK:
        raise InvalidPayload(f"job {job_id} stands for a group; retry that: groups.get(id).retry_failed()")
    if job.state not in REDRIVEN:
        raise InvalidPayload(f"job {job_id} is {job.state}; only what did not succeed can run again")
    message = runtime.store.message(job_id)
    if message is None and has_moved_on(runtime, job):
        return False
    if message is None and was_never_sent(job):
        raise InvalidPayload(
            f"job {job_id} ({job.task}) cannot run again: it is the end of a chain or a chord and was "
            f"never sent, as what comes before it did not succeed ({job.error or job.reason}); "
            "send the canvas anew"
        )
    if message is None:
        raise InvalidPayload(
            f"job {job_id} ({job.task}) cannot run again: its message was not kept (jobtrack_keep_message)"
        )
    return run_again(runtime, job, message)


def has_moved_on(runtime: Runtime, job: JobRecord) -> bool:
    """Whether a job that did not succeed runs again, or has, since it was read: then it keeps no message."""
    present = runtime.store.job(job.id)
    return present is None or present.run != job.run or present.state not in REDRIVEN


def was_never_sent(job: JobRecord) -> bool:
    """Whether another job would have published this one, and did not succeed."""
    return job.published_at is None and not job.attempts


def run_again(
    runtime: Runtime,
    job: JobRecord,
    message: bytes,
    *,
    into: int | None = None,
    before_sending: Callable[[], None] | None = None,
) -> bool:
    """Record a new run of a job, and send it. Returns False if the job, or its group, has moved on.

    Args:
        runtime: Whose job it is.
        job: As it was read.
        message: As the store has kept it.
        into: The generation of its group in which it shall run, or not at all.
        before_sending: Is called when the new run is recorded: from then on its group waits for it.

    Raises:
        GroupCancelled: A group of it is being cancelled, and has members that have not ended.
        Exception: The broker's. The job has failed again then, as one that could not be sent.
    """
    kept = _of_a_new_run(message, job.run + 1)
    check_ancestors(runtime, job.group_id)
    result = runtime.tracker.redrive(RedriveRequest(job_id=job.id, message=kept.pack(), into=into))
    if not result.applied or result.job is None:
        return False
    redriven = result.job
    if redriven.group_id is not None:
        wait_again(runtime, redriven.group_id)
    try:
        if before_sending is not None:
            before_sending()
        runtime.ports.publish_again(redriven, kept.pack())
    except Exception as error:
        header = Header.load(kept.headers) or Header()
        request = SettleRequest(
            origin=Origin(job_id=job.id, task=job.task, run=redriven.run, callback_of=header.callback_of),
            state=JobState.FAILURE,
            reason=Reason.PUBLISH_FAILED,
            error=describe(error),
            only_from=QUEUED,
            record_unknown=False,
        )
        runtime.tracker.settle(request, tell=False)
        raise
    return True


def wait_again(runtime: Runtime, group_id: str) -> None:
    """A member of a group runs again: the groups that it is in, at any distance, have to wait for it.

    A member that the parent still waits for ends the way up: so do all above it.
    """
    for child_id, _ in _upwards(runtime, group_id):
        try:
            if not runtime.tracker.redrive(RedriveRequest(job_id=child_id)).applied:
                return
        except UnknownJob:
            return  # its record was pruned: nobody can wait for it


def check_ancestors(runtime: Runtime, group_id: str | None) -> None:
    """Refuse to run a member again while a group above its own is being cancelled. Raises GroupCancelled."""
    if group_id is None:
        return
    for _, parent_id in _upwards(runtime, group_id):
        parent = runtime.store.group(parent_id)
        if parent is not None and parent.state is GroupState.CANCELLED and not parent.is_over:
            raise GroupCancelled(
                f"group {parent.title!r} ({parent.id}) is being cancelled: none of its members can run again "
                "before all have ended"
            )


def _upwards(runtime: Runtime, group_id: str) -> list[tuple[str, str]]:
    """The pairs of a child and its parent, from a group upwards."""
    path = (group_id, *runtime.lineage.above(group_id))
    return list(pairwise(path))


def _of_a_new_run(message: bytes, run: int) -> Kept:
    """The message with nothing left of its last run: no retries, no eta, no expiry."""
    kept = Kept(message)
    header = Header.load(kept.headers) or Header()
    kept.headers.update(
        {"retries": 0, "eta": None, "expires": None, KEY: replace(header, run=run, copy=0).dump()}
    )
    kept.options.pop("expiration", None)
    return kept
