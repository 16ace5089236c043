"""How a job moves: the guards of every transition, as pure functions over locked records.

A store that can lock a job's row reads it, asks here, and writes what comes back; a store that
cannot (Redis) does the same in a script and is held to it by the contract suite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_jobtrack.model.job import Attempt, JobRecord
from celery_jobtrack.model.requests import Origin, Refusal
from celery_jobtrack.model.state import REDRIVEN, STATE_AFTER, GroupState, JobState, Outcome, Reason, is_legal

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.model.requests import (
        EnqueueRequest,
        FinishRequest,
        RedriveRequest,
        RequeueRequest,
        RetryRequest,
        SettleRequest,
        StartRequest,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What to write. None leaves a row as it is; ``applied`` says whether the transition was made."""

    applied: bool = False
    job: JobRecord | None = None
    attempt: Attempt | None = None
    refusal: Refusal | None = None
    starts: bool = False
    """The move is a member's start: its group may have to be told."""
    ends: bool = False
    """The move is a member's end: its group counts it."""


def record(origin: Origin, state: JobState, now: datetime) -> JobRecord:
    """A job that the store did not know, as its message describes it."""
    _check(None, state)
    return JobRecord(
        id=origin.job_id,
        task=origin.task,
        state=state,
        queue=origin.queue,
        priority=origin.priority,
        args=origin.args,
        kwargs=origin.kwargs,
        tags=origin.tags,
        group_id=origin.group_id,
        retries=origin.retries,
        max_retries=origin.max_retries,
        run=origin.run,
        root_id=origin.root_id,
        parent_id=origin.parent_id,
        eta=origin.eta,
        expires_at=origin.expires_at,
        published_at=now,
        keyed=bool(origin.claims),
    )


def enqueue(job: JobRecord | None, request: EnqueueRequest, now: datetime) -> Move:
    """Record a job before its message is sent; a job that is known only has its gaps filled.

    A gap is also the message of a job that had none yet: the last task of a chain is published by the
    one before it, and that of a replacement under the job's id long after ``replace`` itself (see
    ``finish``).
    """
    if job is None:
        new = record(request.origin, JobState.ENQUEUED, now)
        published_at = now if request.published else None
        return Move(applied=True, job=new.evolve(enqueued_at=now, published_at=published_at))
    if job.state is JobState.ENQUEUED and job.published_at is None:
        if not request.published:
            return Move()
        return Move(job=job.evolve(published_at=now, **_gaps(job, request.origin)))
    if job.enqueued_at is None:
        return Move(job=job.evolve(enqueued_at=now, **_gaps(job, request.origin)))
    return Move()


_MAY_BE_MISSING = (
    "queue",
    "priority",
    "args",
    "kwargs",
    "tags",
    "max_retries",
    "root_id",
    "parent_id",
    "eta",
    "expires_at",
)


def _gaps(job: JobRecord, origin: Origin) -> dict[str, object]:
    """What the publisher knew of a job and the message that started it did not say."""
    return {
        name: getattr(origin, name)
        for name in _MAY_BE_MISSING
        if getattr(job, name) in (None, ()) and getattr(origin, name) not in (None, ())
    }


def start(
    job: JobRecord | None,
    attempt: Attempt | None,
    group_state: GroupState | None,
    request: StartRequest,
    now: datetime,
) -> Move:
    """Open an attempt, or say why not. ``attempt`` is the one with this token, if it is known."""
    if attempt is not None:
        if attempt.is_open:
            return Move(attempt=attempt)
        return Move(refusal=Refusal.CLOSED)
    origin = request.origin
    if job is None:
        return _start_unknown(group_state, request, now)
    if job.is_final:
        return Move(refusal=Refusal.FINAL)
    if (origin.run, origin.retries) < (job.run, job.retries):
        return Move(refusal=Refusal.STALE)
    if job.token is not None:
        return Move(refusal=Refusal.OPEN, job=None if job.copy_waiting else job.evolve(copy_waiting=True))
    if job.state is JobState.WAITING:
        # Whose turn has come is published when it has left the line.
        return Move(refusal=Refusal.PARKED)
    return _refused_for_good(job, group_state, now) or _open(_moved(job, JobState.STARTED), request, now)


