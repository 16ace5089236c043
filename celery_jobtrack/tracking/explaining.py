"""Explains why a group has not finished: asks the store, and the broker for what only it knows."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.model.callback import due_in_all
from celery_jobtrack.model.explanation import CallbackExplanation, GroupExplanation, MemberExplanation
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.pledge import pledges, without_pledges
from celery_jobtrack.model.requests import JobQuery
from celery_jobtrack.model.spans import span
from celery_jobtrack.model.state import GroupState, JobState
from celery_jobtrack.strategies.unknown import unknown_group
from celery_jobtrack.tracking.lock_lines import LockLines
from celery_jobtrack.tracking.queues import Queues

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from celery_jobtrack.model.group import GroupRecord, GroupStatus
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.requests import WorkerRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

DEEPEST = 5
"""Groups in groups that are looked into."""
PAGES = 100
"""Pages of a listing that are looked at in search of members in one state."""
LATE = timedelta(seconds=60)
_ORDER = (JobState.STARTED, JobState.RETRY, JobState.ENQUEUED, JobState.WAITING)


class Explainer:
    """One explanation: what is asked of the broker is asked once.

    Args:
        tracker: Whose store is asked.
        limit: How many members of a group are looked at one by one.
    """

    def __init__(self, tracker: Tracker, *, limit: int) -> None:
        self._store = tracker.store
        self._namespace = tracker.ports.namespace
        self._limit = limit
        self._now = self._store.now()
        self._workers: Mapping[str, WorkerRecord] = {
            worker.id: worker for worker in self._store.workers(alive=False)
        }
        self._queues = Queues(tracker, self._now, self._workers)
        self._lines = LockLines(self._store, self._now, self._workers)

    def explain(self, group_id: str, *, depth: int = 0) -> GroupExplanation:
        """Say why a group has not finished.

        Raises:
            UnknownGroup: It is not recorded.
        """
        group, status = self._store.group(group_id), self._store.group_status(group_id)
        if group is None or status is None:
            raise unknown_group(group_id, self._namespace)
        found = list(self._outstanding(group))
        self._queues.look_for(found)
        members = tuple(self._member(job, depth) for job in found)
        callbacks = tuple(self._callbacks(group))
        finished = group.is_over and (group.closed_at is not None or not group.needs_closing)
        return GroupExplanation(
            group_id=group.id,
            title=group.title,
            is_finished=finished,
            said=tuple(self._said(group, status, callbacks, is_finished=finished)),
            status=status,
            members=members,
            others=_others(status, found),
            callbacks=callbacks,
            next_check_at=group.next_check_at,
            asked_at=self._now,
        )

    # -- the group itself --------------------------------------------------------------------------

    def _said(
        self,
        group: GroupRecord,
        status: GroupStatus,
        callbacks: tuple[CallbackExplanation, ...],
        *,
        is_finished: bool,
    ) -> Iterator[str]:
        if is_finished:
            assert group.completed_at is not None
            yield f"it has finished as {group.outcome}, {self._ago(group.completed_at)}"
            if group.standing and group.state is GroupState.CANCELLED:
                yield "it was cancelled, and takes no more jobs until it is reopened with reopen()"
            yield from _said_of_missing(group)
            return
        if group.is_over:
            yield from self._said_of_closing(group, callbacks)
        else:
            yield from self._said_of_completing(group, status)
        yield from _said_of_missing(group)
        if group.next_check_at is None:
            if group.is_over or status.total > 0:
                yield "nobody will look at it again: run jobtrack doctor --repair"
        elif self._now - group.next_check_at > LATE:
            late = span((self._now - group.next_check_at).total_seconds())
            yield f"its check has been due for {late}: no checker seems to run"
        else:
            yield f"it is looked at next {self._ago(group.next_check_at)}"

    def _said_of_completing(self, group: GroupRecord, status: GroupStatus) -> Iterator[str]:
        if group.state is GroupState.CANCELLED:
            yield "it was cancelled: what is queued is ended without being run, and what runs is waited for"
        if status.outstanding:
            yield f"{status.outstanding:,} of {status.total:,} {_jobs(status.total)} outstanding"
        found = self._store.fillers(group.id)
        holds = without_pledges(found)
        for token, until in holds.items():
            if until > self._now:
                yield (
                    f"somebody ({token[:8]}) is filling it, and holds it open: until "
                    f"{span((until - self._now).total_seconds())} from now unless that is renewed"
                )
            else:
                yield f"somebody ({token[:8]}) who filled it has not been heard of since {self._ago(until)}"
        if any(not pledge.is_kept(found, self._now) for pledge in pledges(found)):
            yield "who filled it has died before all was sent: it is marked as incomplete at its next check"
        elif status.filling and not holds:
            yield "somebody is filling it"
        if not group.standing and not group.sealed and group.state is not GroupState.CANCELLED:
            yield from _said_of_sealing(is_filled=status.filling or bool(holds))
        if group.standing and not status.total and not status.filling:
            yield "it has had no job in this generation"
        if group.idle_since is not None and not status.outstanding:
            left = timedelta(seconds=group.settle_after) - (self._now - group.idle_since)
            yield (
                f"it completes when it has had nothing to do for {span(group.settle_after)}: "
                + (f"in {span(left.total_seconds())}" if left > timedelta() else "at its next check")
            )

    def _said_of_closing(
        self, group: GroupRecord, callbacks: tuple[CallbackExplanation, ...]
    ) -> Iterator[str]:
        assert group.completed_at is not None
        yield f"all of its jobs have ended, {self._ago(group.completed_at)}"
        if callbacks:
            yield f"it waits for {len(callbacks)} {'callback' if len(callbacks) == 1 else 'callbacks'}"
        elif group.parent_id is not None:
            yield f"group {group.parent_id}, which it is part of, is to be told"
        else:
            yield "its callbacks have ended, and it is about to be closed"

    def _callbacks(self, group: GroupRecord) -> Iterator[CallbackExplanation]:
        """The callbacks that a completed group waits for."""
        if not group.is_over or group.closed_at is not None:
            return
        for callback in due_in_all(group):
            job_id = callback.job_id(self._namespace, group.id, group.generation)
            job = self._store.job(job_id)
            if job is not None and job.is_final:
                continue
            said = "is not sent yet: the event that sends it is not delivered"
            if job is not None:
                self._queues.look_for([job])
                said = self._member(job, DEEPEST).said
            yield CallbackExplanation(
                kind=callback.kind,
                task=callback.task,
                job_id=job_id,
                state=None if job is None else job.state,
                said=said,
            )

    # -- its members -------------------------------------------------------------------------------

    def _outstanding(self, group: GroupRecord) -> Iterator[JobRecord]:
        if group.is_over:
            return
        left = self._limit
        for state in _ORDER:
            for job in self._in_state(group, state, left):
                left -= 1
                yield job

    def _in_state(self, group: GroupRecord, state: JobState, limit: int) -> list[JobRecord]:
        found: list[JobRecord] = []
        cursor: str | None = None
        for _ in range(PAGES):
            if len(found) >= limit:
                break
            query = JobQuery(group_id=group.id, state=state, limit=limit - len(found), cursor=cursor)
            page = self._store.jobs(query)
            found += [job for job in page.items if group.counts(job.generation)]
            cursor = page.cursor
            if cursor is None:
                break
        return sorted(found, key=lambda job: (_since(job) or self._now, job.id))

    def _member(self, job: JobRecord, depth: int) -> MemberExplanation:
        if job.task == GROUP_TASK and job.published_at is None:
            return self._child(job, depth)
        if job.state is JobState.STARTED:
            return self._running(job)
        return self._parked(job) if job.state is JobState.WAITING else self._queued(job)

    def _child(self, job: JobRecord, depth: int) -> MemberExplanation:
        known = self._store.group(job.id)
        about = {"job_id": job.id, "task": job.task, "state": job.state, "since": job.enqueued_at}
        if known is None:
            said = "stands for a group that is not recorded: run jobtrack doctor --repair"
            return MemberExplanation(**about, said=said)  # type: ignore[arg-type]
        name = f"is the group {known.title!r}"
        if depth >= DEEPEST:
            said = f"{name}, with {known.outstanding:,} outstanding"
            return MemberExplanation(**about, said=said)  # type: ignore[arg-type]
        child = self.explain(job.id, depth=depth + 1)
        return MemberExplanation(**about, said=f"{name}: {child.said[0]}", group=child)  # type: ignore[arg-type]

    def _running(self, job: JobRecord) -> MemberExplanation:
        attempt = next((a for a in reversed(self._store.attempts(job.id)) if a.is_open), None)
        worker = None if attempt is None else self._workers.get(attempt.worker_id)
        alive = worker is not None and worker.is_alive(self._now)
        return MemberExplanation(
            job_id=job.id,
            task=job.task,
            state=job.state,
            said=self._said_of_running(job, attempt, worker),
            since=job.started_at,
            worker=None if attempt is None else attempt.worker,
            is_worker_alive=None if attempt is None else alive,
            heartbeat_at=None if worker is None else worker.heartbeat_at,
            lease_until=None if worker is None else worker.lease_until,
            queue=job.queue,
            copies=job.copies,
        )

    def _said_of_running(self, job: JobRecord, attempt: Attempt | None, worker: WorkerRecord | None) -> str:
        if attempt is None:
            return "is STARTED, and has no open attempt: run jobtrack doctor --repair"
        said = [f"started {self._ago(attempt.started_at)} on {attempt.worker}"]
        if worker is None:
            said.append("which is not known any more: the checker will close the attempt")
        elif worker.is_alive(self._now):
            said.append(f"last heartbeat {self._ago(worker.heartbeat_at)}")
        else:
            gone = worker.stopped_at or worker.lease_until
            how = "stopped" if worker.stopped_at is not None else "is given up since its lease ended"
            said.append(f"which {how} {self._ago(gone)}: the checker will close the attempt")
        if attempt.number > 1:
            said.append(f"attempt {attempt.number}")
        if job.progress is not None and job.progress.percent is not None:
            said.append(f"{job.progress.percent:.0f} % done")
        if job.cancel_requested:
            said.append("it was told to stop")
        return ", ".join(said)

    def _parked(self, job: JobRecord) -> MemberExplanation:
        lock = self._lines.explain(job)
        since = None if lock is None else lock.since
        return MemberExplanation(
            job_id=job.id,
            task=job.task,
            state=job.state,
            said="is parked in the store" if lock is None else lock.said,
            since=since or _since(job),
            queue=job.queue,
            copies=job.copies,
            lock=lock,
        )

    def _queued(self, job: JobRecord) -> MemberExplanation:
        due_at = job.eta if job.eta is not None and job.eta > self._now else None
        place = self._queues.place_of(job)
        return MemberExplanation(
            job_id=job.id,
            task=job.task,
            state=job.state,
            said=self._said_of_queued(job, due_at),
            since=_since(job),
            queue=job.queue,
            ahead=place.ahead,
            queue_depth=place.depth,
            is_queue_consumed=place.is_consumed,
            due_at=due_at or job.eta,
            copies=job.copies,
        )

    def _said_of_queued(self, job: JobRecord, due_at: datetime | None) -> str:
        if job.published_at is None:
            if job.attempts:
                return "was replaced by a chain or a group, whose last task has not been sent yet"
            return "has not been sent: it comes behind others of a chain or a chord"
        if job.state is JobState.RETRY:
            failed = f" after {job.error}" if job.error is not None else ""
            what = f"waits for its retry {job.retries}{failed}"
        else:
            what = "is scheduled" if due_at is not None else "queued"
        if due_at is not None:
            queue = f" on {job.queue!r}" if job.queue else ""
            return ", ".join([f"{what}{queue}, due {self._ago(due_at)}", *self._queues.said_of(job)])
        since = max(filter(None, (job.published_at, job.eta)))
        queue = f" on {job.queue!r}" if job.queue else ""
        waited = f"{what} for {span(max(0.0, (self._now - since).total_seconds()))}{queue}"
        if job.state is JobState.RETRY:
            waited = f"{what}, due for {span(max(0.0, (self._now - since).total_seconds()))}{queue}"
        return ", ".join([waited, *self._queues.said_of(job)])

    def _ago(self, then: datetime) -> str:
        seconds = (self._now - then).total_seconds()
        if abs(seconds) < 1:
            return "now"
        return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def _since(job: JobRecord) -> datetime | None:
    return job.started_at if job.state is JobState.STARTED else job.published_at or job.enqueued_at


def _said_of_sealing(*, is_filled: bool) -> Iterator[str]:
    if is_filled:
        yield "it is not sealed: it may get more jobs until its dispatch ends, or seal() is called"
    else:
        yield (
            "it is not sealed, and nobody holds it open: if its dispatch broke off, make it again with its "
            "key; else seal() it, or seal(incomplete=True) if jobs are missing"
        )


def _said_of_missing(group: GroupRecord) -> Iterator[str]:
    if group.is_over and group.lacks_members and not group.incomplete:
        yield (
            "it was not sealed before it was over, so that some of its jobs may be missing: reopen() it and "
            "dispatch the missing ones, or seal() it if there are none"
        )
    if not group.incomplete:
        return
    ends = "" if group.is_over else "; as it is, it ends as FAILED"
    yield f"it is incomplete: its dispatch broke off, so that some of its jobs may be missing{ends}"
    how = (
        "by the same call again if that had a key, else by add(); retry_failed() runs those that are recorded"
    )
    if group.standing and group.state is not GroupState.CANCELLED:
        yield f"dispatch the missing ones, in its next generation if it is over: {how}"
    else:
        yield f"reopen() it{'' if group.is_over else ' when it is over'} and dispatch the missing ones: {how}"


def _others(status: GroupStatus, shown: list[JobRecord]) -> Mapping[JobState, int]:
    if status.completed_at is not None:
        return {}
    counted = {
        JobState.STARTED: status.started,
        JobState.RETRY: status.retrying,
        JobState.ENQUEUED: status.enqueued,
        JobState.WAITING: status.waiting,
    }
    left = {state: number - sum(job.state is state for job in shown) for state, number in counted.items()}
    return {state: number for state, number in left.items() if number > 0}


def _jobs(number: int) -> str:
    return "job" if number == 1 else "jobs"
