"""Pausing queues and tasks with real workers: what starts, what is lost, and who remembers."""

from __future__ import annotations

import pytest

from celery_jobtrack.model.halt import HaltKind
from celery_jobtrack.model.state import JobState
from tests.integration.live import BOUND
from tests.waiting import wait_until

JOBS = 40


@pytest.fixture(params=["filesystem", "redis", "rabbitmq"])
def shop(make_shop, request):
    """A shop on each kind of broker, each with another kind of store."""
    if request.param == "filesystem":
        return make_shop()
    broker = request.getfixturevalue(f"{request.param}_server").new_database()
    store = request.getfixturevalue({"redis": "redis", "rabbitmq": "postgresql"}[request.param] + "_server")
    return make_shop(broker_url=broker, store_url=store.new_database())


def worker_of(shop):
    """A worker that fetches four messages at a time: what is fetched when a pause comes must not start."""
    return shop.worker("-c", "1", "-Q", "celery,low", "--prefetch-multiplier", "4")


def send(shop, queue):
    return [shop.task("note").apply_async((0.2,), queue=queue) for _ in range(JOBS)]


def runs(shop):
    """The ids of the jobs that ran, once for each time."""
    path = shop.folder / "runs"
    return path.read_text().split() if path.exists() else []


def state_of(shop, sent):
    return [each.job().state for each in sent]


def await_some(shop):
    wait_until(lambda: len(runs(shop)) >= 5, BOUND, "nothing runs")


def await_rest(shop, sent):
    """What was running when the pause came has ended."""
    wait_until(lambda: JobState.STARTED not in state_of(shop, sent), BOUND, "what ran has not ended")


def await_heartbeats(shop, number=2):
    """Every worker has looked at the store so often."""
    store = shop.jobtrack.store
    for _ in range(number):
        before = {worker.id: worker.heartbeat_at for worker in store.workers()}

        def all_were_heard(before=before):
            now = {worker.id: worker.heartbeat_at for worker in store.workers()}
            return all(now.get(name, then) != then or name not in now for name, then in before.items())

        wait_until(all_were_heard, BOUND, "a worker has no heartbeat")


def consumers_of(shop, queue):
    """How many take from a queue, as they say; None if nobody knows."""
    found = {each.name: each.consumers for each in shop.jobtrack.inspect.queues()}
    return found.get(queue, 0)


def assert_nothing_starts(shop, sent, since):
    """Whatever is sent elsewhere runs, and of these none more; none has begun since they were paused."""
    before = runs(shop)
    assert shop.task("add").delay(1, 2).get(timeout=BOUND) == 3
    await_heartbeats(shop)
    assert runs(shop) == before
    late = [
        attempt.started_at
        for each in sent
        for attempt in shop.jobtrack.inspect.job(each.id).attempts
        if attempt.started_at > since
    ]
    assert late == []


def assert_each_ran_once(shop, sent):
    wait_until(
        lambda: set(state_of(shop, sent)) == {JobState.SUCCESS}, BOUND * 2, "not all of them have succeeded"
    )
    ids = [each.id for each in sent]
    assert sorted(runs(shop)) == sorted(ids)
    assert {len(shop.jobtrack.inspect.job(each).attempts) for each in ids} == {1}


def test_paused_queue_rests_in_all_workers_until_it_is_resumed(shop):
    with worker_of(shop):
        with worker_of(shop):
            sent = send(shop, "low")
            await_some(shop)
            assert shop.jobtrack.pause(queue="low", reason="tests")
            (halt,) = shop.jobtrack.paused()
            await_rest(shop, sent)
            assert_nothing_starts(shop, sent, halt.since)
            assert len(runs(shop)) < JOBS
            wait_until(lambda: consumers_of(shop, "low") == 0, BOUND, "somebody consumes it")
        with worker_of(shop) as another:
            assert_nothing_starts(shop, sent, halt.since)
            assert consumers_of(shop, "low") == 0
            assert "queue 'low' is paused" in another.log.read_text()
            assert shop.jobtrack.resume(queue="low")
            assert_each_ran_once(shop, sent)
            assert consumers_of(shop, "low") == 2


def test_paused_task_rests_in_all_workers_and_occupies_none(shop):
    with worker_of(shop):
        with worker_of(shop):
            sent = send(shop, "low")
            await_some(shop)
            assert shop.jobtrack.pause(task="shop.note")
            (halt,) = shop.jobtrack.paused()
            await_rest(shop, sent)
            assert_nothing_starts(shop, sent, halt.since)
            assert len(runs(shop)) < JOBS
            resting = {JobState.SUCCESS, JobState.WAITING}
            wait_until(lambda: set(state_of(shop, sent)) == resting, BOUND, "not all of them are parked")
            waits = {each.job().waits_for for each in sent} - {None}
            assert waits == {"gate:task:shop.note"}
        with worker_of(shop):
            later = shop.task("note").delay(0.0)
            wait_until(lambda: later.job().state is JobState.WAITING, BOUND, "it is not parked")
            cancelled = sent.pop(state_of(shop, sent).index(JobState.WAITING))
            assert cancelled.cancel()
            assert shop.jobtrack.resume(task="shop.note")
            assert_each_ran_once(shop, [*sent, later])
            assert cancelled.job().state is JobState.REVOKED
    assert shop.jobtrack.store.called_jobs(10) == []


def test_worker_that_did_not_hear_of_it_follows_at_its_heartbeat(make_shop):
    shop = make_shop()
    with worker_of(shop):
        store = shop.jobtrack.store
        store.halt(HaltKind.QUEUE, "low")
        wait_until(lambda: consumers_of(shop, "low") == 0, BOUND, "it is consumed")
        store.lift(HaltKind.QUEUE, "low")
        wait_until(lambda: consumers_of(shop, "low") == 1, BOUND, "it is not consumed")
