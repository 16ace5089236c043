"""Jobs that end with another one: before it, so that a process which dies in between leaves nothing open."""

from __future__ import annotations

import pytest

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.requests import EnqueueRequest, FinishRequest, Origin, SettleRequest, StartRequest
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
