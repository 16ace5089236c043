"""Chunks of jobs: recorded in one operation, each job once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import GroupCancelled, GroupCompleted, UnknownGroup
from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.requests import EnqueueRequest, JobQuery
from celery_jobtrack.model.state import GroupState, JobState, Outcome, Reason
from celery_jobtrack.strategies.strays import StrayJob
from celery_jobtrack.testing.steps import (
    batch,
    enqueue,
    enqueue_many,
    group,
    origin,
    run,
    settle,
    start,
    the_group,
    the_job,
)

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

MANY = 1500
"""More than a store puts into one statement, and no multiple of what it puts on a page."""


def fail_to_publish(store: Store, job_id: str, **more: str) -> None:
    """Record a job whose message could not be sent."""
    enqueue(store, job_id, message=b"old", **more)
    settle(store, job_id, JobState.FAILURE, Reason.PUBLISH_FAILED)


class BulkContract:
    """``enqueue_many`` and ``members``."""

    def test_chunk_is_recorded_as_its_jobs_would_be_one_by_one(self, store: Store) -> None:
        group(store)
        eta = store.now() + timedelta(seconds=100)
        about: dict[str, Any] = {
            "group_id": "g",
            "priority": 3,
            "args": "(1, 'ü')",
            "kwargs": "{}",
            "tags": ("a", "b"),
            "max_retries": 2,
            "root_id": "root",
            "parent_id": "parent",
            "eta": eta,
            "expires_at": eta + timedelta(seconds=100),
        }
        enqueue(store, "one", message=b"\0\xff", **about)
        (result,) = enqueue_many(store, ["many"], message=b"\0\xff", **about)
        assert result.created
        one, many = the_job(store, "one"), the_job(store, "many")
        assert result.job == many
        assert many.enqueued_at == many.published_at
        assert many.evolve(id="one", enqueued_at=one.enqueued_at, published_at=one.published_at) == one
        assert store.message("many") == b"\0\xff"
        assert [job.id for job in store.jobs(JobQuery(tag="a")).items] == ["many", "one"]
        assert (the_group(store).totals.total, the_group(store).generation) == (2, 1)

    def test_chunk_of_many_keeps_its_order(self, store: Store) -> None:
        batch(store)
        enqueue(store, "first", group_id="g")
        ids = [f"job-{number}" for number in range(MANY)]
        assert all(result.created for result in enqueue_many(store, ids, group_id="g", message=None))
        enqueue(store, "last", group_id="g")
        listed = [job.id for job in store.jobs(JobQuery(group_id="g", limit=MANY + 2)).items]
        assert listed == ["last", *reversed(ids), "first"]
        assert the_group(store).totals == Totals(total=MANY + 2)
        assert store.recompute_group("g").repaired is None
        assert store.counts() == {JobState.ENQUEUED: MANY + 2}

    def test_chunk_without_a_group_is_recorded(self, store: Store) -> None:
        results = enqueue_many(store, ["a", "b"])
        assert [(result.created, result.job.id, result.job.generation) for result in results] == [
            (True, "a", None),
            (True, "b", None),
        ]

    def test_empty_chunk_is_nothing(self, store: Store) -> None:
        assert list(store.enqueue_many([])) == []

    def test_what_is_known_stays_as_it_is_and_is_counted_once(self, store: Store) -> None:
        group(store)
        enqueue_many(store, ["queued", "ended"], group_id="g", message=b"old")
        run(store, "ended", group_id="g")
        start(store, "running", "tr", group_id="g")
        known = ["queued", "ended", "running"]
        before = [the_job(store, job_id) for job_id in known]
        results = enqueue_many(store, [*known, "new"], group_id="g", message=b"new", args="(1,)")
        assert [result.created for result in results] == [False, False, False, True]
        assert [result.job for result in results[:3]] == before
        assert [the_job(store, job_id) for job_id in known] == before
        assert store.message("queued") == b"old"
        assert the_group(store).totals == Totals(total=4, succeeded=1)

    def test_id_that_comes_twice_in_a_chunk_is_one_job(self, store: Store) -> None:
        group(store)
        results = enqueue_many(store, ["a", "b", "a"], group_id="g")
        assert [result.created for result in results] == [True, True, False]
        assert results[2].job == the_job(store, "a")
        assert the_group(store).totals.total == 2

    def test_job_that_could_not_be_published_is_queued_again(self, store: Store, clock: Clock) -> None:
        group(store)
        store.begin_filling("g", "f", 60)
        fail_to_publish(store, "a", group_id="g")
        run(store, "b", Outcome.FAILURE, group_id="g")
        clock.advance(5)
        results = enqueue_many(store, ["a", "b", "c", "a"], group_id="g", message=b"new")
        assert [result.created for result in results] == [True, False, True, False]
        job = the_job(store, "a")
        assert results[0].job == job
        assert (job.state, job.run, job.reason, job.finished_at) == (JobState.ENQUEUED, 2, None, None)
        assert job.published_at == the_job(store, "c").published_at
        assert store.message("a") == b"new"
        assert the_group(store).totals == Totals(total=3, failed=1)
        assert store.recompute_group("g").repaired is None

    @pytest.mark.parametrize("stray", ["queued-other", "unsent-other", "unsent-none"])
    def test_chunk_with_a_job_of_another_group_is_refused_whole(self, store: Store, stray: str) -> None:
        batch(store)
        group(store, "other")
        fail_to_publish(store, "unsent-g", group_id="g")
        enqueue(store, "queued-other", group_id="other")
        fail_to_publish(store, "unsent-other", group_id="other")
        fail_to_publish(store, "unsent-none")
        known = ("unsent-g", "queued-other", "unsent-other", "unsent-none")
        before = [the_job(store, job_id) for job_id in known]
        groups = [the_group(store), the_group(store, "other")]
        with pytest.raises(
            StrayJob, match=f"job {stray} was dispatched before into .*, and not into group g"
        ):
            enqueue_many(store, ["new", "unsent-g", stray, "newer"], group_id="g", message=b"new")
        assert [the_job(store, job_id) for job_id in known] == before
        assert [store.job("new"), store.job("newer")] == [None, None]
        assert store.message(stray) != b"new"
        assert [the_group(store), the_group(store, "other")] == groups

    def test_chunk_of_no_group_with_a_member_is_refused_whole(self, store: Store) -> None:
        group(store)
        enqueue(store, "member", group_id="g")
        with pytest.raises(
            StrayJob, match="job member was dispatched before into group g, and not into no g"
        ):
            enqueue_many(store, ["new", "member"])
        assert store.job("new") is None

    def test_dispatch_that_is_repeated_after_it_failed_reopens_its_batch(self, store: Store) -> None:
        batch(store)
        fail_to_publish(store, "a", group_id="g")
        store.seal_group("g", incomplete=True)
        results = enqueue_many(store, ["a", "b"], group_id="g")
        assert [result.created for result in results] == [True, True]
        record = the_group(store)
        assert (record.generation, record.base_generation, record.incomplete) == (2, 1, True)
        assert record.totals == Totals(total=2)
        run(store, "a", group_id="g", run=2)
        run(store, "b", group_id="g")
        assert the_group(store).totals == Totals(total=2, succeeded=2)
        assert the_group(store).is_over

    def test_chunk_begins_the_next_generation_of_a_completed_group(self, store: Store) -> None:
        group(store)
        run(store, "a", group_id="g")
        results = enqueue_many(store, ["b", "c"], group_id="g")
        assert [result.job.generation for result in results] == [2, 2]
        assert (the_group(store).totals, the_group(store).earlier.total) == (Totals(total=2), 1)

    def test_chunk_that_a_group_refuses_leaves_nothing(self, store: Store) -> None:
        with pytest.raises(UnknownGroup, match="unknown"):
            enqueue_many(store, ["a", "b"], group_id="unknown")
        batch(store, "done")
        fail_to_publish(store, "known", group_id="done")
        store.seal_group("done")
        run(store, "known", run=2)
        with pytest.raises(GroupCompleted):
            enqueue_many(store, ["a", "b"], group_id="done")
        group(store, "cancelled")
        enqueue(store, "left", group_id="cancelled")
        fail_to_publish(store, "unsent", group_id="cancelled")
        store.cancel_group("cancelled")
        for job_ids in (["a", "b"], ["unsent"], ["unsent", "a"]):
            with pytest.raises(GroupCancelled):
                enqueue_many(store, job_ids, group_id="cancelled")
        assert [store.job(job_id) for job_id in "ab"] == [None, None]
        assert (the_job(store, "unsent").state, the_job(store, "unsent").run) == (JobState.FAILURE, 1)
        assert the_group(store, "cancelled").totals == Totals(total=2, failed=1)
        assert the_group(store, "cancelled").state is GroupState.CANCELLED

    def test_chunk_of_known_jobs_is_not_refused(self, store: Store) -> None:
        group(store)
        enqueue_many(store, ["a", "b"], group_id="g")
        store.cancel_group("g")
        results = enqueue_many(store, ["a", "b"], group_id="g")
        assert [result.created for result in results] == [False, False]

    def test_jobs_of_one_chunk_may_differ(self, store: Store, clock: Clock) -> None:
        now = store.now()
        requests = [
            EnqueueRequest(origin=origin("late", queue="slow", eta=now + timedelta(seconds=500))),
            EnqueueRequest(origin=origin("plain", queue="fast"), message=b"kept"),
            EnqueueRequest(origin=origin("expiring", queue="fast", expires_at=now + timedelta(seconds=50))),
            EnqueueRequest(origin=origin("silent", queue="none"), message=b"kept too", published=False),
        ]
        store.enqueue_many(requests)
        clock.advance(100)
        limit = store.now()
        assert store.overdue_queues(limit) == ["fast"]
        assert {job.id for job in store.overdue_jobs("fast", limit, 10)} == {"plain", "expiring"}
        assert [job.id for job in store.expired_jobs(10)] == ["expiring"]
        messages = [store.message(job_id) for job_id in ("late", "plain", "expiring", "silent")]
        assert messages == [None, b"kept", None, b"kept too"]
        assert the_job(store, "silent").published_at is None

    def test_members_come_in_pages_oldest_first(self, store: Store) -> None:
        group(store)
        enqueue(store, "other")
        ids = [f"job-{number}" for number in range(300)]
        enqueue_many(store, ids[:150], group_id="g")
        for job_id in ids[:3]:
            run(store, job_id, group_id="g")
        enqueue_many(store, ids[150:], group_id="g")
        found, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            page = store.members("g", 70, cursor)
            assert len(page.items) <= 70
            found += [job.id for job in page.items]
            cursor, pages = page.cursor, pages + 1
        assert found == ids
        assert pages == 5
        assert store.members("g", 1).items == (the_job(store, "job-0"),)
        assert store.members("g", 300).cursor is None

    def test_members_are_those_of_all_generations_that_are_left(self, store: Store, clock: Clock) -> None:
        group(store)
        for job_id in "abc":
            run(store, job_id, group_id="g")
            clock.advance(10)
        store.claim_events("courier", group_id="g")
        assert [job.id for job in store.members("g", 10).items] == ["a", "b", "c"]
        assert [job.generation for job in store.members("g", 10).items] == [1, 2, 3]
        assert store.members("unknown", 10).items == ()
