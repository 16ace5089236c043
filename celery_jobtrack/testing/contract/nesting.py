"""Groups within groups, and members that have no message of their own yet."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import GroupOutcome, JobState, Outcome, Reason
from celery_jobtrack.testing.steps import (
    announce,
    batch,
    enqueue,
    enqueue_many,
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


class NestingContract:
    """``Origin.within``, jobs that are recorded unpublished, and the member that stands for a group."""

    def test_job_within_a_cancelled_group_does_not_start(self, store: Store) -> None:
        for group_id in ("outer", "inner", "well"):
            group(store, group_id)
        for job_id in ("member", "known", "free"):
            enqueue(store, job_id, group_id="inner" if job_id == "member" else None)
        enqueue(store, "other", group_id="outer")
        store.cancel_group("outer")
        for job_id in ("known", "unknown"):
            result = start(store, job_id, f"t-{job_id}", within=("well", "outer"))
            assert (result.refusal, result.settled) == (Refusal.GROUP_CANCELLED, True)
            job = the_job(store, job_id)
            assert (job.state, job.reason) == (JobState.REVOKED, Reason.GROUP_CANCELLED)
        result = start(store, "member", "tm", group_id="inner", within=("outer",))
        assert (result.refusal, result.settled) == (Refusal.GROUP_CANCELLED, True)
        assert the_group(store, "inner").totals == Totals(total=1, revoked=1)
        assert the_group(store, "outer").totals == Totals(total=1)
        assert start(store, "free", "tf", within=("well", "nobody")).admitted

    def test_job_within_a_group_is_not_counted_in_it(self, store: Store) -> None:
        group(store)
        run(store, "job", within=("g",))
        assert the_group(store).totals == Totals()
        assert the_job(store).state is JobState.SUCCESS

    def test_job_within_a_cancelled_group_may_finish_what_it_began(self, store: Store) -> None:
        group(store)
        enqueue(store, "other", group_id="g")
        start(store, within=("g",))
        store.cancel_group("g")
        assert retry(store, within=("g",)).applied
        assert start(store, token="t2", retries=1, within=("g",)).refusal is Refusal.GROUP_CANCELLED
        finish(store, "never told", "tn", within=("g",))
        assert the_job(store, "never told").state is JobState.SUCCESS

    def test_unpublished_job_is_counted_and_waits_for_its_message(self, store: Store, clock: Clock) -> None:
        batch(store)
        assert announce(store, "a", group_id="g").created
        store.seal_group("g")
        job = the_job(store, "a")
        assert (job.state, job.published_at, job.generation) == (JobState.ENQUEUED, None, 1)
        assert job.enqueued_at is not None
        assert store.message("a") is None
        clock.advance(100)
        assert store.overdue_queues(store.now()) == []
        assert the_group(store).outstanding == 1
        assert not announce(store, "a", group_id="g").created
        assert the_job(store, "a") == job
        assert not enqueue(store, "a", group_id="g", message=b"at last").created
        assert the_job(store, "a").published_at is not None
        assert store.message("a") == b"at last"
        clock.advance(1)
        assert [job.id for job in store.overdue_jobs("celery", store.now(), 10)] == ["a"]
        run(store, "a", group_id="g")
        assert the_group(store).is_over
        assert the_group(store).totals == Totals(total=1, succeeded=1)

    def test_unpublished_job_learns_what_its_message_says(self, store: Store, clock: Clock) -> None:
        expires_at = store.now() + timedelta(minutes=5)
        batch(store)
        announce(store, "a", group_id="g", queue=None, root_id="first")
        more: dict[str, Any] = {"queue": "high", "args": "(1,)", "parent_id": "one", "expires_at": expires_at}
        enqueue(store, "a", group_id="g", root_id="other", **more)
        job = the_job(store, "a")
        assert {name: getattr(job, name) for name in more} == more
        assert job.root_id == "first"
        clock.advance(1)
        assert store.overdue_queues(store.now()) == ["high"]
        clock.advance(600)
        assert [job.id for job in store.expired_jobs(10)] == ["a"]

    def test_unpublished_job_is_left_as_it_is_by_a_chunk(self, store: Store) -> None:
        batch(store)
        results = enqueue_many(store, ["a", "b"], group_id="g", message=None, published=False)
        assert [result.job.published_at for result in results] == [None, None]
        assert not enqueue_many(store, ["a"], group_id="g")[0].created
        assert the_job(store, "a").published_at is None

    def test_unpublished_job_ends_as_any_other(self, store: Store) -> None:
        batch(store)
        for job_id in "abc":
            announce(store, job_id, group_id="g")
        store.seal_group("g")
        assert store.request_cancel("a").applied
        assert settle(store, "b", JobState.FAILURE, Reason.ERROR).applied
        assert start(store, "c", "tc", group_id="g").admitted
        finish(store, "c", "tc", Outcome.FAILURE, group_id="g")
        assert the_group(store).totals == Totals(total=3, failed=2, revoked=1)
        assert the_group(store).is_over

    def test_member_that_is_a_group_is_settled_as_that_ends(self, store: Store) -> None:
        batch(store, "parent")
        batch(store, "child", parent_id="parent")
        announce(store, "child", task="celery_jobtrack.group", group_id="parent")
        store.seal_group("parent")
        result = settle(store, "child", JobState.SUCCESS, None, guards={"record_unknown": False})
        assert result.applied
        job = the_job(store, "child")
        assert (job.state, job.reason, job.attempts) == (JobState.SUCCESS, None, 0)
        assert job.finished_at is not None
        record = the_group(store, "parent")
        assert (record.is_over, record.outcome) == (True, GroupOutcome.SUCCEEDED)
        assert store.counts() == {JobState.SUCCESS: 1}
        assert not settle(store, "child", JobState.SUCCESS, None).applied
        assert the_group(store, "parent").totals == Totals(total=1, succeeded=1)

    def test_member_that_is_a_group_may_fail(self, store: Store) -> None:
        batch(store, "parent")
        announce(store, "child", group_id="parent")
        store.seal_group("parent")
        settle(store, "child", JobState.FAILURE, Reason.ERROR)
        assert (the_group(store, "parent").first_failure, the_group(store, "parent").outcome) == (
            "child",
            GroupOutcome.FAILED,
        )

    def test_job_that_runs_or_retries_cannot_be_settled_as_a_success(self, store: Store) -> None:
        start(store, "running", "tr")
        assert not settle(store, "running", JobState.SUCCESS, None).applied
        start(store, "retrying", "ty")
        retry(store, "retrying", "ty")
        with pytest.raises(ValueError, match="RETRY to SUCCESS"):
            settle(store, "retrying", JobState.SUCCESS, None)
        with pytest.raises(ValueError, match="None to SUCCESS"):
            settle(store, "unheard of", JobState.SUCCESS, None)
        assert store.job("unheard of") is None