def _refused_for_good(job: JobRecord, group_state: GroupState | None, now: datetime) -> Move | None:
    if job.cancel_requested:
        return _refuse_for_good(job, Refusal.CANCELLED, Reason.CANCELLED, now)
    if group_state is GroupState.CANCELLED:
        return _refuse_for_good(job, Refusal.GROUP_CANCELLED, Reason.GROUP_CANCELLED, now)
    if job.expires_at is not None and now > job.expires_at:
        return _refuse_for_good(job, Refusal.EXPIRED, Reason.EXPIRED, now)
    return None


def _start_unknown(group_state: GroupState | None, request: StartRequest, now: datetime) -> Move:
    """The guards that need no record hold for a job that the store never heard of, too."""
    origin = request.origin
    if group_state is GroupState.CANCELLED:
        refusal, reason = Refusal.GROUP_CANCELLED, Reason.GROUP_CANCELLED
    elif origin.expires_at is not None and now > origin.expires_at:
        refusal, reason = Refusal.EXPIRED, Reason.EXPIRED
    else:
        return force_start(None, request, now)
    ended = record(origin, JobState.REVOKED, now).evolve(reason=reason, finished_at=now)
    return Move(applied=True, job=ended, refusal=refusal, ends=True)


def force_start(job: JobRecord | None, request: StartRequest, now: datetime) -> Move:
    """Open an attempt under no guard: its body has run already, and its start never arrived."""
    if job is None:
        return _open(record(request.origin, JobState.STARTED, now), request, now)
    return _open(_moved(job, JobState.STARTED), request, now)


def finish(job: JobRecord, attempt: Attempt, request: FinishRequest, now: datetime) -> Move:
    """Close an open attempt and its job with it; the outcome of a closed one is only kept."""
    if not attempt.is_open:
        return _late(attempt, request.outcome)
    closed = _close(attempt, request.outcome, request.error, now)
    if job.token != attempt.token:
        return Move(attempt=closed)
    state = STATE_AFTER[request.outcome]
    moved = _moved(job, state).evolve(token=None, copy_waiting=False)
    if state.is_final:
        moved = moved.evolve(reason=request.reason, error=request.error, finished_at=now)
    else:
        # A job replaced by a chain or a group has no message until its last task is published, and
        # its old one must not be published again.
        replaced = request.outcome is Outcome.REPLACED
        moved = moved.evolve(published_at=None if replaced else now)
    return Move(applied=True, job=moved, attempt=closed, ends=state.is_final)


def park(job: JobRecord | None, origin: Origin, key: str, blocked_by: str | None, now: datetime) -> Move:
    """Let a job wait in the line of a key, instead of starting it or of sending its message."""
    waiting = record(origin, JobState.WAITING, now) if job is None else _moved(job, JobState.WAITING)
    parked = waiting.evolve(keyed=True, waits_for=key, blocked_by=blocked_by, published_at=None)
    return Move(applied=True, job=parked, refusal=Refusal.PARKED)


def skip(
    job: JobRecord | None, origin: Origin, reason: Reason, blocked_by: str | None, now: datetime
) -> Move:
    """End a job because another one has a key that it needs."""
    ended = record(origin, JobState.SKIPPED, now) if job is None else _moved(job, JobState.SKIPPED)
    ended = ended.evolve(reason=reason, blocked_by=blocked_by, finished_at=now)
    return Move(applied=True, job=ended, refusal=Refusal.OVERLAP, ends=True)


def unpark(job: JobRecord, now: datetime) -> Move:
    """Take a job out of the line: its turn has come, and its message is about to be published."""
    queued = _moved(job, JobState.ENQUEUED)
    return Move(applied=True, job=queued.evolve(waits_for=None, blocked_by=None, published_at=now))


def retry(job: JobRecord, attempt: Attempt | None, request: RetryRequest, now: datetime) -> Move:
    """Record the next retry (or the replacement) of a running job before it is published."""
    if attempt is not None and not attempt.is_open:
        return _late(attempt, request.outcome)
    if attempt is None or job.token != attempt.token:
        return Move()
    origin = request.origin
    moved = _moved(job, STATE_AFTER[request.outcome]).evolve(
        token=None,
        copy_waiting=False,
        retries=max(job.retries, origin.retries),
        eta=origin.eta,
        expires_at=origin.expires_at or job.expires_at,
        queue=origin.queue or job.queue,
        priority=origin.priority if origin.priority is not None else job.priority,
        published_at=now,
        error=request.error,
    )
    if request.outcome is Outcome.REPLACED:
        moved = moved.evolve(task=origin.task, args=origin.args, kwargs=origin.kwargs)
    return Move(applied=True, job=moved, attempt=_close(attempt, request.outcome, request.error, now))


