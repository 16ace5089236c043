from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from celery_jobtrack.model.job import ErrorInfo, Progress
from celery_jobtrack.model.state import JobState, Outcome
from tests.unit.values import NOW, at, attempt, job


@pytest.mark.parametrize(
    ("current", "total", "percent"),
    [
        (0, 10, 0.0),
        (5, 10, 50.0),
        (10, 10, 100.0),
        (12, 10, 100.0),
        (-1, 10, 0.0),
        (1, 3, pytest.approx(33.333, abs=0.001)),
        (0.5, 1, 50.0),
        (5, None, None),
        (5, 0, None),
    ],
)
def test_progress_percent(current, total, percent):
    assert Progress(current=current, total=total).percent == percent


def test_error_prints_its_type_and_text():
    assert str(ErrorInfo(type="ValueError", message="bad")) == "ValueError: bad"
    assert str(ErrorInfo(type="ValueError", message="")) == "ValueError"


@pytest.mark.parametrize("state", JobState)
def test_job_is_final_with_its_state(state):
    assert job(state).is_final is state.is_final


def test_job_runtime_is_from_the_last_start_to_the_end():
    assert job(started_at=NOW, finished_at=at(2.5)).runtime == 2.5


@pytest.mark.parametrize("changes", [{}, {"started_at": NOW}, {"finished_at": NOW}])
def test_job_runtime_is_unknown_before_the_end(changes):
    assert job(**changes).runtime is None


def test_job_evolves_into_a_copy():
    before = job()
    after = before.evolve(retries=3)
    assert (before.retries, after.retries) == (0, 3)
    assert after.evolve(retries=0) == before


def test_job_is_frozen():
    with pytest.raises(FrozenInstanceError):
        job().state = JobState.SUCCESS


def test_job_refuses_fields_that_it_has_not():
    with pytest.raises(TypeError):
        job().evolve(colour="red")


@pytest.mark.parametrize("outcome", Outcome)
def test_attempt_is_open_until_it_has_an_outcome(outcome):
    assert attempt().is_open
    assert not attempt().evolve(outcome=outcome).is_open


def test_attempt_is_open_whatever_came_late():
    assert attempt(late_outcome=Outcome.SUCCESS).is_open
