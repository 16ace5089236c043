import logging

import pytest

from celery_jobtrack.model.requests import StartRequest, Worker
from celery_jobtrack.model.state import Outcome, Reason
from celery_jobtrack.tracking.lost import LostAttempts
from celery_jobtrack.tracking.reaper import Reaper
from celery_jobtrack.tracking.roll_call import RollCall
from tests.unit.tracking_fixtures import WORKER, World

DEAD = Worker(id="dead", name="celery@dead", pid=9)


@pytest.fixture
def world(caplog):
    with caplog.at_level(logging.CRITICAL):
        yield World(max_lost=2)


def lose(world, job_id, *, reruns=True, worker=DEAD, token=None):
    """Start a job in a worker that then dies, and let the checker find out."""
    request = world.start_request(job_id, worker=worker, reruns=reruns, token=token)
    assert world.tracker.start(request).admitted
    world.die(worker)
    return request


def outcomes(world, job_id):
    return [attempt.outcome for attempt in world.store.attempts(job_id)]


def test_lost_job_that_may_not_run_twice_fails(world):
    world.enqueue("a")
    lose(world, "a", reruns=False)
    assert world.checker.tick().lost == 1
    assert world.store.job("a").reason is Reason.WORKER_LOST
    assert world.ports.published == []


def test_lost_job_that_may_run_again_is_published_again(world):
    world.group()
    world.enqueue("a", group_id="g")
    lose(world, "a")
    assert world.checker.tick().lost == 1
    assert world.state("a") == "ENQUEUED"
    assert world.ports.published == ["a"]
    assert world.ports.told == []
    world.run("a")
    assert world.state("a") == "SUCCESS"
    assert outcomes(world, "a") == [Outcome.LOST, Outcome.SUCCESS]
    assert world.store.group("g").is_over


def test_poison_pill_fails_after_so_many_losses(world):
    world.enqueue("a")
    for number in range(3):
        lose(world, "a", token=f"t{number}", worker=Worker(id=f"w-{number}", name="w", pid=number))
        world.checker.tick()
    job = world.store.job("a")
    assert (str(job.state), job.reason) == ("FAILURE", Reason.WORKER_LOST)
    assert "it was lost 3 times, which is more than jobtrack_max_lost allows" in job.error.message
    assert world.ports.published == ["a", "a"]
    assert world.ports.told == [("a", "FAILURE")]


def test_lost_job_without_its_message_fails_and_says_why(world):
    world.enqueue("a", message=None)
    lose(world, "a")
    world.checker.tick()
    assert "jobtrack_keep_message" in world.store.job("a").error.message


def test_lost_job_that_shall_be_cancelled_is_not_run_again(world):
    world.enqueue("a")
    request = world.start_request("a", worker=DEAD, reruns=True)
    world.tracker.start(request)
    world.tracker.cancel("a")
    world.die(DEAD)
    world.checker.tick()
    assert world.store.job("a").reason is Reason.CANCELLED
    assert outcomes(world, "a") == [Outcome.LOST]


def test_redelivered_job_is_published_only_if_its_message_was_refused(world):
    for job_id in ("a", "b"):
        world.enqueue(job_id)
        world.tracker.start(world.start_request(job_id, worker=DEAD, reruns=True))
    # The broker was faster than we: the message of b was refused, as its attempt was open.
    assert not world.store.start(world.start_request("b", token="copy")).admitted
    lost = LostAttempts(world.tracker, 3)
    for job_id in ("a", "b"):
        assert lost.close(world.store.attempts(job_id)[0], redelivered=True)
    assert world.ports.published == ["b"]
    assert (world.state("a"), world.state("b")) == ("ENQUEUED", "ENQUEUED")


def test_requeued_job_stays_queued_when_the_broker_is_away(world, monkeypatch):
    def broken(job, message):
        raise OSError("no broker")

    monkeypatch.setattr(world.ports, "publish_again", broken)
    world.enqueue("a")
    lose(world, "a")
    assert world.checker.tick().lost == 1
    assert world.state("a") == "ENQUEUED"
    monkeypatch.undo()
    world.ports.empty = True
    world.clock.advance(31)
    world.store.heartbeat(WORKER, 45)
    assert world.store.overdue_queues(world.store.now()) == ["q"]


def test_nobody_is_given_up_for_a_lease_after_a_silence(world):
    world.enqueue("a")
    world.enqueue("queued")
    world.start("a", worker=WORKER)
    world.checker.tick()
    # The store is away for longer than the lease.
    world.clock.advance(100)
    world.ports.empty = True
    tick = world.checker.tick()
    assert (tick.lost, tick.republished) == (0, 0)
    world.store.heartbeat(WORKER, 45)
    for _ in range(5):
        world.clock.advance(10)
        world.store.heartbeat(WORKER, 45)
        last = world.checker.tick()
    assert world.state("a") == "STARTED"
    assert last.republished == 1


def test_nothing_is_taken_for_lost_while_facts_wait_in_the_spool(world):
    world.enqueue("a")
    lose(world, "a")
    world.ports.spooled = 1
    assert world.checker.tick().lost == 0
    world.ports.spooled = 0
    assert world.checker.tick().lost == 1


@pytest.fixture
def running(world):
    return set()


@pytest.fixture
def roll_call(world, running):
    reaper = Reaper(world.tracker, world.settings)
    return RollCall(world.tracker, reaper, WORKER.id, lambda attempt, _: attempt.job_id in running)


def test_roll_call_closes_what_is_missing_twice(world, running, roll_call):
    for job_id in ("a", "b"):
        world.enqueue(job_id)
        world.start(job_id)
    running |= {"a", "b"}
    assert roll_call.tick() == 0
    running.remove("a")
    assert roll_call.tick() == 0
    assert roll_call.tick() == 1
    assert (world.state("a"), world.state("b")) == ("FAILURE", "STARTED")
    assert roll_call.tick() == 0


def test_roll_call_forgets_what_came_back(world, running, roll_call):
    world.enqueue("a")
    world.start("a")
    assert roll_call.tick() == 0
    running.add("a")
    assert roll_call.tick() == 0
    running.clear()
    assert roll_call.tick() == 0
    assert world.state("a") == "STARTED"


def test_roll_call_leaves_other_workers_alone(world, roll_call):
    world.store.register_worker(DEAD, 45)
    world.enqueue("a")
    world.tracker.start(StartRequest(origin=world.origin("a"), token="t", worker=DEAD))
    assert [roll_call.tick() for _ in range(3)] == [0, 0, 0]
