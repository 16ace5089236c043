from __future__ import annotations

import itertools

import pytest

from celery_jobtrack.model import moves
from celery_jobtrack.model.state import (
    FINAL,
    QUEUED,
    REASONS,
    STATE_AFTER,
    TRANSITIONS,
    EventKind,
    GroupState,
    JobState,
    Outcome,
    Reason,
    is_legal,
)
from tests.unit.values import NOW, job, origin

# Written a second time, by hand: the table and this must be changed together.
LEGAL = {
    (None, "ENQUEUED"),
    (None, "WAITING"),
    (None, "STARTED"),
    (None, "SKIPPED"),
    (None, "FAILURE"),
    (None, "REVOKED"),
    ("ENQUEUED", "WAITING"),
    ("ENQUEUED", "STARTED"),
    ("ENQUEUED", "SUCCESS"),
    ("ENQUEUED", "FAILURE"),
    ("ENQUEUED", "REVOKED"),
    ("ENQUEUED", "SKIPPED"),
    ("WAITING", "ENQUEUED"),
    ("WAITING", "FAILURE"),
    ("WAITING", "REVOKED"),
    ("WAITING", "SKIPPED"),
    ("STARTED", "ENQUEUED"),
    ("STARTED", "RETRY"),
    ("STARTED", "SUCCESS"),
    ("STARTED", "FAILURE"),
    ("STARTED", "REVOKED"),
    ("STARTED", "SKIPPED"),
    ("RETRY", "WAITING"),
    ("RETRY", "STARTED"),
    ("RETRY", "FAILURE"),
    ("RETRY", "REVOKED"),
    ("RETRY", "SKIPPED"),
    ("FAILURE", "ENQUEUED"),
    ("REVOKED", "ENQUEUED"),
    ("SKIPPED", "ENQUEUED"),
}
PAIRS = list(itertools.product([None, *JobState], JobState))


def test_transitions_name_every_state():
    assert set(TRANSITIONS) == {None, *JobState}
    assert {after for moves_from in TRANSITIONS.values() for after in moves_from} == set(JobState)
    assert all(operation for moves_from in TRANSITIONS.values() for operation in moves_from.values())


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_transition_is_legal_or_not(before, after):
    assert is_legal(before, after) is ((None if before is None else str(before), str(after)) in LEGAL)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_transition_that_is_not_legal_cannot_be_written(before, after):
    def write():
        if before is None:
            return moves.record(origin(), after, NOW)
        return moves._moved(job(before), after)

    if is_legal(before, after):
        assert write().state is after
    else:
        with pytest.raises(ValueError, match="cannot move"):
            write()


def test_transitions_cannot_be_changed():
    with pytest.raises(TypeError):
        TRANSITIONS[JobState.SUCCESS] = {}


@pytest.mark.parametrize("state", JobState)
def test_state_is_final_if_only_a_redrive_leaves_it(state):
    assert state.is_final is (state in FINAL)
    if state.is_final:
        assert set(TRANSITIONS[state].values()) <= {"redrive"}
    else:
        assert "redrive" not in TRANSITIONS[state].values()
        assert set(TRANSITIONS[state]) & FINAL


def test_state_success_is_for_ever():
    assert not TRANSITIONS[JobState.SUCCESS]


def test_states_queued_are_not_final():
    assert not QUEUED & FINAL
    assert all(is_legal(state, JobState.STARTED) for state in QUEUED)


def test_reasons_belong_to_one_state_each():
    listed = [reason for reasons in REASONS.values() for reason in reasons]
    assert sorted(listed) == sorted(Reason)
    assert set(REASONS) == FINAL - {JobState.SUCCESS}


@pytest.mark.parametrize("outcome", Outcome)
def test_outcome_leaves_the_job_in_a_state_that_a_running_one_can_reach(outcome):
    assert is_legal(JobState.STARTED, STATE_AFTER[outcome])


@pytest.mark.parametrize("state", sorted(FINAL))
def test_outcome_exists_for_every_final_state(state):
    assert STATE_AFTER[Outcome(str(state))] is state


@pytest.mark.parametrize("name", [*JobState, *Reason, *Outcome, *GroupState, *EventKind])
def test_name_prints_and_compares_as_its_value(name):
    assert str(name) == f"{name}" == name.value == name
    assert type(name)(name.value) is name
