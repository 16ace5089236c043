"""Recording a job before its message is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import GroupCancelled, GroupCompleted, UnknownGroup
from celery_jobtrack.model.requests import JobQuery
from celery_jobtrack.model.state import JobState, Outcome
from celery_jobtrack.testing.steps import batch, enqueue, finish, group, run, start, the_group, the_job

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store


class EnqueueContract:
    """``enqueue``, ``message`` and what a late "enqueued" may still do."""

    def test_enqueue_records_what_the_publisher_says(self, store: Store) -> None:
        eta = store.now() + timedelta(minutes=5)
        expires_at = eta + timedelta(minutes=5)
        more: dict[str, Any] = {
            "queue": "high",
            "priority": 7,
            "args": "('a.png',)",
            "kwargs": "{'size': 3}",
            "tags": ("red", "blue"),
            "max_retries": 4,
            "root_id": "root",
            "parent_id": "parent",
            "eta": eta,
            "expires_at": expires_at,
        }
        result = enqueue(store, "a", task="shop.resize", **more)
        assert result.created
        job = the_job(store, "a")
        assert job == result.job
        assert (job.id, job.task, job.state) == ("a", "shop.resize", JobState.ENQUEUED)
        assert {name: getattr(job, name) for name in more} == more
        assert (job.retries, job.run, job.attempts, job.token, job.copies) == (0, 1, 0, None, 0)

    def test_enqueue_stamps_the_time_of_the_store(self, store: Store) -> None:
        before = store.now()
        enqueue(store)
        job = the_job(store)
        assert job.enqueued_at is not None
        assert job.published_at is not None
        assert before <= job.enqueued_at <= store.now()
        assert before <= job.published_at <= store.now()
        assert job.enqueued_at.utcoffset() == timedelta(0)

    def test_enqueue_repeated_changes_nothing(self, store: Store) -> None:
        first = enqueue(store, queue="a", message=b"first")
        again = enqueue(store, queue="b", message=b"second")
        assert not again.created
        assert again.job == first.job == the_job(store)
        assert store.message("job") == b"first"

    def test_enqueue_repeated_counts_a_member_once(self, store: Store) -> None:
        group(store)
        for _ in range(3):
            enqueue(store, group_id="g")
        assert the_group(store).totals.total == 1

    def test_enqueue_counts_a_member_before_it_runs(self, store: Store) -> None:
        group(store)
        result = enqueue(store, group_id="g")
        assert (result.job.group_id, result.job.generation) == ("g", 1)
        assert the_group(store).totals.total == 1
        assert the_group(store).outstanding == 1

    def test_enqueue_into_an_unknown_group_records_nothing(self, store: Store) -> None:
        with pytest.raises(UnknownGroup):
            enqueue(store, group_id="nobody")
        assert store.job("job") is None
        assert store.message("job") is None

    def test_enqueue_into_a_cancelled_group_records_nothing(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        store.cancel_group("g")
        with pytest.raises(GroupCancelled):
            enqueue(store, "b", group_id="g")
        assert store.job("b") is None
        assert the_group(store).totals.total == 1

    def test_enqueue_into_a_completed_batch_records_nothing(self, store: Store) -> None:
        batch(store)
        enqueue(store, "a", group_id="g")
        store.seal_group("g")
        run(store, "a", group_id="g")
        with pytest.raises(GroupCompleted):
            enqueue(store, "b", group_id="g")
        assert store.job("b") is None
        assert the_group(store).totals.total == 1

    def test_enqueue_adds_to_a_running_batch(self, store: Store) -> None:
        batch(store)
        enqueue(store, "a", group_id="g")
        store.seal_group("g")
        start(store, "a", "ta", group_id="g")
        enqueue(store, "b", group_id="g")
        assert finish(store, "a", "ta", group_id="g").applied
        assert not the_group(store).is_over
        run(store, "b", group_id="g")
        assert the_group(store).totals.succeeded == 2
        assert the_group(store).is_over

    def test_enqueue_of_a_member_of_a_cancelled_group_repeated_is_no_error(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        store.cancel_group("g")
        assert not enqueue(store, group_id="g").created

    def test_enqueue_arriving_late_fills_gaps_only(self, store: Store) -> None:
        group(store)
        start(store, "a", "ta", group_id="g", queue=None)
        late = enqueue(store, "a", group_id="g", queue="high", args="(1,)", tags=("red",), message=b"later")
        assert not late.created
        job = the_job(store, "a")
        assert job == late.job
        assert (job.state, job.token, job.attempts) == (JobState.STARTED, "ta", 1)
        assert (job.queue, job.args, job.tags) == ("high", "(1,)", ("red",))
        assert job.enqueued_at is not None
        assert [found.id for found in store.jobs(JobQuery(tag="red", queue="high")).items] == ["a"]
        assert store.message("a") == b"later"
        assert the_group(store).totals.total == 1

    def test_enqueue_arriving_late_overwrites_nothing(self, store: Store) -> None:
        start(store, "a", "ta", queue="low", args="(2,)", tags=("blue",))
        enqueue(store, "a", queue="high", args="(1,)", tags=("red",))
        job = the_job(store, "a")
        assert (job.queue, job.args, job.tags) == ("low", "(2,)", ("blue",))

    def test_enqueue_arriving_after_the_end_revives_nothing(self, store: Store) -> None:
        finish(store, "a", "ta")
        late = enqueue(store, "a", message=b"later")
        assert not late.created
        assert the_job(store, "a").state is JobState.SUCCESS
        assert the_job(store, "a").enqueued_at is not None
        assert store.message("a") is None

    def test_message_is_kept_until_success(self, store: Store) -> None:
        enqueue(store, message=b"\x00\xffbinary")
        assert store.message("job") == b"\x00\xffbinary"
        start(store)
        assert store.message("job") == b"\x00\xffbinary"
        finish(store)
        assert store.message("job") is None

    def test_message_of_a_failed_job_is_kept_for_a_redrive(self, store: Store) -> None:
        enqueue(store, message=b"again")
        run(store, "job", Outcome.FAILURE)
        assert store.message("job") == b"again"

    def test_message_may_be_left_out(self, store: Store) -> None:
        enqueue(store, message=None)
        assert store.message("job") is None
        assert store.message("nobody") is None

    def test_message_of_one_megabyte_comes_back_whole(self, store: Store) -> None:
        message = bytes(range(256)) * 4096
        enqueue(store, message=message)
        assert store.message("job") == message

    def test_completed_is_the_answer_of_a_strategy(self, store: Store) -> None:
        assert not store.completed("job")
        enqueue(store)
        assert not store.completed("job")
        run(store, "job")
        assert store.completed("job")
