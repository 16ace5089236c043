"""What depends on the broker, once on Redis and once on RabbitMQ: losses, redeliveries, expiry, order."""

from __future__ import annotations

import uuid
from collections import Counter
from contextlib import contextmanager

import pytest
from amqp.exceptions import ChannelError
from celery import chain, chord
from kombu.exceptions import OperationalError

from celery_jobtrack.model.state import Outcome
from tests.integration.live import BOUND
from tests.waiting import wait_until

STORES = {"redis": "sqlite", "rabbitmq": "postgresql"}
NOWHERE = {"redis": "redis://127.0.0.1:1/0", "rabbitmq": "amqp://guest:guest@127.0.0.1:1//"}


@pytest.fixture(params=STORES)
def broker(request):
    return request.param


@pytest.fixture
def open_shop(request, broker, make_shop):
    """Opens a shop on this broker, with these settings."""

    def open_shop(**conf):
        server, store = request.getfixturevalue(f"{broker}_server"), STORES[broker]
        url = "" if store == "sqlite" else request.getfixturevalue(f"{store}_server").new_database()
        return make_shop(store_url=url, broker_url=server.new_database(), **conf)

    return open_shop


@pytest.fixture
def shop(open_shop):
    return open_shop()


@contextmanager
def counted(shop):
    """How many messages wait in the shop's queue, unfetched, at each call."""
    with shop.app.connection_for_read() as connection:
        queue = shop.app.amqp.queues["celery"](connection.default_channel)

        def waiting():
            try:
                return queue.queue_declare(passive=True).message_count
            except ChannelError:  # in Redis an empty queue is none
                return 0

        yield waiting


def ended(details):
    return str(details.state), details.reason and str(details.reason)


def outcomes(details):
    return [attempt.outcome for attempt in details.attempts]


def test_every_kind_of_end_is_settled_and_the_group_completes(shop):
    expected = {
        "add": ("SUCCESS", None, [Outcome.SUCCESS]),
        "error": ("FAILURE", "error", [Outcome.FAILURE]),
        "flaky": ("SUCCESS", None, [Outcome.RETRY, Outcome.RETRY, Outcome.SUCCESS]),
        "ignore": ("SKIPPED", "ignored", [Outcome.SKIPPED]),
        "reject": ("FAILURE", "rejected", [Outcome.FAILURE]),
        "reject_once": ("SUCCESS", None, [Outcome.REQUEUED, Outcome.SUCCESS]),
        "soft": ("FAILURE", "timeout", [Outcome.FAILURE]),
        "die": ("FAILURE", "worker_lost", [Outcome.LOST]),
        "die_once": ("SUCCESS", None, [Outcome.LOST, Outcome.SUCCESS]),
    }
    arguments = {"add": (1, 2), "flaky": (2,)}
    group = shop.jobtrack.groups.create("ends")
    with shop.worker():
        with group.filling():
            ids = {
                name: shop.task(name).apply_async(arguments.get(name, ()), job_group=group).id
                for name in expected
            }
        shop.await_completion(group)
    found = {name: shop.jobtrack.inspect.job(job_id) for name, job_id in ids.items()}
    assert {name: (*ended(details), outcomes(details)) for name, details in found.items()} == expected


def test_every_way_of_publishing_is_recorded_once(shop):
    add, collect = shop.task("add"), shop.task("collect")
    with shop.worker():
        chain(add.s(1, 1), add.s(2), app=shop.app).apply_async()
        chord([add.s(n, 1) for n in range(2)], app=shop.app)(collect.s())
        shop.app.send_task("shop.add", (1, 2))
        shop.jobtrack.dispatch("send-email", to="a@example.com", fail_first=True)
        wait_until(lambda: len(final_jobs(shop)) >= 7, BOUND, "the jobs did not end")
    assert {str(job.state) for job in final_jobs(shop)} == {"SUCCESS"}
    tasks = Counter(job.task for job in shop.jobtrack.inspect.jobs().items)
    assert tasks == {"shop.add": 5, "shop.collect": 1, "send-email": 1}


def final_jobs(shop):
    return [job for job in shop.jobtrack.inspect.jobs().items if job.is_final]


def test_groups_that_finish_at_once_under_two_workers_complete_once_each(shop):
    groups = [shop.jobtrack.groups.create(f"group {n}") for n in range(5)]
    with shop.worker(), shop.worker():
        for group in groups:
            with group.filling():
                for n in range(4):
                    shop.task("add").apply_async((1, n), job_group=group)
        for group in groups:
            shop.await_completion(group)


def test_a_broker_that_refuses_ends_the_job_as_never_published(shop, broker, make_shop):
    cut_off = make_shop(store_url=shop.app.conf.jobtrack_strategy, broker_url=NOWHERE[broker])
    group, job_id = cut_off.jobtrack.groups.create("unpublished"), str(uuid.uuid4())
    with pytest.raises(OperationalError):
        cut_off.task("add").apply_async((1, 2), job_group=group, task_id=job_id, retry=False)
    assert ended(shop.jobtrack.inspect.job(job_id)) == ("FAILURE", "publish_failed")
    with shop.worker():
        shop.await_completion(shop.jobtrack.groups.get(group.id))


