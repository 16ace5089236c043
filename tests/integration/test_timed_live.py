"""Rates, deadlines and jobs that are due much later, with real workers."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise

import pytest

from celery_jobtrack import JobState, Reason
from tests.integration.live import BOUND
from tests.waiting import wait_until

INTERVAL = 0.5
"""Of shop.rated: 120 in a minute."""
MADE_GOOD = INTERVAL / 12
WORKERS = 4
BROKERS = ("filesystem", "redis", "rabbitmq")


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def shop(make_shop, request):
    broker = request.getfixturevalue("redis_server").new_database()
    if request.param == "sqlite":
        return make_shop(broker_url=broker)
    store = request.getfixturevalue(f"{request.param}_server").new_database()
    return make_shop(store_url=store, broker_url=broker)


def runs(shop):
    path = shop.folder / "runs"
    return path.read_text().split() if path.exists() else []


def await_success(shop, number):
    wait_until(
        lambda: shop.jobtrack.store.counts().get(JobState.SUCCESS) == number,
        BOUND * 3,
        "not all have succeeded",
    )


def test_rate_spaces_the_starts_of_all_workers(shop):
    with ExitStack() as stack:
        for _ in range(WORKERS):
            stack.enter_context(shop.worker("-c", "1"))
        ids = [shop.task("rated").delay(number).id for number in range(16)]
        for number in range(40):
            shop.task("note").apply_async(task_id=f"load-{number}")
        await_success(shop, len(ids) + 40)
    starts = sorted(shop.jobtrack.inspect.job(job_id).started_at for job_id in ids)
    gaps = [(after - before).total_seconds() for before, after in pairwise(starts)]
    assert min(gaps) >= INTERVAL - MADE_GOOD
    assert shop.jobtrack.store.due_keys(shop.jobtrack.store.now() + timedelta(days=1), 10) == []


def test_who_parks_or_starts_by_a_rate_sees_to_the_next_one(make_shop, redis_server):
    shop = make_shop(broker_url=redis_server.new_database())
    with shop.worker("-c", "1", shop_alarm_interval=3600, jobtrack_check_interval=3600):
        ids = [shop.task("rated").delay(number).id for number in range(5)]
        await_success(shop, len(ids))


def test_rate_goes_on_when_the_worker_dies_that_knew_of_it(shop):
    first = shop.start_worker("-c", "1")
    first.await_ready()
    ids = [shop.task("rated").delay(number).id for number in range(8)]
    wait_until(lambda: len(runs(shop)) >= 2, BOUND, "nothing has run")
    first.kill_whole()
    with shop.worker("-c", "1"):
        await_success(shop, len(ids))
    assert sorted(set(runs(shop))) == sorted(ids)


@pytest.mark.parametrize("broker", BROKERS)
def test_earliest_deadline_goes_first_beyond_the_few_that_are_on_their_way(make_shop, request, broker):
    url = "" if broker == "filesystem" else request.getfixturevalue(f"{broker}_server").new_database()
    shop = make_shop(broker_url=url, worker_prefetch_multiplier=1)
    minutes = [60 + (7 * number) % 60 for number in range(60)]
    for number in minutes:
        shop.task("note").apply_async(task_id=f"d-{number}", deadline=timedelta(minutes=number))
    with shop.worker("-c", "1"):
        await_success(shop, len(minutes))
    ahead = [f"d-{number}" for number in minutes[:4]]
    assert runs(shop)[:4] == ahead
    assert runs(shop)[4:] == [f"d-{number}" for number in sorted(minutes[4:])]


def test_job_that_is_too_late_expires_and_one_that_may_run_late_runs(shop):
    strict = shop.task("note").apply_async(deadline=timedelta(seconds=1))
    late = shop.task("note").apply_async(deadline=timedelta(seconds=1), run_late=True)
    wait_until(lambda: late.job().enqueued_at is not None, BOUND, "not recorded")
    wait_until(
        lambda: (shop.jobtrack.store.now() - late.job().enqueued_at).total_seconds() > 1.5, BOUND, "no time"
    )
    with shop.worker("-c", "1"):
        wait_until(
            lambda: (strict.job().state, late.job().state) == (JobState.REVOKED, JobState.SUCCESS),
            BOUND,
            "the one has not expired, or the other has not run",
        )
    assert strict.job().reason is Reason.EXPIRED


def test_job_that_is_due_later_is_kept_in_the_store_over_a_restart_and_runs_in_time(make_shop, redis_server):
    shop = make_shop(broker_url=redis_server.new_database(), jobtrack_park_after=1)
    result = shop.task("note").apply_async(countdown=6)
    with shop.worker("-c", "1"):
        assert result.job().state is JobState.WAITING
    with shop.worker("-c", "1"):
        await_success(shop, 1)
    job = result.job()
    assert job.started_at >= job.eta
    assert runs(shop) == [result.id]


def test_job_like_one_that_runs_is_not_sent(shop):
    with shop.worker("-c", "2"):
        first = shop.task("unique").delay("one")
        shop.await_running("one")
        second = shop.task("unique").delay("one")
        assert (second.job().state, second.job().reason) == (JobState.SKIPPED, Reason.DUPLICATE)
        assert second.job().blocked_by == first.id
        shop.let_go("one")
        await_success(shop, 1)
        third = shop.task("unique").delay("one")
        wait_until(lambda: third.job().state is JobState.SUCCESS, BOUND, "the third has not run")
