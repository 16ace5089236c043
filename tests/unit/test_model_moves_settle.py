from __future__ import annotations

import pytest

from celery_jobtrack.model import moves
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.state import FINAL, QUEUED, REASONS, JobState, Outcome, Reason
from tests.unit.values import at, job, running, settle_request

ERROR = ErrorInfo(type="ValueError", message="bad")
QUIET = [JobState.ENQUEUED, JobState.WAITING, JobState.RETRY]


@pytest.mark.parametrize("before", QUIET)
@pytest.mark.parametrize(
    ("after", "reason"), [(state, reason) for state in REASONS for reason in sorted(REASONS[state])]
)
def test_settle_ends_what_does_not_run(before, after, reason):
    known = job(before, copy_waiting=True)
    move = moves.settle(known, None, settle_request(after, reason, error=ERROR), at(9))
    assert (move.applied, move.ends, move.attempt) == (True, True, None)
    assert move.job == known.evolve(
        state=after, reason=reason, error=ERROR, copy_waiting=False, finished_at=at(9)
    )


@pytest.mark.parametrize("before", sorted(FINAL))
@pytest.mark.parametrize("after", sorted(REASONS))
def test_settle_leaves_a_final_job_alone(before, after):
    assert moves.settle(job(before), None, settle_request(after), at(9)) == moves.Move()


@pytest.mark.parametrize("before", QUIET)
@pytest.mark.parametrize("only", [QUEUED, {JobState.WAITING}, {JobState.ENQUEUED}, set()])
def test_settle_is_guarded_by_the_state(before, only):
    move = moves.settle(job(before), None, settle_request(only_from=frozenset(only)), at(9))
    assert move.applied is (before in only)


def test_settle_leaves_an_open_attempt_alone():
    known, opened = running()
    assert moves.settle(known, opened, settle_request(), at(9)) == moves.Move()


def test_settle_is_not_let_into_an_open_attempt_by_the_state():
    known, opened = running()
    request = settle_request(only_from=frozenset(JobState))
    assert moves.settle(known, opened, request, at(9)) == moves.Move()


@pytest.mark.parametrize(
    ("guards", "applied"),
    [
        ({"worker_id": "w1"}, True),
        ({"worker_id": "w2"}, False),
        ({"worker_id": "w1", "retries": 1}, False),
        ({"token": "t1"}, True),
        ({"token": "t1", "retries": 9}, True),
        ({"token": "t1", "worker_id": "w2"}, True),
        ({"token": "t2"}, False),
        ({"token": "t2", "worker_id": "w1"}, False),
        ({"token": ""}, False),
    ],
)
def test_settle_closes_the_attempt_that_it_names(guards, applied):
    known, opened = running()
    move = moves.settle(known, opened, settle_request(**guards), at(9))
    assert move.applied is applied
    assert (move.attempt is not None) is applied
    assert move.ends is applied


@pytest.mark.parametrize("state", sorted(REASONS))
def test_settle_closes_the_attempt_as_the_job(state):
    known, opened = running(copy_waiting=True)
    move = moves.settle(known, opened, settle_request(state, token="t1", error=ERROR), at(9))
    assert move.attempt == opened.evolve(outcome=Outcome(str(state)), error=ERROR, finished_at=at(9))
    assert (move.job.state, move.job.token, move.job.copy_waiting) == (state, None, False)


def test_settle_may_close_the_attempt_otherwise():
    known, opened = running()
    request = settle_request(JobState.FAILURE, Reason.WORKER_LOST, token="t1", outcome=Outcome.LOST)
    move = moves.settle(known, opened, request, at(9))
    assert (move.attempt.outcome, move.job.state) == (Outcome.LOST, JobState.FAILURE)


@pytest.mark.parametrize("state", [JobState.FAILURE, JobState.REVOKED])
def test_settle_records_an_unknown_job(state):
    move = moves.settle(None, None, settle_request(state), at(9))
    assert (move.applied, move.ends, move.attempt) == (True, True, None)
    assert (move.job.id, move.job.state, move.job.reason) == ("j", state, Reason.TERMINATED)
    assert (move.job.finished_at, move.job.started_at, move.job.enqueued_at) == (at(9), None, None)


def test_settle_does_not_record_an_unknown_job_unless_it_may():
    assert moves.settle(None, None, settle_request(record_unknown=False), at(9)) == moves.Move()


def test_settle_records_no_unknown_job_as_a_success():
    with pytest.raises(ValueError, match="cannot move"):
        moves.settle(None, None, settle_request(JobState.SUCCESS), at(9))
