from __future__ import annotations

import pytest

from celery_jobtrack.model import moves
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.state import JobState, Outcome
from tests.unit.values import at, attempt, job, retry_request, running

ERROR = ErrorInfo(type="ValueError", message="bad")


def test_retry_queues_the_job_with_what_the_message_says():
    known, opened = running(copy_waiting=True, queue="a", priority=3, eta=at(-5))
    request = retry_request(retries=4, eta=at(60), expires_at=at(99), queue="b", priority=0, error=ERROR)
    move = moves.retry(known, opened, request, at(9))
    assert (move.applied, move.starts, move.ends) == (True, False, False)
    assert move.job == known.evolve(
        state=JobState.RETRY,
        token=None,
        copy_waiting=False,
        retries=4,
        eta=at(60),
        expires_at=at(99),
        queue="b",
        priority=0,
        published_at=at(9),
        error=ERROR,
    )
    assert move.attempt == opened.evolve(outcome=Outcome.RETRY, error=ERROR, finished_at=at(9))


def test_retry_never_turns_retries_back():
    known, opened = running(retries=3)
    assert moves.retry(known, opened, retry_request(retries=1), at(9)).job.retries == 3


def test_retry_keeps_what_the_message_does_not_say():
    known, opened = running(expires_at=at(99), queue="a", priority=3, task="shop.resize", args="(1,)")
    move = moves.retry(known, opened, retry_request(task="other", args="(2,)"), at(9))
    assert (move.job.expires_at, move.job.queue, move.job.priority) == (at(99), "a", 3)
    assert (move.job.task, move.job.args) == ("shop.resize", "(1,)")


def test_retry_without_an_eta_forgets_the_last_one():
    known, opened = running(eta=at(-5))
    assert moves.retry(known, opened, retry_request(), at(9)).job.eta is None


def test_replacement_brings_its_own_task():
    known, opened = running(task="shop.resize", args="(1,)", kwargs="{}")
    request = retry_request(Outcome.REPLACED, task="other", args="(2,)", kwargs=None, retries=0)
    move = moves.retry(known, opened, request, at(9))
    assert (move.job.state, move.job.task, move.job.args) == (JobState.ENQUEUED, "other", "(2,)")
    assert move.attempt.outcome is Outcome.REPLACED


@pytest.mark.parametrize("outcome", [Outcome.RETRY, Outcome.REPLACED])
def test_retry_repeated_writes_nothing(outcome):
    closed = attempt(outcome=outcome)
    assert moves.retry(job(JobState.RETRY), closed, retry_request(outcome), at(9)) == moves.Move()


def test_retry_of_a_closed_attempt_is_kept_as_late():
    closed = attempt(outcome=Outcome.LOST)
    move = moves.retry(job(JobState.FAILURE), closed, retry_request(), at(9))
    assert move == moves.Move(attempt=closed.evolve(late_outcome=Outcome.RETRY))


@pytest.mark.parametrize("known", [job(), job(JobState.STARTED, token="t2"), job(JobState.SUCCESS)])
def test_retry_of_an_unknown_attempt_writes_nothing(known):
    assert moves.retry(known, None, retry_request(), at(9)) == moves.Move()


def test_retry_of_an_attempt_that_is_not_the_job_s_writes_nothing():
    known, _ = running(token="t2")
    assert moves.retry(known, attempt("t1"), retry_request(), at(9)) == moves.Move()
