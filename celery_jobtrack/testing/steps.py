"""The calls that a publisher and a worker make, as short as tests want them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.callback import Callback
from celery_jobtrack.model.group import GroupRecord
from celery_jobtrack.model.requests import (
    EnqueueRequest,
    FinishRequest,
    Origin,
    RedriveRequest,
    RetryRequest,
    SettleRequest,
    StartRequest,
    Worker,
)
from celery_jobtrack.model.state import REDRIVEN, CallbackKind, JobState, Outcome, Reason
from celery_jobtrack.strategies.contract import EVENT_CLAIM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celery_jobtrack.model.answers import EnqueueResult, Settled, StartResult
    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

WORKER = Worker(id="worker-1", name="celery@one", pid=11)
OTHER_WORKER = Worker(id="worker-2", name="celery@two", pid=22)
SOME_TIME = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""For fields that the store overwrites."""


def origin(job_id: str = "job", **more: Any) -> Origin:
    """What the message of a job says."""
    return Origin(job_id=job_id, **{"task": "shop.resize", "queue": "celery", **more})


def start_request(job_id: str, token: str, *, worker: Worker = WORKER, **more: Any) -> StartRequest:
    """A start, ready to be sent, or to be repeated by a finish."""
    return StartRequest(origin=origin(job_id, **more), token=token, worker=worker)


def enqueue(store: Store, job_id: str = "job", *, message: bytes | None = b"m", **more: Any) -> EnqueueResult:
    """Record a job as its publisher does."""
    return store.enqueue(EnqueueRequest(origin=origin(job_id, **more), message=message))


def enqueue_many(
    store: Store,
    job_ids: Iterable[str],
    *,
    message: bytes | None = b"m",
    published: bool = True,
    **more: Any,
) -> Sequence[EnqueueResult]:
    """Record a chunk of jobs as the publisher of many does."""
    return store.enqueue_many(
        [
            EnqueueRequest(origin=origin(job_id, **more), message=message, published=published)
            for job_id in job_ids
        ]
    )


def announce(store: Store, job_id: str = "job", **more: Any) -> EnqueueResult:
    """Record a job that has no message yet."""
    return store.enqueue(EnqueueRequest(origin=origin(job_id, **more), published=False))


def start(
    store: Store, job_id: str = "job", token: str = "t1", *, worker: Worker = WORKER, **more: Any
) -> StartResult:
    """Open an attempt."""
    return store.start(start_request(job_id, token, worker=worker, **more))


def finish(
    store: Store,
    job_id: str = "job",
    token: str = "t1",
    outcome: Outcome = Outcome.SUCCESS,
    *,
    reason: Reason | None = None,
    error: Any = None,
    result: bytes | None = None,
    worker: Worker = WORKER,
    **more: Any,
) -> Settled:
    """Close an attempt."""
    if outcome is Outcome.FAILURE and reason is None:
        reason = Reason.ERROR
    request = start_request(job_id, token, worker=worker, **more)
    return store.finish(
        FinishRequest(start=request, outcome=outcome, reason=reason, error=error, result=result)
    )


def retry(
    store: Store,
    job_id: str = "job",
    token: str = "t1",
    retries: int = 1,
    outcome: Outcome = Outcome.RETRY,
    *,
    message: bytes | None = None,
    error: Any = None,
    **more: Any,
) -> Settled:
    """Record that the next retry (or a replacement) is about to be published."""
    began = start_request(job_id, token, **{**more, "retries": max(0, retries - 1)})
    return store.retry(
        RetryRequest(
            start=began,
            origin=origin(job_id, **more, retries=retries),
            message=message,
            outcome=outcome,
            error=error,
        )
    )


def settle(
    store: Store,
    job_id: str = "job",
    state: JobState = JobState.REVOKED,
    reason: Reason | None = Reason.TERMINATED,
    *,
    guards: dict[str, Any] | None = None,
    **more: Any,
) -> Settled:
    """End a job from outside; ``guards`` are fields of the request, ``more`` of its origin."""
    return store.settle(
        SettleRequest(origin=origin(job_id, **more), state=state, reason=reason, **(guards or {}))
    )


def redrive(
    store: Store,
    job_id: str = "job",
    *,
    only_from: frozenset[JobState] = REDRIVEN,
    message: bytes | None = None,
    into: int | None = None,
) -> Settled:
    """Queue a job that did not succeed once more."""
    request = RedriveRequest(job_id=job_id, only_from=only_from, message=message, into=into)
    return store.redrive(request)


def callback(kind: CallbackKind, number: int = 0, *, every: int = 0) -> Callback:
    """A callback of a group."""
    return Callback(kind=kind, number=number, task="shop.tell", signature='{"task": "x"}', every=every)


def group(store: Store, group_id: str = "g", **more: Any) -> GroupRecord:
    """Record a group; a standing one unless told otherwise."""
    return store.create_group(
        GroupRecord(id=group_id, **{"title": group_id, "created_at": SOME_TIME, **more})
    )


def batch(store: Store, group_id: str = "g", **more: Any) -> GroupRecord:
    """Record a batch that is not sealed yet."""
    return group(store, group_id, **{"standing": False, **more})


def run(store: Store, job_id: str, outcome: Outcome = Outcome.SUCCESS, **more: Any) -> Settled:
    """Start a job and end it, with a token of its own for each of its runs."""
    token = f"t-{job_id}-{more['run']}" if "run" in more else f"t-{job_id}"
    start(store, job_id, token, **more)
    return finish(store, job_id, token, outcome, **more)


def the_job(store: Store, job_id: str = "job") -> JobRecord:
    """The job, which is there."""
    job = store.job(job_id)
    assert job is not None, f"job {job_id!r} is not recorded"
    return job


def the_group(store: Store, group_id: str = "g") -> GroupRecord:
    """The group, which is there."""
    record = store.group(group_id)
    assert record is not None, f"group {group_id!r} is not recorded"
    return record


def all_events(store: Store, clock: Clock, group_id: str | None = None) -> list[EventRecord]:
    """Deliver every event that is left, once every claim on one has run out, in the store's order."""
    clock.advance(EVENT_CLAIM + 1)
    delivered: list[EventRecord] = []
    waiting = list(store.claim_events("courier", group_id=group_id))
    while waiting:
        event = waiting.pop(0)
        delivered.append(event)
        waiting += store.acknowledge_event(event.id, "courier")
    return delivered


def unlike(record: GroupRecord, **changes: Any) -> GroupRecord:
    """The same group with other fields, for a second call with the same identity."""
    return replace(record, **changes)
