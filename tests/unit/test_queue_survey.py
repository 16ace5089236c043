"""What is said of queues: by the store, by the broker, by the workers, and where nobody knows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.queue import QueueDepth
from celery_jobtrack.model.requests import Worker
from celery_jobtrack.strategies.memory import MemoryStore
from celery_jobtrack.testing.steps import enqueue, run, start
from celery_jobtrack.tracking.queue_survey import LOOKED_AT, QueueSurvey
from tests.unit.apps import SmallApp
from tests.unit.cli_fixtures import new_shop

shop = pytest.fixture(new_shop, name="shop")


class Ports:
    """A broker and workers that say what they are told to."""

    def __init__(self, *, ready=None, consumed=None, levels=None, declared=()):
        self.ready, self.consumed, self.levels, self.declared = ready, consumed, levels or {}, declared

    def queue_depths(self, queues):
        if self.ready is None:
            raise ConnectionError("no broker")
        return {queue: QueueDepth(ready=self.ready.get(queue, 0), unacked=1) for queue in queues}

    def declared_queues(self):
        return self.declared

    def levels_by_queue(self):
        return self.levels

    def consumed_queues(self):
        if self.consumed is None:
            raise ConnectionError("no broker")
        return self.consumed


class World:
    def __init__(self):
        self.time = 1_800_000_000.0
        self.store = MemoryStore(clock=lambda: self.time)

    def survey(self, window=60.0, **said):
        tracker = SimpleNamespace(store=self.store, ports=Ports(**said))
        return {status.name: status for status in QueueSurvey(tracker, window=window).take()}


@pytest.fixture
def world():
    return World()


def test_queues_are_those_declared_consumed_or_waited_for_and_levels_come_first(world):
    enqueue(world.store, "j", queue="waited")
    world.store.register_worker(Worker(id="w", name="celery@w", pid=1), 45)
    found = world.survey(
        ready={"z": 3},
        declared=("b", "a"),
        levels={"z": ("high",), "c": ("default",)},
        consumed={"celery@w": frozenset({"z", "used"})},
    )
    assert list(found) == ["z", "c", "a", "b", "used", "waited"]
    assert (found["z"].levels, found["z"].ready, found["z"].unacked, found["z"].consumers) == (
        ("high",),
        3,
        1,
        1,
    )
    assert (found["c"].ready, found["c"].consumers, found["a"].levels) == (0, 0, ())


def test_the_oldest_is_the_one_that_could_have_started_longest_ago(world):
    enqueue(world.store, "first", queue="q")
    world.time += 10
    enqueue(world.store, "second", queue="q")
    enqueue(world.store, "other", queue="r")
    world.time += 5
    found = world.survey(ready={})
    assert (found["q"].oldest_age, found["r"].oldest_age) == (15.0, 5.0)
    start(world.store, "first", queue="q")
    assert world.survey(ready={})["q"].oldest_age == 5.0
    run(world.store, "second", queue="q")
    found = world.survey(ready={}, declared=("q",))
    assert (found["q"].oldest_at, found["q"].oldest_age) == (None, None)


def test_rates_are_of_the_window(world):
    enqueue(world.store, "old", queue="q")
    run(world.store, "old", queue="q")
    world.time += 100
    for number in range(12):
        enqueue(world.store, str(number), queue="q")
        world.time += 1
        run(world.store, str(number), queue="q")
    found = world.survey(window=60.0, ready={}, declared=("q", "idle"))
    assert (found["q"].rate_in, found["q"].rate_out, found["q"].wait) == (0.2, 0.2, 1.0)
    assert (found["idle"].rate_in, found["idle"].rate_out, found["idle"].wait) == (0.0, 0.0, None)
    # With a shorter one the waits are long, and what started in it may have been sent before it.
    assert world.survey(window=5.0, ready={}, declared=("q",))["q"].rate_out is None


def test_rates_of_more_than_are_looked_at_are_of_the_time_that_they_span(world):
    for number in range(LOOKED_AT + 200):
        enqueue(world.store, str(number), queue="q")
        world.time += 0.01
    found = world.survey(window=60.0, ready={})
    assert found["q"].rate_in == pytest.approx(100, rel=0.01)
    assert found["q"].window == pytest.approx(10, rel=0.01)
    assert found["q"].rate_out is None


def test_what_nobody_says_is_not_known(world):
    enqueue(world.store, "j", queue="q")
    world.store.register_worker(Worker(id="w", name="celery@w", pid=1), 45)
    status = world.survey()["q"]
    assert (status.ready, status.unacked, status.consumers) == (None, None, None)
    # Of two that live one answers, and does not consume it.
    world.store.register_worker(Worker(id="v", name="celery@v", pid=2), 45)
    assert world.survey(consumed={"celery@w": frozenset({"r"})})["q"].consumers is None
    assert world.survey(consumed={"celery@w": frozenset({"q"})})["q"].consumers == 1


def test_nobody_is_asked_where_no_worker_lives(world):
    enqueue(world.store, "j", queue="q")
    assert world.survey()["q"].consumers == 0


@pytest.mark.parametrize("window", [0, -1, "1m", None, True])
def test_a_wrong_window_is_refused(shop, window):
    with pytest.raises(InvalidPayload, match="window"):
        shop.jobtrack.inspect.queues(window=window)


def test_a_memory_broker_says_how_much_it_holds():
    made = SmallApp()
    try:

        @made.task(name="survey.add")
        def add(x, y):
            return x + y

        for number in range(3):
            add.delay(number, number)
        (status,) = made.jobtrack.inspect.queues()
        assert (status.name, status.ready, status.unacked) == (made.queue, 3, None)
    finally:
        made.close()


def test_queues_are_a_table_for_people_and_a_document_for_programs(shop):
    shop.app.conf.jobtrack_queues = {"high": {}, "default": {}}
    enqueue(shop.store, "j", queue="high")
    shop.time += 75
    lines = shop.lines("queues", columns=120)
    assert lines[0].split() == ["QUEUE", "LEVEL", "READY", "UNACKED", "OLDEST", "IN/S", "OUT/S", "CONSUMERS"]
    assert lines[1].split() == ["high", "high", "0", "?", "1", "min", "15", "s", "0.0", "nobody"]
    assert lines[2].split()[:4] == ["celery", "default", "0", "?"]
    high, default = shop.json("queues", "--window", "2m")["items"]
    assert (high["oldest_age"], high["window"], high["rate_in"]) == (75.0, 120.0, 1 / 120)
    assert default["levels"] == ["default"]
