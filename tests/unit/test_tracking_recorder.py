"""Facts of a job that meet a store which goes and comes: none overtakes those that are still kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.lock import Claim, Kind, OnConflict
from celery_jobtrack.model.requests import EnqueueRequest, FinishRequest, RetryRequest
from celery_jobtrack.model.state import Outcome
from celery_jobtrack.tracking.recorder import Recorder
from celery_jobtrack.tracking.spool import Spool
from tests.unit.tracking_fixtures import World


class Outage:
    def __init__(self, world):
        self._world = world
        self.on = False

    def tracker(self):
        if self.on:
            raise StoreUnavailable("away")
        return self._world.tracker


@pytest.fixture
def world():
    return World()


@pytest.fixture
def outage(world):
    return Outage(world)


@pytest.fixture
def recorder(outage, tmp_path):
    return Recorder(outage.tracker, Spool(tmp_path / "spool"), lambda: False)


def retry(world, start):
    following = world.origin("a", retries=start.origin.retries + 1)
    return RetryRequest(start=start, origin=following, message=b"m", outcome=Outcome.RETRY)


def test_end_of_an_attempt_waits_behind_its_kept_start(world, outage, recorder):
    world.enqueue("a")
    first = world.start_request("a", token="first")
    second = world.start_request("a", token="second", retries=1)
    recorder.start(first)
    outage.on = True
    recorder.retry(retry(world, first))
    recorder.start(second)
    outage.on = False
    assert recorder.finish(FinishRequest(start=second, outcome=Outcome.SUCCESS)) is None
    recorder.replay()
    assert world.state("a") == "SUCCESS"
    assert [str(attempt.outcome) for attempt in world.store.attempts("a")] == ["RETRY", "SUCCESS"]


def test_retry_of_an_attempt_waits_behind_its_kept_start(world, outage, recorder):
    world.enqueue("a")
    starts = [world.start_request("a", token=f"t{n}", retries=n) for n in range(3)]
    recorder.start(starts[0])
    outage.on = True
    recorder.retry(retry(world, starts[0]))
    recorder.start(starts[1])
    outage.on = False
    assert recorder.retry(retry(world, starts[1])) is None
    recorder.replay()
    assert world.state("a") == "RETRY"
    assert recorder.start(starts[2]).admitted
    assert recorder.finish(FinishRequest(start=starts[2], outcome=Outcome.SUCCESS)).applied


@pytest.mark.parametrize("kind", [Kind.QUEUE, Kind.UNIQUE])
def test_job_that_ran_while_the_store_was_away_is_not_held_back_afterwards(world, outage, recorder, kind):
    at = world.store.now() + timedelta(hours=1) if kind is Kind.QUEUE else None
    conflict = OnConflict.WAIT if kind is Kind.QUEUE else OnConflict.SKIP
    claims = (Claim(key="k", kind=kind, until_start=True, at=at, on_conflict=conflict),)
    outage.on = True
    starts = [world.start_request(name, token=f"t-{name}", claims=claims) for name in "ab"]
    for start in starts:
        recorder.enqueue(EnqueueRequest(origin=start.origin, message=b"m"))
    for start in starts:
        recorder.start(start)
        recorder.finish(FinishRequest(start=start, outcome=Outcome.SUCCESS))
    outage.on = False
    recorder.replay()
    assert [world.state(name) for name in "ab"] == ["SUCCESS", "SUCCESS"]
    assert world.ports.published == []


def test_end_of_an_attempt_that_was_closed_is_not_kept(world, recorder):
    world.enqueue("a")
    start = world.start_request("a", token="first")
    recorder.start(start)
    assert recorder.finish(FinishRequest(start=start, outcome=Outcome.SUCCESS)).applied
    assert not recorder.finish(FinishRequest(start=start, outcome=Outcome.FAILURE)).applied
    assert recorder.has_nothing_kept()