def test_jobs_that_a_killed_worker_had_fetched_run_once(shop):
    """RabbitMQ gives them back at once; Redis keeps them aside, so the checker publishes them again."""
    group, names = shop.jobtrack.groups.create("killed"), [uuid.uuid4().hex for _ in range(2)]
    with shop.worker() as first:
        running = [shop.task("wait").apply_async((name,), job_group=group) for name in names]
        for name in names:
            shop.await_running(name)
        fetched = [shop.task("add").apply_async((1, n), job_group=group) for n in range(6)]
        with counted(shop) as waiting:
            wait_until(lambda: waiting() == 0, BOUND, "they were not fetched")
        first.kill_whole()
    with shop.worker():
        shop.await_completion(group)
    assert {ended(result.job()) for result in running} == {("FAILURE", "worker_lost")}
    for result in fetched:
        details = shop.jobtrack.inspect.job(result.id)
        assert (*ended(details), outcomes(details)) == ("SUCCESS", None, [Outcome.SUCCESS])


def test_a_message_delivered_again_while_its_job_is_open_starts_nothing(shop, broker):
    """The first worker was killed with the message unacknowledged, and its lease goes on for a while."""
    group, name = shop.jobtrack.groups.create("delivered again"), uuid.uuid4().hex
    with shop.worker() as first:
        result = shop.task("wait_late").apply_async((name,), job_group=group)
        shop.await_running(name)
        first.kill_whole()
    if broker == "redis":
        restore_unacknowledged(shop)
    with counted(shop) as waiting:
        wait_until(lambda: waiting() == 1, BOUND, "it was not put back")
    with shop.worker():
        shop.await_completion(group)
        with counted(shop) as waiting:
            assert waiting() == 0
    details = shop.jobtrack.inspect.job(result.id)
    assert (*ended(details), outcomes(details)) == ("FAILURE", "worker_lost", [Outcome.LOST])


def restore_unacknowledged(shop):
    """What Redis's consumers do when the visibility timeout is over, at once."""
    with shop.app.connection_for_write() as connection:
        channel = connection.default_channel
        channel.qos.visibility_timeout = 0
        channel.qos.restore_visible(num=100)


def test_a_job_that_expires_in_the_queue_is_revoked(shop, broker):
    """RabbitMQ drops the message, and nobody is told: only the checker can know."""
    group = shop.jobtrack.groups.create("expired")
    result = shop.task("add").apply_async((1, 2), job_group=group, expires=0.5)
    if broker == "rabbitmq":
        with counted(shop) as waiting:
            wait_until(lambda: waiting() == 0, BOUND, "it was not dropped")
    else:
        wait_until(lambda: shop.jobtrack.store.now() > result.job().expires_at, BOUND, "it does not expire")
    with shop.worker():
        shop.await_completion(group)
    details = shop.jobtrack.inspect.job(result.id)
    assert (*ended(details), outcomes(details)) == ("REVOKED", "expired", [])


def test_jobs_for_later_wait_for_their_time_also_when_their_worker_is_killed(shop):
    group = shop.jobtrack.groups.create("later")
    with shop.worker() as first:
        result = shop.task("add").apply_async((1, 2), job_group=group, countdown=4)
        with counted(shop) as waiting:
            wait_until(lambda: waiting() == 0, BOUND, "it was not fetched")
        first.kill_whole()
    with shop.worker():
        shop.await_completion(group)
    details = shop.jobtrack.inspect.job(result.id)
    assert (*ended(details), outcomes(details)) == ("SUCCESS", None, [Outcome.SUCCESS])
    assert details.started_at >= details.eta


def test_messages_that_were_purged_are_published_again_as_they_were(shop, broker):
    group = shop.jobtrack.groups.create("purged")
    with group.filling():
        results = [
            shop.task("delivered").apply_async(job_group=group, priority=priority) for priority in (3, 6)
        ]
    assert shop.app.control.purge() == 2
    with shop.worker():
        shop.await_completion(group)
    assert [result.get(timeout=BOUND)["priority"] for result in results] == [3, 6]
    jobs = [result.job() for result in results]
    numbers = {"redis": [6, 3], "rabbitmq": [3, 6]}[broker]
    assert [(job.priority, job.copies, job.attempts) for job in jobs] == [(n, 1, 1) for n in numbers]


def test_priorities_are_the_brokers_own(open_shop, broker):
    """RabbitMQ takes the highest number first, Redis the lowest; recorded is which goes first."""
    settings = {
        "redis": {"broker_transport_options": {"queue_order_strategy": "sorted"}},
        "rabbitmq": {"task_queue_max_priority": 10},
    }
    shop = open_shop(worker_prefetch_multiplier=1, **settings[broker])
    group = shop.jobtrack.groups.create("in order")
    with group.filling():
        results = [
            shop.task("delivered").apply_async(job_group=group, priority=priority) for priority in (3, 9, 6)
        ]
    with shop.worker("-c", "1"):
        shop.await_completion(group)
    jobs = sorted((result.job() for result in results), key=lambda job: job.started_at)
    assert [job.priority for job in jobs] == {"redis": [6, 3, 0], "rabbitmq": [9, 6, 3]}[broker]
