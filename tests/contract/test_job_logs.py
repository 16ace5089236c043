"""What the logs say of jobs is the same on every store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import EnqueueRequest, FinishRequest, RetryRequest, SettleRequest
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.testing import Clock, steps
from celery_jobtrack.testing.steps import WORKER
from celery_jobtrack.tracking.logs.job_logs import JobLogs
from celery_jobtrack.tracking.tracker import Tracker
from tests.unit.tracking_fixtures import RememberingPorts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from celery_jobtrack.strategies.contract import Store
    from tests.contract.backends import Backend

ERROR = ErrorInfo(type="ValueError", message="boom", traceback="Traceback …")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(backend: Backend, clock: Clock) -> Iterator[Store]:
    with backend.fresh(clock) as store:
        yield store


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "jobs.log"


@pytest.fixture
def tracker(store: Store, log: Path) -> Iterator[Tracker]:
    logs = JobLogs(job_log=str(log), error_log=None, redact=())
    yield Tracker(store, RememberingPorts(), None, logs)
    logs.close()


def said(log: Path, *names: str) -> list[tuple[Any, ...]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [tuple(line[name] for name in names) for line in lines]


def test_the_lines_of_a_job_have_the_stores_times_and_its_workers(
    tracker: Tracker, clock: Clock, log: Path
) -> None:
    tracker.enqueue(EnqueueRequest(origin=steps.origin(args="(1,)"), message=b"m"))
    clock.advance(1)
    first = steps.start_request("job", "one")
    tracker.start(first)
    clock.advance(2)
    again = steps.origin(retries=1)
    tracker.retry(RetryRequest(start=first, origin=again, outcome=Outcome.RETRY, error=ERROR))
    clock.advance(4)
    tracker.start(steps.start_request("job", "two", retries=1))
    clock.advance(8)
    ended = SettleRequest(
        origin=again, state=JobState.FAILURE, reason=Reason.TIMEOUT, error=ERROR, worker_id=WORKER.id
    )
    tracker.settle(ended, tell=False)
    job, (one, two) = tracker.store.job("job"), tracker.store.attempts("job")
    assert job is not None
    times = (job.enqueued_at, one.started_at, one.finished_at, two.started_at, two.finished_at)
    assert [line[0] for line in said(log, "time")] == [
        at and at.isoformat("T", "microseconds") for at in times
    ]
    worker = WORKER.name
    assert said(log, "event", "worker", "attempt", "args") == [
        ("enqueued", None, None, "(1,)"),
        ("started", worker, 1, "(1,)"),
        ("retrying", worker, 1, "(1,)"),
        ("started", worker, 2, "(1,)"),
        ("failed", worker, 2, "(1,)"),
    ]
    runtimes = [line[0] for line in said(log, "runtime")]
    assert runtimes == [None, None, pytest.approx(2, abs=0.9), None, pytest.approx(8, abs=0.9)]
    message = {"type": "ValueError", "message": "boom"}
    assert said(log, "reason", "error")[2:] == [(None, message), (None, None), ("timeout", message)]


def test_a_chunk_of_jobs_is_a_line_each(tracker: Tracker, log: Path) -> None:
    tracker.enqueue_many([EnqueueRequest(origin=steps.origin(f"job-{n}"), message=b"m") for n in range(3)])
    finished = steps.start_request("job-1", "token")
    tracker.start(finished)
    tracker.finish(FinishRequest(start=finished, outcome=Outcome.SUCCESS))
    assert said(log, "event", "job_id") == [
        ("enqueued", "job-0"),
        ("enqueued", "job-1"),
        ("enqueued", "job-2"),
        ("started", "job-1"),
        ("succeeded", "job-1"),
    ]
