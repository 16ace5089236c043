from __future__ import annotations

import pytest

from celery_jobtrack.model import moves
from celery_jobtrack.model.job import ErrorInfo, Progress
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import FINAL, GroupState, JobState, Outcome, Reason
from tests.unit.values import NOW, at, attempt, job, running, start_request


def start(known, attempt=None, group_state=None, request=None, now=NOW):
    return moves.start(known, attempt, group_state, request or start_request(), now)


@pytest.mark.parametrize("state", [JobState.ENQUEUED, JobState.RETRY])
def test_start_opens_an_attempt(state):
    move = start(job(state, attempts=2), now=at(5))
    assert (move.applied, move.refusal, move.starts, move.ends) == (True, None, True, False)
    assert (move.job.state, move.job.token, move.job.attempts) == (JobState.STARTED, "t1", 3)
    assert move.job.started_at == at(5)
    expected = attempt(number=3, started_at=at(5))
    assert move.attempt == expected


def test_start_clears_the_last_attempt_s_traces():
    error = ErrorInfo(type="E", message="m")
    move = start(job(JobState.RETRY, error=error, progress=Progress(current=1)))
    assert (move.job.error, move.job.progress) == (None, None)


def test_start_takes_over_the_retries_of_the_message():
    move = start(job(JobState.RETRY, retries=1), request=start_request(retries=3))
    assert (move.job.retries, move.attempt.retries) == (3, 3)


def test_start_of_an_unknown_job_records_it():
    move = start(None, request=start_request(group_id="g", queue="q", run=2, retries=1))
    assert (move.applied, move.starts, move.refusal) == (True, True, None)
    assert (move.job.id, move.job.state, move.job.enqueued_at) == ("j", JobState.STARTED, None)
    assert (move.job.group_id, move.job.queue, move.job.run, move.job.retries) == ("g", "q", 2, 1)
    assert (move.attempt.number, move.attempt.run, move.attempt.retries) == (1, 2, 1)


def test_start_of_an_unknown_job_in_a_cancelled_group_is_refused():
    move = start(None, group_state=GroupState.CANCELLED)
    assert (move.refusal, move.ends, move.starts) == (Refusal.GROUP_CANCELLED, True, False)
    assert (move.job.state, move.job.reason) == (JobState.REVOKED, Reason.GROUP_CANCELLED)
    assert (move.attempt, move.job.token, move.job.finished_at) == (None, None, NOW)


def test_start_of_an_unknown_job_that_expired_is_refused():
    request = start_request(expires_at=at(10))
    assert start(None, request=request, now=at(10)).refusal is None
    move = start(None, request=request, now=at(11))
    assert (move.refusal, move.ends, move.job.reason) == (Refusal.EXPIRED, True, Reason.EXPIRED)


def test_start_with_a_token_that_is_open_is_the_same_start():
    known, opened = running()
    assert start(known, opened) == moves.Move(attempt=opened)


@pytest.mark.parametrize("outcome", Outcome)
def test_start_with_a_token_that_was_closed_is_refused(outcome):
    move = start(job(), attempt(outcome=outcome))
    assert move == moves.Move(refusal=Refusal.CLOSED)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_start_of_a_final_job_is_refused_and_writes_nothing(state):
    known = job(state, cancel_requested=True, expires_at=at(-1), retries=5)
    assert start(known, group_state=GroupState.CANCELLED) == moves.Move(refusal=Refusal.FINAL)


@pytest.mark.parametrize(
    ("known", "message", "stale"),
    [
        ({"retries": 1}, {"retries": 0}, True),
        ({"retries": 1}, {"retries": 1}, False),
        ({"retries": 1}, {"retries": 2}, False),
        ({"run": 2}, {"run": 1, "retries": 9}, True),
        ({"run": 2, "retries": 3}, {"run": 2, "retries": 2}, True),
        ({"run": 1, "retries": 3}, {"run": 2, "retries": 0}, False),
    ],
)
def test_start_of_an_older_message_is_stale(known, message, stale):
    move = start(job(JobState.RETRY, **known), request=start_request(**message))
    assert (move.refusal is Refusal.STALE) is stale
    if stale:
        assert move == moves.Move(refusal=Refusal.STALE)


def test_start_of_an_open_job_is_refused_and_remembered():
    known, _ = running()
    move = start(known, request=start_request("t2"))
    assert (move.refusal, move.applied, move.attempt) == (Refusal.OPEN, False, None)
    assert move.job == known.evolve(copy_waiting=True)


def test_start_of_an_open_job_is_remembered_once():
    known, _ = running(copy_waiting=True)
    assert start(known, request=start_request("t2")) == moves.Move(refusal=Refusal.OPEN)


def test_start_beside_an_open_attempt_does_not_end_a_flagged_job():
    known, _ = running(cancel_requested=True)
    move = start(known, group_state=GroupState.CANCELLED, request=start_request("t2"))
    assert move.refusal is Refusal.OPEN


@pytest.mark.parametrize(
    ("changes", "group_state", "refusal", "reason"),
    [
        ({"cancel_requested": True}, None, Refusal.CANCELLED, Reason.CANCELLED),
        ({}, GroupState.CANCELLED, Refusal.GROUP_CANCELLED, Reason.GROUP_CANCELLED),
        ({"expires_at": at(-1)}, None, Refusal.EXPIRED, Reason.EXPIRED),
        ({"cancel_requested": True}, GroupState.CANCELLED, Refusal.CANCELLED, Reason.CANCELLED),
    ],
)
@pytest.mark.parametrize("state", [JobState.ENQUEUED, JobState.RETRY])
def test_start_that_may_never_be_ends_the_job(state, changes, group_state, refusal, reason):
    move = start(job(state, **changes), group_state=group_state)
    assert (move.refusal, move.applied, move.ends, move.starts) == (refusal, True, True, False)
    assert (move.job.state, move.job.reason, move.job.finished_at) == (JobState.REVOKED, reason, NOW)
    assert (move.attempt, move.job.attempts) == (None, 0)


@pytest.mark.parametrize(
    "group_state", [None, *(state for state in GroupState if state is not GroupState.CANCELLED)]
)
def test_start_is_held_by_no_other_state_of_its_group(group_state):
    assert start(job(), group_state=group_state).applied


def test_start_at_the_very_moment_of_expiry_is_admitted():
    assert start(job(expires_at=NOW)).applied


def test_force_start_is_held_by_no_guard():
    known = job(JobState.RETRY, cancel_requested=True, expires_at=at(-1), retries=2, attempts=1)
    move = moves.force_start(known, start_request(retries=1), NOW)
    assert (move.applied, move.starts, move.job.state) == (True, True, JobState.STARTED)
    assert (move.attempt.number, move.attempt.retries) == (2, 1)
    assert move.job.retries == 2, "retries never go back"


def test_force_start_of_an_unknown_job_records_it():
    move = moves.force_start(None, start_request(expires_at=at(-1)), NOW)
    assert (move.applied, move.job.state, move.attempt.number) == (True, JobState.STARTED, 1)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_force_start_of_a_final_job_cannot_be_written(state):
    with pytest.raises(ValueError, match="cannot move"):
        moves.force_start(job(state), start_request(), NOW)
