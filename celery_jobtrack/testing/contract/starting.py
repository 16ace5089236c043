"""Opening an attempt, and every reason not to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import EventKind, JobState, Outcome, Reason
from celery_jobtrack.testing.steps import (
    OTHER_WORKER,
    WORKER,
    batch,
    enqueue,
    finish,
    group,
    retry,
    run,
    settle,
    start,
    the_group,
    the_job,
)

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


class StartContract:
    """``start``: admission, its idempotency, its refusals."""

    def test_start_opens_an_attempt(self, store: Store) -> None:
        enqueue(store)
        before = store.now()
        result = start(store)
        assert result.admitted
        assert result.attempt is not None
        assert (result.attempt.token, result.attempt.number, result.attempt.job_id) == ("t1", 1, "job")
        assert (result.attempt.worker_id, result.attempt.worker) == (WORKER.id, WORKER.name)
        assert (result.attempt.pid, result.attempt.is_open) == (WORKER.pid, True)
        assert before <= result.attempt.started_at <= store.now()
        job = the_job(store)
        assert job == result.job
        assert (job.state, job.token, job.attempts) == (JobState.STARTED, "t1", 1)
        assert job.started_at == result.attempt.started_at
        assert list(store.attempts("job")) == [result.attempt]

    def test_start_repeated_with_its_token_is_the_same_start(self, store: Store) -> None:
        enqueue(store)
        first = start(store)
        again = start(store)
        assert again.admitted
        assert again.attempt == first.attempt
        assert again.job == first.job
        assert the_job(store).attempts == 1
        assert not the_job(store).copy_waiting

    def test_start_repeated_after_the_end_is_refused_as_closed(self, store: Store) -> None:
        run(store, "job")
        again = start(store, "job", "t-job")
        assert again.refusal is Refusal.CLOSED
        assert not again.admitted
        assert again.attempt is None
        assert again.job.state is JobState.SUCCESS

    @pytest.mark.parametrize(
        "outcome", [Outcome.SUCCESS, Outcome.FAILURE, Outcome.REVOKED, Outcome.SKIPPED, Outcome.LOST]
    )
    def test_start_of_a_final_job_is_refused_and_writes_nothing(self, store: Store, outcome: Outcome) -> None:
        run(store, "job", outcome)
        before = the_job(store)
        result = start(store, "job", "late", worker=OTHER_WORKER)
        assert result.refusal is Refusal.FINAL
        assert not result.settled
        assert the_job(store) == before
        assert len(store.attempts("job")) == 1

    def test_start_of_an_open_job_is_refused_and_remembered(self, store: Store) -> None:
        start(store, "job", "t1")
        result = start(store, "job", "t2", worker=OTHER_WORKER)
        assert result.refusal is Refusal.OPEN
        assert result.attempt is None
        assert not result.settled
        job = the_job(store)
        assert (job.copy_waiting, job.token, job.attempts) == (True, "t1", 1)
        assert [attempt.token for attempt in store.attempts("job")] == ["t1"]
        assert start(store, "job", "t3", worker=OTHER_WORKER).refusal is Refusal.OPEN

    def test_start_of_a_copy_is_forgotten_with_its_attempt(self, store: Store) -> None:
        start(store, "job", "t1")
        start(store, "job", "t2")
        finish(store, "job", "t1", Outcome.REQUEUED)
        assert not the_job(store).copy_waiting

    def test_start_of_an_older_retry_is_refused_as_stale(self, store: Store) -> None:
        start(store, "job", "t1")
        retry(store, "job", "t1", 1)
        assert start(store, "job", "old", retries=0).refusal is Refusal.STALE
        assert the_job(store).state is JobState.RETRY
        assert start(store, "job", "new", retries=1).admitted

    def test_start_of_an_older_retry_is_stale_while_a_newer_is_open(self, store: Store) -> None:
        start(store, "job", "t1")
        retry(store, "job", "t1", 1)
        start(store, "job", "t2", retries=1)
        assert start(store, "job", "old", retries=0).refusal is Refusal.STALE
        assert not the_job(store).copy_waiting

    def test_start_of_an_older_run_is_refused_as_stale(self, store: Store) -> None:
        enqueue(store, run=2)
        assert start(store, "job", "old", run=1, retries=3).refusal is Refusal.STALE
        assert start(store, "job", "new", run=2).admitted

    def test_start_of_a_job_flagged_while_it_ran_is_refused_for_good(self, store: Store) -> None:
        start(store, "job", "t1")
        store.request_cancel("job")
        retry(store, "job", "t1", 1)
        result = start(store, "job", "t2", retries=1)
        assert result.refusal is Refusal.CANCELLED
        assert result.settled
        job = the_job(store)
        assert (job.state, job.reason) == (JobState.REVOKED, Reason.CANCELLED)
        assert job == result.job
        assert job.finished_at is not None

    def test_start_after_expiry_is_refused_for_good(self, store: Store, clock: Clock) -> None:
        group(store)
        enqueue(store, group_id="g", expires_at=store.now() + timedelta(seconds=60))
        clock.advance(61)
        result = start(store, group_id="g")
        assert result.refusal is Refusal.EXPIRED
        assert result.settled
        assert (the_job(store).state, the_job(store).reason) == (JobState.REVOKED, Reason.EXPIRED)
        assert the_group(store).totals.revoked == 1
        assert the_group(store).is_over
        assert not store.attempts("job")

    def test_start_before_expiry_is_admitted(self, store: Store, clock: Clock) -> None:
        enqueue(store, expires_at=store.now() + timedelta(seconds=60))
        clock.advance(30)
        assert start(store).admitted

    def test_start_in_a_cancelled_group_is_refused_for_good(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        store.cancel_group("g")
        result = start(store, group_id="g")
        assert result.refusal is Refusal.GROUP_CANCELLED
        assert result.settled
        assert (the_job(store).state, the_job(store).reason) == (JobState.REVOKED, Reason.GROUP_CANCELLED)
        assert the_group(store).totals.revoked == 1

    def test_start_refused_for_good_twice_is_counted_once(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        enqueue(store, "b", group_id="g")
        store.cancel_group("g")
        start(store, "a", "t1", group_id="g")
        again = start(store, "a", "t1", group_id="g")
        assert again.refusal is Refusal.FINAL
        assert the_group(store).totals.revoked == 1
        assert not the_group(store).is_over

    def test_start_of_an_unknown_id_records_the_job(self, store: Store) -> None:
        group(store)
        result = start(store, "new", "t1", group_id="g", queue="high", tags=("red",), args="(1,)", retries=2)
        assert result.admitted
        job = the_job(store, "new")
        assert job == result.job
        assert (job.state, job.queue, job.tags, job.args) == (JobState.STARTED, "high", ("red",), "(1,)")
        assert (job.retries, job.enqueued_at, job.generation) == (2, None, 1)
        assert the_group(store).totals.total == 1
        assert [event.kind for event in result.events] == [EventKind.STARTED]

    def test_start_of_an_unknown_id_needs_no_group_to_be_known(self, store: Store) -> None:
        assert start(store, "new", "t1", group_id="nobody").admitted
        assert the_job(store, "new").generation is None
        assert finish(store, "new", "t1", group_id="nobody").applied

    def test_start_of_an_unknown_id_in_a_cancelled_group_is_refused(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        store.cancel_group("g")
        result = start(store, "new", "t1", group_id="g")
        assert result.refusal is Refusal.GROUP_CANCELLED
        assert (the_job(store, "new").state, the_job(store, "new").attempts) == (JobState.REVOKED, 0)
        assert (the_group(store).totals.total, the_group(store).totals.revoked) == (1, 0)

    def test_start_of_an_unknown_id_that_expired_is_refused(self, store: Store, clock: Clock) -> None:
        group(store)
        expires_at = store.now() + timedelta(seconds=60)
        clock.advance(61)
        result = start(store, "new", "t1", group_id="g", expires_at=expires_at)
        assert result.refusal is Refusal.EXPIRED
        assert result.settled
        assert the_job(store, "new").reason is Reason.EXPIRED
        assert (the_group(store).totals.total, the_group(store).totals.revoked) == (1, 1)
        assert the_group(store).is_over

    def test_start_of_an_unknown_id_in_a_completed_batch_runs_uncounted(self, store: Store) -> None:
        batch(store)
        store.seal_group("g")
        assert the_group(store).is_over
        assert start(store, "new", "t1", group_id="g").admitted
        finish(store, "new", "t1", group_id="g")
        assert (the_group(store).totals.total, the_group(store).totals.succeeded) == (0, 0)

    def test_start_again_clears_what_the_last_attempt_left(self, store: Store) -> None:
        start(store, "job", "t1")
        retry(store, "job", "t1", 1)
        second = start(store, "job", "t2", retries=1, worker=OTHER_WORKER)
        assert second.attempt is not None
        assert (second.attempt.number, second.attempt.retries) == (2, 1)
        job = the_job(store)
        assert (job.attempts, job.error, job.progress, job.retries) == (2, None, None, 1)

    def test_start_after_a_settlement_is_refused(self, store: Store) -> None:
        enqueue(store)
        settle(store, "job", JobState.REVOKED, Reason.TERMINATED)
        assert start(store).refusal is Refusal.FINAL

    def test_attempts_are_kept_in_their_order(self, store: Store) -> None:
        for number in range(12):
            start(store, "job", f"t{number}", retries=number)
            retry(store, "job", f"t{number}", number + 1)
        attempts = store.attempts("job")
        assert [attempt.token for attempt in attempts] == [f"t{number}" for number in range(12)]
        assert [attempt.number for attempt in attempts] == list(range(1, 13))
        assert {attempt.outcome for attempt in attempts} == {Outcome.RETRY}
        assert not store.attempts("nobody")
