"""Jobs that end with another one: before it, so that a process which dies in between leaves nothing open."""

from __future__ import annotations

from datetime import timedelta

import pytest

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.requests import (
    EnqueueRequest,
    FinishRequest,
    Origin,
    RetryRequest,
    SettleRequest,
    StartRequest,
)
from celery_jobtrack.model.state import JobState, Outcome, Reason
from tests.unit.apps import SmallApp
from tests.unit.values import WORKER

LAST = Origin(job_id="last", task="t")
FIRST = Origin(job_id="first", task="t", part_of=("last",))
START = StartRequest(origin=FIRST, token="one", worker=WORKER)
FAILED = FinishRequest(start=START, outcome=Outcome.FAILURE, reason=Reason.ERROR)


@pytest.fixture
def tracker():
    """With a job that leads to another one, which is counted already."""
    made = SmallApp()
    found = made.jobtrack.runtime.tracker
    found.enqueue(EnqueueRequest(origin=LAST, published=False))
    found.enqueue(EnqueueRequest(origin=FIRST))
    yield found
    made.close()


def state(tracker, job_id="last"):
    return tracker.store.job(job_id).state


def test_follower_ends_before_the_job_it_follows(tracker, monkeypatch):
    def dies(_):
        raise StoreUnavailable("the process died here")

    tracker.start(START)
    monkeypatch.setattr(tracker.store, "finish", dies)
    with pytest.raises(StoreUnavailable):
        tracker.finish(FAILED)
    assert (state(tracker, "first"), state(tracker)) == (JobState.STARTED, JobState.FAILURE)


class Died(BaseException):
    """The process is killed: no handler of an error may see it as one."""


def die_after(monkeypatch, store, name):
    """The process dies as soon as a call has been made in the store."""
    made = getattr(store, name)

    def last(*args):
        made(*args)
        raise Died

    monkeypatch.setattr(store, name, last)


def test_follower_ends_although_the_process_dies_that_cancels_its_job(tracker, monkeypatch):
    message = b"kept"
    tracker.enqueue(EnqueueRequest(origin=Origin(job_id="step", task="t"), message=message))
    monkeypatch.setattr(tracker.ports, "followers", lambda kept: ("last",) if kept == message else ())
    die_after(monkeypatch, tracker.store, "request_cancel")
    with pytest.raises(Died):
        tracker.cancel("step")
    assert (state(tracker, "step"), state(tracker)) == (JobState.REVOKED, JobState.REVOKED)
    assert tracker.store.job("last").reason is Reason.CANCELLED


def test_follower_ends_although_the_process_dies_that_refuses_its_job(tracker, monkeypatch):
    tracker.start(START)
    assert not tracker.cancel("first").applied
    again = Origin(job_id="first", task="t", part_of=("last",), retries=1)
    tracker.retry(RetryRequest(start=START, origin=again, outcome=Outcome.RETRY))
    die_after(monkeypatch, tracker.store, "start")
    with pytest.raises(Died):
        tracker.start(StartRequest(origin=again, token="two", worker=WORKER))
    assert (state(tracker, "first"), state(tracker)) == (JobState.REVOKED, JobState.REVOKED)


def test_follower_ends_although_the_process_dies_that_finds_its_job_expired(tracker, monkeypatch):
    expired = Origin(
        job_id="late", task="t", part_of=("last",), expires_at=tracker.store.now() - timedelta(seconds=1)
    )
    tracker.enqueue(EnqueueRequest(origin=expired))
    die_after(monkeypatch, tracker.store, "start")
    with pytest.raises(Died):
        tracker.start(StartRequest(origin=expired, token="two", worker=WORKER))
    assert (state(tracker), tracker.store.job("last").reason) == (JobState.REVOKED, Reason.EXPIRED)


def test_follower_of_a_running_job_that_is_cancelled_stays(tracker):
    tracker.start(START)
    assert not tracker.cancel("first").applied
    assert state(tracker) is JobState.ENQUEUED


def test_follower_of_an_attempt_that_was_given_up_stays(tracker):
    tracker.start(START)
    lost = SettleRequest(
        origin=Origin(job_id="first", task="t"),
        state=JobState.FAILURE,
        reason=Reason.WORKER_LOST,
        token="another",
    )
    assert not tracker.settle(lost, tell=False).applied
    assert state(tracker) is JobState.ENQUEUED


@pytest.mark.parametrize(
    ("outcome", "reason", "expected"),
    [
        (Outcome.FAILURE, Reason.TIMEOUT, (JobState.FAILURE, Reason.ERROR)),
        (Outcome.SKIPPED, Reason.IGNORED, (JobState.SKIPPED, Reason.IGNORED)),
        (Outcome.SUCCESS, None, (JobState.ENQUEUED, None)),
        (Outcome.RETRY, None, (JobState.ENQUEUED, None)),
    ],
)
def test_follower_ends_as_the_job_it_follows(tracker, outcome, reason, expected):
    tracker.start(START)
    tracker.finish(FinishRequest(start=START, outcome=outcome, reason=reason))
    last = tracker.store.job("last")
    assert (last.state, last.reason) == expected


def test_follower_of_a_job_that_expires_ends(tracker):
    expired = SettleRequest(origin=FIRST, state=JobState.REVOKED, reason=Reason.EXPIRED)
    assert tracker.settle(expired, tell=True).applied
    last = tracker.store.job("last")
    assert (last.state, last.reason, last.error.type) == (JobState.REVOKED, Reason.EXPIRED, "UpstreamFailed")


def test_follower_that_runs_is_left_alone(tracker):
    tracker.start(START)
    tracker.start(StartRequest(origin=LAST, token="two", worker=WORKER))
    tracker.finish(FAILED)
    assert state(tracker) is JobState.STARTED
