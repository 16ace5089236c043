import logging
from datetime import timedelta

import pytest

from celery_jobtrack import events
from celery_jobtrack.model.requests import Worker
from celery_jobtrack.model.state import Reason
from celery_jobtrack.tracking.checker import Checker
from tests.unit.tracking_fixtures import WORKER, World

LOST = Worker(id="dead", name="celery@dead", pid=9)


@pytest.fixture
def world():
    return World(lost_message_after=30.0)


def test_check_is_done_by_one_checker_at_a_time(world):
    other = Checker(world.tracker, world.settings)
    assert world.checker.tick() is not None
    assert other.tick() is None
    world.checker.hand_over()
    assert other.tick() is not None


def test_check_ends_the_jobs_of_a_worker_that_is_gone(world, caplog):
    world.group()
    world.store.register_worker(LOST, 45)
    world.enqueue("a", group_id="g")
    world.start("a", worker=LOST)
    world.clock.advance(46)
    with caplog.at_level(logging.CRITICAL):
        assert world.checker.tick().lost == 1
    job = world.store.job("a")
    assert (str(job.state), job.reason) == ("FAILURE", Reason.WORKER_LOST)
    assert "celery@dead (pid 9)" in str(job.error)
    assert world.ports.told == [("a", "FAILURE")]
    assert world.store.group("g").is_over
    assert world.checker.tick().lost == 0


def test_check_tells_listeners_of_a_lost_worker(world, caplog):
    lost = []

    def on_lost(sender, **about):
        lost.append(about)

    world.store.register_worker(LOST, 45)
    world.enqueue("a")
    world.start("a", worker=LOST)
    world.clock.advance(46)
    with events.worker_lost.connected_to(on_lost), caplog.at_level(logging.CRITICAL):
        assert world.checker.tick().lost == 1
    assert lost == [{"worker_id": "dead", "worker": "celery@dead", "jobs": ["a"]}]


def test_check_leaves_a_worker_alone_that_is_heard_of(world):
    world.store.register_worker(LOST, 45)
    world.enqueue("a")
    world.start("a", worker=LOST)
    world.clock.advance(40)
    world.store.heartbeat(LOST, 45)
    world.clock.advance(40)
    assert world.checker.tick().lost == 0
    assert world.state("a") == "STARTED"


def test_check_publishes_again_once_the_queue_is_empty(world, caplog):
    world.enqueue("a")
    world.ports.empty = False
    world.clock.advance(31)
    assert world.checker.tick().republished == 0
    world.ports.empty = True
    with caplog.at_level(logging.CRITICAL):
        assert world.checker.tick().republished == 1
    assert world.ports.published == ["a"]
    assert world.checker.tick().republished == 0


def test_check_publishes_again_what_later_jobs_have_overtaken(world, caplog):
    world.enqueue("a")
    world.clock.advance(31)
    world.enqueue("b")
    world.run("b")
    with caplog.at_level(logging.CRITICAL):
        assert world.checker.tick().republished == 1
    assert world.ports.published == ["a"]


def test_check_publishes_the_others_when_one_message_cannot_be_read(world, caplog, monkeypatch):
    publish = world.ports.publish_again

    def unreadable(job, message):
        if job.id == "a":
            raise ValueError("no JSON")
        publish(job, message)

    monkeypatch.setattr(world.ports, "publish_again", unreadable)
    world.enqueue("a")
    world.enqueue("b")
    world.ports.empty = True
    world.clock.advance(31)
    with caplog.at_level(logging.ERROR):
        tick = world.checker.tick()
    assert (tick.republished, tick.failed) == (1, ())
    assert world.ports.published == ["b"]
    assert "the kept message of job a" in caplog.text


def test_check_waits_twice_as_long_for_every_further_copy(world, caplog):
    world.enqueue("a")
    world.ports.empty = True
    times = []
    with caplog.at_level(logging.CRITICAL):
        for second in range(0, 300, 5):
            if world.checker.tick().republished:
                times.append(second)
            world.clock.advance(5)
            world.store.heartbeat(WORKER, 45)
    assert times == [35, 95, 215]


