"""Mends over locked rows what the doctor found, if it is still so."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.model import grouping
from celery_jobtrack.model.diagnosis import due_events
from celery_jobtrack.model.event import Cause
from celery_jobtrack.model.fault import Fault, FaultKind
from celery_jobtrack.model.state import EventKind, GroupState, JobState, Outcome
from celery_jobtrack.strategies.row import mending_locks
from celery_jobtrack.strategies.row.base import RowBase

if TYPE_CHECKING:
    from celery_jobtrack.strategies.row.rows import Rows


class Mending(RowBase):
    """One transaction for each fault."""

    def mend(self, fault: Fault) -> bool:
        """Look again under the locks of a transition, and write what is right."""
        return self._run(lambda rows: self._mend(rows, fault))

    def _mend(self, rows: Rows, fault: Fault) -> bool:
        if fault.kind is FaultKind.ATTEMPT_OPEN:
            return _close_attempt(rows, fault.subject, fault.detail)
        if fault.kind is FaultKind.UNANNOUNCED:
            return _announce(rows, fault.subject, EventKind(fault.detail))
        if fault.kind is FaultKind.ANNOUNCED:
            return _keep_word(rows, fault.subject)
        if fault.kind is FaultKind.NO_GROUP:
            return _leave_group(rows, fault.subject)
        if fault.kind is FaultKind.GIVEN_UP:
            return _try_again(rows, fault.subject)
        if fault.kind is FaultKind.PLACE:
            return mending_locks.put_place_right(rows, fault.subject, fault.detail)
        if fault.kind is FaultKind.LOCK:
            return mending_locks.recount(rows, fault.subject)
        return self._mend_own(rows, fault)

    def _mend_own(self, rows: Rows, fault: Fault) -> bool:
        """What only the backend knows: ``INDEX`` and ``ORPHAN``."""
        raise NotImplementedError


def _close_attempt(rows: Rows, job_id: str, token: str) -> bool:
    """Close an attempt of a job that does not run, as lost: what became of it nobody knows."""
    job = rows.job(job_id, lock=True)
    attempt = rows.attempt(token)
    if job is not None and job.token == token:
        if job.state is JobState.STARTED:
            return False
        rows.update_job(job, job.evolve(token=None))
    elif attempt is None or not attempt.is_open:
        return False
    if attempt is not None and attempt.is_open:
        rows.update_attempt(attempt, attempt.evolve(outcome=Outcome.LOST, finished_at=rows.now()))
    return True


def _announce(rows: Rows, group_id: str, kind: EventKind) -> bool:
    """Write the event that is missing. The checker sees that it is delivered."""
    group = rows.group(group_id, lock=True)
    if group is None or kind not in due_events(group):
        return False
    cause = Cause(kind=kind, outcome=group.outcome if kind is EventKind.COMPLETED else None)
    if rows.has_event(cause, group):
        return False
    rows.add_event(cause, group)
    return True


def _keep_word(rows: Rows, group_id: str) -> bool:
    """A group said that it had completed: it has, or what it has to do yet is the next generation."""
    group = rows.group(group_id, lock=True)
    if group is None or group.is_over or not rows.has_event(Cause(kind=EventKind.COMPLETED), group):
        return False
    if group.outstanding > 0:
        after = grouping.reopen(group.evolve(completed_at=rows.now()), keep_totals=True, for_members=False)
        due = rows.now() + timedelta(seconds=group.time_to_check)
        rows.update_group(group, after.evolve(next_check_at=due))
        return True
    due_again = rows.now() + timedelta(seconds=group.time_to_check) if group.needs_closing else None
    cancelled = group.state is GroupState.CANCELLED
    rows.update_group(
        group,
        group.evolve(
            state=GroupState.CANCELLED if cancelled else GroupState.COMPLETED,
            started_at=group.started_at or rows.now(),
            completed_at=rows.now(),
            idle_since=None,
            next_check_at=due_again,
        ),
    )
    return True


def _leave_group(rows: Rows, job_id: str) -> bool:
    """A job of which no group is left is counted nowhere."""
    job = rows.job(job_id, lock=True)
    if job is None or job.group_id is None or job.generation is None:
        return False
    if rows.group(job.group_id, lock=False) is not None:
        return False
    rows.update_job(job, job.evolve(generation=None))
    return True


def _try_again(rows: Rows, event_id: str) -> bool:
    """Have an event delivered that was given up; what came after it may have been delivered."""
    event = rows.event(event_id)
    if event is None:
        return False
    rows.group(event.group_id, lock=True)
    event = rows.event(event_id)
    if event is None or not event.undeliverable:
        return False
    rows.update_event(event, event.evolve(undeliverable=False, tries=0, claimed_by=None, claimed_until=None))
    return True
