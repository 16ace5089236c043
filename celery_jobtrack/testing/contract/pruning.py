"""What is old is deleted, with all that belongs to it, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.model.requests import JobQuery, Refusal
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.testing.steps import (
    OTHER_WORKER,
    WORKER,
    all_events,
    batch,
    enqueue,
    finish,
    group,
    run,
    settle,
    start,
    the_group,
    the_job,
)

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


class PruningContract:
    """``prune_jobs``, ``prune_groups``, ``prune_workers``."""

    def test_old_jobs_of_a_state_are_deleted_with_what_belongs_to_them(
        self, store: Store, clock: Clock
    ) -> None:
        for job_id in ("a", "b"):
            enqueue(store, job_id, tags=("x",))
            run(store, job_id)
        enqueue(store, "failed")
        run(store, "failed", Outcome.FAILURE)
        clock.advance(100)
        limit = store.now()
        clock.advance(1)
        enqueue(store, "young", tags=("x",))
        run(store, "young")
        assert store.prune_jobs(JobState.SUCCESS, limit, 10) == 2
        assert store.job("a") is None
        assert store.attempts("a") == []
        assert [job.id for job in store.jobs(JobQuery(tag="x")).items] == ["young"]
        assert {job.id for job in store.jobs(JobQuery()).items} == {"failed", "young"}
        assert store.counts()[JobState.SUCCESS] == 1
        assert store.prune_jobs(JobState.FAILURE, limit, 10) == 1
        assert store.message("failed") is None
        assert store.prune_jobs(JobState.SUCCESS, limit, 10) == 0

    def test_prune_takes_the_oldest_up_to_the_limit(self, store: Store, clock: Clock) -> None:
        for job_id in "abc":
            enqueue(store, job_id)
        for job_id in "bca":
            run(store, job_id)
            clock.advance(1)
        assert store.prune_jobs(JobState.SUCCESS, store.now(), 2) == 2
        assert [job.id for job in store.jobs(JobQuery()).items] == ["a"]

    def test_prune_leaves_jobs_that_have_not_ended(self, store: Store, clock: Clock) -> None:
        enqueue(store, "queued")
        enqueue(store, "running")
        start(store, "running", "tr")
        clock.advance(1000)
        for state in (JobState.SUCCESS, JobState.FAILURE, JobState.REVOKED, JobState.SKIPPED):
            assert store.prune_jobs(state, store.now(), 10) == 0
        assert the_job(store, "queued").state is JobState.ENQUEUED
        assert the_job(store, "running").state is JobState.STARTED

    def test_prune_takes_jobs_that_never_started(self, store: Store, clock: Clock) -> None:
        enqueue(store)
        settle(store, state=JobState.REVOKED, reason=Reason.CANCELLED)
        clock.advance(1)
        assert store.prune_jobs(JobState.REVOKED, store.now(), 10) == 1
        assert store.job("job") is None

    def test_prune_leaves_jobs_whose_message_is_not_due_yet(self, store: Store, clock: Clock) -> None:
        enqueue(store, eta=store.now() + timedelta(seconds=1000))
        assert store.request_cancel("job").applied
        clock.advance(900)
        assert store.prune_jobs(JobState.REVOKED, store.now(), 10) == 0
        assert start(store).refusal is Refusal.FINAL
        clock.advance(101)
        assert store.prune_jobs(JobState.REVOKED, store.now(), 10) == 1

    def test_prune_keeps_to_the_tasks(self, store: Store, clock: Clock) -> None:
        for job_id, task in (("a", "one"), ("b", "two"), ("c", "three")):
            enqueue(store, job_id, task=task)
            run(store, job_id, task=task)
        clock.advance(1)
        assert store.prune_jobs(JobState.SUCCESS, store.now(), 10, tasks=["one"]) == 1
        assert store.prune_jobs(JobState.SUCCESS, store.now(), 10, without_tasks=["two"]) == 1
        assert [job.id for job in store.jobs(JobQuery()).items] == ["b"]

    def test_prune_leaves_members_of_a_generation_that_is_not_over(self, store: Store, clock: Clock) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        enqueue(store, "b", group_id="g")
        run(store, "a", group_id="g")
        clock.advance(1000)
        assert store.prune_jobs(JobState.SUCCESS, store.now(), 10) == 0
        run(store, "b", group_id="g")
        clock.advance(1)
        # Nobody has been told yet.
        assert store.prune_jobs(JobState.SUCCESS, store.now(), 10) == 0
        assert len(all_events(store, clock)) == 2
        assert store.prune_jobs(JobState.SUCCESS, store.now(), 10) == 2
        assert the_group(store).totals.succeeded == 2

    def test_prune_takes_members_of_an_earlier_generation(self, store: Store, clock: Clock) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        run(store, "a", group_id="g")
        all_events(store, clock)
        enqueue(store, "b", group_id="g")
        clock.advance(1)
        assert store.prune_jobs(JobState.SUCCESS, store.now(), 10) == 1
        assert store.recompute_group("g").repaired is None
        assert the_group(store).outstanding == 1

    def test_group_is_deleted_when_nothing_of_it_is_left(self, store: Store, clock: Clock) -> None:
        batch(store, key="nightly")
        enqueue(store, "a", group_id="g")
        store.seal_group("g")
        run(store, "a", group_id="g")
        clock.advance(100)
        assert store.prune_groups(store.now(), 10) == 0
        all_events(store, clock)
        assert store.prune_groups(store.now(), 10) == 0
        store.prune_jobs(JobState.SUCCESS, store.now(), 10)
        completed_at = the_group(store).completed_at
        assert completed_at is not None
        assert store.prune_groups(completed_at, 10) == 0
        assert store.prune_groups(store.now(), 10) == 1
        assert store.group("g") is None
        assert store.group_by_key("nightly") is None
        assert store.group_status("g") is None
        assert sum(store.group_counts().values()) == 0
        again = batch(store, "other", key="nightly")
        assert again.id == "other"

    def test_group_that_is_not_over_is_not_deleted(self, store: Store, clock: Clock) -> None:
        group(store, "unused")
        group(store, "used")
        enqueue(store, "a", group_id="used")
        clock.advance(1000)
        assert store.prune_groups(store.now(), 10) == 0

    def test_group_that_began_anew_is_not_deleted(self, store: Store, clock: Clock) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        run(store, "a", group_id="g")
        all_events(store, clock)
        enqueue(store, "b", group_id="g")
        clock.advance(1000)
        store.prune_jobs(JobState.SUCCESS, store.now(), 10)
        assert store.prune_groups(store.now(), 10) == 0

    def test_groups_are_deleted_up_to_the_limit(self, store: Store, clock: Clock) -> None:
        for number in range(3):
            batch(store, f"g{number}")
            store.seal_group(f"g{number}")
        all_events(store, clock)
        assert store.prune_groups(store.now(), 2) == 2
        assert store.prune_groups(store.now(), 2) == 1

    def test_workers_are_deleted_when_they_are_long_gone(self, store: Store, clock: Clock) -> None:
        store.register_worker(WORKER, 45)
        store.register_worker(OTHER_WORKER, 450)
        start(store)
        clock.advance(100)
        assert store.prune_workers(store.now(), 10) == 0
        finish(store)
        assert store.prune_workers(store.now(), 10) == 1
        assert [worker.id for worker in store.workers(alive=False)] == [OTHER_WORKER.id]
        store.stop_worker(OTHER_WORKER.id)
        clock.advance(1)
        assert store.prune_workers(store.now(), 10) == 1
