from __future__ import annotations

import pytest

from celery_jobtrack.model.answers import StartResult
from celery_jobtrack.model.event import EventRecord
from celery_jobtrack.model.requests import Refusal, SettleRequest, WorkerRecord
from celery_jobtrack.model.state import EventKind, JobState, Reason
from tests.unit.values import NOW, at, attempt, job, origin


def worker(**changes):
    known = {"id": "w", "name": "n", "pid": 1, "registered_at": NOW, "heartbeat_at": NOW}
    return WorkerRecord(**{**known, "lease_until": at(45), **changes})


def event(**changes):
    known = {"id": "e", "kind": EventKind.STARTED, "group_id": "g", "generation": 1, "seq": 1}
    return EventRecord(**{**known, "created_at": NOW, **changes})


@pytest.mark.parametrize(("seconds", "alive"), [(0, True), (45, True), (45.001, False), (1000, False)])
def test_worker_is_alive_while_its_lease_holds(seconds, alive):
    assert worker().is_alive(at(seconds)) is alive


def test_worker_that_stopped_is_not_alive():
    assert not worker(stopped_at=NOW).is_alive(NOW)


@pytest.mark.parametrize(
    ("changes", "pending"),
    [
        ({}, True),
        ({"claimed_by": "x", "claimed_until": at(60)}, True),
        ({"tries": 3, "error": "no"}, True),
        ({"delivered_at": NOW}, False),
        ({"undeliverable": True}, False),
    ],
)
def test_event_is_pending_until_it_is_delivered_or_given_up(changes, pending):
    assert event(**changes).is_pending is pending


def test_event_evolves_into_a_copy():
    assert event().evolve(tries=2) == event(tries=2)


def test_start_is_admitted_unless_refused():
    assert StartResult(job=job(), attempt=attempt()).admitted
    assert not any(StartResult(job=job(), refusal=refusal).admitted for refusal in Refusal)


@pytest.mark.parametrize("refusal", Refusal)
def test_refusal_prints_a_sentence(refusal):
    assert str(refusal) == refusal.value
    assert " " in str(refusal)


def test_settle_touches_what_does_not_run_by_default():
    request = SettleRequest(origin=origin(), state=JobState.REVOKED, reason=Reason.CANCELLED)
    assert request.only_from == {JobState.ENQUEUED, JobState.RETRY, JobState.WAITING}
    assert request.record_unknown