def test_check_does_not_publish_a_job_again_before_its_eta(world):
    world.enqueue("a", eta=world.store.now() + timedelta(seconds=100))
    world.ports.empty = True
    world.clock.advance(60)
    assert world.checker.tick().republished == 0


def test_check_does_not_publish_a_started_job_again(world):
    world.enqueue("a")
    world.start("a")
    world.ports.empty = True
    world.clock.advance(31)
    assert world.checker.tick().republished == 0


def test_check_ends_expired_jobs_and_tells_celery(world):
    world.group()
    world.enqueue("a", group_id="g", expires_at=world.store.now() + timedelta(seconds=5))
    world.clock.advance(6)
    assert world.checker.tick().expired == 1
    assert world.store.job("a").reason is Reason.EXPIRED
    assert world.ports.told == [("a", "REVOKED")]
    assert world.store.group("g").is_over


def test_check_ends_queued_members_of_a_cancelled_group(world):
    world.group()
    for name in ("a", "b"):
        world.enqueue(name, group_id="g")
    request = world.start("a")
    world.tracker.change_group(world.store.cancel_group("g"))
    assert world.checker.tick().cancelled == 1
    assert world.store.job("b").reason is Reason.GROUP_CANCELLED
    assert not world.store.group("g").is_over
    world.finish(request)
    assert world.store.group("g").is_over


def test_check_completes_a_group_whose_filler_died(world):
    world.group()
    world.store.begin_filling("g", "filler", 30)
    world.enqueue("a", group_id="g")
    world.run("a")
    assert world.checker.tick().groups == 0
    assert not world.store.group("g").is_over
    world.clock.advance(31)
    assert world.checker.tick().groups == 1
    assert world.store.group("g").is_over


def test_check_mends_wrong_counters_and_says_so(world, caplog):
    group = world.group(time_to_check=10)
    world.enqueue("a", group_id="g")
    group = world.store.group("g")
    world.store._tables.groups["g"] = group.evolve(totals=group.totals.plus(group.totals))
    world.run("a")
    world.clock.advance(11)
    tick = world.checker.tick()
    assert (tick.groups, tick.repaired) == (1, 1)
    assert "counters of group g were wrong" in caplog.text
    assert world.store.group("g").is_over


def test_check_goes_on_when_one_step_fails(world, caplog, monkeypatch):
    def broken(queue):
        raise OSError("no broker")

    monkeypatch.setattr(world.ports, "queue_is_empty", broken)
    world.enqueue("a")
    world.enqueue("b", expires_at=world.store.now() + timedelta(seconds=5))
    world.clock.advance(31)
    with caplog.at_level(logging.CRITICAL):
        tick = world.checker.tick()
    assert tick.failed == ("publish lost messages again",)
    assert tick.expired == 1


def test_check_delivers_what_nobody_delivers(world):
    world.ports.delivers = False
    world.group()
    world.enqueue("a", group_id="g")
    world.run("a")
    requested = world.ports.requested
    assert world.checker.tick().delivery
    assert world.ports.requested == requested + 1


def test_check_closes_the_other_lost_attempts_when_one_cannot_be_closed(world, caplog, monkeypatch):
    world.store.register_worker(LOST, 45)
    for name in ("a", "b"):
        world.enqueue(name)
        world.start(name, worker=LOST)
    world.clock.advance(46)
    settle = world.store.settle

    def broken(request):
        if request.origin.job_id == "a":
            raise OverflowError("one bad row")
        return settle(request)

    monkeypatch.setattr(world.store, "settle", broken)
    assert world.checker.tick().lost == 1
    assert (world.state("a"), world.state("b")) == ("STARTED", "FAILURE")
    assert "of job a cannot be closed" in caplog.text


def test_check_warns_once_of_a_job_without_a_message_that_has_moved_on(world, caplog, monkeypatch):
    world.enqueue("a", message=None)
    world.enqueue("gone", message=None)
    world.ports.empty = True
    world.clock.advance(31)
    overdue = world.store.overdue_jobs("q", world.store.now(), 10)
    monkeypatch.setattr(world.store, "overdue_jobs", lambda *_: overdue)
    world.run("gone")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert world.checker.tick().republished == 0
    (record,) = [record for record in caplog.records if "was not kept" in record.getMessage()]
    assert record.args[0] == "a"
