"""A Redis that is full and drops nothing: it can be read, and emptied with our own tools."""

from __future__ import annotations

import pytest

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.strategies.redis import RedisStore
from celery_jobtrack.testing import steps
from celery_jobtrack.tracking.checker import Checker
from celery_jobtrack.tracking.tracker import Tracker
from tests.unit.cli_fixtures import new_shop
from tests.unit.tracking_fixtures import RememberingPorts, World

shop = pytest.fixture(new_shop, name="shop")

OLD = 400 * 86_400.0


@pytest.fixture
def fill(redis_client):
    """Makes the server full."""
    yield lambda: redis_client.config_set("maxmemory", "1mb")
    redis_client.config_set("maxmemory", "0")


def record_old_ones(store, clock):
    steps.group(store)
    for number in range(20):
        steps.finish(store, f"j{number}", f"t{number}", group_id="g" if number % 2 else None)
        steps.finish(store, f"f{number}", f"u{number}", Outcome.FAILURE, reason=Reason.ERROR, group_id=None)
    steps.all_events(store, clock)
    clock.advance(OLD)


def test_full_server_is_opened_and_read_without_a_write(redis_store, redis_client, redis_url, fill):
    steps.enqueue(redis_store)
    fill()
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter()}
    other = RedisStore(redis_url)
    other.open()
    assert other.counts() == {JobState.ENQUEUED: 1}
    other.close()
    assert {key: redis_client.dump(key) for key in redis_client.scan_iter()} == before


def test_full_server_is_not_opened_for_a_new_namespace(redis_url, fill):
    fill()
    with pytest.raises(StoreUnavailable, match="it is full"):
        RedisStore(redis_url).open()


def test_full_server_is_emptied_by_a_checker(redis_store, redis_clock, fill):
    record_old_ones(redis_store, redis_clock)
    steps.enqueue(redis_store, "young")
    fill()
    checker = Checker(Tracker(redis_store, RememberingPorts()), World().settings)
    tick = checker.tick()
    assert tick is not None
    assert (tick.pruned, tick.failed) == (41, ())
    assert redis_store.counts() == {JobState.ENQUEUED: 1}


def test_full_server_lets_one_checker_at_a_time_and_hears_workers(redis_store, redis_clock, fill):
    redis_store.register_worker(steps.WORKER, 45)
    fill()
    assert redis_store.acquire_lease("checker", "one", 10)
    assert not redis_store.acquire_lease("checker", "two", 10)
    assert redis_store.observe(30, 45)
    redis_clock.advance(40)
    redis_store.heartbeat(steps.WORKER, 45)
    redis_clock.advance(40)
    (worker,) = redis_store.workers()
    assert worker.lease_until > redis_store.now()


def test_full_server_hands_out_events_that_nobody_delivered(redis_store, redis_clock, fill):
    steps.group(redis_store)
    steps.start(redis_store, "job", "t1", group_id="g")
    fill()
    assert len(steps.all_events(redis_store, redis_clock)) == 1


def test_full_server_is_seen_and_pruned_by_commands(shop, redis_store, redis_clock, redis_url, fill):
    record_old_ones(redis_store, redis_clock)
    redis_clock.advance(-OLD)
    shop.app.conf.jobtrack_strategy = redis_url
    fill()
    assert shop.json("status")["jobs"]["SUCCESS"] == 20
    assert len(shop.json("jobs", "--limit", "50")["items"]) == 40
    assert shop.json("job", "j3")["job"]["state"] == "SUCCESS"
    assert shop.json("check")["ran"]
    assert shop.json("prune", "--older-than", "0s")["jobs"] == 40
    assert shop.json("status")["jobs"]["SUCCESS"] == 0
