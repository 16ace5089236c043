"""Pausing and resuming: what is refused, what is recorded, and how the queues of a worker follow."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from celery import Celery
from kombu import Queue

from celery_jobtrack import JobTrack
from celery_jobtrack.errors import Disabled, InvalidPayload, StoreUnavailable, UnknownQueue, UnknownTask
from celery_jobtrack.integration.intake import COMMAND, Intake, install, tell_workers
from celery_jobtrack.model.halt import HaltKind
from celery_jobtrack.model.requests import AD_HOC, Worker
from celery_jobtrack.testing.steps import enqueue
from tests.unit.apps import SmallApp
from tests.unit.cli_fixtures import new_shop

LEVELS = {"high": {"aliases": ["critical"]}, "default": {}, "low": {}}

shop = pytest.fixture(new_shop, name="shop")


@pytest.fixture
def make():
    made = []

    def make(**conf):
        made.append(SmallApp(**conf))
        return made[-1]

    yield make
    for small in made:
        small.close()


def names(jobtrack):
    return [(str(halt.kind), halt.name) for halt in jobtrack.paused()]


# What is paused


def test_pause_and_resume_say_whether_they_changed_something(small):
    jobtrack = small.jobtrack
    assert jobtrack.pause(queue="low", reason="why")
    assert not jobtrack.pause(queue="low", reason="another")
    (halt,) = jobtrack.paused()
    assert (halt.kind, halt.name, halt.reason) == (HaltKind.QUEUE, "low", "why")
    assert jobtrack.resume(queue="low")
    assert not jobtrack.resume(queue="low")
    assert jobtrack.paused() == ()


def test_pause_of_a_task_names_one_that_is_registered(small):
    @small.task(name="shop.send")
    def send():
        pass

    assert small.jobtrack.pause(task="shop.send")
    assert names(small.jobtrack) == [("task", "shop.send")]
    with pytest.raises(UnknownTask, match=r"'shop\.sent'; did you mean 'shop\.send'\?"):
        small.jobtrack.pause(task="shop.sent")
    with pytest.raises(UnknownTask, match=r"known: .*'shop\.send'"):
        small.jobtrack.pause(task="?")


def test_task_that_is_gone_can_be_resumed(small):
    small.jobtrack.store.halt(HaltKind.TASK, "shop.gone")
    assert small.jobtrack.resume(task="shop.gone")


def test_task_that_is_never_tracked_cannot_be_paused(small):
    with pytest.raises(InvalidPayload, match="never tracked"):
        small.jobtrack.pause(task="celery.chord_unlock")


def test_task_that_is_not_tracked_by_itself_is_warned_of(small, caplog):
    @small.app.task(name="plain", shared=False)
    def plain():
        pass

    assert small.jobtrack.pause(task="plain")
    assert "not tracked by itself" in caplog.text


@pytest.mark.parametrize("given", [{}, {"queue": "q", "task": "t"}])
@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_exactly_one_of_queue_and_task_is_given(small, verb, given):
    with pytest.raises(InvalidPayload, match="one of them"):
        getattr(small.jobtrack, verb)(**given)


@pytest.mark.parametrize("name", ["", 5, "a\nb", "x" * 241, "\ud800"])
def test_name_that_is_none_is_refused(small, name):
    with pytest.raises(InvalidPayload):
        small.jobtrack.pause(queue=name)
    with pytest.raises(InvalidPayload):
        small.jobtrack.resume(task=name)


def test_reason_that_is_no_text_is_refused(small):
    with pytest.raises(InvalidPayload, match="a reason is a text"):
        small.jobtrack.pause(queue="low", reason=5)


def test_queue_that_is_not_among_those_declared_is_refused(make):
    small = make(task_queues=[Queue("mail"), Queue("images")], task_create_missing_queues=False)
    assert small.jobtrack.pause(queue="mail")
    with pytest.raises(UnknownQueue, match="did you mean 'images'"):
        small.jobtrack.pause(queue="image")
    assert names(small.jobtrack) == [("queue", "mail")]


def test_queue_that_is_not_declared_and_has_had_jobs_can_be_paused(make):
    small = make(task_queues=[Queue("mail")])
    enqueue(small.jobtrack.store, "j", queue="on-demand")
    assert small.jobtrack.pause(queue="on-demand")


def test_level_is_paused_by_any_of_its_names(make):
    small = make(jobtrack_queues=LEVELS)
    assert small.jobtrack.pause(queue="critical")
    assert not small.jobtrack.pause(queue="high")
    assert small.jobtrack.pause(queue="default")
    assert names(small.jobtrack) == sorted([("queue", "high"), ("queue", small.queue)])
    assert small.jobtrack.resume(queue="critical")
    assert small.jobtrack.resume(queue="default")
    with pytest.raises(UnknownQueue, match="did you mean 'high'"):
        small.jobtrack.pause(queue="hihg")


def test_levels_that_share_a_queue_are_paused_together_only():
    app = Celery("levels", broker="amqp://", set_as_current=False)
    app.conf.update(jobtrack_strategy="memory://", jobtrack_queues=LEVELS)
    jobtrack = JobTrack(app)
    for name in ("low", "critical", "celery"):
        with pytest.raises(InvalidPayload, match=r"share the queue 'celery\.levels'"):
            jobtrack.pause(queue=name)
    assert jobtrack.pause(queue="celery.levels")
    jobtrack.close()
    app.close()


def test_nothing_can_be_paused_where_nothing_is_tracked(make):
    small = make(jobtrack_enabled=False)
    with pytest.raises(Disabled):
        small.jobtrack.pause(queue="low")


# What runs all the same


def test_eager_job_runs(eager):
    @eager.task(name="shop.send")
    def send():
        return "sent"

    eager.jobtrack.pause(task="shop.send")
    assert send.delay().get() == "sent"


# Who is told


class Control:
    def __init__(self):
        self.sent = []

    def broadcast(self, command, destination):
        self.sent.append((command, destination))


@pytest.fixture
def told(small, monkeypatch):
    control = Control()
    monkeypatch.setattr(small.app, "control", control, raising=False)
    return small, control


def test_workers_of_the_app_are_told_by_name(told):
    small, control = told
    for number, name in enumerate(["celery@b", "celery@a", f"{AD_HOC}x"]):
        small.jobtrack.store.register_worker(Worker(id=str(number), name=name, pid=1), 45)
    small.jobtrack.pause(queue="low")
    small.jobtrack.resume(queue="low")
    assert control.sent == [(COMMAND, ["celery@a", "celery@b"])] * 2


def test_nobody_is_told_where_nobody_lives(told):
    small, control = told
    small.jobtrack.pause(queue="low")
    assert control.sent == []


def test_broker_that_takes_no_message_does_not_keep_a_pause_from_being_recorded(told, caplog):
    small, control = told
    small.jobtrack.store.register_worker(Worker(id="w", name="celery@w", pid=1), 45)

    def refuse(*_, **__):
        raise ConnectionError("no broker")

    control.broadcast = refuse
    assert small.jobtrack.pause(queue="low")
    assert "at a heartbeat: no broker" in caplog.text


# What a worker consumes


class TaskConsumer:
    """kombu's, as far as it is asked here."""

    def __init__(self, queues):
        self.active = {queue.name for queue in queues.consume_from.values()}

    def consuming_from(self, name):
        return name in self.active

    def cancel_by_queue(self, name):
        self.active.discard(name)


