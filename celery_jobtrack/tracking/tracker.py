"""Turns facts into transitions, and sees to what follows from them."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from celery_jobtrack import events
from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.lock import OnConflict
from celery_jobtrack.model.requests import Origin, SettleRequest
from celery_jobtrack.model.state import FINAL, QUEUED, STATE_AFTER, JobState, Reason
from celery_jobtrack.tracking.announce import Announcer
from celery_jobtrack.tracking.breaker import Breaker
from celery_jobtrack.tracking.closing import Closing
from celery_jobtrack.tracking.consequences import Consequences
from celery_jobtrack.tracking.delivery import Delivery
from celery_jobtrack.tracking.followers import Followers
from celery_jobtrack.tracking.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from celery_jobtrack.model.answers import EnqueueResult, Settled, StartResult
    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.halt import HaltKind
    from celery_jobtrack.model.job import JobRecord, Progress
    from celery_jobtrack.model.requests import (
        EnqueueRequest,
        FinishRequest,
        GroupChanged,
        RedriveRequest,
        RequeueRequest,
        RetryRequest,
        StartRequest,
        Worker,
    )
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.tracking.logs.job_logs import JobLogs
    from celery_jobtrack.tracking.ports import Ports

_UNSUCCESSFUL = FINAL - {JobState.SUCCESS}

logger = logging.getLogger(__name__)


class Tracker:
    """One method per fact. The store records it; then listeners hear of it and events are delivered.

    Every method raises what the store raises: whether a job can go on without its store is decided
    by the caller, who knows what the fact was. A store that was just found away is not asked again for
    a moment (see ``Breaker``).
    """

    def __init__(
        self, store: Store, ports: Ports, breaker: Breaker | None = None, logs: JobLogs | None = None
    ) -> None:
        self.store = store
        self.ports = ports
        self._ask = (breaker or Breaker()).call
        self.announcer = Announcer(ports, logs, store.attempts)
        self.delivery = Delivery(store, ports, Consequences(self))
        self.closing = Closing(self)
        self.followers = Followers(store, ports, lambda request, tell: self.settle(request, tell=tell))
        self.turns = Turns(self)
        store.delivers = ports.delivers_here

    def ask_time(self) -> datetime:
        """The store's time: whether it answers at all."""
        return self._ask(self.store.now)

    def enqueue(self, request: EnqueueRequest) -> EnqueueResult:
        """A job is about to be published."""
        result = self._ask(self.store.enqueue, request)
        if result.created and not result.held_back:
            self.announcer.announce(JobState.ENQUEUED, request.origin.task, lambda: result.job)
        elif result.held_back:
            self._after_holding_back(result, request.origin)
        self.turns.call(result.called)
        return result

    def enqueue_many(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult]:
        """A chunk of jobs is about to be published; all of one group, or of none."""
        if any(claim.asks_at_dispatch for request in requests for claim in request.origin.claims):
            return self._enqueue_one_by_one(requests)
        results = self._ask(self.store.enqueue_many, requests)
        for request, result in zip(requests, results, strict=True):
            if result.created:
                self.announcer.announce(JobState.ENQUEUED, request.origin.task, partial(_job_of, result))
        return results

    def _enqueue_one_by_one(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult]:
        """A chunk with keys that are looked at when jobs are dispatched. It is not sent if one is refused."""
        results: list[EnqueueResult] = []
        try:
            results.extend(map(self._enqueue_of_many, requests))
        except Exception as error:
            for request, result in zip(requests, results, strict=False):
                if result.created and not result.held_back:
                    self._settle_unsent(request, error)
            raise
        return results

    def _settle_unsent(self, request: EnqueueRequest, error: Exception) -> None:
        try:
            self.settle(
                SettleRequest(
                    origin=request.origin,
                    state=JobState.FAILURE,
                    reason=Reason.PUBLISH_FAILED,
                    error=ErrorInfo(type=type(error).__name__, message=str(error)),
                    only_from=QUEUED,
                    record_unknown=False,
                ),
                tell=False,
            )
        except StoreUnavailable:
            logger.warning("job %s was recorded and is not sent: %s", request.origin.job_id, error)

    def _enqueue_of_many(self, request: EnqueueRequest) -> EnqueueResult:
        # Nobody could say which of them was refused: as at a start, it is skipped.
        claims = tuple(
            replace(claim, on_conflict=OnConflict.SKIP) if claim.on_conflict is OnConflict.RAISE else claim
            for claim in request.origin.claims
        )
        request = replace(request, origin=replace(request.origin, claims=claims))
        result = self.enqueue(request)
        if result.created:
            return result
        (again,) = self._ask(self.store.enqueue_many, [request])
        if again.created:
            self.announcer.announce(JobState.ENQUEUED, request.origin.task, partial(_job_of, again))
        return again

    def start(self, request: StartRequest) -> StartResult:
        """A worker is about to run a job's body. A refusal that ends the job is told to Celery too."""
        origin = request.origin
        if origin.part_of and (reason := self._ask(self.followers.reason_to_refuse, origin)) is not None:
            self.followers.end(origin.part_of, origin, JobState.REVOKED, reason, tell=True)
        result = self._ask(self.store.start, request)
        if result.refusal is None:
            self.announcer.announce(JobState.STARTED, request.origin.task, lambda: result.job, request.worker)
        elif result.settled:
            self.announcer.announce(result.job.state, result.job.task, lambda: result.job)
            self._tell_backend(result.job)
            self._end_followers(result.job, request.origin, tell=True)
        if result.superseded:
            self.turns.end_superseded(result.superseded)
        self.turns.call(result.called)
        if result.events:
            self.handle(result.events)
        if result.settled:
            self._after_callback(request.origin)
        return result

    def retry(self, request: RetryRequest) -> Settled:
        """A running job's next retry, or its replacement, is about to be published."""
        result = self._ask(self.store.retry, request)
        self._announce(result, STATE_AFTER[request.outcome], request.origin.task, request.start.worker)
        self.handle(result.events)
        self.turns.call(result.called)
        return result

    def finish(self, request: FinishRequest) -> Settled:
        """A body has ended."""
        state, origin = STATE_AFTER[request.outcome], request.start.origin
        if state in _UNSUCCESSFUL:
            followers = self._ask(self.followers.ending_with, request)
            self.followers.end(followers, origin, state, request.reason, tell=False)
        result = self._ask(self.store.finish, request)
        self._announce(result, state, origin.task, request.start.worker)
        self.turns.call(result.called)
        if result.events:
            self.handle(result.events)
        if state.is_final:
            self._after_callback(request.start.origin)
        return result

    def redrive(self, request: RedriveRequest) -> Settled:
        """A job that did not succeed is about to be published again, as a new run."""
        result = self._ask(self.store.redrive, request)
        if result.job is not None:
            self._announce(result, JobState.ENQUEUED, result.job.task)
        return result

    def requeue_lost(self, request: RequeueRequest) -> Settled:
        """An attempt is lost, and its job is about to be published again."""
        result = self._ask(self.store.requeue_lost, request)
        if result.job is not None:
            self._announce(result, JobState.ENQUEUED, result.job.task)
        self.turns.call(result.called)
        return result

    def settle(self, request: SettleRequest, *, tell: bool) -> Settled:
        """A job has ended outside its attempt.

        Args:
            request: What ended it, and under which guard.
            tell: Whether Celery's result backend does not know of this end and has to be told.
        """
        if request.state in _UNSUCCESSFUL:
            followers = self._ask(self.followers.ending_by, request)
            self.followers.end(followers, request.origin, request.state, request.reason, tell=tell)
        result = self._ask(self.store.settle, request)
        self._after_settling(result, tell=tell)
        self._after_callback(request.origin)
        return result

    def cancel(self, job_id: str) -> Settled:
        """Somebody wants a job not to run. Raises UnknownJob."""
        job = self._ask(self.store.job, job_id)
        is_told_before = job is not None and job.state in QUEUED
        if job is not None and is_told_before:
            # One that starts just now runs with the flag that it is cancelled, and nothing follows it either.
            origin = Origin(job_id=job_id, task=job.task)
            followers = self._ask(self.followers.of, origin)
            self.followers.end(followers, origin, JobState.REVOKED, Reason.CANCELLED, tell=True)
        result = self._ask(self.store.request_cancel, job_id)
        self._after_settling(result, tell=True)
        if result.applied and result.job is not None and not is_told_before:
            self._end_followers(result.job, Origin(job_id=job_id, task=result.job.task), tell=True)
        return result

    def forget(self, job_id: str) -> None:
        """Somebody wants nothing to be known of a job that has ended. Raises as ``Store.forget_job`` does."""
        self.turns.call(self._ask(self.store.forget_job, job_id))

    def progress(self, job_id: str, token: str, progress: Progress) -> bool:
        """A running job says how far it is; False when its attempt is no longer the open one."""
        recorded = self._ask(self.store.record_progress, job_id, token, progress)
        if recorded and events.job_progressed.receivers:
            job = self.store.job(job_id)
            self.announcer.send(events.job_progressed, job=job)
        return recorded

    def create_group(self, group: GroupRecord) -> GroupRecord:
        """Record a group, or find the one that has its id."""
        return self._ask(self.store.create_group, group)

    def hold_group(self, group_id: str, token: str, seconds: float) -> None:
        """Hold a group open; again to renew. Raises UnknownGroup, GroupCancelled, GroupCompleted."""
        self._ask(self.store.begin_filling, group_id, token, seconds)

    def release_group(self, group_id: str, token: str) -> None:
        """Let go of a hold. Raises UnknownGroup."""
        self.change_group(self._ask(self.store.end_filling, group_id, token))

    def change_group(self, changed: GroupChanged) -> GroupChanged:
        """An operation on a group was recorded: see to its events."""
        self.handle(changed.events)
        return changed

    def handle(self, caused: Sequence[EventRecord]) -> None:
        """Deliver events here if this process may; otherwise ask one that may."""
        if not caused:
            return
        if self.ports.delivers_here():
            self.delivery.deliver(caused)
        else:
            self.ports.request_delivery()

    def release_lock(self, key: str) -> None:
        """Somebody takes a key away from whoever has it."""
        self.turns.call(self._ask(self.store.release_lock, key))

    def lift(self, kind: HaltKind, name: str) -> bool:
        """Somebody resumes a queue or a task: publish who waits. False if it was not paused."""
        lifted = first = self._ask(self.store.lift, kind, name)
        # Bit by bit, so that no operation takes long. If this process dies, the checker does the rest.
        while lifted.called:
            self.turns.call(lifted.called)
            # Somebody may have paused it again.
            lifted = self._ask(self.turns.lift_on, kind, name)
        return first.applied

    def _after_holding_back(self, result: EnqueueResult, origin: Origin) -> None:
        """A job is not published: it was parked, or has ended as skipped."""
        self.turns.end_superseded(result.superseded)
        if result.job.is_final:
            self.announcer.announce(result.job.state, origin.task, lambda: result.job)
            self._tell_backend(result.job)
            self._end_followers(result.job, origin, tell=True)
            self.handle(result.events)
            self._after_callback(origin)

    def _announce(self, result: Settled, state: JobState, task: str, worker: Worker | None = None) -> None:
        if result.applied:
            self.announcer.announce(state, task, lambda: result.job, worker)

    def _after_settling(self, result: Settled, *, tell: bool) -> None:
        if result.job is not None:
            self._announce(result, result.job.state, result.job.task)
        if tell and result.applied and result.job is not None:
            self._tell_backend(result.job)
        self.turns.call(result.called)
        self.handle(result.events)

    def _end_followers(self, job: JobRecord, origin: Origin, *, tell: bool) -> None:
        if job.state in _UNSUCCESSFUL:
            followers = self.followers.of(origin)
            self.followers.end(followers, origin, job.state, job.reason, tell=tell)

    def _after_callback(self, origin: Origin) -> None:
        """A group's callback has ended: the group may have waited for it."""
        if origin.callback_of is not None:
            self.closing.look_at(origin.callback_of)

    def _tell_backend(self, job: JobRecord) -> None:
        self.ports.tell_backend(job, self.store.message(job.id))


def _job_of(result: EnqueueResult) -> JobRecord:
    return result.job
