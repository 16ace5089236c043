"""What is wrong with a job or a group, from its record and what was counted: the same for every store."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.model.fault import Fault, FaultKind
from celery_jobtrack.model.grouping import recounted, settle_up
from celery_jobtrack.model.state import EventKind, JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord, Pauses, Totals
    from celery_jobtrack.model.job import Attempt, JobRecord

LATE = timedelta(seconds=60)
"""What another process is about to do anyway is none of the doctor's business for so long."""
LONG = timedelta(seconds=300)
"""After so long an event should have been delivered, whatever its listeners did at first."""


def faults_of_attempt(job: JobRecord, attempt: Attempt | None) -> Iterator[Fault]:
    """Whether a job and its open attempt agree.

    Args:
        job: As it is recorded.
        attempt: The one with the job's token; None if there is none.
    """
    is_open = attempt is not None and attempt.is_open
    if job.state is JobState.STARTED and not is_open:
        outcome = None if attempt is None else attempt.outcome
        ended = "it has none" if outcome is None else f"its last one was closed as {outcome}"
        yield Fault(
            kind=FaultKind.ATTEMPT_MISSING,
            subject=job.id,
            text=f"job {job.id} ({job.task}) is STARTED and has no open attempt: {ended}",
            detail="" if outcome is None else str(outcome),
        )
    elif job.state is not JobState.STARTED and job.token is not None:
        yield attempt_left_open(job.id, job.token, f"the job is {job.state}")


def attempt_left_open(job_id: str, token: str, why: str) -> Fault:
    """An attempt is open that nobody will close."""
    return Fault(
        kind=FaultKind.ATTEMPT_OPEN,
        subject=job_id,
        text=f"attempt {token} of job {job_id} is open, and {why}",
        detail=token,
    )


def without_group(job: JobRecord) -> Fault:
    """A job is counted in a group that is not there."""
    return Fault(
        kind=FaultKind.NO_GROUP,
        subject=job.id,
        text=f"job {job.id} ({job.task}) is counted in group {job.group_id}, which is not recorded",
    )


def without_child(job: JobRecord) -> Fault:
    """A member stands for a group that is not there."""
    return Fault(
        kind=FaultKind.NO_CHILD,
        subject=job.id,
        text=f"group {job.group_id} waits for the group {job.id}, which is not recorded",
    )


def is_settled_in(now: datetime, since: datetime | None) -> bool:
    """Whether something was recorded so long ago that what belongs to it should be there."""
    return since is not None and now - since > LATE


def faults_of_group(
    group: GroupRecord,
    *,
    counted: Totals | None,
    fillers: Mapping[str, datetime],
    now: datetime,
    told: Collection[EventKind] | None,
) -> Iterator[Fault]:
    """What is wrong with a group by itself.

    Args:
        group: As it is recorded.
        counted: Its members, counted from their records; None if they were not. What has completed is not
            counted: its members may have been deleted since.
        fillers: Who holds it open, and until when; also those whose time is over.
        now: The store's time.
        told: Of which kinds it has had events in this generation; None if the store does not keep them.
    """
    yield from _untold(group, told)
    if group.is_over:
        if group.needs_closing and group.closed_at is None and group.next_check_at is None:
            yield _of(group, FaultKind.UNCHECKED, "has not been closed, and is in no line for its next check")
        return
    dead = {token: until for token, until in fillers.items() if now - until > LATE}
    for token, until in dead.items():
        text = f"is held open by {token}, who has not been heard of since {until:%Y-%m-%d %H:%M:%S} UTC"
        yield _of(group, FaultKind.FILLER, text, token)
    right = None if counted is None else recounted(group, counted)
    if right is not None and right != group.totals:
        text = f"counts {_numbers(group.totals)}, and has {_numbers(right)}"
        yield _of(group, FaultKind.COUNTERS, text)
    elif told is not None and EventKind.COMPLETED in told:
        yield _of(group, FaultKind.ANNOUNCED, "has announced that it completed, and has not")
    elif not fillers and _should_be_over(group, now):
        yield _of(group, FaultKind.UNFINISHED, "has nothing outstanding and nothing to wait for")
    elif group.outstanding > 0 and group.next_check_at is None:
        text = f"has {group.outstanding} outstanding, and is in no line for its next check"
        yield _of(group, FaultKind.UNCHECKED, text)


