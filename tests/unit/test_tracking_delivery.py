import logging

import pytest

from celery_jobtrack import events
from celery_jobtrack.tracking.delivery import FIRST_WAIT, TRIES
from tests.unit.tracking_fixtures import World


@pytest.fixture
def world():
    return World()


@pytest.fixture
def heard():
    calls = []

    def started(sender, *, group, event_id, **_):
        calls.append(("started", group.id, event_id))

    def completed(sender, *, group, event_id, **_):
        calls.append(("completed", group.id, event_id))

    with (
        events.job_group_started.connected_to(started),
        events.job_group_completed.connected_to(completed),
    ):
        yield calls


def test_events_of_a_group_reach_listeners_once_and_in_order(world, heard):
    world.group()
    world.enqueue("a", group_id="g")
    world.run("a")
    assert [(kind, group) for kind, group, _ in heard] == [("started", "g"), ("completed", "g")]
    assert len({event_id for *_, event_id in heard}) == 2
    world.tracker.delivery.deliver_due()
    assert len(heard) == 2


def test_a_process_that_may_not_deliver_asks_one_that_may(world, heard):
    world.ports.delivers = False
    world.group()
    world.enqueue("a", group_id="g")
    world.run("a")
    assert (heard, world.ports.requested) == ([], 2)
    world.ports.delivers = True
    assert world.tracker.delivery.deliver_due() == 2
    assert [kind for kind, *_ in heard] == ["started", "completed"]


def test_a_listener_that_raises_is_tried_again_with_the_same_event_id(world, caplog):
    calls = []

    def flaky(sender, *, event_id, **_):
        calls.append(event_id)
        if len(calls) == 1:
            raise RuntimeError("not yet")

    world.group()
    world.enqueue("a", group_id="g")
    with events.job_group_started.connected_to(flaky), caplog.at_level(logging.CRITICAL):
        world.run("a")
        assert world.tracker.delivery.deliver_due() == 0
        world.clock.advance(FIRST_WAIT)
        assert world.tracker.delivery.deliver_due() == 2
    assert len(calls) == 2
    assert len(set(calls)) == 1


def test_completed_waits_for_a_started_that_could_not_be_delivered(world, heard, caplog):
    def broken(sender, **_):
        raise RuntimeError("never")

    world.group()
    world.enqueue("a", group_id="g")
    with events.job_group_started.connected_to(broken), caplog.at_level(logging.CRITICAL):
        world.run("a")
        assert [kind for kind, *_ in heard if kind == "completed"] == []
        for n in range(1, TRIES):
            world.clock.advance(FIRST_WAIT * 2 ** (n - 1))
            world.tracker.delivery.deliver_due()
    world.tracker.delivery.deliver_due()
    assert [kind for kind, *_ in heard if kind == "completed"] == ["completed"]
    assert not world.store.has_due_events()


def test_every_listener_is_called_although_one_raises(world, heard, caplog):
    def broken(sender, **_):
        raise RuntimeError("no")

    world.group()
    world.enqueue("a", group_id="g")
    with events.job_group_started.connected_to(broken), caplog.at_level(logging.CRITICAL):
        world.start("a")
    assert [kind for kind, *_ in heard] == ["started"]
