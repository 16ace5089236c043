"""Pauses end for everybody who waits, whoever dies meanwhile; and what is said of them."""

from __future__ import annotations

import pytest

from celery_jobtrack.model.halt import HaltKind
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import JobState
from celery_jobtrack.testing import steps
from celery_jobtrack.tracking.explaining import Explainer
from celery_jobtrack.tracking.recorder import Recorder
from celery_jobtrack.tracking.spool import Spool
from tests.unit.tracking_fixtures import World

TASK, QUEUE = HaltKind.TASK, HaltKind.QUEUE
MANY = 250
NAMES = [f"j{number:03}" for number in range(MANY)]


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def world():
    return World()


def park(world, *names, **more):
    for name in names:
        steps.enqueue(world.store, name, task="shop.send", **more)
        refused = steps.start(world.store, name, f"t-{name}", task="shop.send", **more)
        assert refused.refusal is Refusal.PARKED


def states(world):
    return {steps.the_job(world.store, name).state for name in NAMES}


def test_lift_publishes_everybody_who_waits_once_and_in_order(world):
    world.store.halt(TASK, "shop.send")
    park(world, *NAMES)
    assert world.tracker.lift(TASK, "shop.send")
    assert not world.tracker.lift(TASK, "shop.send")
    assert world.ports.published == NAMES
    assert states(world) == {JobState.ENQUEUED}


@pytest.mark.parametrize("published", [0, 1, 99, 100, 150])
def test_checker_goes_on_for_who_dies_while_resuming(world, monkeypatch, published):
    world.store.halt(TASK, "shop.send")
    park(world, *NAMES)
    publish = world.ports.publish_again

    def die(job, message):
        if len(world.ports.published) == published:
            raise Killed
        publish(job, message)

    with monkeypatch.context() as patched:
        patched.setattr(world.ports, "publish_again", die)
        with pytest.raises(Killed):
            world.tracker.lift(TASK, "shop.send")
    for _ in range(5):
        world.tracker.turns.tick()
    # Whose turn was taken and whose message was not sent is found as every lost message is.
    world.clock.advance(60)
    lost = [job.id for job in world.store.overdue_jobs("celery", world.store.now(), 1000)]
    lost = [name for name in lost if name not in world.ports.published]
    assert len(lost) == 1
    assert sorted([*world.ports.published, *lost]) == NAMES
    assert states(world) == {JobState.ENQUEUED}
    assert not world.store.lifted_halts()


def test_checker_goes_on_for_who_dies_before_anything_is_published(world):
    world.store.halt(TASK, "shop.send")
    park(world, *NAMES)
    # Recorded, and nothing after it: as by a process that was killed then.
    world.store.lift(TASK, "shop.send")
    for _ in range(5):
        world.tracker.turns.tick()
    assert sorted(world.ports.published) == NAMES


def test_checker_opens_nothing_that_is_paused(world):
    world.store.halt(TASK, "shop.send")
    park(world, "a")
    assert world.tracker.turns.tick() == 0
    assert world.ports.published == []


def test_start_that_was_kept_while_the_store_was_away_is_not_held_back(world, tmp_path):
    """Its body has run: it must not wait for a pause, and run once more after it."""
    spool = Spool(tmp_path)
    recorder = Recorder(lambda: world.tracker, spool, replays_here=lambda: False)
    steps.enqueue(world.store, "j")
    spool.keep(steps.start_request("j", "t"))
    world.store.halt(QUEUE, "celery")
    recorder.replay()
    assert steps.the_job(world.store, "j").state is JobState.STARTED


# -- in words ----------------------------------------------------------------------------------------


def why(world):
    (member,) = Explainer(world.tracker, limit=5).explain("g").members
    return member


def test_parked_member_says_what_is_paused_and_why(world):
    world.group()
    world.store.halt(TASK, "shop.send", "the mail server is away")
    world.store.halt(QUEUE, "celery")
    park(world, "j", group_id="g")
    world.clock.advance(120)
    member = why(world)
    assert member.said == (
        "is parked: queue 'celery' has been paused for 2 min, "
        "task 'shop.send' has been paused for 2 min (the mail server is away)"
    )
    assert member.lock.key == "gate:queue:celery"
    assert member.lock.said == member.said


def test_queued_member_says_that_its_queue_is_paused(world):
    world.group()
    steps.enqueue(world.store, "j", group_id="g")
    world.store.halt(QUEUE, "celery")
    world.clock.advance(60)
    assert "queue 'celery' has been paused for 1 min" in why(world).said


def test_member_that_is_called_says_that_it_is_about_to_be_sent(world):
    world.group()
    world.store.halt(TASK, "shop.send")
    park(world, "j", group_id="g")
    world.store.lift(TASK, "shop.send")
    assert "about to be sent" in why(world).said
