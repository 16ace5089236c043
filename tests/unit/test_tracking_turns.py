"""Who is called is published once, whoever died before it could be."""

from __future__ import annotations

import pytest

from celery_jobtrack.model.lock import Claim, OnConflict
from celery_jobtrack.model.requests import EnqueueRequest, FinishRequest
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.testing import steps
from tests.unit.tracking_fixtures import World

WAIT = {"claims": (Claim(key="k"),)}
LATEST = {"claims": (Claim(key="k", on_conflict=OnConflict.LATEST),)}


@pytest.fixture
def world():
    return World()


def _parked(world, *names, claims=WAIT):
    steps.enqueue(world.store, "holder", **claims)
    steps.start(world.store, "holder", "t", **claims)
    for name in names:
        steps.enqueue(world.store, name, **claims)
        world.clock.advance(1)


def _published(world):
    return world.ports.published


def test_end_of_the_holder_publishes_the_next_one(world):
    _parked(world, "a", "b")
    world.tracker.finish(finished("holder", "t"))
    assert _published(world) == ["a"]
    assert [steps.the_job(world.store, name).state for name in "ab"] == [JobState.ENQUEUED, JobState.WAITING]


def test_process_that_dies_between_the_end_and_the_publishing_loses_nobody(world):
    _parked(world, "a", "b")
    # Recorded, and nothing after it: as by a process that was killed then.
    steps.finish(world.store, "holder", "t", **WAIT)
    assert _published(world) == []
    assert world.tracker.turns.tick() == 1
    assert world.tracker.turns.tick() == 0
    assert _published(world) == ["a"]


def test_process_that_dies_after_the_job_left_the_line_leaves_a_lost_message(world):
    _parked(world, "a")
    steps.finish(world.store, "holder", "t", **WAIT)
    assert world.store.unpark("a").applied
    world.clock.advance(60)
    assert [job.id for job in world.store.overdue_jobs("celery", world.store.now(), 10)] == ["a"]


def test_broker_that_is_away_leaves_the_job_queued(world, monkeypatch):
    _parked(world, "a")

    def refuse(*_):
        raise OSError("no broker")

    monkeypatch.setattr(world.ports, "publish_again", refuse)
    world.tracker.finish(finished("holder", "t"))
    assert steps.the_job(world.store, "a").state is JobState.ENQUEUED


def test_superseded_job_is_ended_and_celery_is_told(world):
    _parked(world, "a", claims=LATEST)
    world.tracker.enqueue(dispatched("b"))
    job = steps.the_job(world.store, "a")
    assert (job.state, job.reason) == (JobState.SKIPPED, Reason.OVERLAP)
    assert world.ports.told == [("a", "SKIPPED")]


def test_process_that_dies_before_it_ends_a_superseded_job_leaves_it_to_the_checker(world):
    _parked(world, "a", "b", claims=LATEST)
    assert steps.the_job(world.store, "a").state is JobState.WAITING
    assert world.tracker.turns.tick() == 1
    assert steps.the_job(world.store, "a").state is JobState.SKIPPED


def finished(job_id, token):
    request = steps.start_request(job_id, token, **WAIT)
    return FinishRequest(start=request, outcome=Outcome.SUCCESS)


def dispatched(job_id):
    return EnqueueRequest(origin=steps.origin(job_id, **LATEST), message=b"m")
