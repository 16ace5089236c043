"""What jobs returned, where that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.state import JobState, Outcome
from celery_jobtrack.testing.steps import enqueue, finish, redrive, start

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


class ResultContract:
    """``FinishRequest.result`` and ``results``."""

    def test_results_are_those_that_were_kept(self, store: Store) -> None:
        kept = {"text": b'"done"', "nothing": b"", "bytes": b"\0\xff" * 5000}
        for job_id, result in kept.items():
            enqueue(store, job_id)
            finish(store, job_id, f"t-{job_id}", result=result)
        enqueue(store, "without")
        finish(store, "without", "tw")
        enqueue(store, "queued")
        asked = ["queued", "bytes", "text", "without", "nothing", "unknown"]
        assert store.results(asked) == kept
        assert store.results(["text"]) == {"text": b'"done"'}
        assert store.results([]) == {}

    def test_results_of_many_jobs_come_together(self, store: Store) -> None:
        ids = [f"job-{number}" for number in range(1200)]
        for job_id in ids[::100]:
            finish(store, job_id, f"t-{job_id}", result=job_id.encode())
        assert store.results(ids) == {job_id: job_id.encode() for job_id in ids[::100]}

    def test_result_of_a_late_report_is_not_kept(self, store: Store) -> None:
        start(store)
        finish(store, result=b"first")
        assert not finish(store, result=b"second").applied
        assert store.results(["job"]) == {"job": b"first"}

    def test_result_of_a_run_that_follows_a_failure_is_kept(self, store: Store) -> None:
        finish(store, outcome=Outcome.FAILURE)
        redrive(store)
        finish(store, token="t2", result=b"at last", run=2)
        assert store.results(["job"]) == {"job": b"at last"}

    def test_result_is_deleted_with_its_job(self, store: Store, clock: Clock) -> None:
        finish(store, result=b"old")
        clock.advance(1)
        assert store.prune_jobs(JobState.SUCCESS, store.now(), 10) == 1
        assert store.results(["job"]) == {}
        finish(store, token="t2")
        assert store.results(["job"]) == {}