def faults_of_pauses(group: GroupRecord, kept: Pauses, right: Pauses, *, counted: Totals) -> Iterator[Fault]:
    """Whether as many members wait for a retry or are parked as is kept.

    Args:
        group: One that has not completed.
        kept: How many the store says that there are.
        right: How many there are.
        counted: Its members, counted from their records. If its totals are wrong too, that is the fault, and
            one recount mends both.
    """
    if kept != right and recounted(group, counted) == group.totals:
        text = f"counts {_paused(kept)}, and has {_paused(right)}"
        yield _of(group, FaultKind.COUNTERS, text)


def faults_of_child(
    group: GroupRecord, member: JobRecord | None, *, has_open_parent: bool, now: datetime
) -> Iterator[Fault]:
    """Whether a group and the job that stands for it in its parent agree.

    Args:
        group: One that has a parent.
        member: The job with its id; None if there is none.
        has_open_parent: Whether the parent is recorded and has not completed.
        now: The store's time.
    """
    if not has_open_parent:
        return
    if member is None:
        if not group.is_over and is_settled_in(now, group.created_at):
            text = f"is part of group {group.parent_id}, which does not wait for it"
            yield _of(group, FaultKind.NO_MEMBER, text)
    elif is_settled_in(now, group.closed_at) and not member.is_final:
        yield _of(group, FaultKind.UNTOLD, f"is over, and group {group.parent_id} still waits for it")


def fault_of_event(event: EventRecord, now: datetime) -> Fault | None:
    """Whether an event is delivered in time."""
    name = f"event {event.id} ({event.kind} of group {event.group_id}, generation {event.generation})"
    if event.undeliverable:
        text = f"{name} was given up after {event.tries} tries: {event.error}"
        return Fault(kind=FaultKind.GIVEN_UP, subject=event.id, text=text, detail=event.group_id)
    unclaimed = event.claimed_until is None or now - event.claimed_until > LATE
    if event.is_pending and unclaimed and now - event.created_at > LONG:
        text = f"{name} has not been delivered since {event.created_at:%Y-%m-%d %H:%M:%S} UTC"
        return Fault(kind=FaultKind.UNDELIVERED, subject=event.id, text=text, detail=event.group_id)
    return None


def orphan(what: str, subject: str, of: str, detail: str) -> Fault:
    """Something belongs to a record that is not there."""
    return Fault(
        kind=FaultKind.ORPHAN,
        subject=subject,
        text=f"{what} belongs to {of}, which is not recorded",
        detail=detail,
    )


def _untold(group: GroupRecord, told: Collection[EventKind] | None) -> Iterator[Fault]:
    if told is None:
        return
    for kind in due_events(group):
        if kind not in told:
            text = f"has no event {kind} of its generation {group.generation}"
            yield _of(group, FaultKind.UNANNOUNCED, text, kind.value)


def due_events(group: GroupRecord) -> list[EventKind]:
    """The events that the present generation of a group must have had."""
    due = []
    if group.started_at is not None:
        due.append(EventKind.STARTED)
    if group.is_over:
        due.append(EventKind.COMPLETED)
    return due


def _should_be_over(group: GroupRecord, now: datetime) -> bool:
    if not settle_up(group, now, filling=False)[0].is_over:
        return False
    if group.settle_after <= 0 or group.idle_since is None:
        return True
    # The checker completes it, at its next tick.
    return now - group.idle_since > timedelta(seconds=group.settle_after) + LATE


def _of(group: GroupRecord, kind: FaultKind, text: str, detail: str = "") -> Fault:
    return Fault(
        kind=kind, subject=group.id, text=f"group {group.title!r} ({group.id}) {text}", detail=detail
    )


def _paused(pauses: Pauses) -> str:
    return f"{pauses.retrying} that wait for a retry and {pauses.waiting} that are parked"


def _numbers(totals: Totals) -> str:
    ended = {
        "succeeded": totals.succeeded,
        "failed": totals.failed,
        "revoked": totals.revoked,
        "skipped": totals.skipped,
    }
    said = ", ".join(f"{count} {name}" for name, count in ended.items() if count)
    return f"{totals.total} members ({said})" if said else f"{totals.total} members"
