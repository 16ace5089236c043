"""What the checker asks: lost messages, expired jobs, counts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.model.event import EventCounts
from celery_jobtrack.model.state import GroupState, JobState, Outcome, Reason
from celery_jobtrack.testing.steps import enqueue, finish, group, retry, run, settle, start, the_job

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


class UpkeepContract:
    """Overdue and expired jobs, ``started_after``, ``claim_copy``, the counts, ``now``."""

    def test_now_is_aware_and_follows_the_clock(self, store: Store, clock: Clock) -> None:
        before = store.now()
        assert before.utcoffset() == timedelta(0)
        clock.advance(1000)
        passed = store.now() - before
        assert timedelta(seconds=1000) <= passed < timedelta(seconds=1100)

    def test_url_names_the_store_without_a_password(self, store: Store) -> None:
        assert ":" in store.url
        assert "@" not in store.url or ":" not in store.url.split("@")[0].split("//")[1]

    def test_overdue_jobs_were_published_and_have_not_started(self, store: Store, clock: Clock) -> None:
        enqueue(store, "queued")
        enqueue(store, "running")
        start(store, "running", "tr")
        enqueue(store, "done")
        run(store, "done")
        start(store, "retrying", "tt")
        retry(store, "retrying", "tt", 1)
        start(store, "returned", "tb")
        finish(store, "returned", "tb", Outcome.REQUEUED)
        clock.advance(60)
        enqueue(store, "fresh")
        overdue = store.overdue_jobs("celery", store.now() - timedelta(seconds=30), 10)
        assert {job.id for job in overdue} == {"queued", "retrying", "returned"}

    def test_overdue_jobs_are_of_their_queue_and_oldest_first(self, store: Store, clock: Clock) -> None:
        for queue, job_id in (("b", "b1"), ("a", "a1"), ("b", "b2"), ("c", "c1")):
            enqueue(store, job_id, queue=queue)
            clock.advance(1)
        start(store, "c1", "tc", queue="c")
        clock.advance(60)
        enqueue(store, "fresh", queue="d")
        due = store.now() - timedelta(seconds=30)
        assert list(store.overdue_queues(due)) == ["a", "b"]
        assert [job.id for job in store.overdue_jobs("b", due, 10)] == ["b1", "b2"]
        assert not store.overdue_jobs("c", due, 10)

    def test_overdue_jobs_keep_to_the_limit(self, store: Store, clock: Clock) -> None:
        for number in range(5):
            enqueue(store, f"j{number}")
        clock.advance(60)
        assert len(store.overdue_jobs("celery", store.now(), 3)) == 3

    def test_overdue_job_with_an_eta_is_awaited_until_then(self, store: Store, clock: Clock) -> None:
        enqueue(store, eta=store.now() + timedelta(seconds=100))
        clock.advance(60)
        assert not store.overdue_jobs("celery", store.now(), 10)
        clock.advance(60)
        assert [job.id for job in store.overdue_jobs("celery", store.now(), 10)] == ["job"]

    def test_started_after_knows_its_queue_and_time(self, store: Store, clock: Clock) -> None:
        enqueue(store, "first", queue="a")
        published_at = the_job(store, "first").published_at
        assert published_at is not None
        start(store, "first", "t1", queue="a")
        clock.advance(1)
        enqueue(store, "second", queue="a")
        assert not store.started_after("a", published_at)
        start(store, "second", "t2", queue="a")
        assert store.started_after("a", published_at)
        assert not store.started_after("b", published_at)
        clock.advance(1)
        assert not store.started_after("a", store.now())

    def test_started_after_does_not_take_a_waiting_retry_for_a_start(
        self, store: Store, clock: Clock
    ) -> None:
        enqueue(store, "job", queue="a")
        start(store, "job", "t1", queue="a")
        published_at = store.now()
        clock.advance(1)
        retry(store, "job", "t1", 1, queue="a")
        assert not store.started_after("a", published_at)
        clock.advance(1)
        start(store, "job", "t2", retries=1, queue="a")
        assert store.started_after("a", published_at)

    def test_copy_is_claimed_by_one(self, store: Store, clock: Clock) -> None:
        enqueue(store)
        seen = the_job(store)
        clock.advance(60)
        assert store.claim_copy(seen)
        job = the_job(store)
        assert job.copies == 1
        assert job.published_at is not None
        assert seen.published_at is not None
        assert job.published_at > seen.published_at
        assert not store.claim_copy(seen)
        assert store.claim_copy(job)
        assert the_job(store).copies == 2

    def test_copy_claimed_at_the_very_time_of_publishing_is_claimed_by_one(self, store: Store) -> None:
        enqueue(store)
        seen = the_job(store)
        assert store.claim_copy(seen)
        assert not store.claim_copy(seen)

    def test_copy_of_a_job_that_started_or_ended_is_not_claimed(self, store: Store) -> None:
        enqueue(store, "a")
        enqueue(store, "b")
        running, ended = the_job(store, "a"), the_job(store, "b")
        start(store, "a", "ta")
        settle(store, "b")
        assert not store.claim_copy(running)
        assert not store.claim_copy(ended)
        assert the_job(store, "a").copies == 0

    def test_copy_of_a_job_that_was_published_since_is_not_claimed(self, store: Store, clock: Clock) -> None:
        enqueue(store)
        seen = the_job(store)
        start(store)
        clock.advance(1)
        retry(store)
        assert not store.claim_copy(seen)
        assert store.claim_copy(the_job(store))

    def test_copy_makes_the_job_young_again(self, store: Store, clock: Clock) -> None:
        enqueue(store)
        clock.advance(60)
        store.claim_copy(the_job(store))
        assert not store.overdue_jobs("celery", store.now() - timedelta(seconds=30), 10)

    def test_copy_of_an_unknown_job_is_not_claimed(self, store: Store) -> None:
        enqueue(store)
        assert not store.claim_copy(the_job(store).evolve(id="nobody"))

    def test_expired_jobs_have_not_started(self, store: Store, clock: Clock) -> None:
        soon, late = (store.now() + timedelta(seconds=seconds) for seconds in (60, 600))
        for name in ("queued", "running", "done", "retrying"):
            enqueue(store, name, expires_at=soon)
        enqueue(store, "patient", expires_at=late)
        enqueue(store, "eternal")
        start(store, "running", "tr", expires_at=soon)
        run(store, "done", expires_at=soon)
        start(store, "retrying", "tt", expires_at=soon)
        retry(store, "retrying", "tt", 1, expires_at=soon)
        assert not store.expired_jobs(10)
        clock.advance(61)
        assert {job.id for job in store.expired_jobs(10)} == {"queued", "retrying"}
        assert len(store.expired_jobs(1)) == 1
        settle(store, "queued", JobState.REVOKED, Reason.EXPIRED)
        assert {job.id for job in store.expired_jobs(10)} == {"retrying"}

    def test_group_counts_are_by_state(self, store: Store) -> None:
        assert sum(store.group_counts().values()) == 0
        for name in ("waiting", "running", "busy", "over"):
            group(store, name)
            enqueue(store, f"of-{name}", group_id=name)
        start(store, "of-running", "t1", group_id="running")
        start(store, "of-busy", "t2", group_id="busy")
        settle(store, "of-over")
        assert store.group_counts() == {
            GroupState.AWAITING: 1,
            GroupState.RUNNING: 2,
            GroupState.COMPLETED: 1,
        }

    def test_event_counts_leave_out_what_was_delivered(self, store: Store) -> None:
        assert store.event_counts() == EventCounts()
        group(store, "one")
        enqueue(store, "of-one", group_id="one")
        (started,) = settle(store, "of-one").events
        assert store.event_counts() == EventCounts(pending=2)
        (completed,) = store.acknowledge_event(started.id, store.claimant)
        assert store.event_counts() == EventCounts(pending=1)
        store.postpone_event(completed.id, "ValueError: no", seconds=None)
        assert store.event_counts() == EventCounts(undeliverable=1)

    def test_counts_are_by_state(self, store: Store) -> None:
        assert sum(store.counts().values()) == 0
        for number in range(3):
            enqueue(store, f"q{number}")
        start(store, "s", "ts")
        start(store, "r", "tr")
        retry(store, "r", "tr", 1)
        run(store, "ok")
        run(store, "bad", Outcome.FAILURE)
        settle(store, "gone")
        settle(store, "q0", JobState.SKIPPED, Reason.DUPLICATE)
        counts = {state: count for state, count in store.counts().items() if count}
        assert counts == {
            JobState.ENQUEUED: 2,
            JobState.STARTED: 1,
            JobState.RETRY: 1,
            JobState.SUCCESS: 1,
            JobState.FAILURE: 1,
            JobState.REVOKED: 1,
            JobState.SKIPPED: 1,
        }

    def test_schema_of_an_open_store_is_that_of_the_code(self, store: Store) -> None:
        versions = store.schema_versions()
        assert versions is None or versions[0] == versions[1]
        upgraded = store.upgrade()
        assert upgraded is None or upgraded[0] == upgraded[1]
