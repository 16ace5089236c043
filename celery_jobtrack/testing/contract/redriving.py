"""A job that did not succeed runs again under its own id."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.errors import GroupCancelled, UnknownJob
from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.job import ErrorInfo, Progress
from celery_jobtrack.model.requests import JobQuery, Refusal
from celery_jobtrack.model.state import EventKind, GroupState, JobState, Outcome, Reason
from celery_jobtrack.testing.steps import (
    all_events,
    batch,
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
    from celery_jobtrack.testing.clock import Clock

BOOM = ErrorInfo(type="Boom", message="no")


class RedriveContract:
    """``redrive``: the job, its messages, and what its group counts."""

    def test_redriven_job_is_a_new_run_with_all_its_retries(self, store: Store, clock: Clock) -> None:
        enqueue(store, message=b"kept", args="(1,)", max_retries=3)
        start(store)
        store.record_progress("job", "t1", Progress(current=1, total=2, text="half"))
        retry(store, message=b"retried")
        start(store, token="t2", retries=1)
        finish(store, token="t2", outcome=Outcome.FAILURE, error=BOOM, retries=1)
        before = the_job(store)
        clock.advance(5)
        result = redrive(store)
        assert result.applied
        job = the_job(store)
        assert result.job == job
        assert (job.state, job.run, job.retries, job.attempts) == (JobState.ENQUEUED, 2, 0, 2)
        assert (job.reason, job.error, job.progress, job.finished_at) == (None, None, None, None)
        assert (job.args, job.max_retries, job.enqueued_at) == ("(1,)", 3, before.enqueued_at)
        assert job.published_at is not None
        assert before.finished_at is not None
        assert job.published_at > before.finished_at
        assert store.message("job") == b"retried"
        assert [attempt.error for attempt in store.attempts("job")] == [None, BOOM]

    def test_redriven_job_runs_and_its_old_messages_do_not(self, store: Store) -> None:
        enqueue(store)
        finish(store, outcome=Outcome.FAILURE)
        redrive(store)
        assert start(store, token="old", retries=4).refusal is Refusal.STALE
        assert start(store, token="new", run=2).admitted
        finish(store, token="new", run=2)
        job = the_job(store)
        assert (job.state, job.run, job.attempts) == (JobState.SUCCESS, 2, 2)
        assert [attempt.run for attempt in store.attempts("job")] == [1, 2]
        assert store.message("job") is None

    def test_redrive_may_bring_another_message(self, store: Store) -> None:
        enqueue(store, message=b"old")
        finish(store, outcome=Outcome.FAILURE)
        redrive(store, message=b"new")
        assert store.message("job") == b"new"

    def test_job_is_redriven_from_where_it_did_not_succeed_only(self, store: Store) -> None:
        states = {
            "failed": Outcome.FAILURE,
            "revoked": Outcome.REVOKED,
            "skipped": Outcome.SKIPPED,
            "done": Outcome.SUCCESS,
        }
        for job_id, outcome in states.items():
            enqueue(store, job_id)
            run(store, job_id, outcome)
        enqueue(store, "queued")
        enqueue(store, "running")
        start(store, "running", "tr")
        everything = frozenset(JobState)
        applied = [
            job_id
            for job_id in [*states, "queued", "running"]
            if redrive(store, job_id, only_from=everything).applied
        ]
        assert applied == ["failed", "revoked", "skipped"]
        assert not redrive(store, "failed").applied, "it is queued already"
        assert the_job(store, "failed").run == 2
        assert the_job(store, "done").state is JobState.SUCCESS
        assert the_job(store, "running").token == "tr"

    def test_redrive_is_for_the_states_that_are_asked_for(self, store: Store) -> None:
        enqueue(store)
        finish(store, outcome=Outcome.FAILURE)
        only = frozenset({JobState.REVOKED, JobState.SKIPPED})
        result = redrive(store, only_from=only)
        assert (result.applied, result.job) == (False, the_job(store))
        assert the_job(store).state is JobState.FAILURE
        assert redrive(store, only_from=frozenset({JobState.FAILURE})).applied

    def test_unknown_job_cannot_run_again(self, store: Store) -> None:
        with pytest.raises(UnknownJob, match="nobody"):
            redrive(store, "nobody")

    def test_what_ended_a_job_does_not_end_it_again(self, store: Store, clock: Clock) -> None:
        soon = store.now() + timedelta(seconds=5)
        enqueue(store, "expired", expires_at=soon, eta=soon)
        enqueue(store, "cancelled")
        start(store, "cancelled", "tc")
        store.request_cancel("cancelled")
        finish(store, "cancelled", "tc", Outcome.REVOKED, reason=Reason.TERMINATED)
        clock.advance(10)
        assert start(store, "expired", "te").refusal is Refusal.EXPIRED
        for job_id in ("expired", "cancelled"):
            redrive(store, job_id)
            job = the_job(store, job_id)
            assert (job.eta, job.expires_at, job.cancel_requested) == (None, None, False)
            assert start(store, job_id, f"again-{job_id}", run=2).admitted
        assert store.expired_jobs(10) == []

    def test_redriven_job_is_listed_and_counted_where_it_is(self, store: Store, clock: Clock) -> None:
        for job_id in ("a", "b"):
            enqueue(store, job_id, queue="q")
            run(store, job_id, Outcome.FAILURE)
        redrive(store, "a")
        assert [job.id for job in store.jobs(JobQuery(state=JobState.FAILURE)).items] == ["b"]
        assert [job.id for job in store.jobs(JobQuery(state=JobState.ENQUEUED)).items] == ["a"]
        assert store.counts() == {JobState.FAILURE: 1, JobState.ENQUEUED: 1}
        clock.advance(10)
        assert [job.id for job in store.overdue_jobs("q", store.now(), 10)] == ["a"]

    def test_redriven_job_is_as_old_as_its_last_end(self, store: Store, clock: Clock) -> None:
        enqueue(store)
        finish(store, outcome=Outcome.FAILURE)
        clock.advance(10)
        limit = store.now()
        redrive(store)
        clock.advance(10)
        assert store.prune_jobs(JobState.FAILURE, store.now(), 10) == 0
        run(store, "job", Outcome.FAILURE, run=2)
        assert store.prune_jobs(JobState.FAILURE, limit, 10) == 0
        clock.advance(1)
        assert store.prune_jobs(JobState.FAILURE, store.now(), 10) == 1
        assert store.counts() == {}

    def test_redriven_member_is_outstanding_again(self, store: Store) -> None:
        batch(store)
        for job_id in ("a", "b"):
            enqueue(store, job_id, group_id="g")
        store.seal_group("g")
        run(store, "a", Outcome.REVOKED, group_id="g")
        redrive(store, "a")
        status = store.group_status("g")
        assert status is not None
        assert (status.enqueued, status.revoked, status.total) == (2, 0, 2)
        run(store, "b", group_id="g")
        assert not the_group(store).is_over
        assert the_job(store, "a").generation == 1
        run(store, "a", group_id="g", run=2)
        record = the_group(store)
        assert (record.is_over, record.generation) == (True, 1)
        assert record.totals == Totals(total=2, succeeded=2)

    def test_redrive_reopens_a_batch_with_its_numbers(self, store: Store, clock: Clock) -> None:
        batch(store)
        for job_id, outcome in (("a", Outcome.FAILURE), ("b", Outcome.SUCCESS), ("c", Outcome.REVOKED)):
            enqueue(store, job_id, group_id="g")
            run(store, job_id, outcome, group_id="g")
        store.seal_group("g")
        ids = {event.id for event in all_events(store, clock)}
        redrive(store, "a")
        record = the_group(store)
        assert (record.generation, record.base_generation, record.state) == (2, 1, GroupState.AWAITING)
        assert (record.started_at, record.completed_at, record.first_failure) == (None, None, None)
        assert record.totals == Totals(total=3, succeeded=1, revoked=1)
        assert record.earlier == Totals()
        assert the_job(store, "a").generation == 1
        redrive(store, "c")
        assert the_group(store).generation == 2
        assert store.recompute_group("g").repaired is None
        for job_id in ("a", "c"):
            run(store, job_id, group_id="g", run=2)
        record = the_group(store)
        assert (record.is_over, record.totals) == (True, Totals(total=3, succeeded=3))
        events = all_events(store, clock)
        assert [(event.generation, event.kind) for event in events] == [
            (2, EventKind.STARTED),
            (2, EventKind.COMPLETED),
        ]
        assert not ids & {event.id for event in events}

    def test_batch_can_be_redriven_again_and_again(self, store: Store) -> None:
        batch(store)
        for job_id in ("a", "b"):
            enqueue(store, job_id, group_id="g")
            run(store, job_id, Outcome.FAILURE, group_id="g")
        store.seal_group("g")
        for number in (2, 3, 4):
            for job_id in ("a", "b"):
                assert redrive(store, job_id).applied
            for job_id in ("a", "b"):
                run(store, job_id, Outcome.FAILURE, group_id="g", run=number)
            record = the_group(store)
            assert (record.generation, record.base_generation) == (number, 1)
            assert (record.is_over, record.totals) == (True, Totals(total=2, failed=2))
            assert record.first_failure == "a"
        assert len(store.attempts("a")) == 4

    def test_redrive_into_a_completed_standing_group_begins_a_generation(self, store: Store) -> None:
        group(store)
        run(store, "a", Outcome.FAILURE, group_id="g")
        redrive(store, "a")
        record = the_group(store)
        assert (record.generation, record.base_generation) == (2, 2)
        assert (record.totals, record.earlier) == (Totals(total=1), Totals(total=1, failed=1))
        assert the_job(store, "a").generation == 2
        assert store.recompute_group("g").repaired is None
        run(store, "a", group_id="g", run=2)
        assert the_group(store).totals == Totals(total=1, succeeded=1)
        assert the_group(store).is_over

    def test_redriven_member_of_an_earlier_generation_joins_the_present_one(self, store: Store) -> None:
        group(store)
        for number in range(130):  # past a page of an index
            run(store, f"old-{number}", Outcome.FAILURE if number == 3 else Outcome.SUCCESS, group_id="g")
        enqueue(store, "new", group_id="g")
        redrive(store, "old-3")
        record = the_group(store)
        assert (record.generation, record.totals) == (131, Totals(total=2))
        assert the_job(store, "old-3").generation == 131
        assert store.recompute_group("g").repaired is None
        run(store, "new", group_id="g")
        assert not the_group(store).is_over
        run(store, "old-3", group_id="g", run=2)
        assert the_group(store).totals == Totals(total=2, succeeded=2)
        assert [job.id for job in store.members("g", 5).items] == [f"old-{number}" for number in range(5)]

    def test_member_of_a_group_that_is_being_cancelled_cannot_run_again(self, store: Store) -> None:
        batch(store)
        enqueue(store, "a", group_id="g")
        enqueue(store, "b", group_id="g")
        run(store, "a", Outcome.FAILURE, group_id="g")
        start(store, "b", "tb", group_id="g")
        store.cancel_group("g")
        with pytest.raises(GroupCancelled, match="is being cancelled"):
            redrive(store, "a")
        assert the_job(store, "a").state is JobState.FAILURE
        finish(store, "b", "tb", Outcome.REVOKED, group_id="g")
        assert redrive(store, "a").applied
        record = the_group(store)
        assert (record.state, record.generation) == (GroupState.AWAITING, 2)
        assert record.totals == Totals(total=2, revoked=1)
        assert start(store, "a", "again", group_id="g", run=2).admitted
        assert store.cancelled_groups(10) == []

    def test_member_runs_again_in_the_generation_that_is_asked_for_or_not_at_all(self, store: Store) -> None:
        batch(store, cancels_on_failure=True)
        for job_id in "ab":
            enqueue(store, job_id, group_id="g")
        store.seal_group("g")
        run(store, "a", Outcome.FAILURE, group_id="g")
        settle(store, "b", JobState.REVOKED, Reason.GROUP_CANCELLED)
        assert not redrive(store, "a", into=1).applied, "that one is over"
        assert not redrive(store, "a", into=3).applied
        assert redrive(store, "a", into=2).applied
        assert not redrive(store, "b", into=3).applied
        run(store, "a", Outcome.FAILURE, group_id="g", run=2)
        assert not redrive(store, "b", into=2).applied, "its failure has ended that one"
        assert the_job(store, "b").state is JobState.REVOKED
        record = the_group(store)
        assert (record.generation, record.is_over) == (2, True)
        assert redrive(store, "b").applied
        assert the_group(store).generation == 3

    def test_member_of_no_group_runs_again_whatever_generation_is_asked_for(self, store: Store) -> None:
        run(store, "a", Outcome.FAILURE)
        assert redrive(store, "a", into=7).applied

    def test_member_that_was_not_counted_is_when_it_runs_again(self, store: Store) -> None:
        batch(store)
        enqueue(store, "a", group_id="g")
        store.cancel_group("g")
        assert start(store, "late", "tl", group_id="g").refusal is Refusal.GROUP_CANCELLED
        settle(store, "a", JobState.REVOKED, Reason.GROUP_CANCELLED)
        assert the_group(store).totals == Totals(total=1, revoked=1)
        assert the_job(store, "late").generation is None
        redrive(store, "late")
        assert the_group(store).totals == Totals(total=2, revoked=1)
        assert the_job(store, "late").generation == 2
        assert store.recompute_group("g").repaired is None

    def test_redriven_member_keeps_its_group_due_for_checks(self, store: Store, clock: Clock) -> None:
        batch(store, time_to_check=30.0)
        run(store, "a", Outcome.FAILURE, group_id="g")
        store.seal_group("g")
        assert the_group(store).next_check_at is None
        redrive(store, "a")
        clock.advance(31)
        assert list(store.due_groups(10)) == ["g"]
