"""A lost attempt whose job may be run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import FinishRequest, Refusal, RequeueRequest, StartRequest
from celery_jobtrack.model.state import JobState, Outcome
from celery_jobtrack.testing.steps import (
    WORKER,
    enqueue,
    finish,
    group,
    origin,
    run,
    start,
    the_group,
    the_job,
)

if TYPE_CHECKING:
    from celery_jobtrack.model.answers import Settled
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

LOST = ErrorInfo(type="WorkerLost", message="killed")


def requeue(store: Store, job_id: str = "job", token: str = "t1") -> Settled:
    """Give an attempt up and queue its job again."""
    return store.requeue_lost(RequeueRequest(job_id=job_id, token=token, error=LOST))


class RequeueContract:
    """``requeue_lost``, and what an attempt says of it."""

    def test_attempt_keeps_whether_it_may_run_again(self, store: Store) -> None:
        enqueue(store, "a")
        start(store, "a", "ta")
        request = StartRequest(origin=origin("b"), token="tb", worker=WORKER, reruns=True)
        assert store.start(request).admitted
        never_started = StartRequest(origin=origin("c"), token="tc", worker=WORKER, reruns=True)
        store.finish(FinishRequest(start=never_started, outcome=Outcome.SUCCESS))
        assert [store.attempts(job_id)[0].reruns for job_id in "abc"] == [False, True, True]

    def test_requeued_job_is_queued_again_and_keeps_its_message(self, store: Store, clock: Clock) -> None:
        enqueue(store, message=b"kept")
        start(store)
        clock.advance(5)
        result = requeue(store)
        assert result.applied
        job = the_job(store)
        assert result.job == job
        assert (job.state, job.token, job.error, job.finished_at) == (JobState.ENQUEUED, None, None, None)
        assert job.published_at is not None
        assert job.started_at is not None
        assert job.published_at > job.started_at
        (attempt,) = store.attempts("job")
        assert (attempt.outcome, attempt.error) == (Outcome.LOST, LOST)
        assert attempt.finished_at is not None
        assert store.message("job") == b"kept"

    def test_requeued_job_runs_again(self, store: Store) -> None:
        enqueue(store)
        start(store)
        requeue(store)
        assert start(store, token="t2").admitted
        finish(store, token="t2")
        assert the_job(store).state is JobState.SUCCESS
        assert [attempt.outcome for attempt in store.attempts("job")] == [Outcome.LOST, Outcome.SUCCESS]

    def test_requeue_of_an_attempt_that_is_not_open_changes_nothing(self, store: Store) -> None:
        enqueue(store)
        start(store)
        assert not requeue(store, token="other").applied
        assert not requeue(store, "unknown").applied
        assert requeue(store).applied
        assert not requeue(store).applied
        start(store, token="t2")
        assert not requeue(store).applied
        finish(store, token="t2")
        assert not requeue(store, token="t2").applied
        assert the_job(store).state is JobState.SUCCESS

    def test_job_that_shall_be_cancelled_is_not_requeued(self, store: Store) -> None:
        enqueue(store)
        start(store)
        store.request_cancel("job")
        assert not requeue(store).applied
        assert the_job(store).state is JobState.STARTED

    def test_waiting_copy_is_forgotten_with_the_attempt(self, store: Store) -> None:
        enqueue(store)
        start(store)
        assert start(store, token="t2").refusal is Refusal.OPEN
        assert the_job(store).copy_waiting
        requeue(store)
        assert not the_job(store).copy_waiting

    def test_true_outcome_that_comes_late_is_kept(self, store: Store) -> None:
        enqueue(store)
        start(store)
        requeue(store)
        assert not finish(store).applied
        assert store.attempts("job")[0].late_outcome is Outcome.SUCCESS
        assert the_job(store).state is JobState.ENQUEUED

    def test_requeued_member_stays_outstanding(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        enqueue(store, "b", group_id="g")
        run(store, "b", group_id="g")
        start(store, "a", "ta", group_id="g")
        requeue(store, "a", "ta")
        status = store.group_status("g")
        assert status is not None
        assert (status.enqueued, status.started, status.succeeded) == (1, 0, 1)
        assert the_group(store).outstanding == 1
        start(store, "a", "tb", group_id="g")
        finish(store, "a", "tb")
        assert the_group(store).is_over
        assert the_group(store).totals.total == 2
