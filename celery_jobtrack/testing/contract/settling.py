"""Ending a job from outside its attempt, and asking for its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.errors import UnknownJob
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.testing.steps import (
    OTHER_WORKER,
    WORKER,
    enqueue,
    finish,
    group,
    redrive,
    retry,
    run,
    settle,
    start,
    the_group,
    the_job,
)

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store

ERROR = ErrorInfo(type="TimeLimitExceeded", message="300")


class SettleContract:
    """``settle`` under its guards, and ``request_cancel``."""

    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            (JobState.FAILURE, Reason.PUBLISH_FAILED),
            (JobState.FAILURE, Reason.UNKNOWN_TASK),
            (JobState.REVOKED, Reason.EXPIRED),
            (JobState.SKIPPED, Reason.OVERLAP),
        ],
    )
    def test_settle_ends_a_queued_job(self, store: Store, state: JobState, reason: Reason) -> None:
        group(store)
        enqueue(store, group_id="g")
        done = settle(store, "job", state, reason, guards={"error": ERROR})
        assert done.applied
        job = the_job(store)
        assert job == done.job
        assert (job.state, job.reason, job.error) == (state, reason, ERROR)
        assert job.finished_at is not None
        assert the_group(store).totals.final == 1
        assert the_group(store).is_over

    def test_settle_ends_a_job_that_waits_for_its_retry(self, store: Store) -> None:
        start(store)
        retry(store)
        assert settle(store).applied
        assert the_job(store).state is JobState.REVOKED

    def test_settle_repeated_changes_nothing(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        enqueue(store, "b", group_id="g")
        settle(store, "a")
        before = the_job(store, "a"), the_group(store)
        again = settle(store, "a", JobState.FAILURE, Reason.ERROR)
        assert not again.applied
        assert again.events == ()
        assert (the_job(store, "a"), the_group(store)) == before

    def test_settle_never_changes_a_final_job(self, store: Store) -> None:
        run(store, "job")
        assert not settle(store).applied
        assert the_job(store).state is JobState.SUCCESS

    def test_settle_leaves_an_open_attempt_alone(self, store: Store) -> None:
        start(store)
        assert not settle(store).applied
        assert (the_job(store).state, the_job(store).token) == (JobState.STARTED, "t1")

    def test_settle_is_guarded_by_the_state(self, store: Store) -> None:
        enqueue(store)
        only_retry = {"only_from": frozenset({JobState.RETRY})}
        assert not settle(store, guards=only_retry).applied
        assert the_job(store).state is JobState.ENQUEUED
        start(store)
        retry(store)
        assert settle(store, guards=only_retry).applied

    def test_settle_by_the_worker_closes_its_attempt(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        start(store, group_id="g")
        done = settle(
            store,
            "job",
            JobState.FAILURE,
            Reason.TIMEOUT,
            guards={"worker_id": WORKER.id, "error": ERROR},
        )
        assert done.applied
        job = the_job(store)
        assert (job.state, job.reason, job.token) == (JobState.FAILURE, Reason.TIMEOUT, None)
        (attempt,) = store.attempts("job")
        assert (attempt.outcome, attempt.error) == (Outcome.FAILURE, ERROR)
        assert attempt.finished_at is not None
        assert the_group(store).totals.failed == 1

    def test_settle_by_another_worker_is_refused(self, store: Store) -> None:
        start(store)
        assert not settle(store, guards={"worker_id": OTHER_WORKER.id}).applied
        assert the_job(store).token == "t1"

    def test_settle_by_the_worker_of_another_retry_is_refused(self, store: Store) -> None:
        start(store)
        retry(store)
        start(store, "job", "t2", retries=1)
        assert not settle(store, retries=0, guards={"worker_id": WORKER.id}).applied
        assert the_job(store).token == "t2"
        assert settle(store, retries=1, guards={"worker_id": WORKER.id}).applied

    def test_settle_by_the_worker_of_an_earlier_try_is_refused_while_the_next_waits(
        self, store: Store
    ) -> None:
        start(store)
        retry(store)
        assert not settle(store, retries=0, guards={"worker_id": WORKER.id}).applied
        assert the_job(store).state is JobState.RETRY
        assert settle(store, retries=1, guards={"worker_id": WORKER.id}).applied

    def test_settle_by_token_closes_that_attempt_only(self, store: Store) -> None:
        start(store, "job", "t1")
        assert not settle(store, guards={"token": "t0", "worker_id": WORKER.id}).applied
        assert settle(store, guards={"token": "t1"}).applied
        assert the_job(store).state is JobState.REVOKED

    def test_settle_says_how_the_attempt_was_closed(self, store: Store) -> None:
        start(store)
        settle(
            store,
            "job",
            JobState.FAILURE,
            Reason.WORKER_LOST,
            guards={"token": "t1", "outcome": Outcome.LOST},
        )
        (attempt,) = store.attempts("job")
        assert attempt.outcome is Outcome.LOST
        finish(store)
        assert store.attempts("job")[0].late_outcome is Outcome.SUCCESS
        assert the_job(store).state is JobState.FAILURE

    def test_settle_of_an_unknown_id_records_it(self, store: Store) -> None:
        group(store)
        done = settle(store, "new", JobState.FAILURE, Reason.UNKNOWN_TASK, group_id="g", queue="high")
        assert done.applied
        job = the_job(store, "new")
        assert job == done.job
        assert (job.state, job.reason, job.queue) == (JobState.FAILURE, Reason.UNKNOWN_TASK, "high")
        assert (the_group(store).totals.total, the_group(store).totals.failed) == (1, 1)
        assert the_group(store).is_over

    def test_settle_of_an_unknown_id_may_be_declined(self, store: Store) -> None:
        done = settle(store, "new", guards={"record_unknown": False})
        assert not done.applied
        assert done.job is None
        assert store.job("new") is None

    def test_settle_of_an_unknown_id_in_a_cancelled_group_is_not_counted(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        store.cancel_group("g")
        assert settle(store, "new", group_id="g").applied
        assert the_group(store).totals.total == 1

    def test_message_of_an_earlier_run_ends_nothing(self, store: Store) -> None:
        """A worker may hold a message until its eta; the job may have ended meanwhile, and run again."""
        enqueue(store)
        settle(store)
        redrive(store)
        assert not settle(store, guards={"run": 1}).applied
        assert the_job(store).state is JobState.ENQUEUED
        start(store, run=2)
        assert not settle(store, guards={"run": 1, "worker_id": "worker-1"}).applied
        assert the_job(store).state is JobState.STARTED
        assert settle(store, guards={"run": 2, "worker_id": "worker-1"}).applied

    def test_cancel_ends_a_queued_job(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        done = store.request_cancel("job")
        assert done.applied
        assert (the_job(store).state, the_job(store).reason) == (JobState.REVOKED, Reason.CANCELLED)
        assert the_group(store).totals.revoked == 1

    def test_cancel_ends_a_job_that_waits_for_its_retry(self, store: Store) -> None:
        start(store)
        retry(store)
        assert store.request_cancel("job").applied
        assert the_job(store).state is JobState.REVOKED

    def test_cancel_flags_a_running_job(self, store: Store) -> None:
        start(store)
        done = store.request_cancel("job")
        assert not done.applied
        assert done.job is not None
        assert done.job.cancel_requested
        assert the_job(store).cancel_requested
        assert the_job(store).state is JobState.STARTED
        assert finish(store).applied
        assert the_job(store).state is JobState.SUCCESS

    def test_cancel_of_a_final_job_changes_nothing(self, store: Store) -> None:
        run(store, "job")
        before = the_job(store)
        assert not store.request_cancel("job").applied
        assert the_job(store) == before

    def test_cancel_of_an_unknown_job_is_an_error(self, store: Store) -> None:
        with pytest.raises(UnknownJob):
            store.request_cancel("nobody")
        assert store.job("nobody") is None
