"""The next retry, and a replacement under the same id."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.state import EventKind, JobState, Outcome
from celery_jobtrack.testing.steps import enqueue, finish, group, retry, run, start, the_group, the_job

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

ERROR = ErrorInfo(type="ConnectionError", message="gone")


class RetryContract:
    """``retry``: recorded when it is published, so it overtakes nothing."""

    def test_retry_closes_the_attempt_and_queues_the_job(self, store: Store) -> None:
        enqueue(store, message=b"first")
        start(store)
        eta = store.now() + timedelta(seconds=30)
        done = retry(store, "job", "t1", 1, eta=eta, queue="later", message=b"second", error=ERROR)
        assert done.applied
        job = the_job(store)
        assert job == done.job
        assert (job.state, job.retries, job.token) == (JobState.RETRY, 1, None)
        assert (job.eta, job.queue, job.error, job.finished_at) == (eta, "later", ERROR, None)
        assert store.message("job") == b"second"
        (attempt,) = store.attempts("job")
        assert (attempt.outcome, attempt.error) == (Outcome.RETRY, ERROR)

    def test_retry_without_a_message_keeps_the_first(self, store: Store) -> None:
        enqueue(store, message=b"first")
        start(store)
        retry(store)
        assert store.message("job") == b"first"

    def test_retry_stamps_when_it_was_published(self, store: Store) -> None:
        enqueue(store)
        start(store)
        before = store.now()
        retry(store)
        published_at = the_job(store).published_at
        assert published_at is not None
        assert before <= published_at <= store.now()

    def test_retry_repeated_changes_nothing(self, store: Store) -> None:
        start(store)
        retry(store, message=b"second")
        before = the_job(store), list(store.attempts("job"))
        again = retry(store, message=b"third")
        assert not again.applied
        assert (the_job(store), list(store.attempts("job"))) == before
        assert store.message("job") == b"second"

    def test_retry_repeated_after_the_next_start_changes_nothing(self, store: Store) -> None:
        start(store)
        retry(store)
        start(store, "job", "t2", retries=1)
        assert not retry(store).applied
        assert (the_job(store).state, the_job(store).token) == (JobState.STARTED, "t2")

    def test_retry_followed_by_its_finish_changes_nothing(self, store: Store) -> None:
        start(store)
        retry(store)
        done = finish(store, "job", "t1", Outcome.RETRY)
        assert not done.applied
        assert the_job(store).retries == 1
        assert store.attempts("job")[0].late_outcome is None

    def test_retry_is_the_same_member(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        for number in range(3):
            start(store, "job", f"t{number}", retries=number, group_id="g")
            retry(store, "job", f"t{number}", number + 1, group_id="g")
            totals = the_group(store).totals
            assert (totals.total, totals.final) == (1, 0)
        run(store, "job", retries=3, group_id="g")
        assert (the_group(store).totals.total, the_group(store).totals.succeeded) == (1, 1)
        assert the_group(store).totals.failed == 0

    def test_retry_of_an_attempt_given_up_is_kept_as_late(self, store: Store) -> None:
        start(store)
        finish(store, "job", "t1", Outcome.LOST)
        done = retry(store)
        assert not done.applied
        assert the_job(store).state is JobState.FAILURE
        assert store.attempts("job")[0].late_outcome is Outcome.RETRY

    def test_retry_without_start_records_the_start_first(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        done = retry(store, group_id="g")
        assert done.applied
        assert (the_job(store).state, the_job(store).retries) == (JobState.RETRY, 1)
        assert [attempt.outcome for attempt in store.attempts("job")] == [Outcome.RETRY]
        assert [event.kind for event in done.events] == [EventKind.STARTED]

    def test_retry_without_start_of_an_unknown_id_records_everything(self, store: Store) -> None:
        done = retry(store, "new", "t1", 1, message=b"m")
        assert done.applied
        assert the_job(store, "new") == done.job
        assert (the_job(store, "new").state, the_job(store, "new").retries) == (JobState.RETRY, 1)
        assert store.message("new") == b"m"

    def test_retry_of_an_older_attempt_without_start_does_not_turn_retries_back(self, store: Store) -> None:
        start(store, "job", "t1", retries=1)
        retry(store, "job", "t1", 2)
        retry(store, "job", "t0", 1)
        assert the_job(store).retries == 2

    def test_retry_beside_an_open_attempt_changes_nothing(self, store: Store) -> None:
        start(store, "job", "t1")
        assert not retry(store, "job", "t2").applied
        assert (the_job(store).state, the_job(store).token) == (JobState.STARTED, "t1")

    def test_retry_keeps_the_expiry_unless_it_brings_one(self, store: Store) -> None:
        expires_at = store.now() + timedelta(hours=1)
        enqueue(store, expires_at=expires_at)
        start(store)
        retry(store)
        assert the_job(store).expires_at == expires_at
        start(store, "job", "t2", retries=1)
        retry(store, "job", "t2", 2, expires_at=expires_at + timedelta(hours=1))
        assert the_job(store).expires_at == expires_at + timedelta(hours=1)

    def test_retry_forgets_the_copy(self, store: Store) -> None:
        start(store, "job", "t1")
        start(store, "job", "copy")
        retry(store)
        assert not the_job(store).copy_waiting

    def test_replacement_goes_on_under_the_same_id(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g", message=b"first")
        start(store, group_id="g")
        done = retry(
            store,
            "job",
            "t1",
            0,
            Outcome.REPLACED,
            group_id="g",
            task="shop.other",
            args="(9,)",
            kwargs="{}",
            message=b"second",
        )
        assert done.applied
        job = the_job(store)
        assert (job.state, job.task, job.args, job.kwargs) == (JobState.ENQUEUED, "shop.other", "(9,)", "{}")
        assert store.attempts("job")[0].outcome is Outcome.REPLACED
        assert store.message("job") == b"second"
        assert the_group(store).outstanding == 1
        assert start(store, "job", "t2", group_id="g").admitted
        finish(store, "job", "t2", group_id="g")
        assert (the_group(store).totals.total, the_group(store).totals.succeeded) == (1, 1)

    def test_replacement_whose_message_comes_later_has_none_until_then(
        self, store: Store, clock: Clock
    ) -> None:
        enqueue(store, message=b"first")
        start(store)
        assert finish(store, "job", "t1", Outcome.REPLACED).applied
        assert (the_job(store).state, the_job(store).published_at) == (JobState.ENQUEUED, None)
        clock.advance(60)
        assert not store.overdue_jobs("celery", store.now(), 10)
        late = enqueue(store, message=b"last of the chain")
        assert not late.created
        assert the_job(store).published_at is not None
        assert store.message("job") == b"last of the chain"
        clock.advance(60)
        assert [job.id for job in store.overdue_jobs("celery", store.now(), 10)] == ["job"]
        assert start(store, "job", "t2").admitted

    def test_replacement_does_not_rename_a_retry(self, store: Store) -> None:
        enqueue(store, task="shop.resize", args="(1,)")
        start(store)
        retry(store, task="shop.resize", args=None)
        assert (the_job(store).task, the_job(store).args) == ("shop.resize", "(1,)")
