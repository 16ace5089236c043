"""Records that a server drops, or somebody deletes: what is left of them goes when it is met."""

from __future__ import annotations

import logging

import pytest

from celery_jobtrack.model.requests import JobQuery
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.strategies.redis.ids import pack_id
from celery_jobtrack.testing import steps
from celery_jobtrack.tracking.checker import Checker
from celery_jobtrack.tracking.tracker import Tracker
from tests.unit.tracking_fixtures import RememberingPorts, World

ROOT = b"{jobtrack:default}"


@pytest.fixture
def drop(redis_client):
    def drop_record(*job_ids, message=True):
        for job_id in job_ids:
            assert redis_client.delete(ROOT + b":j:" + pack_id(job_id)) == 1
            if message:
                redis_client.delete(ROOT + b":b:" + pack_id(job_id))

    return drop_record


@pytest.fixture
def checker(redis_store):
    settings = World(lost_message_after=30.0).settings
    redis_store.register_worker(steps.WORKER, 3600)
    return Checker(Tracker(redis_store, RememberingPorts(empty=True)), settings)


def keys_with(redis_client, job_id):
    """Where an id stands, in a name or as a member."""
    packed, found = pack_id(job_id), set()
    for key in redis_client.scan_iter():
        if redis_client.type(key) == b"zset" and redis_client.zscore(key, packed) is not None:
            found.add(key)
        if key.endswith(b":" + packed):
            found.add(key)
    return found


def test_queued_jobs_that_were_dropped_are_forgotten_by_the_checker(
    redis_store, redis_client, redis_clock, drop, checker, caplog
):
    for number in range(5):
        steps.enqueue(redis_store, f"j{number}", queue="q", message=b"m")
    drop("j0", "j1", "j2")
    redis_clock.advance(31)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert checker.tick().failed == ()
    assert [record for record in caplog.records if "not kept" in record.getMessage()] == []
    assert redis_store.counts() == {JobState.ENQUEUED: 2}
    assert keys_with(redis_client, "j0") == {ROOT + b":t:0"}
    assert len(redis_store.jobs(JobQuery()).items) == 2
    assert keys_with(redis_client, "j0") == set()


def test_job_recorded_anew_by_its_start_leaves_nothing_of_before(
    redis_store, redis_clock, drop, checker, caplog
):
    steps.enqueue(redis_store, "job", queue="q")
    steps.enqueue(redis_store, "moved", queue="before")
    drop("job", "moved")
    steps.run(redis_store, "job", queue="q")
    steps.run(redis_store, "moved", queue="after")
    redis_clock.advance(31)
    assert redis_store.counts() == {JobState.SUCCESS: 2}
    with caplog.at_level(logging.WARNING):
        assert checker.tick().failed == ()
        assert checker.tick().failed == ()
    assert caplog.records == []
    now = redis_store.now()
    assert redis_store.overdue_queues(now) == []
    assert [job.id for job in redis_store.jobs(JobQuery()).items] == ["moved", "job"]


def test_running_job_that_was_dropped_does_not_keep_the_reaper_from_others(redis_store, redis_clock, drop):
    redis_store.register_worker(steps.WORKER, 45)
    for job_id in ("a", "b", "c"):
        steps.start(redis_store, job_id, f"t{job_id}")
    drop("a", "c")
    steps.run(redis_store, "c")
    redis_clock.advance(46)
    assert [attempt.job_id for attempt in redis_store.lost_attempts(10)] == ["b"]
    assert [attempt.job_id for attempt in redis_store.open_attempts(steps.WORKER.id, 10)] == ["b"]
    assert redis_store.counts() == {JobState.STARTED: 1, JobState.SUCCESS: 1}


def test_expiring_job_that_was_dropped_is_forgotten(redis_store, redis_clock, drop):
    steps.enqueue(redis_store, "job", expires_at=redis_store.now())
    drop("job")
    redis_clock.advance(1)
    assert redis_store.expired_jobs(10) == []
    assert redis_store.counts() == {}


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE])
def test_ended_jobs_that_were_dropped_are_pruned_with_the_others(
    redis_store, redis_client, redis_clock, drop, outcome
):
    reason = Reason.ERROR if outcome is Outcome.FAILURE else None
    for number in range(4):
        steps.finish(redis_store, f"j{number}", f"t{number}", outcome, reason=reason)
    drop("j0", "j1", "j2")
    steps.start(redis_store, "j2", "again")
    redis_clock.advance(10)
    assert redis_store.prune_jobs(JobState(outcome.value), redis_store.now(), 10) == 1
    assert redis_store.counts() == {JobState.STARTED: 1}
    assert redis_store.job("j2") is not None
    assert len(redis_store.jobs(JobQuery()).items) == 1
    assert keys_with(redis_client, "j0") == set()
    assert not redis_client.exists(ROOT + b":ep:5", ROOT + b":ep:6")


def test_listing_a_state_forgets_what_was_dropped(redis_store, drop):
    for number in range(3):
        steps.enqueue(redis_store, f"j{number}", queue=None)
    drop("j0", "j2")
    assert [job.id for job in redis_store.jobs(JobQuery(state=JobState.ENQUEUED)).items] == ["j1"]
    assert redis_store.counts() == {JobState.ENQUEUED: 1}


def test_group_with_members_that_were_dropped_completes_and_is_pruned(
    redis_store, redis_clock, drop, checker, caplog
):
    steps.group(redis_store)
    for number in range(3):
        steps.enqueue(redis_store, f"j{number}", group_id="g")
    drop("j0", "j1")
    steps.run(redis_store, "j2", group_id="g")
    redis_clock.advance(61)
    with caplog.at_level(logging.ERROR):
        assert checker.tick().repaired == 1
    assert "dropped by the server" in caplog.text
    assert steps.the_group(redis_store).is_over
    steps.all_events(redis_store, redis_clock)
    redis_clock.advance(10)
    assert redis_store.prune_jobs(JobState.SUCCESS, redis_store.now(), 10) == 1
    assert redis_store.prune_groups(redis_store.now(), 10) == 1
