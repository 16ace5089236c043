"""Closing an attempt: what it does once, and what it does when it comes late or without its start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.model.job import ErrorInfo, Progress
from celery_jobtrack.model.state import EventKind, JobState, Outcome, Reason
from celery_jobtrack.testing.steps import (
    OTHER_WORKER,
    WORKER,
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

ERROR = ErrorInfo(type="ValueError", message="bad 'tile' 🙈", traceback="Traceback …\nValueError: bad")


class ClosingContract:
    """``finish`` and ``record_progress``."""

    @pytest.mark.parametrize(
        ("outcome", "reason", "state"),
        [
            (Outcome.SUCCESS, None, JobState.SUCCESS),
            (Outcome.FAILURE, Reason.ERROR, JobState.FAILURE),
            (Outcome.FAILURE, Reason.TIMEOUT, JobState.FAILURE),
            (Outcome.FAILURE, Reason.REJECTED, JobState.FAILURE),
            (Outcome.REVOKED, Reason.TERMINATED, JobState.REVOKED),
            (Outcome.SKIPPED, Reason.IGNORED, JobState.SKIPPED),
            (Outcome.LOST, Reason.WORKER_LOST, JobState.FAILURE),
        ],
    )
    def test_finish_ends_the_job(
        self, store: Store, outcome: Outcome, reason: Reason | None, state: JobState
    ) -> None:
        start(store)
        before = store.now()
        done = finish(store, "job", "t1", outcome, reason=reason, error=ERROR)
        assert done.applied
        job = the_job(store)
        assert job == done.job
        assert (job.state, job.reason, job.error, job.token) == (state, reason, ERROR, None)
        assert job.finished_at is not None
        assert before <= job.finished_at <= store.now()
        (attempt,) = store.attempts("job")
        assert (attempt.outcome, attempt.error) == (outcome, ERROR)
        assert attempt.finished_at == job.finished_at

    def test_finish_repeated_changes_nothing(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        start(store, group_id="g")
        finish(store, group_id="g")
        before = the_job(store), list(store.attempts("job")), the_group(store)
        again = finish(store, group_id="g")
        assert not again.applied
        assert again.job == before[0]
        assert again.events == ()
        assert (the_job(store), list(store.attempts("job")), the_group(store)) == before

    def test_finish_differing_from_the_first_is_kept_as_late(self, store: Store) -> None:
        start(store)
        finish(store, "job", "t1", Outcome.LOST, reason=Reason.WORKER_LOST)
        late = finish(store, "job", "t1", Outcome.SUCCESS)
        assert not late.applied
        assert the_job(store).state is JobState.FAILURE
        (attempt,) = store.attempts("job")
        assert (attempt.outcome, attempt.late_outcome) == (Outcome.LOST, Outcome.SUCCESS)

    def test_finish_keeps_the_first_late_outcome(self, store: Store) -> None:
        start(store)
        finish(store, "job", "t1", Outcome.LOST)
        finish(store, "job", "t1", Outcome.SUCCESS)
        finish(store, "job", "t1", Outcome.FAILURE)
        assert store.attempts("job")[0].late_outcome is Outcome.SUCCESS

    def test_finish_of_a_lost_attempt_does_not_touch_the_next(self, store: Store) -> None:
        start(store, "job", "t1")
        finish(store, "job", "t1", Outcome.REQUEUED)
        start(store, "job", "t2", worker=OTHER_WORKER)
        assert not finish(store, "job", "t1", Outcome.SUCCESS).applied
        assert (the_job(store).state, the_job(store).token) == (JobState.STARTED, "t2")
        first, second = store.attempts("job")
        assert (first.late_outcome, second.outcome) == (Outcome.SUCCESS, None)

    def test_finish_that_gives_the_job_back_queues_it(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g", message=b"m")
        start(store, group_id="g")
        done = finish(store, "job", "t1", Outcome.REQUEUED, group_id="g")
        assert done.applied
        job = the_job(store)
        assert (job.state, job.token, job.finished_at, job.reason) == (JobState.ENQUEUED, None, None, None)
        assert store.message("job") == b"m"
        assert store.attempts("job")[0].outcome is Outcome.REQUEUED
        assert the_group(store).outstanding == 1
        second = start(store, "job", "t2", group_id="g")
        assert second.admitted
        assert finish(store, "job", "t2", group_id="g").applied
        assert (the_group(store).totals.total, the_group(store).totals.succeeded) == (1, 1)

    def test_finish_without_start_records_the_start_first(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        done = finish(store, group_id="g")
        assert done.applied
        assert the_job(store).state is JobState.SUCCESS
        assert the_job(store).attempts == 1
        (attempt,) = store.attempts("job")
        assert (attempt.number, attempt.worker_id, attempt.outcome) == (1, WORKER.id, Outcome.SUCCESS)
        assert [event.kind for event in done.events] == [EventKind.STARTED]
        assert the_group(store).is_over

    def test_finish_without_start_of_an_unknown_id_records_everything(self, store: Store) -> None:
        group(store)
        done = finish(store, "new", "t1", Outcome.FAILURE, group_id="g", error=ERROR)
        assert done.applied
        assert the_job(store, "new") == done.job
        assert the_job(store, "new").state is JobState.FAILURE
        assert (the_group(store).totals.total, the_group(store).totals.failed) == (1, 1)
        assert len(store.attempts("new")) == 1

    def test_finish_without_start_is_held_by_no_guard(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        enqueue(store, "b", group_id="g")
        store.cancel_group("g")
        assert finish(store, "a", "ta", group_id="g").applied
        assert the_job(store, "a").state is JobState.SUCCESS
        assert finish(store, "new", "tn", group_id="g").applied
        assert the_job(store, "new").state is JobState.SUCCESS
        assert (the_group(store).totals.total, the_group(store).totals.succeeded) == (2, 1)

    def test_finish_without_start_after_the_end_changes_nothing(self, store: Store) -> None:
        enqueue(store)
        settle(store, "job", JobState.REVOKED, Reason.TERMINATED)
        assert not finish(store).applied
        assert the_job(store).state is JobState.REVOKED

    def test_finish_without_start_beside_an_open_attempt_changes_nothing(self, store: Store) -> None:
        start(store, "job", "t1")
        assert not finish(store, "job", "t2").applied
        assert (the_job(store).state, the_job(store).token) == (JobState.STARTED, "t1")

    def test_start_after_its_own_finish_is_refused(self, store: Store) -> None:
        finish(store, "job", "t1")
        assert not start(store, "job", "t1").admitted
        assert the_job(store).attempts == 1

    def test_finish_of_an_older_retry_without_start_does_not_turn_retries_back(self, store: Store) -> None:
        start(store, "job", "t1")
        retry(store, "job", "t1", 1)
        finish(store, "job", "t0", Outcome.REQUEUED, retries=0)
        assert the_job(store).retries == 1

    def test_progress_belongs_to_the_open_attempt(self, store: Store) -> None:
        enqueue(store)
        half = Progress(current=5, total=10, text="tiles 🧩")
        assert not store.record_progress("job", "t1", half)
        start(store)
        assert store.record_progress("job", "t1", half)
        assert the_job(store).progress == half
        assert not store.record_progress("job", "t2", Progress(current=9, total=10))
        assert not store.record_progress("nobody", "t1", half)
        assert the_job(store).progress == half

    def test_progress_of_a_closed_attempt_is_refused(self, store: Store) -> None:
        start(store)
        store.record_progress("job", "t1", Progress(current=1))
        finish(store)
        assert not store.record_progress("job", "t1", Progress(current=2))
        assert the_job(store).progress == Progress(current=1)

    def test_progress_begins_anew_with_the_next_attempt(self, store: Store) -> None:
        start(store)
        store.record_progress("job", "t1", Progress(current=1))
        retry(store, "job", "t1", 1)
        start(store, "job", "t2", retries=1)
        assert the_job(store).progress is None

    def test_error_of_an_attempt_stays_with_it(self, store: Store) -> None:
        start(store)
        retry(store, "job", "t1", 1, error=ERROR)
        assert the_job(store).error == ERROR
        run(store, "job", retries=1)
        assert [attempt.error for attempt in store.attempts("job")] == [ERROR, None]
        assert the_job(store).error is None