class Consumer:
    """Celery's: what it is to do soon is done when the test says so."""

    def __init__(self, app):
        self.queues = app.amqp.queues
        self.task_consumer = TaskConsumer(self.queues)
        self.soon = []

    def call_soon(self, call, *arguments):
        self.soon.append((call, arguments))

    def turn(self):
        while self.soon:
            call, arguments = self.soon.pop(0)
            call(*arguments)

    def add_task_queue(self, name):
        self.queues.select_add(self.queues[name])
        self.task_consumer.active.add(name)

    @property
    def consumes(self):
        """What it takes from; what it would take from after a new connection is the same."""
        assert {queue.name for queue in self.queues.consume_from.values()} == self.task_consumer.active
        return sorted(self.task_consumer.active)


class Site:
    """A worker of an app with the queues a, b and c, of which it consumes a and b."""

    def __init__(self, small):
        self.jobtrack = small.jobtrack
        small.app.amqp.queues.select(["a", "b"])
        self.worker = SimpleNamespace()
        self.intake = Intake(small.jobtrack.runtime, self.worker)
        self.intake.begin()
        self.worker.consumer = self.consumer = Consumer(small.app)

    def beat(self):
        self.intake.look()
        self.consumer.turn()
        return self.consumer.consumes


@pytest.fixture
def small_with_queues(make):
    return make(task_queues=[Queue(name) for name in "abc"])


