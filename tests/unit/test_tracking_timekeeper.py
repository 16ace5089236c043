"""Those whose time has come are called and published, each once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from celery_jobtrack.model.lock import Claim, Kind
from celery_jobtrack.model.state import JobState, Reason
from celery_jobtrack.testing import steps
from celery_jobtrack.tracking.timekeeper import IN_VAIN, Timekeeper
from tests.unit.tracking_fixtures import World

RATE = {"claims": (Claim(key="starts:x", kind=Kind.RATE, interval=1.0),)}


@pytest.fixture
def world():
    return World()


def _in_line(world, *names, **more):
    steps.start(world.store, "first", "t", **RATE)
    for name in names:
        steps.enqueue(world.store, name, **RATE, **more)


def test_nobody_is_due_where_nobody_waits(world):
    assert Timekeeper(world.tracker).tick() is None


def test_it_says_when_the_next_one_is_due_and_publishes_it_then(world):
    keeper = Timekeeper(world.tracker)
    _in_line(world, "a", "b")
    assert keeper.tick() == pytest.approx(1.0)
    assert world.ports.published == []
    world.clock.advance(1)
    assert keeper.tick() == 0.0
    assert world.ports.published == ["a"]
    assert steps.the_job(world.store, "a").state is JobState.ENQUEUED


def test_who_is_due_much_later_is_none_of_its_business_yet(world):
    at = world.store.now() + timedelta(hours=1)
    clock = {"claims": (Claim(key="clock:x", kind=Kind.CLOCK, at=at, until_start=True),), "eta": at}
    steps.enqueue(world.store, "a", **clock)
    assert Timekeeper(world.tracker).tick() is None
    world.clock.advance(3600)
    assert Timekeeper(world.tracker).tick() == 0.0
    assert world.ports.published == ["a"]


def test_two_side_by_side_publish_each_once(world, monkeypatch):
    _in_line(world, "a")
    world.clock.advance(1)
    call_due, other = world.store.call_due, Timekeeper(world.tracker)

    def other_is_first(key):
        monkeypatch.setattr(world.store, "call_due", call_due)
        assert other.tick() == 0.0
        return call_due(key)

    monkeypatch.setattr(world.store, "call_due", other_is_first)
    assert Timekeeper(world.tracker).tick() == IN_VAIN
    assert world.ports.published == ["a"]


def test_key_that_cannot_be_called_does_not_stop_the_others(world, monkeypatch):
    for key in ("starts:a", "starts:b"):
        rate = {"claims": (Claim(key=key, kind=Kind.RATE, interval=1.0),)}
        steps.start(world.store, f"first-{key}", f"t-{key}", **rate)
        steps.enqueue(world.store, f"next-{key}", **rate)
    world.clock.advance(1)
    call_due = world.store.call_due

    def broken(key):
        if key == "starts:a":
            raise ValueError("broken")
        return call_due(key)

    monkeypatch.setattr(world.store, "call_due", broken)
    Timekeeper(world.tracker).tick()
    assert world.ports.published == ["next-starts:b"]


def test_looks_in_vain_come_less_and_less_often(world, monkeypatch):
    _in_line(world, "a")
    world.clock.advance(1)
    call_due = world.store.call_due
    monkeypatch.setattr(world.store, "call_due", lambda _: ())
    keeper = Timekeeper(world.tracker)
    waits = [keeper.tick() for _ in range(8)]
    assert waits[:3] == [IN_VAIN, 2 * IN_VAIN, 4 * IN_VAIN]
    assert waits[-1] == 1.0
    monkeypatch.setattr(world.store, "call_due", call_due)
    assert keeper.tick() == 0.0


def test_process_that_dies_before_it_publishes_loses_nobody(world):
    _in_line(world, "a")
    world.clock.advance(1)
    assert tuple(world.store.call_due("starts:x")) == ("a",)
    assert world.tracker.turns.tick() == 1
    assert world.ports.published == ["a"]


def test_job_whose_turn_comes_too_late_ends_as_expired(world):
    _in_line(world, "a", "b", expires_at=world.store.now() + timedelta(seconds=5))
    world.clock.advance(6)
    Timekeeper(world.tracker).tick()
    job = steps.the_job(world.store, "a")
    assert (job.state, job.reason) == (JobState.REVOKED, Reason.EXPIRED)
    assert world.ports.published == []
