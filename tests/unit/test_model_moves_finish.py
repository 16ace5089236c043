from __future__ import annotations

import pytest

from celery_jobtrack.model import moves
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.state import STATE_AFTER, JobState, Outcome, Reason
from tests.unit.values import at, attempt, finish_request, job, running

ERROR = ErrorInfo(type="ValueError", message="bad")


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if STATE_AFTER[outcome].is_final])
def test_finish_ends_the_job(outcome):
    known, opened = running(copy_waiting=True)
    request = finish_request(outcome, reason=Reason.ERROR, error=ERROR)
    move = moves.finish(known, opened, request, at(9))
    assert (move.applied, move.ends, move.starts) == (True, True, False)
    assert move.job == known.evolve(
        state=STATE_AFTER[outcome],
        reason=Reason.ERROR,
        error=ERROR,
        token=None,
        copy_waiting=False,
        finished_at=at(9),
    )
    assert move.attempt == opened.evolve(outcome=outcome, error=ERROR, finished_at=at(9))


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if not STATE_AFTER[outcome].is_final])
def test_finish_that_is_no_end_queues_the_job(outcome):
    known, opened = running(copy_waiting=True)
    move = moves.finish(known, opened, finish_request(outcome), at(9))
    assert (move.applied, move.ends) == (True, False)
    published = None if outcome is Outcome.REPLACED else at(9)
    assert move.job == known.evolve(
        state=STATE_AFTER[outcome], token=None, copy_waiting=False, published_at=published
    )
    assert move.attempt.outcome is outcome


@pytest.mark.parametrize("outcome", Outcome)
def test_finish_repeated_writes_nothing(outcome):
    move = moves.finish(job(), attempt(outcome=outcome), finish_request(outcome), at(9))
    assert move == moves.Move()


def test_finish_of_a_closed_attempt_is_kept_as_late():
    closed = attempt(outcome=Outcome.LOST)
    move = moves.finish(job(JobState.FAILURE), closed, finish_request(Outcome.SUCCESS), at(9))
    assert move == moves.Move(attempt=closed.evolve(late_outcome=Outcome.SUCCESS))


def test_finish_of_a_closed_attempt_keeps_the_first_late_outcome():
    closed = attempt(outcome=Outcome.LOST, late_outcome=Outcome.SUCCESS)
    assert moves.finish(job(), closed, finish_request(Outcome.FAILURE), at(9)) == moves.Move()


def test_finish_of_an_attempt_that_is_not_the_job_s_only_closes_it():
    known, _ = running(token="t2")
    opened = attempt("t1")
    move = moves.finish(known, opened, finish_request(), at(9))
    assert (move.applied, move.ends, move.job) == (False, False, None)
    assert move.attempt.outcome is Outcome.SUCCESS