def test_queue_that_is_paused_is_left_and_taken_again(small_with_queues):
    site = Site(small_with_queues)
    site.jobtrack.pause(queue="a")
    assert site.consumer.consumes == ["a", "b"]
    assert site.beat() == ["b"]
    assert site.beat() == ["b"]
    assert site.consumer.soon == []
    site.jobtrack.resume(queue="a")
    assert site.beat() == ["a", "b"]


def test_all_queues_may_be_paused(small_with_queues):
    site = Site(small_with_queues)
    site.jobtrack.pause(queue="a")
    site.jobtrack.pause(queue="b")
    assert site.beat() == []
    site.jobtrack.resume(queue="b")
    assert site.beat() == ["b"]


def test_worker_that_starts_does_not_consume_what_is_paused(small_with_queues):
    small_with_queues.jobtrack.pause(queue="a")
    site = Site(small_with_queues)
    assert site.consumer.consumes == ["b"]
    site.jobtrack.resume(queue="a")
    assert site.beat() == ["a", "b"]


def test_queue_that_a_worker_never_consumed_is_not_taken(small_with_queues):
    site = Site(small_with_queues)
    site.jobtrack.pause(queue="c")
    assert site.beat() == ["a", "b"]
    site.jobtrack.resume(queue="c")
    assert site.beat() == ["a", "b"]


def test_pause_of_a_task_leaves_the_queues_alone(small_with_queues):
    site = Site(small_with_queues)
    site.jobtrack.store.halt(HaltKind.TASK, "a")
    assert site.beat() == ["a", "b"]


def test_queue_that_somebody_cancelled_before_is_not_taken(small_with_queues):
    site = Site(small_with_queues)
    site.consumer.queues.deselect(["a"])
    site.consumer.task_consumer.cancel_by_queue("a")
    site.jobtrack.pause(queue="a")
    site.beat()
    site.jobtrack.resume(queue="a")
    assert site.beat() == ["b"]


def test_queue_that_somebody_added_is_left_and_taken_as_the_others(small_with_queues):
    site = Site(small_with_queues)
    site.consumer.add_task_queue("c")
    assert site.beat() == ["a", "b", "c"]
    site.jobtrack.pause(queue="c")
    assert site.beat() == ["a", "b"]
    # Whoever adds it while it is paused is asked to resume it, by what happens.
    site.consumer.add_task_queue("c")
    assert site.beat() == ["a", "b"]
    site.jobtrack.resume(queue="c")
    assert site.beat() == ["a", "b", "c"]


def test_what_was_read_last_holds_whoever_comes_to_turn_first(small_with_queues):
    site = Site(small_with_queues)
    site.jobtrack.pause(queue="a")
    site.intake.look()
    site.jobtrack.resume(queue="a")
    site.intake.look()
    site.consumer.turn()
    assert site.consumer.consumes == ["a", "b"]


def test_worker_without_a_connection_follows_when_it_has_one(small_with_queues):
    site = Site(small_with_queues)
    connected, site.consumer.task_consumer = site.consumer.task_consumer, None
    site.jobtrack.pause(queue="a")
    site.intake.look()
    site.consumer.turn()
    site.consumer.task_consumer = connected
    assert site.beat() == ["b"]