def requeue_lost(job: JobRecord, attempt: Attempt | None, request: RequeueRequest, now: datetime) -> Move:
    """Close an open attempt as lost and queue its job again; one that was cancelled is left alone."""
    if attempt is None or not attempt.is_open or job.token != request.token or job.cancel_requested:
        return Move()
    moved = _moved(job, JobState.ENQUEUED).evolve(token=None, copy_waiting=False, published_at=now)
    return Move(applied=True, job=moved, attempt=_close(attempt, Outcome.LOST, request.error, now))


def redrive(job: JobRecord, request: RedriveRequest, now: datetime) -> Move:
    """Queue a job that did not succeed once more: the next run of the same id, with all retries before it."""
    if job.state not in request.only_from & REDRIVEN:
        return Move()
    again = _moved(job, JobState.ENQUEUED).evolve(
        run=job.run + 1,
        retries=0,
        copies=0,
        published_at=now,
        finished_at=None,
        reason=None,
        error=None,
        progress=None,
        # What ended it must not end it again at its start.
        cancel_requested=False,
        eta=None,
        expires_at=None,
    )
    return Move(applied=True, job=again)


def settle(
    job: JobRecord | None, open_attempt: Attempt | None, request: SettleRequest, now: datetime
) -> Move:
    """End a job from outside its attempt, under the guards that ``SettleRequest`` describes."""
    if job is None:
        if not request.record_unknown:
            return Move()
        return _settled(record(request.origin, request.state, now), None, request, now)
    if request.run is not None and request.run < job.run:
        return Move()
    if open_attempt is not None:
        if not _names(request, open_attempt):
            return Move()
    elif job.state not in request.only_from or _is_behind(request, job):
        return Move()
    return _settled(_moved(job, request.state), open_attempt, request, now)


def _names(request: SettleRequest, attempt: Attempt) -> bool:
    if request.token is not None:
        return request.token == attempt.token
    return request.worker_id == attempt.worker_id and request.origin.retries == attempt.retries


def _is_behind(request: SettleRequest, job: JobRecord) -> bool:
    # Two messages of one try may be on their way. While a worker finds that the one died with its child,
    # the other may have run, and have asked for the next try.
    return request.worker_id is not None and request.origin.retries < job.retries


def _settled(job: JobRecord, attempt: Attempt | None, request: SettleRequest, now: datetime) -> Move:
    ended = job.evolve(
        token=None,
        copy_waiting=False,
        waits_for=None,
        reason=request.reason,
        error=request.error,
        finished_at=now,
    )
    outcome = request.outcome or Outcome(str(request.state))
    closed = None if attempt is None else _close(attempt, outcome, request.error, now)
    return Move(applied=True, job=ended, attempt=closed, ends=True)


def _open(job: JobRecord, request: StartRequest, now: datetime) -> Move:
    number = job.attempts + 1
    origin, worker = request.origin, request.worker
    attempt = Attempt(
        token=request.token,
        job_id=job.id,
        number=number,
        worker_id=worker.id,
        worker=worker.name,
        pid=worker.pid,
        retries=origin.retries,
        run=job.run,
        reruns=request.reruns,
        started_at=now,
    )
    opened = job.evolve(
        token=request.token,
        attempts=number,
        retries=max(job.retries, origin.retries),
        # Its task may have come to claim keys since the job was recorded.
        keyed=job.keyed or bool(origin.claims),
        started_at=now,
        progress=None,
        error=None,
    )
    return Move(applied=True, job=opened, attempt=attempt, starts=True)


def _refuse_for_good(job: JobRecord, refusal: Refusal, reason: Reason, now: datetime) -> Move:
    ended = _moved(job, JobState.REVOKED).evolve(reason=reason, finished_at=now)
    return Move(applied=True, job=ended, refusal=refusal, ends=True)


def _close(attempt: Attempt, outcome: Outcome, error: object, now: datetime) -> Attempt:
    return attempt.evolve(outcome=outcome, error=error, finished_at=now)


def _late(attempt: Attempt, outcome: Outcome) -> Move:
    if attempt.outcome is outcome or attempt.late_outcome is not None:
        return Move()
    return Move(attempt=attempt.evolve(late_outcome=outcome))


def _moved(job: JobRecord, state: JobState) -> JobRecord:
    _check(job.state, state)
    return job.evolve(state=state)


def _check(before: JobState | None, after: JobState) -> None:
    if not is_legal(before, after):
        raise ValueError(f"a job cannot move from {before} to {after}: see TRANSITIONS")
