"""The transitions of jobs over locked rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.errors import (
    GroupCancelled,
    GroupCompleted,
    UnknownGroup,
)
from celery_jobtrack.model import grouping, moves
from celery_jobtrack.model.answers import EnqueueResult, Settled, StartResult
from celery_jobtrack.model.halt import is_gate
from celery_jobtrack.model.lock import OnConflict
from celery_jobtrack.model.requests import (
    EnqueueRequest,
    FinishRequest,
    Origin,
    RedriveRequest,
    RequeueRequest,
    RetryRequest,
    SettleRequest,
    StartRequest,
)
from celery_jobtrack.model.state import GroupState, JobState, Reason
from celery_jobtrack.strategies.refusals import cancelled_group, overlapping
from celery_jobtrack.strategies.row import gates, locking
from celery_jobtrack.strategies.row.base import RowBase
from celery_jobtrack.strategies.strays import StrayJob
from celery_jobtrack.strategies.unknown import unknown_group, unknown_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import Attempt, JobRecord, Progress
    from celery_jobtrack.strategies.row.rows import Rows


class JobTransitions(RowBase):
    """``enqueue``, ``start``, ``retry``, ``finish``, ``settle`` and what stands beside them."""

    def enqueue(self, request: EnqueueRequest) -> EnqueueResult:
        return self._run(lambda rows: self._enqueue(rows, request))

    def enqueue_many(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult]:
        return self._run(lambda rows: _enqueue_many(rows, requests)) if requests else ()

    def start(self, request: StartRequest) -> StartResult:
        return self._run(lambda rows: self._start(rows, request))

    def retry(self, request: RetryRequest) -> Settled:
        return self._run(lambda rows: self._retry(rows, request))

    def finish(self, request: FinishRequest) -> Settled:
        return self._run(lambda rows: self._finish(rows, request))

    def settle(self, request: SettleRequest) -> Settled:
        return self._run(lambda rows: self._settle(rows, request))

    def requeue_lost(self, request: RequeueRequest) -> Settled:
        def write(rows: Rows) -> Settled:
            job = rows.job(request.job_id, lock=True)
            if job is None:
                return Settled(job=None, applied=False)
            attempt = rows.attempt(request.token)
            move = moves.requeue_lost(job, attempt, request, rows.now())
            current, called = _write(rows, job, attempt, move)
            return Settled(job=current, applied=move.applied, called=called)

        return self._run(write)

    def redrive(self, request: RedriveRequest) -> Settled:
        def write(rows: Rows) -> Settled:
            job = rows.job(request.job_id, lock=True)
            if job is None:
                raise unknown_job(request.job_id, rows.namespace, so="cannot run again")
            move = moves.redrive(job, request, rows.now())
            if not move.applied or move.job is None or not _may_fall_into(rows, job, request.into):
                return Settled(job=job, applied=False)
            return Settled(job=_redriven(rows, job, move.job, request.message), applied=True)

        return self._run(write)

    def unpark(self, job_id: str) -> Settled:
        def write(rows: Rows) -> Settled:
            job = rows.job(job_id, lock=True)
            if job is None or job.waits_for is None:
                return Settled(job=job, applied=False)
            place = rows.place(job.waits_for, job_id)
            if place is None or not place.takes:
                return Settled(job=job, applied=False)
            current, _ = _write(rows, job, None, moves.unpark(job, rows.now()))
            if is_gate(place.key):
                gates.go_through(rows, place)
            return Settled(job=current, applied=True)

        return self._run(write)

    def call_due(self, key: str) -> Sequence[str]:
        return self._run(lambda rows: locking.call_due(rows, key))

    def release_lock(self, key: str) -> Sequence[str]:
        return self._run(lambda rows: locking.empty(rows, key))

    def record_progress(self, job_id: str, token: str, progress: Progress) -> bool:
        def write(rows: Rows) -> bool:
            job = rows.job(job_id, lock=True)
            if job is None or job.token != token:
                return False
            rows.update_job(job, job.evolve(progress=progress))
            return True

        return self._run(write)

    def request_cancel(self, job_id: str) -> Settled:
        def write(rows: Rows) -> Settled:
            job = rows.job(job_id, lock=True)
            if job is None:
                raise unknown_job(job_id, rows.namespace, so="cannot be cancelled")
            if job.token is not None:
                rows.update_job(job, job.evolve(cancel_requested=True))
                return Settled(job=job.evolve(cancel_requested=True), applied=False)
            origin = Origin(job_id=job_id, task=job.task)
            request = SettleRequest(origin=origin, state=JobState.REVOKED, reason=Reason.CANCELLED)
            return self._settle(rows, request)

        return self._run(write)

    def _enqueue(self, rows: Rows, request: EnqueueRequest) -> EnqueueResult:
        job = rows.job(request.origin.job_id, lock=True)
        move = moves.enqueue(job, request, rows.now())
        if job is not None:
            if move.job is not None:
                rows.update_job(job, move.job)
                if request.message is not None and not job.is_final:
                    rows.set_message(job.id, request.message)
            return EnqueueResult(job=move.job or job, created=False)
        assert move.job is not None
        new, taken = move.job, None
        if new.keyed and request.published:
            claims = request.origin.claims
            taken = locking.look(rows, new, claims, starts_later=_is_due_later(rows, new))
            new = _held_back(rows, new, request, taken)
        if new.group_id is not None:
            new = _joined(rows, new)
        rows.insert_job(new, request.message)
        events = self._count_end(rows, new) if new.is_final else ()
        return EnqueueResult(
            job=new,
            created=True,
            held_back=taken is not None and taken.blocked is not None,
            events=events,
            called=() if taken is None else taken.called,
            superseded=() if taken is None else taken.superseded,
        )

    def _start(self, rows: Rows, request: StartRequest) -> StartResult:
        origin = request.origin
        job, may_be_held = rows.job_to_start(origin.job_id)
        known = rows.attempt(request.token) if job is not None and job.attempts else None
        state = _state_of_groups(rows, job, origin)
        move = moves.start(job, known, state, request, rows.now())
        taken = locking.Taken()
        held: gates.HeldBack | None = None
        if move.starts and job is not None and may_be_held and request.asks:
            held = gates.hold_back(rows, job, origin.claims)
        if held is not None:
            taken = locking.Taken(called=held.called)
            move = moves.park(job, origin, held.gate, None, rows.now())
        elif move.starts and move.job is not None and (origin.claims or (job is not None and job.keyed)):
            taken = locking.take(rows, move.job if job is None else job, origin.claims)
            if taken.blocked is not None:
                move = _blocked(job, origin, taken, rows)
        called = taken.called
        if move.job is None:
            current = job
        elif job is None:
            current = _insert_joined(rows, move.job)
        else:
            current = move.job
            rows.update_job(job, current)
            called += locking.follow(rows, job, current)
        assert current is not None
        if move.applied and move.attempt is not None:
            rows.insert_attempt(move.attempt)
        events: tuple[EventRecord, ...] = ()
        if move.starts and (job is None or state is GroupState.AWAITING):
            events = self._start_group(rows, current)
        elif move.ends:
            events = self._count_end(rows, current)
        return StartResult(
            job=current,
            attempt=None if move.refusal else move.attempt,
            refusal=move.refusal,
            settled=move.ends,
            events=events,
            fences=taken.fences if move.applied or move.attempt is None else _fences(rows, current),
            called=called,
            superseded=taken.superseded,
        )

    def _retry(self, rows: Rows, request: RetryRequest) -> Settled:
        job, attempt, events = self._started(rows, request.start)
        move = moves.retry(job, attempt, request, rows.now())
        current, called = _write(rows, job, attempt, move)
        if move.applied and request.message is not None:
            rows.set_message(job.id, request.message)
        return Settled(job=current, applied=move.applied, events=events, called=called)

    def _finish(self, rows: Rows, request: FinishRequest) -> Settled:
        job, attempt, events = self._started(rows, request.start)
        if attempt is None:
            return Settled(job=job, applied=False)
        move = moves.finish(job, attempt, request, rows.now())
        current, called = _write(rows, job, attempt, move)
        if move.applied and request.result is not None:
            rows.set_result(job.id, request.result)
        if move.ends:
            events += self._count_end(rows, current)
        return Settled(job=current, applied=move.applied, events=events, called=called)

    def _settle(self, rows: Rows, request: SettleRequest) -> Settled:
        job = rows.job(request.origin.job_id, lock=True)
        attempt = None
        if job is not None and job.token is not None:
            attempt = rows.attempt(job.token)
        move = moves.settle(job, attempt, request, rows.now())
        if not move.applied or move.job is None:
            return Settled(job=job, applied=False)
        called: tuple[str, ...] = ()
        if job is None:
            current = _insert_joined(rows, move.job)
        else:
            current, called = _write(rows, job, attempt, move)
        return Settled(job=current, applied=True, events=self._count_end(rows, current), called=called)

    def _started(
        self, rows: Rows, request: StartRequest
    ) -> tuple[JobRecord, Attempt | None, tuple[EventRecord, ...]]:
        """The job and the attempt of this token; a start that never arrived is recorded first."""
        job = rows.job(request.origin.job_id, lock=True)
        if job is not None:
            attempt = rows.attempt(request.token)
            known = attempt is not None or job.is_final or job.token is not None
            # A body that claims keys never runs without having asked, so this is of no attempt of ours.
            if known or job.state is JobState.WAITING:
                return job, attempt, ()
        # The body has run, so no guard may refuse it any more.
        move = moves.force_start(job, request, rows.now())
        assert move.job is not None
        assert move.attempt is not None
        if job is None:
            current = _insert_joined(rows, move.job)
        else:
            current = move.job
            rows.update_job(job, current)
        rows.insert_attempt(move.attempt)
        return current, move.attempt, self._start_group(rows, current)

    def _start_group(self, rows: Rows, job: JobRecord) -> tuple[EventRecord, ...]:
        group = _counting_group(rows, job)
        if group is None:
            return ()
        return self._write_change(rows, group, grouping.mark_started(group, rows.now()))

    def _count_end(self, rows: Rows, job: JobRecord) -> tuple[EventRecord, ...]:
        group = _counting_group(rows, job)
        if group is None:
            return ()
        filling = group.outstanding == 1 and rows.is_filling(group.id)
        return self._write_change(rows, group, grouping.count_end(group, job, rows.now(), filling=filling))


def _is_due_later(rows: Rows, job: JobRecord) -> bool:
    # Who has the key now says nothing about then: that is decided at the start.
    return job.eta is not None and job.eta > rows.now()


def _held_back(rows: Rows, job: JobRecord, request: EnqueueRequest, taken: locking.Taken) -> JobRecord:
    """A new job as it is recorded if a key that it claims is taken. Raises Overlapping."""
    if taken.blocked is None:
        return job
    if taken.blocked.on_conflict is OnConflict.RAISE:
        raise overlapping(job.task, taken.blocked.key, taken.blocked_by)
    held = _blocked(None, request.origin, taken, rows).job
    assert held is not None
    return held.evolve(enqueued_at=job.enqueued_at)


def _blocked(job: JobRecord | None, origin: Origin, taken: locking.Taken, rows: Rows) -> moves.Move:
    assert taken.blocked is not None
    if taken.parked:
        return moves.park(job, origin, taken.blocked.key, taken.blocked_by, rows.now())
    return moves.skip(job, origin, taken.blocked.skip_reason, taken.blocked_by, rows.now())


def _fences(rows: Rows, job: JobRecord) -> tuple[tuple[str, int], ...]:
    """The fences of an attempt that was opened by an earlier call of the same start."""
    if not job.keyed:
        return ()
    return tuple((place.key, place.fence) for place in rows.places_of(job.id) if place.fence is not None)


def _enqueue_many(rows: Rows, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult]:
    """Record a chunk: what is known stays as it is, unless its message could not be sent the time before."""
    now = rows.now()
    group_id = requests[0].origin.group_id
    known = dict(rows.jobs_of([request.origin.job_id for request in requests]))
    for request in requests:
        stray = known.get(request.origin.job_id)
        if stray is not None and stray.group_id != group_id:
            raise StrayJob(stray.id, stray.group_id, group_id)
    new: dict[str, tuple[JobRecord, bytes | None]] = {}
    results = []
    for request in requests:
        job_id = request.origin.job_id
        job = known.get(job_id)
        created = job is None or job.reason is Reason.PUBLISH_FAILED
        if job is None:
            recorded = moves.enqueue(None, request, now).job
            assert recorded is not None
            known[job_id] = recorded
            new[job_id] = recorded, request.message
        elif created:
            again = moves.redrive(job, RedriveRequest(job_id=job_id), now).job
            assert again is not None
            known[job_id] = _redriven(rows, job, again, request.message)
        results.append((job_id, created))
    if group_id is not None and new:
        group = open_for_members(rows, group_id)
        joined = grouping.join(group, now, count=len(new))
        rows.update_group(group, joined)
        for job_id, (job, message) in new.items():
            known[job_id] = job.evolve(generation=joined.generation)
            new[job_id] = known[job_id], message
    rows.insert_jobs(list(new.values()))
    return [EnqueueResult(job=known[job_id], created=created) for job_id, created in results]


def _may_fall_into(rows: Rows, job: JobRecord, generation: int | None) -> bool:
    """Whether a job would run again in this generation of its group."""
    if generation is None or job.group_id is None:
        return True
    group = rows.group(job.group_id, lock=True)
    return group is None or grouping.generation_of_next_run(group) == generation


def _redriven(rows: Rows, before: JobRecord, after: JobRecord, message: bytes | None) -> JobRecord:
    """Write a job that runs again, and take it out of what its group has counted as ended."""
    group = None if before.group_id is None else rows.group(before.group_id, lock=True)
    if group is not None:
        if group.state is GroupState.CANCELLED and not group.is_over:
            raise GroupCancelled(
                f"group {group.title!r} ({group.id}) is being cancelled: none of its members can run again "
                "before all have ended"
            )
        redriven, generation = grouping.redrive(group, before, rows.now())
        rows.update_group(group, redriven)
        after = after.evolve(generation=generation)
    rows.update_job(before, after)
    if message is not None:
        rows.set_message(before.id, message)
    return after


def _joined(rows: Rows, job: JobRecord) -> JobRecord:
    """Count a job that is about to be inserted into its group.

    The group is locked before the job's row exists, against the order job, group: nobody can hold
    a row that is not there, but for a second publisher of the same id, and that deadlock the
    database breaks.
    """
    assert job.group_id is not None
    group = open_for_members(rows, job.group_id)
    joined = grouping.join(group, rows.now())
    rows.update_group(group, joined)
    return job.evolve(generation=joined.generation)


def _write(
    rows: Rows, job: JobRecord, attempt: Attempt | None, move: moves.Move
) -> tuple[JobRecord, tuple[str, ...]]:
    """Write a move of a recorded job. Gives the job, and who is called because it left a key."""
    called: tuple[str, ...] = ()
    if move.job is not None:
        rows.update_job(job, move.job)
        called = locking.follow(rows, job, move.job)
    if move.attempt is not None and attempt is not None:
        rows.update_attempt(attempt, move.attempt)
    return move.job or job, called


def _state_of_groups(rows: Rows, job: JobRecord | None, origin: Origin) -> GroupState | None:
    """The state of the job's group, or CANCELLED if another one is that it is part of."""
    group_id = origin.group_id if job is None else job.group_id
    group = None if group_id is None else rows.group(group_id, lock=False)
    for other_id in origin.within:
        other = rows.group(other_id, lock=False)
        if other is not None and other.state is GroupState.CANCELLED:
            return GroupState.CANCELLED
    return None if group is None else group.state