def test_error_of_the_broker_does_not_end_the_worker(small_with_queues, caplog):
    site = Site(small_with_queues)

    def refuse(_name):
        raise OSError("gone")

    site.consumer.task_consumer.cancel_by_queue = refuse
    site.jobtrack.pause(queue="a")
    site.intake.look()
    site.consumer.turn()
    assert "looked at again" in caplog.text
    # Celery connects anew, and consumes what is selected.
    site.consumer.task_consumer = TaskConsumer(site.consumer.queues)
    assert site.consumer.consumes == ["b"]


def test_store_that_is_away_leaves_the_queues_as_they_are(small_with_queues, monkeypatch):
    site = Site(small_with_queues)

    def away():
        raise StoreUnavailable("away")

    site.jobtrack.pause(queue="a")
    monkeypatch.setattr(site.jobtrack.store, "halts", away)
    with pytest.raises(StoreUnavailable):
        site.intake.look()
    assert site.consumer.consumes == ["a", "b"]


def test_command_has_the_worker_look(small_with_queues):
    from celery.worker.control import Panel

    site = Site(small_with_queues)
    install(site.worker, site.intake)
    site.jobtrack.pause(queue="a")
    answer = Panel.data[COMMAND](SimpleNamespace(consumer=SimpleNamespace(controller=site.worker)))
    assert answer == {"ok": "looks"}
    site.consumer.turn()
    assert site.consumer.consumes == ["b"]
    other = SimpleNamespace(consumer=SimpleNamespace(controller=SimpleNamespace()))
    assert "error" in Panel.data[COMMAND](other)


def test_workers_of_a_store_that_is_away_are_not_told(small, caplog, monkeypatch):
    def away(**_):
        raise StoreUnavailable("away")

    monkeypatch.setattr(small.jobtrack.store, "workers", away)
    with caplog.at_level(logging.WARNING):
        tell_workers(small.jobtrack.runtime)
    assert "away" in caplog.text


# The command line


def test_pause_and_resume_by_command(shop):
    assert shop.lines("pause") == ["Nothing is paused."]
    assert shop.lines("pause", "--queue", "low", "--reason", "repairs") == ["Queue 'low' is paused."]
    assert shop.lines("pause", "--queue", "low") == ["Queue 'low' was paused already."]
    shop.time += 120
    head, line = shop.lines("pause")
    assert head.split() == ["PAUSED", "NAME", "SINCE", "REASON"]
    assert line.split() == ["queue", "low", "2", "min", "ago", "repairs"]
    assert shop.lines("resume", "--queue", "low") == ["Queue 'low' goes on."]
    assert shop.lines("resume", "--queue", "low") == ["Queue 'low' was not paused."]


def test_pause_as_json(shop):
    @shop.app.task(name="shop.send", shared=False)
    def send():
        pass

    answer = shop.json("pause", "--task", "shop.send")
    assert answer["changed"] is True
    (halt,) = answer["items"]
    assert (halt["kind"], halt["name"], halt["reason"]) == ("task", "shop.send", None)
    assert shop.json("pause") == {"items": [halt]}
    assert shop.json("resume", "--task", "shop.send") == {"changed": True, "items": []}
    assert shop.json("resume", "--task", "shop.send")["changed"] is False


def test_wrong_pauses_are_one_line(shop):
    assert "one of them" in shop.error("pause", "--reason", "why", code=1)
    assert "one of them" in shop.error("resume", code=1)
    assert "one of them" in shop.error("pause", "--queue", "a", "--task", "b", code=1)
    assert "no task is registered as 'nope'" in shop.error("pause", "--task", "nope", code=1)


def test_queues_and_status_show_what_is_paused(shop):
    shop.run("pause", "--queue", "low", "--reason", "repairs")
    (line,) = [line for line in shop.lines("queues", columns=120) if line.startswith("low")]
    assert line.split()[-1] == "paused"
    (low,) = [queue for queue in shop.json("queues")["items"] if queue["name"] == "low"]
    assert (low["paused"]["reason"], low["paused"]["since"] is None) == ("repairs", False)
    assert any(line.split()[:2] == ["queue", "low"] for line in shop.lines("status"))
    assert [halt["name"] for halt in shop.json("status")["paused"]] == ["low"]
    shop.run("resume", "--queue", "low")
    assert "PAUSED" not in "\n".join(shop.lines("status"))
