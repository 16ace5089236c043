"""What is said when a group refuses a member, a key a job, or a job to be forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.errors import GroupCancelled, GroupNotCompleted, InvalidPayload, Overlapping
from celery_jobtrack.model.state import JobState

if TYPE_CHECKING:
    from celery_jobtrack.model.job import JobRecord


def cancelled_group(title: str, group_id: str) -> GroupCancelled:
    """The error for a group that somebody, or its first failure, has cancelled.

    Args:
        title: The group's.
        group_id: Its id.
    """
    return GroupCancelled(
        f"group {title!r} ({group_id}) was cancelled and takes no more members; reopen() begins its next "
        "generation, when all of its members have ended"
    )


def not_ended(job: JobRecord) -> InvalidPayload:
    """The error for a job that is to be forgotten while it waits or runs."""
    so = "wait for its end, or cancel it first"
    if job.state is not JobState.STARTED:
        # Its message may come after the cancellation, so that "cancel it" alone would lead nowhere.
        so = "wait for its end; cancelled before it starts, it stays until it is old (jobtrack_retention)"
    return InvalidPayload(
        f"job {job.id} ({job.task}) is {job.state}, and only what has ended can be forgotten; {so}"
    )


def coming_back(job: JobRecord) -> InvalidPayload:
    """The error for a job that would run if it were forgotten."""
    why = "was sent more than once" if job.copies else "was revoked before it started"
    return InvalidPayload(
        f"job {job.id} ({job.task}) {why}: a message of it may still be in the broker, and would run it "
        "once it is forgotten; it is deleted with what is old (jobtrack_retention, prune)"
    )


def awaited_member(job: JobRecord, title: str) -> GroupNotCompleted:
    """The error for a member that its group counts, or is about to tell of.

    Args:
        job: The member.
        title: The group's.
    """
    return GroupNotCompleted(
        f"job {job.id} ({job.task}) is a member of group {title!r} ({job.group_id}), which needs it until "
        "the group has completed and its listeners have been told; forget it then"
    )


def overlapping(task: str, key: str, holder_id: str | None) -> Overlapping:
    """A job is not dispatched as there is no room at a key, and it shall not wait.

    Args:
        task: Whose job it would be.
        key: Where there is none.
        holder_id: Who has it; None where nobody does, as at a rate.
    """
    why = f"job {holder_id} has the lock {key!r}" if holder_id else f"{key!r} lets no more start at this time"
    return Overlapping(f"task {task} is not dispatched: {why}", key, holder_id)
