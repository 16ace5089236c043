"""Bulk dispatch with real workers: every job arrives, runs once, and its group completes."""

from __future__ import annotations

from collections import Counter

import pytest
import redis
from celery import signals

from tests.integration.live import BOUND
from tests.waiting import wait_until

STORES = {"filesystem": "", "redis": "redis", "rabbitmq": "postgresql"}


@pytest.fixture(params=STORES)
def shop(request, make_shop):
    def database(server):
        return request.getfixturevalue(f"{server}_server").new_database()

    store = STORES[request.param]
    broker_url = "" if request.param == "filesystem" else database(request.param)
    return make_shop(store_url=database(store) if store else "", broker_url=broker_url)


@pytest.fixture
def redis_shop(redis_server, make_shop):
    return make_shop(store_url=redis_server.new_database(), broker_url=redis_server.new_database())


def members(group):
    found, cursor = [], None
    while True:
        page = group.members(limit=500, cursor=cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


def signatures(shop):
    """Jobs of several kinds, among them some that are made one by one."""
    add, flaky, error = shop.task("add"), shop.task("flaky"), shop.task("error")
    for number in range(120):
        yield add.s(number, 1)
        if number % 20 == 0:
            yield add.s(number, 2).set(countdown=0.5)
            yield flaky.s(1)
            yield error.s()
            yield shop.task("plain").s()


def test_bulk_jobs_of_every_kind_run_and_the_group_completes(shop):
    group = shop.jobtrack.groups.create("bulk")
    with shop.worker():
        report = group.dispatch(signatures(shop), chunk=50)
        shop.await_completion(group)

    assert (report.total, report.sent) == (144, 144)
    status = group.status()
    assert (status.total, status.succeeded, status.failed) == (144, 138, 6)
    found = members(group)
    assert Counter(job.task for job in found) == {
        "shop.add": 126,
        "shop.flaky": 6,
        "shop.error": 6,
        "shop.plain": 6,
    }
    tries = Counter((job.task, job.attempts) for job in found)
    assert tries[("shop.add", 1)] == 126
    assert tries[("shop.flaky", 2)] == 6


def test_bulk_with_a_key_that_is_made_again_runs_nothing_twice(shop):
    group = shop.jobtrack.groups.create("bulk")
    add = shop.task("add")
    with shop.worker(), group.filling():
        first = group.dispatch((add.s(number, 1) for number in range(40)), chunk=15, key="night")
        again = group.dispatch((add.s(number, 1) for number in range(60)), chunk=15, key="night")
        wait_until(lambda: group.status().succeeded == 60, BOUND, "the jobs did not run")

    assert (first.sent, first.known, again.sent, again.known) == (40, 0, 20, 40)
    assert Counter(job.attempts for job in members(group)) == {1: 60}


def test_bulk_whose_chunk_reaches_redis_twice_runs_each_job_once(redis_shop, monkeypatch):
    execute, broken = redis.client.Pipeline.execute, []

    def breaking(pipeline, *args, **kwargs):
        names = {command[0][0] for command in pipeline.command_stack}
        answers = execute(pipeline, *args, **kwargs)
        if names == {"LPUSH"} and not broken:
            broken.append(True)
            raise redis.ConnectionError("the answer was lost")
        return answers

    monkeypatch.setattr(redis.client.Pipeline, "execute", breaking)
    group = redis_shop.jobtrack.groups.create("bulk")
    add = redis_shop.task("add")

    report = group.dispatch(add.s(number, 1) for number in range(40))

    assert (report.sent, broken) == (40, [True])
    with redis_shop.app.connection_for_read() as connection:
        assert connection.default_channel.queue_declare("celery", passive=True).message_count == 80
    with redis_shop.worker():
        redis_shop.await_completion(group)
        # The second copies are taken and refused.
        wait_until(lambda: _is_empty(redis_shop), BOUND, "the copies were not taken")
    assert Counter(job.attempts for job in members(group)) == {1: 40}


def test_bulk_with_listeners_reaches_the_worker_as_they_leave_it(redis_shop):
    def stamp(headers, **about):
        headers["stamp"] = "from the listener"

    group = redis_shop.jobtrack.groups.create("bulk")
    signals.before_task_publish.connect(stamp)
    try:
        group.dispatch(redis_shop.task("delivered").s() for _ in range(5))
    finally:
        signals.before_task_publish.disconnect(stamp)
    with redis_shop.worker():
        redis_shop.await_completion(group)

    assert group.status().succeeded == 5


def _is_empty(shop):
    with shop.app.connection_for_read() as connection:
        try:
            return connection.default_channel.queue_declare("celery", passive=True).message_count == 0
        except connection.channel_errors:
            return True
