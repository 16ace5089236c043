"""Nothing grows for ever: when everything has ended and is old, a store can be pruned to nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.model.job import ErrorInfo, Progress
from celery_jobtrack.model.lock import Claim, OnConflict
from celery_jobtrack.model.requests import RequeueRequest
from celery_jobtrack.model.state import FINAL, JobState, Outcome, Reason
from celery_jobtrack.testing import Clock
from celery_jobtrack.testing.steps import (
    OTHER_WORKER,
    WORKER,
    all_events,
    batch,
    enqueue,
    finish,
    group,
    retry,
    run,
    settle,
    start,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.strategies.contract import Store
    from tests.contract.backends import Backend

LATER = timedelta(seconds=500)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fill_with_everything(store: Store, clock: Clock) -> None:
    """Every kind of row, and every way in which one comes about that another one then follows."""
    for worker in (WORKER, OTHER_WORKER):
        store.register_worker(worker, 45)
    _jobs_on_their_own(store)
    _standing_group(store, clock)
    _batches(store)
    _keys(store)
    store.observe(60, 45)
    store.acquire_lease("checker", "somebody", 30)


def _jobs_on_their_own(store: Store) -> None:
    enqueue(store, "tagged", tags=("a", "b"), args="(1,)")
    run(store, "tagged")
    enqueue(store, "retried")
    start(store, "retried", "r0")
    store.record_progress("retried", "r0", Progress(current=1, total=2, text="half"))
    retry(store, "retried", "r0", 1, message=b"again", error=ErrorInfo(type="OSError", message="no"))
    start(store, "retried", "r1", retries=1)
    finish(store, "retried", "r1", Outcome.FAILURE, retries=1)
    enqueue(store, "replaced")
    start(store, "replaced", "p0")
    finish(store, "replaced", "p0", Outcome.REPLACED)
    run(store, "replaced", Outcome.SKIPPED)
    enqueue(store, "requeued")
    start(store, "requeued", "q0")
    lost = ErrorInfo(type="WorkerLost", message="gone")
    store.requeue_lost(RequeueRequest(job_id="requeued", token="q0", error=lost))
    finish(store, "requeued", "q0")  # comes back, too late
    run(store, "requeued")
    enqueue(store, "cancelled", eta=store.now() + LATER)
    store.request_cancel("cancelled")
    enqueue(store, "expired", expires_at=store.now())
    settle(store, "expired", JobState.REVOKED, Reason.EXPIRED)
    settle(store, "unheard of", JobState.FAILURE, Reason.UNKNOWN_TASK, tags=("c",))
    start(store, "copied", "c0")
    start(store, "copied", "c1")
    store.request_cancel("copied")
    finish(store, "copied", "c0")


def _standing_group(store: Store, clock: Clock) -> None:
    group(store, "standing", key="nightly", payload={"a": 1})
    for generation in range(3):
        store.begin_filling("standing", "filler", 30)
        run(store, f"s{generation}", group_id="standing", tags=("s",))
        store.end_filling("standing", "filler")
        all_events(store, clock)
    store.begin_filling("standing", "crashed", 30)
    start(store, "s3", "s3", group_id="standing")
    retry(store, "s3", "s3", group_id="standing")
    start(store, "s3", "s3-1", group_id="standing", retries=1)
    finish(store, "s3", "s3-1", group_id="standing", retries=1)
    clock.advance(31)
    store.recompute_group("standing")


def _batches(store: Store) -> None:
    batch(store, "empty")
    store.seal_group("empty")
    batch(store, "stopped")
    enqueue(store, "b1", group_id="stopped")
    enqueue(store, "b2", group_id="stopped")
    start(store, "b1", "b1", group_id="stopped")
    store.cancel_group("stopped")
    settle(store, "b2", JobState.REVOKED, Reason.GROUP_CANCELLED)
    finish(store, "b1", "b1", group_id="stopped")
    batch(store, "unheard")
    run(store, "u", Outcome.FAILURE, group_id="unheard")
    store.seal_group("unheard", incomplete=True)


def _keys(store: Store) -> None:
    """Each way to stand at a key, and each way to leave it."""
    wait = {"claims": (Claim(key="first"), Claim(key="second", across_retries=False))}
    latest = {"claims": (Claim(key="second", on_conflict=OnConflict.LATEST),)}
    start(store, "k0", "k0", **wait)
    enqueue(store, "k1", **wait)
    enqueue(store, "k2", claims=wait["claims"][1:])
    retry(store, "k0", "k0", **wait)
    start(store, "k0", "k0-again", retries=1, **wait)  # parked: k2 was called
    store.unpark("k2")
    start(store, "k2", "k2", claims=wait["claims"][1:])
    enqueue(store, "k3", **latest)
    for job_id in store.superseded_jobs(10):
        settle(store, job_id, JobState.SKIPPED, Reason.OVERLAP)
    store.request_cancel("k1")
    store.release_lock("first")
    called = list(finish(store, "k2", "k2").called)
    while called:
        job_id = called.pop()
        store.unpark(job_id)
        start(store, job_id, f"{job_id}-last", retries=1, **latest)
        called += finish(store, job_id, f"{job_id}-last", Outcome.FAILURE).called


def give_up_an_event(store: Store, clock: Clock) -> None:
    clock.advance(1000)
    (event,) = store.claim_events("courier", group_id="unheard")
    store.postpone_event(event.id, "ValueError: no", seconds=None)


def until_nothing_is_left(prune: Callable[[], int]) -> int:
    pruned = 0
    while found := prune():
        pruned += found
    return pruned


def test_everything_that_is_old_can_be_pruned(backend: Backend, clock: Clock) -> None:
    with backend.fresh(clock) as store:
        fill_with_everything(store, clock)
        give_up_an_event(store, clock)
        all_events(store, clock)
        held = backend.remains(store)
        assert len(held) >= 7, held
        clock.advance(1000)
        now = store.now()
        jobs = sum(until_nothing_is_left(lambda s=state: store.prune_jobs(s, now, 3)) for state in FINAL)
        assert jobs == 19
        assert until_nothing_is_left(lambda: store.prune_groups(now, 2)) == 4
        assert until_nothing_is_left(lambda: store.prune_workers(now, 1)) == 2
        assert until_nothing_is_left(lambda: store.prune_locks(now, 1)) == 2
        assert backend.remains(store) == {}


def test_nothing_is_pruned_of_what_is_young(backend: Backend, clock: Clock) -> None:
    with backend.fresh(clock) as store:
        begin = store.now()
        fill_with_everything(store, clock)
        held = backend.remains(store)
        assert not any(store.prune_jobs(state, begin, 100) for state in FINAL)
        assert store.prune_groups(begin, 100) == store.prune_workers(begin, 100) == 0
        assert store.prune_locks(begin, 100) == 0
        assert backend.remains(store) == held
