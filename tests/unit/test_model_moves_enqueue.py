from __future__ import annotations

import pytest

from celery_jobtrack.model import moves
from celery_jobtrack.model.state import JobState
from tests.unit.values import NOW, at, enqueue_request, job, origin

DETAILS = {
    "queue": "high",
    "priority": 7,
    "args": "(1,)",
    "kwargs": "{}",
    "tags": ("red",),
    "max_retries": 3,
    "root_id": "r",
    "parent_id": "p",
    "eta": at(60),
    "expires_at": at(120),
}


def test_enqueue_records_what_the_message_says():
    move = moves.enqueue(None, enqueue_request(group_id="g", run=2, retries=1, **DETAILS), NOW)
    assert (move.applied, move.starts, move.ends) == (True, False, False)
    expected = {**DETAILS, "group_id": "g", "run": 2, "retries": 1}
    assert {name: getattr(move.job, name) for name in expected} == expected
    assert (move.job.state, move.job.enqueued_at, move.job.published_at) == (JobState.ENQUEUED, NOW, NOW)


@pytest.mark.parametrize("state", JobState)
def test_enqueue_of_a_known_job_writes_nothing(state):
    assert moves.enqueue(job(state, enqueued_at=NOW), enqueue_request(**DETAILS), at(1)) == moves.Move()


@pytest.mark.parametrize("state", JobState)
def test_enqueue_arriving_late_fills_every_gap(state):
    known = job(state, attempts=1, started_at=NOW)
    move = moves.enqueue(known, enqueue_request(**DETAILS), at(1))
    assert not move.applied
    assert move.job == known.evolve(enqueued_at=at(1), **DETAILS)


def test_enqueue_arriving_late_overwrites_nothing():
    known = job(JobState.STARTED, **DETAILS)
    other = {
        **dict.fromkeys(DETAILS, "other"),
        "priority": 0,
        "tags": ("blue",),
        "max_retries": 0,
        "eta": NOW,
        "expires_at": NOW,
    }
    move = moves.enqueue(known, enqueue_request(**other), at(1))
    assert move.job == known.evolve(enqueued_at=at(1))


def test_enqueue_arriving_late_respects_zero():
    known = job(JobState.STARTED, priority=0, max_retries=0)
    move = moves.enqueue(known, enqueue_request(priority=5, max_retries=5), at(1))
    assert (move.job.priority, move.job.max_retries) == (0, 0)


def test_enqueue_of_a_replaced_job_says_that_it_has_a_message_again():
    known = job(JobState.ENQUEUED, enqueued_at=NOW, published_at=None)
    assert moves.enqueue(known, enqueue_request(), at(1)).job == known.evolve(published_at=at(1))


@pytest.mark.parametrize("state", [JobState.RETRY, JobState.SUCCESS])
def test_record_in_a_state_that_no_job_begins_in_is_refused(state):
    with pytest.raises(ValueError, match="cannot move"):
        moves.record(origin(), state, NOW)
