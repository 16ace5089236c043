"""A message that nobody was there to take is not lost; what is lost is found by workers that come and go."""

import logging
from datetime import timedelta

import pytest

from celery_jobtrack.model.requests import AD_HOC, Worker
from celery_jobtrack.tracking.presence import present_since
from tests.unit.tracking_fixtures import WORKER, World

LEASE = 45.0
BEAT = 10.0
HOUR = 3600.0


@pytest.fixture
def world(caplog):
    caplog.set_level(logging.CRITICAL)
    made = World(lost_message_after=30.0)
    made.store.stop_worker(WORKER.id)
    return made


class Shift:
    """One worker after the other, each with a checker of its own process's."""

    def __init__(self, world):
        self.world = world
        self.number = 0

    def work(self, seconds, *, goodbye=True):
        """A worker comes, works for so long, and goes. Returns how many messages it sent again."""
        store, clock = self.world.store, self.world.clock
        self.number += 1
        worker = Worker(id=f"boot-{self.number}", name="celery@host", pid=self.number)
        store.register_worker(worker, LEASE)
        sent = 0
        while seconds > 0:
            step = min(BEAT, seconds)
            clock.advance(step)
            seconds -= step
            sent += self.world.checker.tick().republished
            store.heartbeat(worker, LEASE)
        if goodbye:
            store.stop_worker(worker.id)
        return sent


def seconds_since_present(world, wait):
    since = present_since(world.store, timedelta(seconds=wait))
    return None if since is None else (world.store.now() - since).total_seconds()


def test_backlog_that_waited_without_workers_is_not_sent_again_at_once(world):
    shift = Shift(world)
    shift.work(60)
    for number in range(20):
        world.enqueue(f"job-{number}")
    world.clock.advance(HOUR)
    # The first worker takes all of it out of the broker, and begins it by and by.
    world.ports.empty = True
    assert shift.work(29) == 0


def test_lost_message_is_found_soon_after_a_gap_without_workers(world):
    shift = Shift(world)
    shift.work(60)
    world.enqueue("lost")
    world.clock.advance(HOUR)
    world.ports.empty = True
    assert shift.work(40) == 1


def test_lost_message_is_found_by_workers_that_restart_more_often_than_a_lease(world):
    shift = Shift(world)
    shift.work(20)
    world.enqueue("lost")
    world.ports.empty = True
    sent = 0
    for _ in range(2):
        world.clock.advance(25)
        sent += shift.work(20)
    assert sent == 1
    assert world.ports.published == ["lost"]


def test_lost_message_is_found_after_a_worker_was_killed(world):
    shift = Shift(world)
    shift.work(60, goodbye=False)
    world.enqueue("lost")
    world.clock.advance(HOUR)
    world.ports.empty = True
    # Whether it was killed or the store was away, nobody can know: its lease is awaited.
    assert shift.work(40) == 0
    assert shift.work(20) == 1


def test_message_that_later_jobs_have_overtaken_is_sent_again_after_a_gap(world):
    shift = Shift(world)
    world.enqueue("lost")
    shift.work(31)
    world.enqueue("later")
    world.clock.advance(HOUR)
    world.run("later")
    assert shift.work(10) == 1
    assert world.ports.published == ["lost"]


def test_nothing_is_sent_again_while_nobody_is_there(world):
    world.enqueue("a")
    world.ports.empty = True
    for _ in range(10):
        world.clock.advance(60)
        assert world.checker.tick().republished == 0


def test_presence_leaves_out_the_gaps(world):
    shift = Shift(world)
    assert seconds_since_present(world, 30) is None
    shift.work(20)
    assert seconds_since_present(world, 30) is None
    world.clock.advance(100)
    shift.work(25)
    # 25 s of this worker, 100 s of nobody, and the last 5 s of the one before.
    assert seconds_since_present(world, 30) == pytest.approx(130)
    shift.work(30)
    assert seconds_since_present(world, 30) == pytest.approx(30)


def test_presence_of_two_at_once_counts_once(world):
    store, clock = world.store, world.clock
    one, two = (Worker(id=name, name=f"celery@{name}", pid=1) for name in ("one", "two"))
    store.register_worker(one, LEASE)
    clock.advance(10)
    store.register_worker(two, LEASE)
    clock.advance(10)
    store.stop_worker("one")
    clock.advance(5)
    store.stop_worker("two")
    assert seconds_since_present(world, 25) == pytest.approx(25)
    assert seconds_since_present(world, 26) is None


def test_presence_of_a_killed_worker_ends_with_its_last_heartbeat(world):
    shift = Shift(world)
    shift.work(20, goodbye=False)
    world.clock.advance(HOUR)
    assert seconds_since_present(world, 21) is None
    assert seconds_since_present(world, 20) == pytest.approx(HOUR + 20)


def test_process_that_runs_eagerly_consumes_nothing(world):
    world.store.register_worker(Worker(id="eager", name=f"{AD_HOC}host", pid=1), LEASE)
    world.clock.advance(40)
    assert seconds_since_present(world, 30) is None