def _counting_group(rows: Rows, job: JobRecord) -> GroupRecord | None:
    """The locked group, if this job is counted in its present generation."""
    if job.group_id is None or job.generation is None:
        return None
    group = rows.group(job.group_id, lock=True)
    return group if group is not None and group.counts(job.generation) else None


def _insert_joined(rows: Rows, job: JobRecord) -> JobRecord:
    """Record a job that arrived before its "enqueued" did, and count it if its group still can."""
    try:
        new = job if job.group_id is None else _joined(rows, job)
    except (UnknownGroup, GroupCancelled, GroupCompleted):
        new = job
    rows.insert_job(new, None)
    return new


def open_for_members(rows: Rows, group_id: str) -> GroupRecord:
    """The group, locked, if it may be given members; otherwise the error that says why not."""
    group = rows.group(group_id, lock=True)
    if group is None:
        raise unknown_group(group_id, rows.namespace)
    check_open_for_members(group)
    return group


def check_open_for_members(group: GroupRecord) -> None:
    """Raise what says why a group may not be given members."""
    if group.state is GroupState.CANCELLED:
        raise cancelled_group(group.title, group.id)
    if group.is_over and not group.standing:
        raise GroupCompleted(f"batch {group.title!r} ({group.id}) has completed and takes no more members")
